"""Read the patients of one batch: pixels to HU, masks or contours to nodules, names to pseudonyms.

Patients are worked one at a time and images a few at a time, so that memory depends neither on the
cohort nor on the length of a series.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import Pseudonyms, load_or_create_key, write_rows
from lungaug.errors import FileFormatError, InputError
from lungaug.settings import setting
from lungaug.sources.decoding import IsolatedDecoder, UnreadablePixels
from lungaug.sources.dicom import read_hu
from lungaug.sources.lidc_consensus import LidcSettings
from lungaug.sources.marks import Marks, class_of, read_marks
from lungaug.sources.mendeley import KeptRows
from lungaug.sources.plan import PatientPlan, PlannedSeries, PlannedSlice, locate, read_plans
from lungaug.sources.plausible import Judgement
from lungaug.store import Provenance, SliceWriter, StorageSettings, empty_slices

REJECTED_COLUMNS = ("file", "patient", "reason")
NODULE_COLUMNS = (
    "patient", "series", "nodule", "n_readers", "diameter_mm", "n_slices", "kind", "z_mm",
    "n_missing",
)  # fmt: skip
SLICES_AT_ONCE = 16

Read = tuple[PlannedSlice, NDArray[np.int16]]
"""A slice and its HU, (H, W)."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How files become slices."""

    storage: StorageSettings = setting(StorageSettings, "compression of slice files")
    kind: Literal["dicom", "lidc", "mendeley"] = setting(
        "dicom",
        "nodules from PNG masks, or from LIDC XML where a series has it; or the rows of the "
        "thesis' tables",
    )
    mask_values: Literal["components", "labels"] = setting(
        "components", "a nodule is a connected piece of a mask, or each value in it"
    )
    lidc: LidcSettings = setting(LidcSettings, "how several readers' contours become nodules")
    unannotated: Literal["unknown", "LR1"] = setting(
        "unknown", "Lung-RADS of a patient without class, mask and contour; LR1 means healthy"
    )
    assumed_spacing_mm: float | None = setting(
        None, "distance of rows and of columns where the source has none; null: unknown",
        exclusiveMinimum=0,
    )  # fmt: skip
    on_bad_input: Literal["stop", "skip"] = setting(
        "stop",
        "what an unreadable image or mask does: stop the run, or leave its patient out, who "
        "becomes a row among the rejected",
    )


@dataclass
class _Report:
    """What goes into the tables, and what is done about files that cannot be used."""

    names: Pseudonyms
    stop: bool
    refused: list[dict[str, str]] = field(default_factory=list)  # of the patient at hand
    rejected: list[dict[str, str]] = field(default_factory=list)
    nodules: list[dict[str, Any]] = field(default_factory=list)

    def refuse(self, name: str, error: InputError) -> None:
        """Stop, or note it: the patient of a refused file is left out."""
        file = self.names.file(name)
        if self.stop:
            raise InputError(
                f"file {file}: {error}; its path is in files.tsv of the private folder; repair or "
                "remove it, or set ingest.on_bad_input: skip"
            ) from error
        self.refused.append({"file": file, "reason": str(error)})

    def doubt(self, name: str, reason: str) -> None:
        """Note a series whose values are no HU: the patient is left out, and the run goes on."""
        self.refused.append({"file": self.names.file(name), "reason": reason})

    def leave_out(self, plan: PatientPlan) -> None:
        """A row for each refused file of a patient, of whom no slice is kept."""
        count = _counted(sum(len(series.slices) for series in plan.series), "slice")
        for row in self.refused:
            reason = f"{row['reason']}; its patient is left out with {count}"
            self.rejected.append({**row, "patient": plan.patient, "reason": reason})
        log.warning(
            "%s: left out with %s, of %s that cannot be used",
            plan.patient, count, _counted(len(self.refused), "file"),
        )  # fmt: skip


