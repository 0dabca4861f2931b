"""Inserted slices made again from their record, the patches and the real slices."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lungaug.crops import Crops, read_crops
from lungaug.errors import InputError
from lungaug.insertion import nodule as tissue
from lungaug.insertion import published
from lungaug.insertion.donors import values_of
from lungaug.insertion.protocol import Hu, Labels, Pair, Parameters, Patch
from lungaug.listing import RealSlices, SliceFiles

ORIGIN = "inserted"
VARIANTS = ("tissue", "published")


def record(
    variant: str, spacing_mm: tuple[float, float], nodules: Sequence[Parameters]
) -> Parameters:
    """What is recorded of an inserted slice, enough to make it again."""
    return {"variant": variant, "spacing_mm": list(spacing_mm), "nodules": list(nodules)}


class InsertionReplay:
    """Makes inserted slices again, pixel for pixel.

    Args:
        files: where the real slices lie.
        real: finds them by key.
        patches_of: path of a generator's patches in this fold.
    """

    def __init__(
        self, files: SliceFiles, real: RealSlices, patches_of: Callable[[str], Path]
    ) -> None:
        self._files = files
        self._real = real
        self._patches_of = patches_of
        self._patches: dict[str, Crops] = {}
        self._donors: dict[tuple[str, int], Hu] = {}

    def __call__(self, origin: str, hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
        """The slice with its nodules.

        Args:
            origin: as recorded, ``inserted:<generator>``.
            hu, nodule: (H, W), the host.
            parameters: as recorded.

        Raises:
            InputError: the origin is another, or the record names what is not there.
        """
        kind, _, generator = origin.partition(":")
        if kind != ORIGIN or not generator:
            raise InputError(f"origin '{origin}'; accepted: {ORIGIN}:<generator>")
        variant = parameters["variant"]
        if variant not in VARIANTS:
            raise InputError(f"variant '{variant}'; accepted: {', '.join(VARIANTS)}")
        row_mm, col_mm = map(float, parameters["spacing_mm"])
        for drawn in parameters["nodules"]:
            patch = self._patch(generator, int(drawn["patch"]))
            if drawn["source"] != patch.source:
                raise InputError(f"patch {patch.index} comes from '{patch.source}'")
            if variant == "published":
                hu, nodule = published.apply(hu, nodule, patch, drawn)
            else:
                donor_hu = self._donor_hu(drawn["donor"], int(drawn["label"]))
                hu, nodule = tissue.apply(hu, nodule, patch, donor_hu, (row_mm, col_mm), drawn)
        return hu, nodule

    def _patch(self, generator: str, index: int) -> Patch:
        if generator not in self._patches:
            self._patches[generator] = read_crops(self._patches_of(generator))
        crops = self._patches[generator]
        if not 0 <= index < len(crops):
            raise InputError(f"patch {index} of {generator}; there are {len(crops)}")
        return Patch.of(crops, index)

    def _donor_hu(self, key: str, label: int) -> Hu | None:
        if not key:
            return None
        if (key, label) not in self._donors:
            place = self._real.find(key)
            if place is None:
                raise InputError(f"no real slice '{key}'")
            hu, nodule = self._files.hu(place), self._files.nodule(place)
            self._donors[key, label] = values_of(hu, nodule, label)
        return self._donors[key, label]
