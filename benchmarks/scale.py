"""Snakemake's own time on large cohorts: dry runs, runs with nothing to do, the cost of a job.

The peer is a workflow with the same rules, jobs, inputs and outputs, and nothing else: no
checkpoints, no configuration, no hashes of code, no tables: what Snakemake itself takes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.harness import Row
from benchmarks.scale_cohort import Timing, Workspace, make_cohort, make_peer
from lungaug.staleness import fingerprint

CONFIGURED = ("--configfile", "scale.yaml")
DRY = ("--dry-run", "--quiet", "all")
LIMIT_S = 30.0
SLICES = 250
"""Files a patient, as LIDC-IDRI has."""


class Setup(NamedTuple):
    """A cohort; ``folds`` is 0 for a fixed division."""

    n_patients: int
    n_batches: int
    folds: int

    def __str__(self) -> str:
        division = f"{self.folds} folds" if self.folds else "fixed"
        return f"{self.n_patients} patients, {self.n_batches} batches, {division}"


SETUPS = (Setup(1000, 16, 0), Setup(1000, 64, 0), Setup(5000, 64, 0), Setup(5000, 128, 0))


def scale(setups: Sequence[Setup] = SETUPS) -> Iterator[Row]:
    """Rows of every cohort, then what the source and checksums cost."""
    with tempfile.TemporaryDirectory() as folder:
        for i, setup in enumerate(setups):
            yield from _cohort(Path(folder) / str(i), setup)
            shutil.rmtree(Path(folder) / str(i))
        yield from _source(Path(folder) / "source")
        yield _checksums(Path(folder) / "checksums")


def _cohort(root: Path, setup: Setup) -> Iterator[Row]:
    ours = make_cohort(root / "ours", setup.n_patients, setup.n_batches, setup.folds, 1)
    ours.snakemake(*DRY, *CONFIGURED)  # bytecode
    first = ours.snakemake(*DRY, *CONFIGURED)
    run = ours.snakemake("--quiet", "all", *CONFIGURED)
    idle = ours.snakemake(*DRY, *CONFIGURED)
    jobs = ours.jobs()
    records_mb = ours.records_mb()
    _forget(ours.root / "results" / "scale")
    rest = ours.snakemake(*DRY, *CONFIGURED)
    peer = make_peer(root / "peer", jobs)
    peer_rest = peer.snakemake(*DRY)
    peer_run = peer.snakemake("--quiet", "all")
    peer_idle = peer.snakemake(*DRY)
    n_inputs = sum(len(job["inputs"]) for job in jobs)
    sizes = f"{len(jobs)} jobs, {n_inputs} inputs, records {records_mb:.0f} MB"
    yield Row(f"{setup}: dry run of a new cohort, up to the scan", first.text, "", "", "", None)
    yield _row(f"{setup}: dry run after ingest and split", rest, peer_rest)
    yield _row(f"{setup}: nothing to do; {sizes}", idle, peer_idle, LIMIT_S)
    each, peer_each = ((t.cpu_s / len(jobs)) * 1e3 for t in (run, peer_run))
    yield Row(
        f"{setup}: a whole run of empty jobs, by job",
        f"{each:.0f} ms",
        f"{peer_each:.0f} ms",
        f"{peer_each / each:.2f}",
        "",
        None,
    )


def _row(work: str, ours: Timing, peer: Timing, at_most: float | None = None) -> Row:
    ratio = f"{peer.cpu_s / ours.cpu_s:.2f}"
    if at_most is None:
        return Row(work, ours.text, peer.text, ratio, "", None)
    return Row(work, ours.text, peer.text, ratio, f"<= {at_most:g} s", ours.cpu_s <= at_most)


def _forget(results: Path) -> None:
    """Leave what the checkpoints need, so that the dry run knows every job that is left."""
    kept = {"cohort.tsv", "scan.rejected.tsv", "split.tsv", "ingest"}
    for path in results.iterdir():
        if path.is_dir() and path.name not in kept:
            shutil.rmtree(path)
        elif path.name not in kept:
            path.unlink()


def _source(root: Path) -> Iterator[Row]:
    """The walk over the source at every start, by file."""
    n_patients = 1000
    for i in range(n_patients):
        (root / f"{i:04d}").mkdir(parents=True)
        for k in range(SLICES):
            (root / f"{i:04d}" / f"1-{k:03d}.dcm").touch()
    fingerprint(root)
    start, used = time.perf_counter(), time.process_time()
    fingerprint(root)
    wall, cpu = time.perf_counter() - start, time.process_time() - used
    n_files = n_patients * SLICES
    text = f"{cpu:.1f} s ({wall:.1f} s)"
    yield Row(f"walk over {n_files} files of the source, local disk", text, "", "", "<= 10 s",
              cpu <= 10)  # fmt: skip


def _checksums(root: Path) -> Row:
    """What Snakemake reads when one training has ended, by bytes of its inputs, for 10G and 1M."""
    space = make_cohort(root, 40, 4, 0, 1)
    space.snakemake("--quiet", "all", *CONFIGURED)
    results = space.root / "results" / "scale"
    for path in (results / "ingest").glob("*.h5"):
        status = path.stat()
        os.truncate(path, 100_000_000)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    texts = [_training_again(space, results, limit) for limit in ("10G", "1M")]
    return Row(
        "checksums of 0.4 GB after one training (5 outputs), limit 10G / 1M", *texts, "", "", None
    )


def _training_again(space: Workspace, results: Path, limit: str) -> str:
    model = results / "fixed/segmentation/none/unet/seed0/model.pt"
    model.unlink()
    target = str(model.relative_to(space.root))
    done = space.snakemake(target, "--quiet", "all", *CONFIGURED, limit=limit)
    return f"{done.hashed_gb:.2f} GB read, {done.cpu_s:.1f} s"
