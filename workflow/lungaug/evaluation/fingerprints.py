"""Fingerprints of unchanged tissue: which slices share pixels, whatever their tables say.

Every pixel that is the highest within a block around it anchors that block, wherever it lies in the
image. Of the block only the order of its values is hashed, once for its eight orientations. Noise
makes a rough block of CT unique, so that a few shared hashes mean copied pixels. What this finds:
whole copies, mirrored, turned by right angles or shifted by whole pixels, of HU changed by any
increasing map that keeps values apart; slices of which a part was copied or altered; the same scan
under two pseudonyms. Copies with nearly every pixel altered (noise, another angle, resampling) are
for :mod:`lungaug.evaluation.near_copies`; a smooth block (air, noise-free pictures) says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import SettingError
from lungaug.settings import setting

# Below 2^26 times 31^2 (ranks) times 31^2 (pixels) = 2^46, sums are exact in float64, whatever the
# order in which a linear-algebra library adds them.
_MOST_WEIGHT = 2**26
_SMALL_PX = 256
_SPARSE = 3  # halves of a block's side, in which large slices have one anchor
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class FingerprintSettings:
    """How slices are compared by their pixels."""

    block_px: int = setting(7, "side of a block, odd", minimum=5, maximum=31)
    roughness: float = setting(
        0.25,
        "share of pixels that are higher or lower than both neighbours in their row or column, "
        "in a usable block; two thirds in noise, less than a tenth in smooth tissue",
        minimum=0.1,
        maximum=0.6,
    )
    shared_blocks: int = setting(2, "equal blocks from which two slices are a copy", minimum=1)
    sample: int = setting(
        64, "blocks kept of each held-out slice that is not scored itself; 0: none", minimum=0
    )

    def __post_init__(self) -> None:
        if self.block_px % 2 == 0:
            raise SettingError(f"block_px: got {self.block_px}; accepted: an odd number, 5 to 31")


class BlockHasher:
    """Hashes the anchored blocks of slices of any size."""

    def __init__(self, settings: FingerprintSettings) -> None:
        self._settings = settings
        side = settings.block_px
        weights = np.random.default_rng(0).integers(1, _MOST_WEIGHT, (2, side, side))
        # Turning the weights instead of the blocks: one product gives all eight orientations.
        turned = [
            np.rot90(w[:, ::flip], turn) for flip in (1, -1) for turn in range(4) for w in weights
        ]
        self._weights = np.stack([w.ravel() for w in turned], axis=1).astype(np.float64)

    def __call__(self, hu: NDArray[np.int16]) -> Hashes:
        """Return the distinct hashes of the rough blocks of a slice, (H, W) in HU, sorted."""
        side = self._settings.block_px
        if min(hu.shape) < side:
            return np.empty(0, np.uint64)
        half = side // 2
        # What is highest within more pixels is so within fewer: parts of large slices are found.
        around = side if max(hu.shape) <= _SMALL_PX else _SPARSE * side // 2 + 1
        highest = cv2.dilate(hu, np.ones((around, around), np.uint8)) == hu
        inner = highest[half : hu.shape[0] - half, half : hu.shape[1] - half]
        rows, columns = np.nonzero(inner & self._is_rough(hu))
        blocks = np.lib.stride_tricks.sliding_window_view(hu, (side, side))[rows, columns]
        sums = _ranks(blocks.reshape(-1, side * side)) @ self._weights
        first, second = (sums[:, i::2].astype(np.int64).view(np.uint64) for i in (0, 1))
        mixed = (first * _MIX[0]) ^ (second * _MIX[1])
        mixed ^= mixed >> np.uint64(29)
        return np.unique((mixed * _MIX[1]).min(axis=1))

    def _is_rough(self, hu: NDArray[np.int16]) -> NDArray[np.bool_]:
        """(H - side + 1, W - side + 1) whether the block that begins at a pixel is rough."""
        side = self._settings.block_px
        ends = np.zeros(hu.shape, np.uint8)
        for image, out in ((hu, ends), (hu.T, ends.T)):
            before, middle, after = image[:, :-2], image[:, 1:-1], image[:, 2:]
            out[:, 1:-1] += middle > np.maximum(before, after)
            out[:, 1:-1] += middle < np.minimum(before, after)
        sums = cv2.boxFilter(ends, cv2.CV_32F, (side, side), normalize=False)
        half = side // 2
        inner = sums[half : hu.shape[0] - half, half : hu.shape[1] - half]
        return np.asarray(inner >= self._settings.roughness * 2 * side**2)


def _ranks(values: NDArray[np.int16]) -> NDArray[np.float64]:
    """(N, K) ranks of each row's values, from 0; equal values share one."""
    order = np.argsort(values, axis=1, kind="stable")
    ordered = np.take_along_axis(values, order, axis=1)
    steps = np.zeros(values.shape, np.int16)
    np.cumsum(ordered[:, 1:] != ordered[:, :-1], axis=1, dtype=np.int16, out=steps[:, 1:])
    out = np.empty(values.shape, np.float64)
    np.put_along_axis(out, order, steps, axis=1)
    return out


class BlockIndex:
    """Which slices hold which blocks; memory is 12 bytes a block, sampled where asked."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._parts: list[Hashes] = []
        self._sorted: tuple[Hashes, NDArray[np.int32]] | None = None

    def __len__(self) -> int:
        return len(self._names)

    @property
    def n_empty(self) -> int:
        """Slices without a textured block."""
        return sum(not len(part) for part in self._parts)

    def add(self, name: str, hashes: Hashes, most: int | None = None) -> None:
        """Add a slice.

        Args:
            name: of the slice.
            hashes: sorted.
            most: keep only so many, the smallest: a choice that depends on the pixels alone.
        """
        self._names.append(name)
        self._parts.append(hashes[:most].copy())
        self._sorted = None

    def matches(self, hashes: Hashes) -> Iterator[tuple[str, int]]:
        """Slices that share blocks, with the number of blocks, most first."""
        known, owners = self._table()
        first = np.searchsorted(known, hashes, "left")
        counts = np.searchsorted(known, hashes, "right") - first
        found: Counter[int] = Counter()
        for i in np.flatnonzero(counts):
            found.update(owners[first[i] : first[i] + counts[i]].tolist())
        for owner, n in found.most_common():
            yield self._names[owner], n

    def _table(self) -> tuple[Hashes, NDArray[np.int32]]:
        if self._sorted is None:
            lengths = [len(part) for part in self._parts]
            hashes = np.concatenate([np.empty(0, np.uint64), *self._parts])
            owners = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
            order = np.argsort(hashes, kind="stable")
            self._sorted = hashes[order], owners[order]
        return self._sorted
