"""Lungs, rotation and the MetaLung expansion beside the published equations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from benchmarks import peers
from benchmarks.harness import Row, compare
from benchmarks.slices import CtSlice, Material
from lungaug.imaging.lungs import LungSettings, segment_lungs
from lungaug.imaging.obstacles import find_obstacles
from lungaug.metalung.operations import DEFAULT_OPERATIONS, OPERATIONS, Inapplicable, rng_for
from lungaug.metalung.rotate_slice import ROTATE_SLICE
from lungaug.metalung.turning import turned

DEGREES = 33.0
SETTINGS = {name: OPERATIONS[name].settings() for name in DEFAULT_OPERATIONS}
SAME_LUNGS = 0.05  # relative difference of areas up to which both found the same lungs
EQUAL_MASKS = 0.99  # Dice


def lungs(material: Material, repeats: int) -> Iterator[Row]:
    """Without closing of indentations, as the peer, and with it, as the stage does."""
    as_peer = LungSettings(closing_mm=0)
    chosen, agreement = _where_contours_work(material.chest, as_peer)
    for name, settings in (("outlines as they are", as_peer), ("closed, as the stage does", None)):
        measured = compare(_lungs(settings), _contours, chosen, repeats)
        share = f"{len(chosen)} of {len(material.chest)} slices"
        if settings is None:
            yield measured.row(f"lung mask, {name}", 5)
        else:
            work = f"lung mask, {name}; Dice {agreement:.3f} on {share}"
            yield measured.row(work, 5, agreement >= EQUAL_MASKS)


def _where_contours_work(
    chest: list[CtSlice], settings: LungSettings
) -> tuple[list[CtSlice], float]:
    """Slices where both methods found lungs of one size, and the median Dice there."""
    chosen, dice = [], []
    for each in chest:
        peer, ours = _contours(each), _lungs(settings)(each).mask
        areas = (0 if peer is None else int(peer.sum()), int(ours.sum()))
        if peer is not None and abs(areas[0] - areas[1]) <= SAME_LUNGS * max(areas):
            chosen.append(each)
            dice.append(2 * int((peer & ours).sum()) / sum(areas))
    return chosen, float(np.median(dice)) if dice else 0.0


def _contours(each: CtSlice) -> Any:
    return peers.contour_lungs(each.hu)


def _lungs(settings: LungSettings | None) -> Callable[[CtSlice], Any]:
    return lambda each: segment_lungs(each.hu, np.array(each.spacing_mm), settings)


def rotation(material: Material, repeats: int, number: int) -> Iterator[Row]:
    """One slice by one angle: HU alone, and the pair of HU and mask."""
    parameters = {"degrees": DEGREES, "fill_hu": peers.AIR_HU}
    yield compare(
        lambda each: turned(each.hu, DEGREES, _middle(each), peers.AIR_HU),
        lambda each: peers.rotated(each.hu, DEGREES),
        material.nodules,
        repeats,
        number,
    ).row("rotation of HU / scipy.ndimage.rotate(order=0)", 10)
    yield compare(
        lambda each: ROTATE_SLICE.apply(each.hu, each.nodule, parameters),
        lambda each: (peers.rotated(each.hu, DEGREES), peers.rotated(each.nodule, DEGREES, 0)),
        material.nodules,
        repeats,
        number,
    ).row("rotation of HU and mask / the same twice", 10)


def _middle(each: CtSlice) -> tuple[float, float]:
    return (each.hu.shape[0] - 1) / 2, (each.hu.shape[1] - 1) / 2


def expansion(material: Material, repeats: int, number: int) -> Iterator[Row]:
    """Six operations on one slice, lungs and obstacles given to both.

    One operation after the other on every slice, as the stage does; the times of a slice's six
    are added.
    """
    slices = [_with_lungs(each) for each in material.nodules]
    tasks = [(name, each) for name in DEFAULT_OPERATIONS for each in slices]
    measured = compare(_result, _peer_result, tasks, repeats, number)
    whole = measured.added(len(DEFAULT_OPERATIONS))
    yield whole.row("MetaLung, six operations on one 512x512 slice", 10)


def _with_lungs(each: CtSlice) -> peers.Slice:
    mask = segment_lungs(each.hu, np.array(each.spacing_mm)).mask | (each.nodule > 0)
    lung = mask.astype(np.uint8)
    lung[find_obstacles(each.hu, mask)] = 2
    return peers.Slice(each.hu, each.nodule, lung, (each.nodule > 0).astype(np.uint8))


def _result(task: tuple[str, peers.Slice]) -> Any:
    """What the stage makes of a slice: parameters drawn and applied."""
    name, source = task
    rng = rng_for(0, "p/s/0", name, 0)
    drawn = OPERATIONS[name].draw(
        source.hu, source.nodule, source.lung, settings=SETTINGS[name], rng=rng
    )
    if isinstance(drawn, Inapplicable):
        return None
    return OPERATIONS[name].apply(source.hu, source.nodule, drawn)


def _peer_result(task: tuple[str, peers.Slice]) -> Any:
    name, source = task
    return peers.OPERATIONS[name](source, np.random.default_rng(0))
