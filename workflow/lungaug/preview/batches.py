"""One batch of a preview: ingest and preprocess, of which counts and pictures are kept."""

from __future__ import annotations

import csv
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lungaug.census import Found, find_patients
from lungaug.errors import FileFormatError, InputError
from lungaug.insertion.hosts import HostSettings
from lungaug.preview.setup import Setup
from lungaug.preview.strips import Picture, strip
from lungaug.stages import check_cohort, ingest, preprocess
from lungaug.store import Provenance, SliceFile

Rows = list[dict[str, str]]


@dataclass(frozen=True)
class Job:
    """What all batches have in common.

    Attributes:
        setup: the configuration.
        folder: the temporary folder, with the scan's results.
        source: root, sheet and masks.
        hosts: which slices may receive a nodule, None where nothing is inserted.
        drawn: whether pictures are wanted.
    """

    setup: Setup
    folder: Path
    source: Mapping[str, Path | None]
    hosts: HostSettings | None
    drawn: bool


@dataclass
class Batch:
    """What is kept of a batch; see :class:`lungaug.preview.stages.Seen`."""

    found: dict[str, Found] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    nodules: Rows = field(default_factory=list)
    rejected: Rows = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    strips: dict[str, list[Picture]] = field(default_factory=dict)


def look_at(job: Job, batch: str) -> Batch:
    """Run the stages on a batch, and remove its pixels again."""
    kept = Batch()
    read = job.folder / f"ingest/{batch}.h5"
    made = job.folder / f"preprocess/{batch}.h5"
    with heard(kept.warnings):
        try:
            _run(job, batch, kept, read, made)
            _keep(job, kept, made)
        except (InputError, FileFormatError) as error:
            kept.refusals.append(str(error))
        finally:
            read.unlink(missing_ok=True)
            made.unlink(missing_ok=True)
    return kept


def _run(job: Job, batch: str, kept: Batch, read: Path, made: Path) -> None:
    rejected = job.folder / f"ingest/{batch}.rejected.tsv"
    nodules = job.folder / f"ingest/{batch}.nodules.tsv"
    ingest.run(
        cohort=job.folder / "cohort.tsv", batch=batch, root=job.source["root"] or Path(),
        private=job.folder / "private", key=job.folder / "key", masks=job.source["masks"],
        output=read, rejected=rejected, nodules=nodules,
        settings=job.setup.source_stage(ingest.Settings, "ingest", on_bad_input="skip"),
        provenance=Provenance("ingest", "{}", ""),
    )  # fmt: skip
    preprocess.run(
        ingest=read, output=made, skipped=made.with_suffix(".skipped.tsv"),
        settings=job.setup.stage(preprocess.Settings, "preprocess"),
        provenance=Provenance("preprocess", "{}", ""),
    )  # fmt: skip
    kept.rejected, kept.nodules = read_rows(rejected), read_rows(nodules)


def _keep(job: Job, kept: Batch, made: Path) -> None:
    kept.found = find_patients([made])
    kept.hosts = check_cohort.count_hosts([made], job.hosts)
    if job.drawn:
        with SliceFile(made) as file:
            kept.strips = {patient: strip(file, patient) for patient in kept.found}


def read_rows(path: Path) -> Rows:
    """Read a table whose names may be no UTF-8."""
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


class _Ear(logging.Handler):
    """Keeps warnings in a list."""

    def __init__(self, warnings: list[str]) -> None:
        super().__init__(logging.WARNING)
        self._warnings = warnings

    def emit(self, record: logging.LogRecord) -> None:
        self._warnings.append(record.getMessage())


@contextmanager
def heard(warnings: list[str]) -> Iterator[None]:
    """Collect the stages' warnings instead of printing them: they hold pseudonyms."""
    ear, logger = _Ear(warnings), logging.getLogger("lungaug")
    logger.addHandler(ear)
    try:
        yield
    finally:
        logger.removeHandler(ear)
