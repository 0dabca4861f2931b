"""What ingest is to read, patient by patient: written by the scan, private.

A batch's plan holds its own patients only, so that reading it does not depend on the cohort's size.
Everything that the outcome depends on is in a patient's line, digests of files included: the hash
of the line is the patient's digest in ``cohort.tsv``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungaug.errors import FileFormatError
from lungaug.sources.dicom_header import Header
from lungaug.sources.private import PrivateFile, private_folder

_MASKS = "masks:"


@dataclass(frozen=True)
class PlannedFile:
    """A file by its reference (see :func:`reference`) and the digest of its content."""

    name: str
    digest: str


@dataclass(frozen=True)
class PlannedSlice:
    """One slice: its image, its place along the normal, and its mask if it has one."""

    file: PlannedFile
    header: Header
    index: int
    z_mm: float
    mask: PlannedFile | None


@dataclass(frozen=True)
class PlannedSeries:
    """A series by its pseudonym, with the annotation files made on it."""

    series: str
    slices: tuple[PlannedSlice, ...]
    annotations: tuple[PlannedFile, ...]


@dataclass(frozen=True)
class DamagedFile:
    """A file among a patient's images that cannot be read: they may be incomplete without it."""

    file: PlannedFile
    reason: str


@dataclass(frozen=True)
class PatientPlan:
    """A patient by the pseudonym; ``lung_rads`` is the sheet's, or ''."""

    patient: str
    lung_rads: str
    series: tuple[PlannedSeries, ...]
    damaged: tuple[DamagedFile, ...] = ()

    def line(self) -> str:
        """The plan as one line of JSON."""
        series = [
            [s.series, [_slice_values(i) for i in s.slices], [_values(f) for f in s.annotations]]
            for s in self.series
        ]
        damaged = [[*_values(one.file), one.reason] for one in self.damaged]
        return json.dumps([self.patient, self.lung_rads, series, damaged], separators=(",", ":"))

    @classmethod
    def from_line(cls, line: str) -> PatientPlan:
        """The inverse of :meth:`line`."""
        patient, lung_rads, series, damaged = json.loads(line)
        return cls(
            patient,
            lung_rads,
            tuple(_series(*values) for values in series),
            tuple(DamagedFile(PlannedFile(*file), reason) for *file, reason in damaged),
        )


def digest_of(line: str) -> str:
    """The digest of a patient: changes with whatever ingest would read."""
    return hashlib.sha256(line.encode()).hexdigest()[:16]


def reference(path: str, of_masks: bool) -> str:
    """How a plan names a file: its path below the root, or ``masks:`` and its path below those."""
    return f"{_MASKS}{path}" if of_masks else path


def locate(name: str, root: Path, masks: Path | None) -> Path:
    """Where the file of a reference lies.

    Raises:
        FileFormatError: it lies below the folder of masks, and there is none.
    """
    if not name.startswith(_MASKS):
        return root / name
    if masks is None:
        raise FileFormatError("the scan used a folder of masks; hand the same one to ingest")
    return masks / name.removeprefix(_MASKS)


def write_plans(private: Path, lines: dict[str, list[str]]) -> None:
    """Write the plans of all batches, by batch, and remove those of batches that are no more."""
    folder = private / "plans"
    private_folder(folder)
    for old in folder.glob("*.jsonl"):
        if old.stem not in lines:
            old.unlink()
    for batch, batch_lines in lines.items():
        with PrivateFile(folder / f"{batch}.jsonl") as file:
            file.writelines(f"{line}\n" for line in batch_lines)


def read_plans(private: Path, batch: str, digests: dict[str, str]) -> Iterator[PatientPlan]:
    """The plans of a batch, one at a time.

    Args:
        private: the scan's private folder.
        batch: its name.
        digests: the digest of each of its patients, from ``cohort.tsv``.

    Raises:
        FileFormatError: the plan is missing, or is of another scan than ``cohort.tsv``.
    """
    path = private / "plans" / f"{batch}.jsonl"
    try:
        with path.open(encoding="utf-8") as file:
            yield from _checked(file, dict(digests))
    except FileNotFoundError:
        if digests:
            raise FileFormatError(f"{path}: no such file; {_AGAIN}") from None


_AGAIN = "run the scan again: snakemake --force results/<cohort>/cohort.tsv"


def _checked(lines: Iterable[str], digests: dict[str, str]) -> Iterator[PatientPlan]:
    for line in lines:
        plan = PatientPlan.from_line(line)
        if digests.pop(plan.patient, "") != digest_of(line.rstrip("\n")):
            raise FileFormatError(f"plan and cohort.tsv are of different scans; {_AGAIN}")
        yield plan
    if digests:
        raise FileFormatError(f"the plan lacks patients of cohort.tsv; {_AGAIN}")


def _values(file: PlannedFile | None) -> list[str]:
    return [] if file is None else [file.name, file.digest]


def _slice_values(planned: PlannedSlice) -> list[Any]:
    return [
        *_values(planned.file), planned.header.as_list(), planned.index, planned.z_mm,
        _values(planned.mask),
    ]  # fmt: skip


def _series(series: str, slices: list[Any], annotations: list[list[str]]) -> PlannedSeries:
    return PlannedSeries(
        series,
        tuple(
            PlannedSlice(
                PlannedFile(name, digest), Header.from_list(header), index, z_mm,
                PlannedFile(*mask) if mask else None,
            )
            for name, digest, header, index, z_mm, mask in slices
        ),
        tuple(PlannedFile(*values) for values in annotations),
    )  # fmt: skip
