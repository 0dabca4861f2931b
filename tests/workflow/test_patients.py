"""Only stale stages rerun, when patients come, go and change: rows that are whole runs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from patient_rows import PATIENT_ROWS, RESULTS, incoming, snakemake
from rerun_rows import Row, check, code_of
from workflow_runs import Copy

pytestmark = pytest.mark.slow

# Ingest, preprocess, both checkpoints, and what waits for the second.
EARLY = [f"{RESULTS}/fixed/slices.tsv", f"{RESULTS}/metalung/mirror/b01.h5"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = incoming(tmp_path_factory.mktemp("hospital") / "repository")
    run = snakemake(copy)
    assert run.status == 0, run.output
    return copy


@pytest.mark.parametrize("row", PATIENT_ROWS, ids=lambda row: row.name)
def test_a_change_reruns(row: Row, worked_on: Copy) -> None:
    before = roles(worked_on)
    check(row, worked_on, snakemake)
    after = roles(worked_on)
    # Who stays keeps the role: nobody who trained comes to test.
    kept = before.keys() & after.keys()
    assert len(kept) >= len(before) - 1
    assert {patient: after[patient] for patient in kept} == {p: before[p] for p in kept}


def test_the_last_change_has_settled(worked_on: Copy) -> None:
    run = snakemake(worked_on, "--dry-run")
    assert (run.status, run.jobs) == (0, Counter()), run.output


def test_changed_ingest_reruns_what_follows_and_then_settles(
    finished: Copy, tmp_path: Path
) -> None:
    """Both checkpoints stand when the run starts, and one of them must be made again."""
    copy = finished.clone(tmp_path / "repository")
    code_of("stages/ingest.py")(copy)
    run = snakemake(copy, *EARLY)
    assert run.status == 0, run.output
    assert run.jobs == Counter(
        ingest=3, preprocess=3, split=1, check_cohort=1, select=1, metalung=1
    )
    assert snakemake(copy, *EARLY).jobs == Counter()


def test_the_ledger_is_started_over_as_documented(finished: Copy, tmp_path: Path) -> None:
    copy = finished.clone(tmp_path / "repository")
    (ledger,) = (copy.root / "ledgers").glob("*.tsv")
    before = ledger.read_bytes()
    ledger.rename(ledger.with_suffix(".before"))
    split = f"{RESULTS}/split.tsv"
    assert snakemake(copy, split).jobs == Counter()
    assert not ledger.exists()
    run = snakemake(copy, split, "--forcerun", "split")
    assert (run.status, run.jobs) == (0, Counter(split=1)), run.output
    assert ledger.read_bytes() == before  # of the same key, classes and seed


def test_one_core_and_two_give_the_same_bytes(finished: Copy, tmp_path: Path) -> None:
    other = incoming(tmp_path / "repository")
    run = snakemake(other, *EARLY, cores=1)
    assert run.status == 0, run.output
    files = sorted(p.relative_to(other.root) for p in (other.root / "results").rglob("*.h5"))
    assert {p.parts[2] for p in files} == {"ingest", "preprocess", "metalung"}
    differing = [
        str(p) for p in files if (other.root / p).read_bytes() != (finished.root / p).read_bytes()
    ]
    assert not differing


def roles(copy: Copy) -> dict[str, str]:
    """The role of each patient."""
    lines = (copy.root / RESULTS / "split.tsv").read_text("utf-8").splitlines()
    names = lines[0].split("\t")
    rows = [dict(zip(names, line.split("\t"), strict=True)) for line in lines[1:]]
    return {row["patient"]: row["role"] for row in rows}
