"""The published tables of the thesis: two pickled frames, one slice a row, read once and kept.

``lung_cancer_train.pkl`` and ``lung_cancer_test.pkl`` (Mendeley Data 5rr22hgzwr) have the columns
``label1`` (Lung-RADS), ``mask``, ``hu_array_old`` (HU) and ``hu_array`` (HU times an automatic lung
mask, not used). They say nothing of patients, spacing or the order of slices: patients are
pseudo-patients (:mod:`lungaug.sources.mendeley_patients`), spacing and z are unknown.

The rows are kept as slice files in the private folder, since reading a pickle takes gigabytes.
"""

from __future__ import annotations

import csv
import hashlib
import itertools
import logging
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.errors import FileFormatError, InputError
from lungaug.imaging.hu import to_hu
from lungaug.sources.dicom_header import bare_header
from lungaug.sources.image import Rejection
from lungaug.sources.marks import Marks, of_labels
from lungaug.sources.masks import MAX_LABEL
from lungaug.sources.mendeley_patients import FingerprintSettings, outline, pseudo_patients
from lungaug.sources.pickles import read_frame
from lungaug.sources.plan import PlannedFile, PlannedSeries, PlannedSlice
from lungaug.sources.private import PrivateFile, private_folder
from lungaug.store import Provenance, SliceFile, SliceWriter, empty_slices

FILES = {"train": "lung_cancer_train.pkl", "test": "lung_cancer_test.pkl"}
"""The published parts and their files."""
LABELS = CLASSES[1:]
COLUMNS = ("label1", "mask", "hu_array_old")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PseudoPatient:
    """Rows taken for one person's; ``part`` is train or test, as published."""

    name: str
    part: str
    lung_rads: str
    slices: tuple[PlannedSlice, ...]


def find_pickles(root: Path) -> dict[str, Path]:
    """The files of both parts, at any depth below ``root``.

    Raises:
        InputError: one is missing, or there are several of a name.
    """
    found = {part: sorted(root.rglob(name)) for part, name in FILES.items()}
    missing = [FILES[part] for part, paths in found.items() if not paths]
    if missing:
        why = "; both are needed, since who tests is as published" if len(missing) == 1 else ""
        raise InputError(
            f"{root}: no {' and no '.join(missing)}; accepted: a folder that holds "
            f"{' and '.join(FILES.values())}{why}"
        )
    for part, paths in found.items():
        if len(paths) > 1:
            raise InputError(f"{root}: {len(paths)} files {FILES[part]}; accepted: one")
    return {part: paths[0] for part, paths in found.items()}


def update_cache(root: Path, private: Path, provenance: Provenance) -> list[Rejection]:
    """Read the pickles that are not kept yet, and return the rows that cannot be used.

    Args:
        root: folder with both files.
        private: the cohort's private folder.
        provenance: of the scan; other code reads the pickles anew.

    Raises:
        InputError: a pickle is missing, no frame, or asks for what could run code; or none of its
            rows can be used.
    """
    private_folder(private / "mendeley")
    rejected = []
    for part, path in find_pickles(root).items():
        sources = {"pickle": _digest_of(path), "code": provenance.code}
        if not _is_kept(private, part, sources):
            log.info("%s: read once, which takes a while", path.name)
            _keep(path, private, part, sources, provenance)
        rejected += _rejected(private, part)
    return rejected


def find_patients(private: Path, settings: FingerprintSettings) -> Iterator[PseudoPatient]:
    """The pseudo-patients of the rows that are kept, part by part in the order of the rows."""
    with KeptRows(private) as rows:
        for part in FILES:
            numbers, labels = rows.numbers(part), rows.labels(part)
            outlines = (outline(rows.pixels(part, number)[0], settings) for number in numbers)
            kinds = zip(labels, rows.sizes(part), strict=True)  # a series has one size
            people = pseudo_patients(kinds, outlines, settings)
            grouped = itertools.groupby(
                zip(people, numbers, labels, strict=True), key=lambda row: row[0]
            )
            for _, members in grouped:
                _, chosen, classes = zip(*members, strict=True)
                planned = [rows.planned(part, row, i) for i, row in enumerate(chosen)]
                name = f"mendeley/{part}/{chosen[0]:04d}"
                yield PseudoPatient(name, part, classes[0], tuple(planned))


def row_name(part: str, number: int) -> str:
    """What a row is called in plans and in the table of rejected ones."""
    return f"{FILES[part]}:{number:04d}"


def converted(label: Any, hu: Any, mask: Any) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
    """HU and nodules (0, or the number of a connected piece of the mask) of a row, (H, W) each.

    Raises:
        InputError: why the row cannot be used.
    """
    if label not in LABELS:
        shown = f"'{label[:20]}'" if isinstance(label, str) else type(label).__name__
        raise InputError(f"label {shown}; accepted: {', '.join(LABELS)}")
    for name, image in (("hu_array_old", hu), ("mask", mask)):
        if not isinstance(image, np.ndarray) or image.ndim != 2 or not image.size:
            raise InputError(f"{name} is no image; accepted: an array (H, W)")
    if hu.shape != mask.shape:
        raise InputError(f"mask of {_size(mask)} pixels; accepted: {_size(hu)}")
    if not np.isfinite(hu).all():
        raise InputError("HU that are no numbers; accepted: finite ones")
    inside = mask == 1
    if not (inside | (mask == 0)).all():
        raise InputError("mask with other values; accepted: 0 and 1")
    count, labels = cv2.connectedComponents(inside.astype(np.uint8), connectivity=8)
    if not 1 < count <= MAX_LABEL + 1:
        raise InputError(f"mask with {count - 1} nodules; accepted: 1 to {MAX_LABEL}")
    return to_hu(hu, 1.0, 0.0), labels.astype(np.uint8)


