"""Nodules as realism measures them: cut the same way from real slices and from inserted ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import Crops, equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.imaging.crop import Crop, CropSettings, cut
from lungaug.listing import DONORS, Claim, inserted_labels, patient_of

Hu = NDArray[np.int16]
Labels = NDArray[np.uint8]

# Native pixels kept around a nodule: its rings, and one to tell what lies beyond them.
MARGIN_PX = 7


@dataclass(frozen=True)
class Nodule:
    """One nodule on one slice.

    Attributes:
        key: of the slice, or of the host of an inserted one.
        label: on that slice.
        patient: whose slice it is.
        owner: whose HU it has, else whose pixels, else whose slice: the patient it stands for.
        diameter_mm: of the circle with its area; NaN where the spacing is unknown.
        patients: everybody whose pixels or HU it may hold.
        hu: (h, w), HU of its box with a margin, in the slice's own pixels.
        mask: (h, w), this nodule.
        taken: (h, w), other nodules.
        crop: as generators see it; None where it cannot be cut.
        view: (S, S) float32, 0 to 1, as a segmenter sees it.
    """

    key: str
    label: int
    patient: str
    owner: str
    diameter_mm: float
    patients: frozenset[str]
    hu: Hu
    mask: NDArray[np.bool_]
    taken: NDArray[np.bool_]
    crop: Crop | None
    view: NDArray[np.float32]

    @property
    def values(self) -> Hu:
        """(n,) HU inside the mask."""
        return self.hu[self.mask]


@dataclass(frozen=True)
class Cutter:
    """Cuts the nodules out of slices.

    Attributes:
        crop: of the crops.
        contrast: of the view: what the segmenter's slices went through.
        view_px: side of the view, in the slice's own pixels.
    """

    crop: CropSettings
    contrast: ContrastSettings
    view_px: int

    def __call__(
        self, hu: Hu, labels: Labels, claim: Claim, spacing_mm: NDArray[np.float32]
    ) -> list[Nodule]:
        """Every nodule of one slice, of an inserted slice those inserted, in order of their labels.

        Args:
            hu: (H, W), HU.
            labels: (H, W), 0 background, k the k-th nodule.
            claim: what the file says of the slice.
            spacing_mm: (2,), of the slice's pixels (row, column); NaN where unknown.
        """
        seen = network_input(hu, self.contrast)
        found = []
        records = claim.parameters.get("nodules", ())
        inserted = dict(zip(inserted_labels(claim.parameters, labels), records, strict=True))
        for label in inserted or np.unique(labels[labels > 0]).tolist():
            mask = labels == label
            box = _box(mask, MARGIN_PX)
            donors = _donors(inserted.get(label, {}))
            named = {patient_of(key) for key in donors} | {claim.patient}
            found.append(
                Nodule(
                    key=claim.host or claim.key,
                    label=label,
                    patient=claim.patient,
                    owner=patient_of(donors[0]) if donors else claim.patient,
                    diameter_mm=equivalent_diameter_mm(mask, spacing_mm),
                    patients=frozenset(named),
                    hu=hu[box].copy(),
                    mask=mask[box],
                    taken=(labels[box] > 0) & ~mask[box],
                    crop=self._crop(hu, labels, label, spacing_mm),
                    view=_square(seen, mask, self.view_px),
                )
            )
        return found

    def _crop(
        self, hu: Hu, labels: Labels, label: int, spacing_mm: NDArray[np.float32]
    ) -> Crop | None:
        try:
            return cut(hu, labels, label, spacing_mm, self.crop)
        except InputError:  # no spacing, or too large: counted in the rows' notes
            return None


def patient_even(patients: Sequence[str], n: int, *, rng: np.random.Generator) -> NDArray[np.intp]:
    """Positions of at most ``n`` entries, as evenly over patients as there are entries, sorted.

    One of every patient is taken, then a second one, until there are enough: a patient with forty
    slices must not stand for the cohort.

    Args:
        patients: (N,) whose each entry is.
        n: how many.
        rng: chooses within a patient, and between patients in the last round.
    """
    order = rng.permutation(len(patients))
    taken: dict[str, int] = {}
    rounds = np.empty(len(order), np.intp)
    for position, index in enumerate(order):
        rounds[position] = taken.get(patients[index], 0)
        taken[patients[index]] = int(rounds[position]) + 1
    return np.sort(order[np.argsort(rounds, kind="stable")[:n]])


def crops_of(nodules: Sequence[Nodule]) -> list[Crop]:
    """The crops of those that have one."""
    return [nodule.crop for nodule in nodules if nodule.crop is not None]


def as_crops(crops: Crops) -> list[Crop]:
    """Rows of a crops file as single crops, of the diameter that their masks have."""
    return [
        Crop(
            hu=crops.hu[i],
            mask=crops.mask[i],
            diameter_mm=equivalent_diameter_mm(crops.mask[i], crops.spacing_mm[i]),
            kind=str(crops.kind[i]),
            spacing_mm=(float(crops.spacing_mm[i][0]), float(crops.spacing_mm[i][1])),
        )
        for i in range(len(crops))
    ]


def _donors(record: Mapping[str, Any]) -> list[str]:
    """Keys of the slices of one inserted nodule: whose HU first, then whose pixels."""
    return [str(record[name]) for name in DONORS if record.get(name)]


def _box(mask: NDArray[np.bool_], margin: int) -> tuple[slice, slice]:
    rows, cols = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(int(rows[0]) - margin, 0), int(rows[-1]) + margin + 1),
        slice(max(int(cols[0]) - margin, 0), int(cols[-1]) + margin + 1),
    )


def _square(image: NDArray[np.float32], mask: NDArray[np.bool_], side: int) -> NDArray[np.float32]:
    """(side, side) around the middle of the mask's box; 0, which is air, beyond the image."""
    box = _box(mask, 0)
    start = [(s.start + s.stop - side) // 2 for s in box]
    square = np.zeros((side, side), np.float32)
    inner, outer = [], []
    for first, n in zip(start, image.shape, strict=True):
        a, b = max(first, 0), min(first + side, n)
        outer.append(slice(a, b))
        inner.append(slice(a - first, b - first))
    square[tuple(inner)] = image[tuple(outer)]
    return square