def run(
    *,
    cohort: Path,
    batch: str,
    root: Path,
    private: Path,
    output: Path,
    rejected: Path,
    nodules: Path,
    key: Path,
    settings: Settings,
    provenance: Provenance,
    sheet: Path | None = None,
    masks: Path | None = None,
) -> None:
    """Write the slice file of one batch, its rejected files and its nodules.

    Args:
        cohort: the scan's table.
        batch: which of its batches.
        root, private, masks: as handed to the scan.
        output: slice file with ``hu`` and ``nodule``, sorted by patient, series and index. A
            slice's ``diameter_mm`` is the largest Feret diameter of a nodule on that slice, 0
            without one, NaN where nobody looked for nodules. In a series with masks or contours,
            slices without them are taken to hold none.
        rejected: files that could not be used, with the patient who is left out and the reason.
        nodules: one row a nodule, over all slices; ``n_missing`` counts outlines whose slice is
            not among the images.
        key: the key of the pseudonyms.
        settings: see :class:`Settings`.
        provenance: stored in the slice file.
        sheet: unused; the scan has put what it says into the plan.

    Raises:
        InputError: a file cannot be used and ``on_bad_input`` is ``stop``.
        FileFormatError: the scan's results are missing or do not belong together.
    """
    report = _Report(Pseudonyms(load_or_create_key(key)), settings.on_bad_input == "stop")
    plans = read_plans(private, batch, _digests(cohort, batch))
    with (
        SliceWriter(output, provenance, settings.storage) as writer,
        _opened(root, private, masks, settings, report) as images,
    ):
        job = _Job(settings, images, report, writer)
        for plan in plans:
            job.add(_spaced(plan, settings.assumed_spacing_mm))
    write_rows(rejected, REJECTED_COLUMNS, sorted(report.rejected, key=lambda r: r["file"]))
    write_rows(nodules, NODULE_COLUMNS, report.nodules)


@dataclass(frozen=True)
class _Images:
    """How a source gives the marks on a series, and the HU of a slice."""

    marks: Callable[[PlannedSeries], Marks]
    hu: Callable[[PlannedSlice], NDArray[np.int16]]


@contextmanager
def _opened(
    root: Path, private: Path, masks: Path | None, settings: Settings, report: _Report
) -> Iterator[_Images]:
    if settings.kind == "mendeley":
        with KeptRows(private) as rows:
            yield _Images(rows.marks, rows.hu)
        return
    find = partial(locate, root=root, masks=masks)
    lidc = settings.lidc if settings.kind == "lidc" else None
    with IsolatedDecoder() as decode:
        yield _Images(
            lambda series: read_marks(series, find, report.refuse, settings.mask_values, lidc),
            lambda planned: read_hu(find(planned.file.name), planned.header, decode),
        )


def _digests(cohort: Path, batch: str) -> dict[str, str]:
    """Digest by patient of a batch."""
    try:
        with cohort.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            return {row["patient"]: row["digest"] for row in rows if row["batch"] == batch}
    except (FileNotFoundError, KeyError) as error:
        again = f"rebuild it with: snakemake --force {cohort} (and the --configfile of the run)"
        raise FileFormatError(f"{cohort}: no cohort table; {again}") from error


def _spaced(plan: PatientPlan, assumed_mm: float | None) -> PatientPlan:
    """The plan with the assumed spacing, if there is one, where it has none."""
    unknown = any(one.header.spacing_mm is None for s in plan.series for one in s.slices)
    if assumed_mm is None or not unknown:
        return plan
    log.warning("%s: unknown spacing, taken for %g mm", plan.patient, assumed_mm)
    spacing = (assumed_mm, assumed_mm)

    def spaced(one: PlannedSlice) -> PlannedSlice:
        header = replace(one.header, spacing_mm=one.header.spacing_mm or spacing)
        return replace(one, header=header)

    series = (replace(s, slices=tuple(map(spaced, s.slices))) for s in plan.series)
    return replace(plan, series=tuple(series))


def _class(plan: PatientPlan, marks: Sequence[Marks], settings: Settings) -> str:
    """Lung-RADS: the sheet's, else by the largest nodule, else the setting for the unannotated."""
    if plan.lung_rads:
        return plan.lung_rads
    if any(one.known for one in marks):
        return class_of(marks)
    unannotated: Mapping[str, str] = {"LR1": "LR1", "unknown": ""}
    return unannotated[settings.unannotated]


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


