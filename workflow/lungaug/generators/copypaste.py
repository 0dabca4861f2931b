"""Copy-paste: real nodules of training patients, flipped, rotated and scaled.

The baseline that a network has to beat: what it gives is as real as the training set and no more
diverse. Drawing and applying are apart, so that a copy can be made again from what was drawn.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError
from lungaug.generators.conditions import Seen
from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.protocol import FitRun, HistoryRow, Samples
from lungaug.settings import as_mapping, from_mapping

_TOLERANCE = 1e-6  # of a scale: diameters are float32


@dataclass(frozen=True)
class Copy:
    """What was drawn for one nodule: row of the crop that is copied, pose, and area of the mask."""

    crop: int
    flip: bool
    degrees: float
    scale: float
    n_pixels: int


class Copypaste:
    """Copies of the crops that it was fitted to."""

    def __init__(self, settings: CopypasteSettings, crops: Crops | None = None) -> None:
        self.settings = settings
        self._crops = crops

    @property
    def crops(self) -> Crops:
        """What is copied.

        Raises:
            InputError: nothing was fitted yet.
        """
        if self._crops is None:
            raise InputError("copypaste: not fitted; accepted: a generator after fit")
        return self._crops

    def fit(self, crops: Crops, run: FitRun) -> list[HistoryRow]:
        """Keep the crops.

        Raises:
            InputError: no crops, or one without a diameter: it could not be scaled to another.
        """
        Seen.of(crops, min_nodules=0)
        self._crops = crops
        return [{"phase": "fit", "step": 0, "epoch": 0, "n_crops": len(crops), "note": ""}]

    def to(self, device: torch.device) -> None:
        """Nothing: no network draws, and OpenCV copies on the CPU."""

    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        """One copy for each condition: (N, S, S) HU and mask, of the asked diameter.

        Args:
            conditions: what is asked for; the class does not choose the nodule.
            seed: of donors and poses.

        Raises:
            InputError: a kind, class or diameter was not among the crops, or none of that kind is
                near enough in diameter to be scaled.
        """
        Seen.of(self.crops, min_nodules=0).check(conditions)
        rng = np.random.default_rng(seed)
        copies = [
            draw_copy(self.crops, float(diameter), kind, settings=self.settings, rng=rng)
            for diameter, kind in zip(conditions.diameter_mm, conditions.kind, strict=True)
        ]
        made = [apply_copy(self.crops.hu[c.crop], self.crops.mask[c.crop], c) for c in copies]
        chosen = np.array([c.crop for c in copies], np.intp)
        shape = (len(copies), *self.crops.hu.shape[1:])
        return Samples(
            np.array([hu for hu, _ in made], np.float32).reshape(shape),
            np.array([mask for _, mask in made], np.float32).reshape(shape),
            self.crops.donor[chosen],
            self.crops.label[chosen],
        )

    def state(self) -> dict[str, Any]:
        """Settings and crops."""
        crops = {f.name: _stored(getattr(self.crops, f.name)) for f in fields(Crops)}
        return {"settings": as_mapping(self.settings), "crops": crops}


def from_state(state: Mapping[str, Any]) -> Copypaste:
    """The generator that ``state`` was taken of.

    Raises:
        InputError: the crops do not belong together, or are none that can be copied.
    """
    crops = Crops(**{name: _restored(values) for name, values in state["crops"].items()})
    lengths = {f.name: len(getattr(crops, f.name)) for f in fields(Crops)}
    if len(set(lengths.values())) != 1:
        raise InputError(f"crops of lengths {lengths}; accepted: one length")
    Seen.of(crops, min_nodules=0)
    return Copypaste(from_mapping(CopypasteSettings, state["settings"]), crops)


def draw_copy(
    crops: Crops,
    diameter_mm: float,
    kind: str,
    *,
    settings: CopypasteSettings,
    rng: np.random.Generator,
) -> Copy:
    """Draw a nodule of like diameter and its pose; always three numbers from ``rng``.

    Raises:
        InputError: none of that kind can be scaled to the diameter.
    """
    which, flip, turn = rng.random(3)
    near = _nearest(crops, diameter_mm, kind, settings)
    crop = int(near[int(which * len(near))])
    scale = diameter_mm / float(crops.diameter_mm[crop])
    pixel_mm2 = float(np.prod(crops.spacing_mm[crop], dtype=np.float64))
    asked = np.pi / 4 * diameter_mm**2 / pixel_mm2
    copied = np.count_nonzero(crops.mask[crop]) * scale**2
    return Copy(
        crop,
        flip=bool(flip < settings.flip),
        degrees=float((2 * turn - 1) * settings.rotation_degrees),
        scale=scale,
        n_pixels=round(asked if np.isfinite(asked) else copied),
    )


def _nearest(
    crops: Crops, diameter_mm: float, kind: str, settings: CopypasteSettings
) -> NDArray[np.intp]:
    """Rows of the nodules of a kind nearest in diameter, among those that may be scaled to it."""
    low, high = settings.scale
    scale = diameter_mm / crops.diameter_mm.astype(np.float64)
    fits = (scale >= low - _TOLERANCE) & (scale <= high + _TOLERANCE) & (crops.kind == kind)
    rows = np.flatnonzero(fits)
    if not len(rows):
        of_kind = crops.diameter_mm[crops.kind == kind]
        raise InputError(
            f"copypaste: no {kind} nodule can be scaled by {low:g} to {high:g} to a diameter of "
            f"{diameter_mm:.1f} mm; there are {of_kind.min():.1f} to {of_kind.max():.1f} mm"
        )
    order = np.argsort(np.abs(np.log(scale[rows])), kind="stable")
    return rows[order[: settings.n_nearest]]


def apply_copy(
    hu: NDArray[np.int16], mask: NDArray[np.bool_], copy: Copy
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """(S, S) HU and probability of a crop flipped left to right, rotated, scaled; resampled once.

    HU are interpolated by cubics, which keep more of the noise than lines do, within the crop's
    own range. What lies outside the crop is its reflection: tissue with the crop's own texture,
    where a repeated edge would draw streaks. It comes into view in the corners and where a nodule
    is shrunk, far from the nodule, and is never pasted. The mask has the drawn area to the pixel,
    since interpolated edges would make small nodules smaller.

    Args:
        hu: (S, S), HU.
        mask: (S, S), the nodule.
        copy: what to do; its ``crop`` is not looked at.
    """
    if copy.flip:
        hu, mask = np.ascontiguousarray(hu[:, ::-1]), np.ascontiguousarray(mask[:, ::-1])
    if copy.degrees == 0 and copy.scale == 1:
        return hu.astype(np.float32), mask.astype(np.float32)
    height, width = hu.shape
    centre = (width - 1) / 2, (height - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, copy.degrees, copy.scale)
    turned = cv2.warpAffine(
        hu.astype(np.float32),
        matrix,
        (width, height),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    soft = cv2.warpAffine(mask.astype(np.float32), matrix, (width, height))
    return np.clip(turned, hu.min(), hu.max()), _with_area(soft, copy.n_pixels)


def _with_area(soft: NDArray[Any], n_pixels: int) -> NDArray[np.float32]:
    """A soft mask moved up or down so that ``n_pixels`` of it are at least a half."""
    order = np.argsort(-soft, axis=None, kind="stable")[: max(n_pixels, 1)]
    chosen = np.zeros(soft.shape, bool)
    chosen.flat[order] = True
    moved = np.clip(soft - soft.flat[order[-1]] + 0.5, 0, 1)
    # of equally covered pixels, those that are one too many stay just below a half
    moved = np.where(chosen, moved, np.minimum(moved, np.nextafter(np.float32(0.5), 0)))
    return np.asarray(np.where(soft > 0, moved, 0), np.float32)


def _stored(values: NDArray[Any]) -> torch.Tensor | list[str]:
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    return torch.from_numpy(np.array(values))


def _restored(values: torch.Tensor | list[str]) -> NDArray[Any]:
    return values.numpy() if isinstance(values, torch.Tensor) else np.array(values, str)
