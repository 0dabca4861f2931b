"""Rotate nodule: only the nodule turns, about its own centroid."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.imaging.inpaint import transferred_texture
from lungaug.insertion.placement import nearest_free_place
from lungaug.metalung.edges import edge_in, joined, packed, rim_of, unpacked, widened
from lungaug.metalung.protocol import (
    NO_NODULE,
    Hu,
    Inapplicable,
    Labels,
    Operation,
    Pair,
    Parameters,
)
from lungaug.metalung.regions import Box, Pixels, nodules_in, pixels_of, shape_of
from lungaug.metalung.turning import AngleRange, turned_into
from lungaug.settings import setting

# What may count as surroundings of a hole, without the lung mask at hand: the level at which the
# published method clips to find the lungs. Haze and blurred edges are in, wall and vessels out.
PARENCHYMA_BELOW_HU = -300


@dataclass(frozen=True)
class RotateNoduleSettings(AngleRange):
    """Angles, room to give way, and where the texture for uncovered pixels may come from."""

    attempts: int = setting(16, "angles tried until the turned nodule fits", minimum=1)
    shift_px: int = setting(
        2,
        "how far a turned nodule may give way to pleura or vessels, in pixels; 0 turns in place",
        minimum=0,
        maximum=16,
    )
    edge_px: int = setting(
        2,
        "width of the nodule's blurred edge, in pixels: bright but no obstacle, and no texture",
        minimum=0,
        maximum=8,
    )
    move_edge: bool = setting(True, "the blurred edge turns with the nodule; false: the mask only")
    n_sites: int = setting(
        32, "the nearest pieces of parenchyma among which the filling is drawn", minimum=1
    )


def draw(
    hu: Hu,
    nodule: Labels,
    lung: Labels,
    *,
    settings: RotateNoduleSettings,
    rng: np.random.Generator,
) -> Parameters | Inapplicable:
    """A nodule, an angle at which it fits, and a piece of parenchyma for what it uncovers.

    The turned nodule may leave neither slice nor lungs and may cover neither another nodule nor an
    obstacle, except the pixels around itself that its own blurred edge makes bright. A nodule on
    the pleura rarely fits without giving way by a pixel: it takes the smallest shift that does.
    Angles that do not fit are drawn again, then the next nodule is tried, every order being equally
    likely, then an edge narrower by a pixel, which leaves less to fill.

    Returns:
        ``label``; ``degrees``, counter-clockwise about the centroid; ``shift`` (rows, columns) of
        the turned nodule; ``edge_px`` and ``edge``, the pixels around the mask that turn with it;
        ``fill`` (rows, columns), the way from an uncovered pixel to the parenchyma whose texture
        is copied there.
    """
    outcome: Parameters | Inapplicable = NO_NODULE
    nodules = nodules_in(nodule)
    order = rng.permutation(list(nodules)).tolist()
    for moved_px in range(settings.edge_px if settings.move_edge else 0, -1, -1):
        for label in order:
            window = _window(nodules[label])
            images = hu[window], nodule[window], lung[window]
            core = _shifted(nodules[label], (-window[0].start, -window[1].start))
            site = _site(*images, label, core, moved_px, settings.edge_px)
            for _ in range(settings.attempts):
                outcome = _turn(site, settings, rng=rng)
                if not isinstance(outcome, Inapplicable):
                    return outcome
    return outcome


def apply(hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
    """The nodule turned with its edge, what it uncovers filled, nothing else changed.

    Every labelled pixel of the result is a pixel of the nodule, so its density stays what it was.
    The edge only brightens what it falls on: it is part nodule, part background, and the turned
    background would show as a dark seam on vessels, pleura and haze.
    """
    turned_hu, turned_nodule = hu.copy(), nodule.copy()
    core = pixels_of(nodule, int(parameters["label"]))
    window = _window(core)
    core = _shifted(core, (-window[0].start, -window[1].start))
    _turn_in(turned_hu[window], turned_nodule[window], core, parameters)
    return turned_hu, turned_nodule


def _turn_in(hu: Hu, nodule: Labels, core: Pixels, parameters: Mapping[str, Any]) -> None:
    """Turn the nodule in its window, in place."""
    label, before = int(parameters["label"]), hu.copy()
    rim = rim_of(nodule, core, int(parameters["edge_px"]))
    old = joined(core, rim, unpacked(parameters["edge"], len(rim[0])))
    in_place = _turned(old, len(core[0]), float(parameters["degrees"]))
    turn = replace(in_place, new=_shifted(in_place.new, parameters["shift"]))
    hole = _uncovered(old, turn.core)
    if len(hole[0]):
        usable = (before < PARENCHYMA_BELOW_HU) & (nodule == 0)
        hu[hole] = transferred_texture(before, hole, parameters["fill"], usable)
    nodule[core] = 0
    nodule[turn.core] = label
    hu[turn.core] = before[old][turn.source[: turn.n_core]]
    edge, source = turn.edge_on(nodule == 0)
    hu[edge] = np.maximum(hu[edge], before[old][source])


@dataclass(frozen=True)
class _Turn:
    """Turned pixels, those of the mask first, and the ordinal of the old pixel that each shows."""

    new: Pixels
    source: NDArray[np.intp]
    n_core: int

    @property
    def core(self) -> Pixels:
        return self.new[0][: self.n_core], self.new[1][: self.n_core]

    def edge_on(self, free: NDArray[np.bool_]) -> tuple[Pixels, NDArray[np.intp]]:
        """The pixels of the edge that lie on free ones of (H, W), and their ordinals."""
        rows, cols = self.new[0][self.n_core :], self.new[1][self.n_core :]
        kept = _is_free((rows, cols), ~free)
        return (rows[kept], cols[kept]), self.source[self.n_core :][kept]


@dataclass(frozen=True)
class _Site:
    """A nodule in its surroundings: its pixels, where it must not lie, where parenchyma is bare."""

    hu: Hu
    label: int
    old: Pixels
    n_core: int
    edge_px: int
    edge: str
    blocked: NDArray[np.bool_]
    texture: NDArray[np.bool_]


def _site(
    hu: Hu, nodule: Labels, lung: Labels, label: int, core: Pixels, moved_px: int, edge_px: int
) -> _Site:
    near = rim_of(nodule, core, edge_px)
    rim = near if moved_px == edge_px else rim_of(nodule, core, moved_px)
    edge = edge_in(hu, lung, core, rim)
    bare, labelled = lung == 1, nodule != 0
    blocked = ~bare
    blocked[near] &= lung[near] != 2
    blocked |= labelled
    blocked[core] = False
    texture = bare & ~widened(labelled, edge_px)
    old = joined(core, rim, edge)
    return _Site(hu, label, old, len(core[0]), moved_px, packed(edge), blocked, texture)


def _turn(
    site: _Site, settings: RotateNoduleSettings, *, rng: np.random.Generator
) -> Parameters | Inapplicable:
    """One attempt: an angle, the shift that it needs, the filling that it needs."""
    degrees = settings.draw(rng)
    in_place = _turned(site.old, site.n_core, degrees)
    shift = _fitting_shift(in_place.core, site.blocked, settings.shift_px)
    if isinstance(shift, Inapplicable):
        return shift
    turn = replace(in_place, new=_shifted(in_place.new, shift))
    if _is_same(site, turn):
        return Inapplicable("turning changes no pixel of the nodule")
    uncovered = _uncovered(site.old, turn.core)
    fill = _fill(site.texture, uncovered, settings.n_sites, rng=rng)
    if fill is None:
        return Inapplicable("no free parenchyma to fill what the nodule uncovers")
    return {
        "label": site.label,
        "degrees": degrees,
        "shift": list(shift),
        "edge_px": site.edge_px,
        "edge": site.edge,
        "fill": fill,
    }


def _turned(old: Pixels, n_core: int, degrees: float) -> _Turn:
    """Pixels turned about the centroid of the first ``n_core``, by nearest neighbours.

    What turns is a small image of ordinals. Its rows and columns count from the nodule's corner,
    so that the rounding is the same in a window as in the whole slice; the result may lie outside
    the slice.
    """
    top, left = int(old[0].min()), int(old[1].min())
    rows, cols = old[0] - top, old[1] - left
    ordinals = np.full((int(rows.max()) + 1, int(cols.max()) + 1), -1, np.float32)
    ordinals[rows, cols] = np.arange(len(rows))
    row, col = int(rows[:n_core].sum()) / n_core, int(cols[:n_core].sum()) / n_core
    reach = 2 + math.ceil(math.sqrt(((rows - row) ** 2 + (cols - col) ** 2).max()))
    corner = round(row) - reach, round(col) - reach
    source = turned_into(ordinals, degrees, (row, col), corner, 2 * reach + 1)
    core = np.nonzero((source >= 0) & (source < n_core))
    edge = np.nonzero(source >= n_core)
    new = np.concatenate([core[0], edge[0]]), np.concatenate([core[1], edge[1]])
    found = _shifted(new, (top + corner[0], left + corner[1]))
    return _Turn(found, source[new].astype(np.intp), len(core[0]))


def _shifted(pixels: Pixels, by: Sequence[int]) -> Pixels:
    return pixels[0] + by[0], pixels[1] + by[1]


def _uncovered(old: Pixels, new: Pixels) -> Pixels:
    """Pixels of the old site that the turned nodule does not cover."""
    shape, (top, left) = shape_of(*old)
    rows, cols = new[0] - top, new[1] - left
    inside = (rows >= 0) & (cols >= 0) & (rows < shape.shape[0]) & (cols < shape.shape[1])
    shape[rows[inside], cols[inside]] = False
    rows, cols = np.nonzero(shape)
    return rows + top, cols + left


def _fitting_shift(
    new: Pixels, blocked: NDArray[np.bool_], reach: int
) -> tuple[int, int] | Inapplicable:
    """The smallest shift (rows, columns) that brings a turned nodule onto free pixels only."""
    if not len(new[0]):
        return Inapplicable("the turned nodule falls between the pixels")
    top, left = int(new[0].min()) - reach, int(new[1].min()) - reach
    size = int(new[0].max()) + reach + 1 - top, int(new[1].max()) + reach + 1 - left
    near = _cut_out(blocked, (top, left), size)
    pixels = (new[0] - top) * size[1] + (new[1] - left)
    for down, right in _shifts(reach):
        if not near.take(pixels + (down * size[1] + right)).any():
            return down, right
    if _is_inside(new, blocked.shape).all():
        return Inapplicable("the turned nodule leaves the lung or covers an obstacle")
    return Inapplicable("the turned nodule crosses the border of the slice")


def _cut_out(
    blocked: NDArray[np.bool_], corner: tuple[int, int], size: tuple[int, int]
) -> NDArray[np.bool_]:
    """A piece of an image, (h, w), that may reach out of it; True there."""
    piece = np.ones(size, bool)
    (top, left), (height, width) = corner, size
    inside = blocked[max(top, 0) : top + height, max(left, 0) : left + width]
    first = max(-top, 0), max(-left, 0)
    piece[first[0] : first[0] + len(inside), first[1] : first[1] + inside.shape[1]] = inside
    return piece


def _is_inside(pixels: Pixels, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    rows, cols = pixels
    return (rows >= 0) & (rows < shape[0]) & (cols >= 0) & (cols < shape[1])


def _is_free(pixels: Pixels, blocked: NDArray[np.bool_]) -> NDArray[np.bool_]:
    free = _is_inside(pixels, blocked.shape)
    free[free] = ~blocked[pixels[0][free], pixels[1][free]]
    return free


@functools.cache
def _shifts(reach: int) -> list[tuple[int, int]]:
    """Shifts of at most ``reach`` pixels, the smallest first."""
    span = range(-reach, reach + 1)
    shifts = [(down, right) for down in span for right in span]
    shifts = [shift for shift in shifts if math.hypot(*shift) <= reach]
    return sorted(shifts, key=lambda shift: math.hypot(*shift))


def _is_same(site: _Site, turn: _Turn) -> bool:
    """Whether the turned nodule looks as it did: a nodule of one pixel, say."""
    core = site.old[0][: site.n_core], site.old[1][: site.n_core]
    if turn.n_core != site.n_core or len(_uncovered(core, turn.core)[0]):
        return False
    shown = site.hu[site.old][turn.source[: turn.n_core]]
    return bool(np.array_equal(shown, site.hu[turn.core]))


def _fill(
    texture: NDArray[np.bool_], uncovered: Pixels, n_sites: int, *, rng: np.random.Generator
) -> list[int] | None:
    """The way [rows, columns] to one of the nearest pieces of bare parenchyma of that shape."""
    if not len(uncovered[0]):
        return [0, 0]
    shape, corner = shape_of(*uncovered)
    found = nearest_free_place(texture, shape, corner, n_sites, rng=rng)
    return None if found is None else [found[0] - corner[0], found[1] - corner[1]]


def _window(core: Pixels) -> Box:
    """What surrounds pixels in reading order: all that a turn touches, with room to fill from."""
    rows, cols = core
    top, bottom, left, right = int(rows[0]), int(rows[-1]), int(cols.min()), int(cols.max())
    reach = 2 * max(bottom - top, right - left) + 32
    return (
        slice(max(top - reach, 0), bottom + reach + 1),
        slice(max(left - reach, 0), right + reach + 1),
    )


ROTATE_NODULE = Operation(RotateNoduleSettings, draw, apply, needs_lungs=True)
