"""Donors of HU: real training nodules whose values, and whose rim, an inserted one is given."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import Crops
from lungaug.errors import FileFormatError, InputError
from lungaug.insertion.blend import FeatherSettings, measured
from lungaug.insertion.protocol import Hu, Labels
from lungaug.listing import Place, SliceFiles, patient_of
from lungaug.store import slice_key

_LEAST_MM = 1e-3
_ALIKE = float(np.log(1.5))  # ratio of diameters up to which nodules are of like size


@dataclass(frozen=True, eq=False)
class Donor:
    """One nodule of one real slice.

    Attributes:
        key, label: of the slice and of the nodule on it; '' and 0 where nothing is taken of it.
        hu: (n,) int16, its HU as they are in the slice, ascending.
        rim: shares of its border's contrast at 1, 2, … pixels outside.
        fall: how far below its core it is at a depth of 1, 2, … pixels, HU.
    """

    key: str
    label: int
    hu: Hu
    rim: tuple[float, ...]
    fall: tuple[int, ...]


class Donors:
    """The training nodules, to draw from by size and type.

    Args:
        diameter_mm: (N,), of each.
        kind: (N,), of each.
        donors: N of them.

    Raises:
        InputError: there is none.
    """

    def __init__(
        self, diameter_mm: NDArray[np.float32], kind: NDArray[np.str_], donors: Sequence[Donor]
    ) -> None:
        if not len(donors):
            raise InputError("no crop to take HU from; accepted: at least one (see rois.h5)")
        self._log_mm = np.log(np.maximum(diameter_mm.astype(np.float64), _LEAST_MM))
        self._kind = kind
        self._donors = donors
        self._hu = {(donor.key, donor.label): donor.hu for donor in donors}

    @classmethod
    def read(
        cls, crops: Crops, files: SliceFiles, names: Iterable[str], settings: FeatherSettings
    ) -> Self:
        """Donors of all crops, their slices read once, file by file.

        Args:
            crops: cut out of training slices.
            files: where those lie.
            names: of the preprocess files.
            settings: how their rims are measured.

        Raises:
            FileFormatError: a crop names a slice or a nodule that is not there.
        """
        places = places_of(files, names, set(crops.donor.tolist()))
        wanted = list(zip(crops.donor.tolist(), crops.label.tolist(), strict=True))
        lost = [key for key, _ in wanted if key not in places]
        if lost:
            raise FileFormatError(
                f"crops of {len(lost)} slices that no preprocess file holds, such as '{lost[0]}'; "
                "rebuild rois.h5"
            )
        found: dict[tuple[str, int], Donor] = {}
        for key, label in sorted(set(wanted), key=lambda each: (places[each[0]], each)):
            found[key, label] = _donor(files, places[key], key, label, settings)
        return cls(crops.diameter_mm, crops.kind, [found[each] for each in wanted])

    def draw(
        self, diameter_mm: float, kind: str, n_nearest: int, *, rng: np.random.Generator
    ) -> Donor:
        """One of the ``n_nearest`` in diameter of that kind, none of them far from the nearest.

        Few values stretched over many pixels make plateaus. Of any kind where there is none of
        that kind.
        """
        rows = np.flatnonzero(self._kind == kind)
        if not len(rows):
            rows = np.arange(len(self._kind))
        away = np.abs(self._log_mm[rows] - np.log(max(diameter_mm, _LEAST_MM)))
        # Where no size is known, all are alike; else one of unknown size is like none.
        away = np.where(np.isnan(away), 0.0 if np.isnan(away).all() else np.inf, away)
        order = np.argsort(away, kind="stable")[:n_nearest]
        near = rows[order[away[order] <= max(_ALIKE, float(away[order[0]]))]]
        return self._donors[int(near[rng.integers(len(near))])]

    def hu_of(self, key: str, label: int) -> Hu | None:
        """The HU of one of them, ascending; None for '', which takes nothing of anybody."""
        return self._hu[key, label] if key else None


def values_of(hu: Hu, nodule: Labels, label: int) -> Hu:
    """(n,) HU of one nodule, ascending.

    Raises:
        InputError: there is no such nodule.
    """
    values = np.sort(hu[nodule == label])
    if not label or not len(values):
        raise InputError(f"no nodule {label} on the slice; rebuild rois.h5")
    return values


def places_of(files: SliceFiles, names: Iterable[str], keys: Collection[str]) -> dict[str, Place]:
    """Where slices lie, by key: one pass over the tables, file by file."""
    patients = np.array(sorted({patient_of(key) for key in keys}), "S16")
    places: dict[str, Place] = {}
    for name in names:
        file = files.file(name)
        for group in file.groups:
            slices = file.slices(group)
            for row in np.flatnonzero(np.isin(slices["patient"], patients)).tolist():
                key = slice_key(slices[row])
                if key in keys:
                    places[key] = (name, group, row)
    return places


def _donor(
    files: SliceFiles, place: Place, key: str, label: int, settings: FeatherSettings
) -> Donor:
    hu, nodule = files.hu(place), files.nodule(place)
    lung = files.file(place[0]).image("lung", *place[1:])
    try:
        values = values_of(hu, nodule, label)
    except InputError as error:
        raise FileFormatError(f"{key}: {error}") from error
    rim, fall = measured(hu, nodule, lung, label, settings)
    return Donor(key, label, values, rim, fall)
