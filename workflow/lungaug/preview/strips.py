"""The contact sheet: a few slices of each patient, lungs outlined, nodules in colour."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.census import WITH_LUNGS, with_nodule
from lungaug.figures.style import LUNG, REFERENCE
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.store import SliceFile, Stack

MOST = 6
"""Slices of a patient."""
SIDE = 196
"""Longer side of a picture in pixels."""
_VIEW = ContrastSettings(low_hu=-1200, high_hu=300, equalise=False)
_GREYS = 64  # the eye sees no more, and the page is half as large

T = TypeVar("T")


@dataclass(frozen=True)
class Picture:
    """A slice: PNG in base64, its size, and what stands below it."""

    data: str
    width: int
    height: int
    label: str


def strip(file: SliceFile, patient: str) -> list[Picture]:
    """Draw a few slices of a patient: those with a nodule first, else evenly spread.

    Args:
        file: the preprocess file of the patient's batch.
        patient: pseudonym.
    """
    slices = list(_slices(file, patient))
    ill = spread([one for one in slices if one.ill], MOST)
    others = [one for one in slices if not one.ill and one.lungs]
    others = others or [one for one in slices if not one.ill]
    chosen = [*ill, *spread(others, MOST - len(ill))]
    return [_picture(file, one) for one in sorted(chosen, key=lambda one: one.number)]


def spread(items: Sequence[T], most: int) -> list[T]:
    """Return at most that many items, evenly spread, none of them at the ends."""
    n = min(len(items), most)
    return [items[(2 * i + 1) * len(items) // (2 * n)] for i in range(n)]


@dataclass(frozen=True)
class _Slice:
    number: int
    stack: Stack
    position: int
    ill: bool
    lungs: bool


def _slices(file: SliceFile, patient: str) -> Iterator[_Slice]:
    number = 0
    for stack in file.stacks():
        if stack.patient != patient:
            continue
        ill = with_nodule(file, stack).tolist()
        lungs = np.isin(stack.slices["status"], WITH_LUNGS).tolist()
        for position in range(len(ill)):
            yield _Slice(number, stack, position, ill[position], lungs[position])
            number += 1


def _picture(file: SliceFile, one: _Slice) -> Picture:
    place = (one.stack.group, one.stack.rows[one.position])
    hu, nodule, lung = (file.image(name, *place) for name in ("hu", "nodule", "lung"))
    image = draw(hu, nodule > 0, lung > 0)
    done, content = cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise RuntimeError("OpenCV wrote no PNG")
    fields = one.stack.slices[one.position]
    label = f"slice {int(fields['index']) + 1}"
    if fields["diameter_mm"] > 0:
        label += f", nodule {float(fields['diameter_mm']):.1f} mm"
    elif one.ill:
        label += ", nodule"
    label += "" if one.lungs else ", no lungs found"
    data = base64.b64encode(content.tobytes()).decode()
    return Picture(data, image.shape[1], image.shape[0], label)


def draw(
    hu: NDArray[np.int16], nodule: NDArray[np.bool_], lung: NDArray[np.bool_], side: int = SIDE
) -> NDArray[np.uint8]:
    """Draw a slice in a lung window, its longer side ``side`` pixels.

    Args:
        hu: (H, W), HU.
        nodule, lung: (H, W) masks.
        side: pixels.

    Returns:
        (h, w, 3) RGB: the lungs outlined inside, the nodules around, so that small ones stay seen.
    """
    levels = np.floor(network_input(hu, _VIEW) * (_GREYS - 1) + 0.5) * (255 / (_GREYS - 1))
    grey = _sized(levels.astype(np.float32), side).astype(np.uint8) & ~np.uint8(3)
    rgb = np.repeat(grey[..., None], 3, axis=2)
    inside = (_sized(lung.astype(np.float32), side) >= 0.5).astype(np.uint8)
    # A nodule of one pixel would vanish among the others of a smaller picture.
    small = (_sized(nodule.astype(np.float32), side) > 0.04).astype(np.uint8)
    cross = cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    rgb[(inside > 0) & (cv2.erode(inside, cross, borderValue=0) == 0)] = _rgb(LUNG)
    rgb[(cv2.dilate(small, cross) > 0) & (small == 0)] = _rgb(REFERENCE)
    return rgb


def _sized(image: NDArray[np.float32], side: int) -> NDArray[Any]:
    factor = side / max(image.shape)
    shape = [max(1, round(length * factor)) for length in image.shape]
    how = cv2.INTER_AREA if factor < 1 else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(image, (shape[1], shape[0]), interpolation=how))


def _rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour.removeprefix("#")))