class KeptRows:
    """The rows kept in the private folder; what ingest reads them through.

    Raises:
        FileFormatError: they are missing or damaged.
    """

    def __init__(self, private: Path) -> None:
        self._files = {part: SliceFile(_kept(private, part)) for part in FILES}
        self._places = {part: dict(_places(file)) for part, file in self._files.items()}

    def numbers(self, part: str) -> list[int]:
        """The rows that can be used, in the table's order."""
        return sorted(self._places[part])

    def labels(self, part: str) -> list[str]:
        """Lung-RADS of each of :meth:`numbers`."""
        slices = self._files[part].slices
        places = (self._places[part][number] for number in self.numbers(part))
        return [slices(group)[row]["lung_rads"].decode() for group, row in places]

    def sizes(self, part: str) -> list[str]:
        """Size, such as 512x512, of each of :meth:`numbers`."""
        return [self._places[part][number][0] for number in self.numbers(part)]

    def pixels(self, part: str, number: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """HU and nodules of a row, (H, W) each."""
        place = self._places[part].get(number)
        if place is None:
            raise FileFormatError(f"row {number} of {part} is not kept; {_AGAIN}")
        file = self._files[part]
        return file.image("hu", *place), file.image("nodule", *place)

    def planned(self, part: str, number: int, index: int) -> PlannedSlice:
        """A row as the ``index``-th slice of its series, at an unknown place."""
        hu, nodule = self.pixels(part, number)
        file = PlannedFile(row_name(part, number), _digest(hu, nodule))
        return PlannedSlice(file, bare_header(*hu.shape), index, math.nan, None)

    def hu(self, planned: PlannedSlice) -> NDArray[np.int16]:
        """HU of a planned row.

        Raises:
            FileFormatError: it is not as the scan found it.
        """
        hu, nodule = self.pixels(*_part_and_number(planned))
        if _digest(hu, nodule) != planned.file.digest:
            raise FileFormatError(f"the rows kept and the plan are of different scans; {_AGAIN}")
        return hu

    def marks(self, series: PlannedSeries) -> Marks:
        """The nodules of a series; their diameters are NaN where the plan has no spacing."""
        labels = {p.index: self.pixels(*_part_and_number(p))[1] for p in series.slices}
        return of_labels(series, labels)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._files.values():
            file.close()


_AGAIN = "run the scan again: snakemake --force results/<cohort>/cohort.tsv"


def _keep(
    path: Path, private: Path, part: str, sources: dict[str, str], provenance: Provenance
) -> None:
    """Convert the rows of a pickle one by one into the slice file of its part."""
    columns = read_frame(path, COLUMNS)
    rejected: list[tuple[int, str]] = []
    with SliceWriter(_kept(private, part), provenance, sources=sources) as writer:
        for number, (label, mask, raw) in enumerate(zip(*columns.values(), strict=True)):
            try:
                hu, nodule = converted(label, raw, mask)
            except InputError as error:
                rejected.append((number, str(error)))
                continue
            slices = empty_slices(1)
            slices["index"], slices["lung_rads"] = number, label.encode()
            writer.append(slices, hu=hu[None], nodule=nodule[None])
        # Inside the block: a slice file that bears its name has its list of rejected rows.
        _write_rejected(private, part, rejected)
        _check_some(path, len(columns["mask"]), rejected)


def _check_some(path: Path, n_rows: int, rejected: Sequence[tuple[int, str]]) -> None:
    if len(rejected) == n_rows:
        reasons = Counter(reason for _, reason in rejected).most_common(3)
        told = "; ".join(f"{count} times {reason}" for reason, count in reasons) or "it has none"
        raise InputError(f"{path}: no row can be used: {told}")


def _kept(private: Path, part: str) -> Path:
    return private / "mendeley" / f"{part}.h5"


def _rejected_of(private: Path, part: str) -> Path:
    return private / "mendeley" / f"{part}.rejected.tsv"


def _is_kept(private: Path, part: str, sources: dict[str, str]) -> bool:
    try:
        with SliceFile(_kept(private, part)) as file:
            return file.sources == sources and _rejected_of(private, part).is_file()
    except FileFormatError:
        return False


def _write_rejected(private: Path, part: str, rows: Sequence[tuple[int, str]]) -> None:
    with PrivateFile(_rejected_of(private, part)) as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows(rows)


def _rejected(private: Path, part: str) -> list[Rejection]:
    with _rejected_of(private, part).open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file, delimiter="\t")
        return [Rejection(row_name(part, int(number)), reason) for number, reason in rows]


def _places(file: SliceFile) -> Iterator[tuple[int, tuple[str, int]]]:
    """Group and place in it of each published row."""
    for group in file.groups:
        for place, number in enumerate(file.slices(group)["index"].tolist()):
            yield number, (group, place)


def _part_and_number(planned: PlannedSlice) -> tuple[str, int]:
    name, number = planned.file.name.rsplit(":", 1)
    return next(part for part in FILES if FILES[part] == name), int(number)


def _digest(hu: NDArray[np.int16], nodule: NDArray[np.uint8]) -> str:
    digest = hashlib.sha256(np.ascontiguousarray(hu).data)
    digest.update(np.ascontiguousarray(nodule).data)
    return digest.hexdigest()[:16]


def _digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _size(image: NDArray[Any]) -> str:
    return "x".join(map(str, image.shape))
