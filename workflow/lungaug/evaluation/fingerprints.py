"""Fingerprints of unchanged tissue: which slices share pixels, whatever their tables say.

A slice is cut into square blocks; every block with texture gets a 64-bit hash that is the same for
its eight orientations. Noise makes a textured block of CT unique, so that one shared hash means
copied pixels. What this finds: whole copies, mirrored or turned by right angles; slices of which a
part was altered; the same scan under two pseudonyms. What it cannot find: copies with every pixel
altered (noise, another angle, resampling, another HU scale), or shifted by other than a multiple
of the block; and a block without texture (air, noise-free pictures) says nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.settings import setting

# Below 2^26 times 2^15 (HU) times 32^2 (pixels) = 2^51, sums are exact in float64, whatever the
# order in which a linear-algebra library adds them.
_MOST_WEIGHT = 2**26
_MIX = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xC2B2AE3D27D4EB4F))

Hashes = NDArray[np.uint64]


@dataclass(frozen=True)
class FingerprintSettings:
    """How slices are compared by their pixels."""

    block_px: int = setting(8, "side of a block", minimum=4, maximum=32)
    texture: float = setting(
        0.75, "share of neighbouring pixels that differ in a usable block", minimum=0.5, maximum=1
    )
    shared_blocks: int = setting(1, "equal blocks from which two slices are a copy", minimum=1)
    sample: int = setting(
        64, "blocks kept of each held-out slice that is not scored itself; 0: none", minimum=0
    )


class BlockHasher:
    """Hashes the blocks of slices of any size."""

    def __init__(self, settings: FingerprintSettings) -> None:
        self._settings = settings
        side = settings.block_px
        weights = np.random.default_rng(0).integers(1, _MOST_WEIGHT, (2, side, side))
        # Turning the weights instead of the blocks: one product gives all eight orientations.
        turned = [
            np.rot90(w[:, ::flip], turn) for flip in (1, -1) for turn in range(4) for w in weights
        ]
        self._weights = np.stack([w.ravel() for w in turned], axis=1).astype(np.float64)

    def __call__(self, hu: NDArray[np.int16], *, all_corners: bool = False) -> Hashes:
        """Distinct hashes of the textured blocks of a slice, sorted.

        Args:
            hu: (H, W), HU.
            all_corners: also cut from the other corners, so that a mirrored copy meets the same
                blocks where a side is no multiple of the block.
        """
        side = self._settings.block_px
        rest = [hu.shape[axis] % side for axis in (0, 1)]
        starts = [{0, r} if all_corners else {0} for r in rest]
        parts = [self._hashes(hu[i:, j:]) for i in starts[0] for j in starts[1]]
        return np.unique(np.concatenate(parts))

    def _hashes(self, hu: NDArray[np.int16]) -> Hashes:
        side = self._settings.block_px
        rows, columns = hu.shape[0] // side, hu.shape[1] // side
        cut = hu[: rows * side, : columns * side].reshape(rows, side, columns, side)
        blocks = np.ascontiguousarray(cut.swapaxes(1, 2)).reshape(-1, side, side)
        blocks = blocks[self._is_textured(blocks)]
        sums = blocks.reshape(len(blocks), side * side).astype(np.float64) @ self._weights
        first, second = (sums[:, i::2].astype(np.int64).view(np.uint64) for i in (0, 1))
        mixed = (first * _MIX[0]) ^ (second * _MIX[1])
        mixed ^= mixed >> np.uint64(29)
        oriented: Hashes = (mixed * _MIX[1]).min(axis=1)
        return oriented

    def _is_textured(self, blocks: NDArray[np.int16]) -> NDArray[np.bool_]:
        across = np.count_nonzero(blocks[:, :, 1:] != blocks[:, :, :-1], axis=(1, 2))
        down = np.count_nonzero(blocks[:, 1:] != blocks[:, :-1], axis=(1, 2))
        side = self._settings.block_px
        n_pairs = 2 * side * (side - 1)
        textured: NDArray[np.bool_] = across + down >= self._settings.texture * n_pairs
        return textured


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
