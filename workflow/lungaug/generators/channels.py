"""Crops as networks see them, and back: the door between HU and [-1, 1]."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Window = tuple[float, float]


@dataclass(frozen=True)
class Pair:
    """HU and mask of (N, S, S) crops, float32; the mask from 0 to 1."""

    hu: NDArray[np.float32]
    mask: NDArray[np.float32]


def to_channels(hu: NDArray[np.int16], mask: NDArray[np.bool_], window: Window) -> Tensor:
    """(N, 2, S, S) float32 in [-1, 1]: HU clipped to the window, and the mask as -1 and 1.

    Args:
        hu: (N, S, S), HU.
        mask: (N, S, S), the nodule.
        window: HU at -1 and at 1.
    """
    low, high = window
    scaled = (np.clip(hu.astype(np.float32), low, high) - low) * (2 / (high - low)) - 1
    signs = np.where(mask, np.float32(1), np.float32(-1))
    return torch.from_numpy(np.stack([scaled, signs], axis=1).astype(np.float32))


def from_channels(channels: Tensor, window: Window) -> Pair:
    """The inverse of :func:`to_channels`; values beyond [-1, 1] end at the window's bounds."""
    low, high = window
    values = channels.detach().float().clamp(-1, 1).cpu().numpy()
    hu = (values[:, 0] + 1) / 2 * (high - low) + low
    return Pair(hu.astype(np.float32), ((values[:, 1] + 1) / 2).astype(np.float32))
