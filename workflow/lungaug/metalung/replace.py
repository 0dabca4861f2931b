"""Replace: a nodule turned by 180 degrees changes places with a free piece of lung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungaug.insertion.placement import any_place, free_places
from lungaug.metalung.edges import edge_in, joined, packed, rim_of, unpacked
from lungaug.metalung.protocol import (
    NO_NODULE,
    Hu,
    Inapplicable,
    Labels,
    Operation,
    Pair,
    Parameters,
)
from lungaug.metalung.regions import Box, Pixels, bounding_box, nodules_in, pixels_of, shape_of
from lungaug.settings import setting

NO_FREE_PLACE = Inapplicable("no free place in either lung")


@dataclass(frozen=True)
class ReplaceSettings:
    """How much moves; what blocks a place is decided by the lung mask's obstacles."""

    edge_px: int = setting(
        2,
        "width of the nodule's blurred edge that moves with it, in pixels; 0 moves the mask only",
        minimum=0,
        maximum=8,
    )


def draw(
    hu: Hu, nodule: Labels, lung: Labels, *, settings: ReplaceSettings, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """A nodule and its new place: opposite the old one if possible, else on its own side.

    A place is free where the turned nodule with its edge meets no obstacle, no other nodule and
    nothing outside the lungs; the nodule does not obstruct itself. Sides are told apart at the
    middle of the lungs' columns, since a patient may lie off the image's centre. Where a slice
    shows several nodules, one that fits somewhere is moved; every order of trying them is equally
    likely. Where nothing fits, it is tried again with an edge narrower by a pixel.

    Returns:
        ``label``; ``place`` (row, col), the new top-left corner of its mask; ``side`` (opposite,
        same, or overlapping the old place); ``edge_px`` and ``edge``, the pixels around the mask
        that move with it.
    """
    nodules = nodules_in(nodule)
    if not nodules:
        return NO_NODULE
    order = rng.permutation(list(nodules)).tolist()
    for edge_px in range(settings.edge_px, -1, -1):
        for label in order:
            found = _move((hu, nodule, lung), label, nodules[label], edge_px, rng=rng)
            if found is not None:
                return found
    return NO_FREE_PLACE


def apply(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """The nodule at its new place, turned; the old site holds the parenchyma that was there.

    Turning by 180 degrees about the midpoint between both sites maps each onto the other, so the
    pixels of both sites are exchanged in pairs: no HU is lost, made or changed, only moved, even
    where the sites overlap.
    """
    label, place = int(parameters["label"]), parameters["place"]
    core = pixels_of(nodule, label)
    rim = rim_of(nodule, core, int(parameters["edge_px"]))
    old = joined(core, rim, unpacked(parameters["edge"], len(rim[0])))
    new = place[0] + core[0].max() - old[0], place[1] + core[1].max() - old[1]
    moved, moved_nodule = hu.copy(), nodule.copy()
    moved[old] = hu[new]
    moved[new] = hu[old]
    moved_nodule[core] = 0
    moved_nodule[new[0][: len(core[0])], new[1][: len(core[0])]] = label
    return moved, moved_nodule


def _move(
    images: tuple[Hu, Labels, Labels],
    label: int,
    core: Pixels,
    edge_px: int,
    *,
    rng: np.random.Generator,
) -> Parameters | None:
    """The parameters of one nodule's move, or None where it fits nowhere."""
    hu, nodule, lung = images
    rim = rim_of(nodule, core, edge_px)
    edge = edge_in(hu, lung, core, rim)
    old = joined(core, rim, edge)
    found = _place(nodule, lung, old, float(core[1].mean()), rng=rng)
    if found is None:
        return None
    side, row, col = found
    place = [
        row + int(old[0].max() - core[0].max()),
        col + int(old[1].max() - core[1].max()),
    ]
    return {
        "label": label,
        "place": place,
        "side": side,
        "edge_px": edge_px,
        "edge": packed(edge),
    }


def _place(
    nodule: Labels, lung: Labels, old: Pixels, centre: float, *, rng: np.random.Generator
) -> tuple[str, int, int] | None:
    """Side, row and column of a drawn place for the turned pixels.

    Places that overlap the old one come last, though the nodule does not obstruct itself: to move
    by a few pixels makes little of a new example.
    """
    lungs = bounding_box(lung)
    if lungs is None:
        return None
    shape, corner = shape_of(*old)
    rows, cols = _enlarged(lungs, corner, shape.shape)
    own = old[0] - rows.start, old[1] - cols.start
    free = (lung[rows, cols] == 1) & (nodule[rows, cols] == 0)
    free[own] = False
    opposite, same = _halves(lungs[1], cols.start, shape.shape[1], centre)
    for side, part in (("opposite", opposite), ("same", same), ("overlapping", slice(0, None))):
        if side == "overlapping":
            free[own] = True
        places = free_places(free[:, part], shape[::-1, ::-1])
        if side == "overlapping":
            places[corner[0] - rows.start, corner[1] - cols.start] = False
        found = any_place(places, rng=rng)
        if found is not None:
            return side, found[0] + rows.start, found[1] + part.start + cols.start
    return None


def _enlarged(lungs: Box, corner: tuple[int, int], size: tuple[int, ...]) -> Box:
    """The lungs' box with a nodule that may reach out of the lung mask."""
    rows, cols = (
        slice(min(span.start, start), max(span.stop, start + extent))
        for span, start, extent in zip(lungs, corner, size, strict=True)
    )
    return rows, cols


def _halves(lungs: slice, first: int, width: int, centre: float) -> tuple[slice, slice]:
    """Columns, counted from ``first``, of places on the opposite side of a nodule and on its own.

    A place belongs to the side of the lungs on which its own middle lies.
    """
    split = max(-(-(lungs.start + lungs.stop - 2 * first - width) // 2), 0)
    left, right = slice(0, split + width - 1), slice(split, None)
    return (left, right) if centre + 0.5 > (lungs.start + lungs.stop) / 2 else (right, left)


REPLACE = Operation(ReplaceSettings, draw, apply, needs_lungs=True)
