"""Copy-paste: real nodules of training patients, flipped, rotated and scaled.

The baseline that a network has to beat: what it gives is as real as the training set and no more
diverse. What is drawn is recorded, so that the audit can make every copy again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError
from lungaug.generators.conditions import Seen
from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.protocol import FitRun, HistoryRow, Samples
from lungaug.imaging.copied_crop import CopyPose, apply_pose
from lungaug.settings import as_mapping, from_mapping

_TOLERANCE = 1e-6  # of a scale: diameters are float32


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
        made = [apply_pose(self.crops.hu[row], self.crops.mask[row], pose) for row, pose in copies]
        chosen = np.array([row for row, _ in copies], np.intp)
        shape = (len(copies), *self.crops.hu.shape[1:])
        return Samples(
            np.array([hu for hu, _ in made], np.float32).reshape(shape),
            np.array([mask for _, mask in made], np.float32).reshape(shape),
            self.crops.donor[chosen],
            self.crops.label[chosen],
            np.array([pose.text for _, pose in copies], str),
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
) -> tuple[int, CopyPose]:
    """Draw the row of a nodule of like diameter, and a pose; always three numbers from ``rng``.

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
    pose = CopyPose(
        flip=bool(flip < settings.flip),
        degrees=float((2 * turn - 1) * settings.rotation_degrees),
        scale=scale,
        n_pixels=round(asked if np.isfinite(asked) else copied),
    )
    return crop, pose


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


def _stored(values: NDArray[Any]) -> torch.Tensor | list[str]:
    if values.dtype.kind == "U":
        return [str(value) for value in values]
    return torch.from_numpy(np.array(values))


def _restored(values: torch.Tensor | list[str]) -> NDArray[Any]:
    return values.numpy() if isinstance(values, torch.Tensor) else np.array(values, str)
