"""Rows of slice files as rows of tables, and back: how ``slices.tsv`` and the arms name slices."""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import FileFormatError
from lungaug.store import SliceFile, slice_key, unpack_parameters

DONORS = ("donor", "source")
"""In the parameters of an inserted nodule: whose HU it has, and whose pixels, where it is real."""

Place = tuple[str, str, int]
"""Where a slice lies: file (relative to the cohort's results), group, row."""


@dataclass(frozen=True)
class Claim:
    """What a slice file says of one of its rows.

    Attributes:
        place: file, group, row.
        key: ``patient/series/index``.
        patient: pseudonym.
        origin: ``real``, ``metalung:<operation>`` or ``inserted:<generator>``.
        host, donor: keys of the slices that it was made from; '' where there is none.
        parameters: what was drawn.
    """

    place: Place
    key: str
    patient: str
    origin: str
    host: str
    donor: str
    parameters: dict[str, Any]

    @property
    def patients(self) -> set[str]:
        """Everybody whose pixels the row admits to hold."""
        keys = [self.key, self.host, self.donor, *donors_of(self.parameters)]
        return {self.patient, *(patient_of(key) for key in keys if key)}


def patient_of(key: str) -> str:
    """The patient of a slice key."""
    return key.split("/", 1)[0]


def donors_of(parameters: Mapping[str, Any]) -> set[str]:
    """Keys of the slices whose pixels went into inserted nodules, from what was recorded."""
    nodules = parameters.get("nodules", ())
    return {str(nodule.get(name, "")) for nodule in nodules for name in DONORS} - {""}


def inserted_labels(parameters: Mapping[str, Any], nodule: NDArray[np.uint8]) -> range:
    """Labels of the nodules that were inserted into a slice, in the order of their record.

    They follow those that the host had of its own.

    Args:
        parameters: what was recorded of the slice.
        nodule: (H, W), its labels.
    """
    last = int(nodule.max(initial=0))
    return range(last - len(parameters.get("nodules", ())) + 1, last + 1)


def claim_of(place: Place, fields: np.void) -> Claim:
    """The claim of one row of a ``slices`` table.

    Raises:
        FileFormatError: its parameters cannot be read.
    """
    try:
        parameters = unpack_parameters(fields)
    except ValueError as error:
        raise FileFormatError(f"{'/'.join(map(str, place))}: no parameters ({error})") from error
    return Claim(
        place,
        slice_key(fields),
        fields["patient"].decode(),
        fields["origin"].decode(),
        fields["host"].decode(),
        fields["donor"].decode(),
        parameters,
    )


class SliceFiles:
    """Slice files below one folder, by relative name; few stay open, however many there are.

    Args:
        root: the cohort's results.
        most: files that stay open; each holds its ``slices`` tables in memory.
    """

    def __init__(self, root: Path, most: int = 4) -> None:
        self.root = root
        self._most = most
        self._open: OrderedDict[str, SliceFile] = OrderedDict()

    def name(self, path: Path) -> str:
        """The name of a file as tables have it."""
        return Path(os.path.relpath(path, self.root)).as_posix()

    def file(self, name: str) -> SliceFile:
        """The file, opened if it is not."""
        if name not in self._open:
            if len(self._open) >= self._most:
                self._open.popitem(last=False)[1].close()
            self._open[name] = SliceFile(self.root / name)
        self._open.move_to_end(name)
        return self._open[name]

    def places(self, name: str) -> Iterator[tuple[Place, np.void]]:
        """Every row of a file: where it lies, and its fields."""
        for group in self.file(name).groups:
            for row, fields in enumerate(self.file(name).slices(group)):
                yield (name, group, row), fields

    def fields(self, place: Place) -> np.void:
        """The fields of one row.

        Raises:
            FileFormatError: the file has no such row.
        """
        name, group, row = place
        file = self.file(name)
        if group not in file.groups or not 0 <= row < len(file.slices(group)):
            raise FileFormatError(f"{self.root / name}: no row {row} in group '{group}'")
        fields: np.void = file.slices(group)[row]
        return fields

    def hu(self, place: Place) -> NDArray[np.int16]:
        """HU, (H, W)."""
        return self.file(place[0]).image("hu", *place[1:])

    def nodule(self, place: Place) -> NDArray[np.uint8]:
        """Nodules, (H, W): 0 background, k the k-th nodule."""
        return self.file(place[0]).image("nodule", *place[1:])

    def describe(self, place: Place, role: str) -> dict[str, Any]:
        """A row of a table with the columns ``SLICE_COLUMNS``."""
        fields = self.fields(place)
        claim = claim_of(place, fields)
        return {
            "role": role,
            "file": place[0],
            "group": place[1],
            "row": place[2],
            "key": claim.key,
            "patient": claim.patient,
            "lung_rads": fields["lung_rads"].decode(),
            "diameter_mm": round(float(fields["diameter_mm"]), 3),
            "n_nodule_px": int(np.count_nonzero(self.nodule(place))),
            "origin": claim.origin,
            "host": claim.host,
            "donor": claim.donor,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for file in self._open.values():
            file.close()


class RealSlices:
    """Finds real slices by their key in the preprocess files.

    Args:
        files: where they lie.
        names: of the preprocess files.
        most: files whose keys stay in memory: a whole cohort's would take much.
    """

    def __init__(self, files: SliceFiles, names: Iterable[str], most: int = 4) -> None:
        self._files = files
        self._most = most
        self._of_patient: dict[str, list[str]] = {}
        for name in names:
            for group in files.file(name).groups:
                for patient in np.unique(files.file(name).slices(group)["patient"]):
                    held = self._of_patient.setdefault(patient.decode(), [])
                    held.extend([name] if name not in held else [])
        self._places: OrderedDict[str, dict[str, Place]] = OrderedDict()

    def find(self, key: str) -> Place | None:
        """Where the slice lies, or None."""
        for name in self._of_patient.get(patient_of(key), []):
            place = self._index(name).get(key)
            if place is not None:
                return place
        return None

    def of_patients(self, patients: Collection[str]) -> Iterator[Place]:
        """Every slice of some patients, file by file."""
        names = {name for patient in patients for name in self._of_patient.get(patient, [])}
        for name in sorted(names):
            for key, place in self._index(name).items():
                if patient_of(key) in patients:
                    yield place

    def _index(self, name: str) -> dict[str, Place]:
        if name not in self._places:
            if len(self._places) >= self._most:
                self._places.popitem(last=False)
            rows = self._files.places(name)
            self._places[name] = {slice_key(fields): place for place, fields in rows}
        self._places.move_to_end(name)
        return self._places[name]