@dataclass(frozen=True)
class _Job:
    """The work on one patient after the other."""

    settings: Settings
    images: _Images
    report: _Report
    writer: SliceWriter

    def add(self, plan: PatientPlan) -> None:
        """Append a patient's slices and nodules, or none of them: a gap would look like lung."""
        start = self.writer.place()
        self.report.refused.clear()
        nodules = self.append(plan)
        if self.report.refused:
            self.writer.go_back(start)
            self.report.leave_out(plan)
        else:
            self.report.nodules += nodules

    def append(self, plan: PatientPlan) -> list[dict[str, Any]]:
        """Append what can be read of a patient; the rows of the nodules."""
        marks = [self.images.marks(series) for series in plan.series]
        lung_rads = _class(plan, marks, self.settings)
        if lung_rads == "LR1" and not any(one.known for one in marks):
            marks = [Marks(known=True) for _ in marks]
        n_slices = 0
        rows: list[dict[str, Any]] = []
        for series, marked in zip(plan.series, marks, strict=True):
            judgement = Judgement()
            torn: dict[str, str] = {}
            for read in self.blocks(series):
                slices = _rows(read, marked)
                slices["patient"] = plan.patient.encode()
                slices["series"] = series.series.encode()
                slices["lung_rads"] = lung_rads.encode()
                hu = np.stack([image for _, image in read])
                torn |= {one.file.name: judgement.add(image) for one, image in read}
                self.writer.append(slices, hu=hu, nodule=_labels(read, marked))
                n_slices += len(read)
            self.judge(series, judgement.fault(), torn)
            rows += _nodule_rows(plan.patient, series.series, marked)
        for damaged in plan.damaged:
            self.report.refuse(damaged.file.name, InputError(damaged.reason))
        n_nodules = sum(n.kind == "nodule" for one in marks for n in one.nodules)
        if n_nodules and lung_rads == "LR1":
            log.warning("%s: the sheet says LR1, but nodules are marked", plan.patient)
        counts = f"{_counted(n_slices, 'slice')}, {_counted(n_nodules, 'nodule')}"
        if not self.report.refused:
            log.info("%s: %s, Lung-RADS %s", plan.patient, counts, lung_rads or "unknown")
        return rows

    def judge(self, series: PlannedSeries, no_hu: str, torn: Mapping[str, str]) -> None:
        """Leave out a patient whose values are no HU, else refuse slices that are no images.

        Of the thesis' tables, which hold HU by definition, only warn.
        """
        if self.settings.kind == "mendeley":
            if no_hu:
                log.warning("series %s: %s", series.series, no_hu)
        elif no_hu:
            self.report.doubt(series.slices[0].file.name, no_hu)
        else:
            for name, reason in torn.items():
                if reason:
                    self.report.refuse(name, UnreadablePixels(reason))

    def blocks(self, series: PlannedSeries) -> Iterator[list[Read]]:
        """What can be read of a series, a few slices at a time."""
        for start in range(0, len(series.slices), SLICES_AT_ONCE):
            read = list(self.readable(series.slices[start : start + SLICES_AT_ONCE]))
            if read:
                yield read

    def readable(self, planned: Sequence[PlannedSlice]) -> Iterator[Read]:
        for one in planned:
            try:
                yield one, self.images.hu(one)
            except UnreadablePixels as error:
                self.report.refuse(one.file.name, error)


def _rows(read: Sequence[Read], marks: Marks) -> NDArray[np.void]:
    slices = empty_slices(len(read))
    for row, (planned, _) in zip(slices, read, strict=True):
        row["index"], row["z_mm"] = planned.index, planned.z_mm
        row["spacing_mm"] = planned.header.spacing_mm or np.nan
        row["diameter_mm"] = marks.diameter_mm(planned.index)
    return slices


def _labels(read: Sequence[Read], marks: Marks) -> NDArray[np.uint8]:
    labels = np.zeros((len(read), *read[0][1].shape), np.uint8)
    for image, (planned, _) in zip(labels, read, strict=True):
        if planned.index in marks.labels:
            image[:] = marks.labels[planned.index]
    return labels


def _nodule_rows(patient: str, series: str, marks: Marks) -> Iterator[dict[str, Any]]:
    for nodule in marks.nodules:
        numbers = {"diameter_mm": round(nodule.diameter_mm, 3), "z_mm": round(nodule.z_mm, 3)}
        yield {"patient": patient, "series": series, **asdict(nodule), **numbers}
