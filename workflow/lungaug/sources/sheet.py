"""The sample sheet: what a person knows of the files that their headers do not say.

A table with a header, separated by tabs, commas or semicolons. A row names
images by ``patient_id``, ``folder`` or ``image``, and says ``lung_rads`` or ``mask`` of
them; ``folder`` with ``patient_id`` says whose images a folder holds. Columns of other names are
ignored. Messages name lines, never values: a sheet holds identifiers.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from lungaug.cohort import CLASSES
from lungaug.errors import InputError
from lungaug.sources.table_text import alike, read_rows

COLUMNS = {
    "patient_id": "PatientID",
    "folder": "folder of images, relative to the root",
    "image": "path of one image, relative to the root, or its SOPInstanceUID",
    "lung_rads": f"Lung-RADS class of the patient: {', '.join(CLASSES)}",
    "mask": "PNG of the image, relative to the masks' folder, else to the sheet's",
}
_KEYS = ("patient_id", "folder", "image")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SheetMask:
    """A mask as the sheet names it."""

    path: str
    line: int


@dataclass(frozen=True)
class SheetRow:
    """Whom and what a line names; '' where it does not say."""

    line: int
    patient: str
    folder: str
    image: str


@dataclass(frozen=True)
class Sheet:
    """A sample sheet; without one, empty.

    Attributes:
        patients: patient by folder.
        classes: Lung-RADS by patient.
        folder_classes: Lung-RADS by folder.
        masks: mask by path of the image or SOPInstanceUID.
        rows: what each line names.
    """

    patients: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    folder_classes: dict[str, str] = field(default_factory=dict)
    masks: dict[str, SheetMask] = field(default_factory=dict)
    rows: list[SheetRow] = field(default_factory=list)

    def patient_of(self, path: str) -> str:
        """Whose image ``path`` is, by the innermost folder that the sheet names; '' if none."""
        return next((self.patients[f] for f in _parents(alike(path)) if f in self.patients), "")

    def lung_rads_of(self, patient: str, paths: list[str]) -> str:
        """The class of a patient whose images are ``paths``; '' if the sheet does not say.

        Raises:
            InputError: it gives two.
        """
        patient = alike(patient)
        found = {self.classes[patient]} if patient in self.classes else set()
        for path in map(alike, paths):
            found |= {self.folder_classes[f] for f in _parents(path) if f in self.folder_classes}
        if len(found) > 1:
            names = ", ".join(sorted(found))
            raise InputError(f"sheet: folders of one patient have different lung_rads: {names}")
        return found.pop() if found else ""

    def mask_of(self, path: str, sop_uid: str) -> SheetMask | None:
        return self.masks.get(alike(path)) or self.masks.get(sop_uid)

    def unmatched(
        self, patients: Collection[str], paths: Iterable[str], sop_uids: Iterable[str]
    ) -> list[int]:
        """The lines with a patient, folder or image that the source does not have.

        Args:
            patients: of the source, as the sheet or the headers name them.
            paths: of its images, relative to the root.
            sop_uids: of its images.
        """
        known = set(map(alike, paths))
        folders = {folder for path in known for folder in _parents(path)}
        people, images = {"", *map(alike, patients)}, {"", *known, *sop_uids}
        folders.add("")
        return [
            row.line
            for row in self.rows
            if row.patient not in people or row.folder not in folders or row.image not in images
        ]


def read_sheet(path: Path | None) -> Sheet:
    """Read a sample sheet; no path, an empty one.

    Raises:
        InputError: no such file, not a table, an unknown class, or two answers to one question.
    """
    sheet = Sheet()
    if path is None:
        return sheet
    rows = read_rows(path, COLUMNS)
    _check_columns(list(next(rows)[1]))
    for line, row in rows:
        _add(sheet, line, row)
    return sheet


def _check_columns(names: list[str]) -> None:
    if not set(names) & set(_KEYS) or not set(names) & {"lung_rads", "mask", "patient_id"}:
        raise InputError(f"sheet: no column of use; accepted: {', '.join(COLUMNS)}")
    n_unused = sum(name not in COLUMNS for name in names)
    if n_unused:
        log.info("sheet: %d columns are not used; used: %s", n_unused, ", ".join(COLUMNS))


def _add(sheet: Sheet, line: int, row: dict[str, str]) -> None:
    given = {name: row.get(name, "") for name in COLUMNS}
    patient, image = given["patient_id"], given["image"].removeprefix("./")
    folder = posixpath.normpath(given["folder"]) if given["folder"] else ""
    if not (patient or folder or image) and (given["lung_rads"] or given["mask"]):
        raise InputError(f"sheet: line {line} names no {', '.join(_KEYS)}")
    sheet.rows.append(SheetRow(line, patient, folder, image))
    if folder and patient:
        _set(sheet.patients, folder, patient, line, "patient_id")
    if given["lung_rads"]:
        known = _lung_rads(given["lung_rads"], line)
        if patient:
            _set(sheet.classes, patient, known, line, "lung_rads")
        elif folder:
            _set(sheet.folder_classes, folder, known, line, "lung_rads")
        else:
            raise InputError(f"sheet: line {line} has lung_rads but neither patient_id nor folder")
    if given["mask"]:
        if not image:
            raise InputError(f"sheet: line {line} has a mask but no image")
        if image in sheet.masks:
            raise InputError(f"sheet: line {line} gives an image a second mask")
        sheet.masks[image] = SheetMask(given["mask"], line)


def _set(answers: dict[str, str], key: str, value: str, line: int, name: str) -> None:
    if answers.setdefault(key, value) != value:
        raise InputError(f"sheet: line {line} contradicts an earlier line on {name}")


def _lung_rads(text: str, line: int) -> str:
    name = re.sub(r"^(LUNG[-_\s]*RADS|LR)[-_:\s]*", "", text.upper()).replace(" ", "")
    if f"LR{name}" not in CLASSES:
        accepted = ", ".join(CLASSES)
        raise InputError(f"sheet: line {line}: unknown lung_rads; accepted: {accepted}")
    return f"LR{name}"


def _parents(path: str) -> Iterator[str]:
    """The folders that hold ``path``, innermost first; '.' for the root."""
    folder = posixpath.dirname(path)
    while folder:
        yield folder
        folder = posixpath.dirname(folder)
    yield "."
