"""From rows of a slice table to batches of a network. Pixels are read when they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lungaug.store import SliceFile
from lungaug.training.online import apply_pose, draw_pose
from lungaug.training.order import Ticket
from lungaug.training.settings import OnlineSettings

if TYPE_CHECKING:
    import pandas as pd

Door = Callable[[NDArray[np.int16]], NDArray[np.float32]]
Pair = tuple[NDArray[Any], NDArray[np.uint8]]


class Batch(NamedTuple):
    """Slices of one size."""

    image: Tensor  # (N, 1, H, W) float32, 0 to 1
    nodule: Tensor  # (N, 1, H, W) uint8, 0 background, k the k-th nodule


class SliceRows:
    """Pixels and records of a table's slices; a file is opened when a slice of it is asked for.

    Args:
        table: columns of ``cohort.SLICE_COLUMNS``.
        root: folder that the column ``file`` is relative to.
    """

    def __init__(self, table: pd.DataFrame, root: Path) -> None:
        self._names = [str(file) for file in table["file"]]
        self._paths = [root / name for name in self._names]
        self._rows = [int(row) for row in table["row"]]
        self.groups = [str(group) for group in table["group"]]
        self.patients = [str(patient) for patient in table["patient"]]
        self.classes = [str(name) for name in table["lung_rads"]]
        self._open: dict[Path, SliceFile] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def pixels(self, index: int) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        """HU and nodule labels of a slice, (H, W) each."""
        file, place = self._file(index), (self.groups[index], self._rows[index])
        return file.image("hu", *place), file.image("nodule", *place)

    def record(self, index: int) -> np.void:
        """The slice's row of its file's ``slices`` table."""
        record: np.void = self._file(index).slices(self.groups[index])[self._rows[index]]
        return record

    def digests(self) -> dict[str, list[str]]:
        """Content digest of every file, and of its parent; no pixels are read."""
        found = {}
        for name, path in sorted(set(zip(self._names, self._paths, strict=True))):
            with SliceFile(path) as file:
                parent = str(file.attributes.get("parent_digest", ""))
                found[name] = [file.content_digest, parent]
        return found

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()

    def _file(self, index: int) -> SliceFile:
        path = self._paths[index]
        if path not in self._open:
            self._open[path] = SliceFile(path)
        return self._open[path]


class Slices(Dataset[Pair]):
    """Slices as the network sees them, with their labels, (H, W) each.

    What does not change from one epoch to the next is kept in memory as far as ``cache_mb``
    allows, exactly as it was made: the cache changes speed and nothing else.

    Args:
        rows: where the pixels are.
        door: from HU to the network's input.
        cache_mb: memory for slices, in MB.
        online: augmentation, drawn for each ticket; None: none.
        seed: entropy of the augmentation.
    """

    def __init__(
        self,
        rows: SliceRows,
        door: Door,
        *,
        cache_mb: float = 0,
        online: OnlineSettings | None = None,
        seed: Sequence[int] = (0,),
    ) -> None:
        self.rows = rows
        self._door = door
        self._online = online
        self._seed = list(seed)
        self._kept: dict[int, Pair] = {}
        self._room = int(cache_mb * 2**20)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, ticket: Ticket) -> Pair:
        kept, nodule = self._kept.get(ticket.row) or self._made(ticket.row)
        if self._online is None:
            return kept, nodule
        # From the ticket alone: neither workers nor a restart change what a slice draws.
        rng = np.random.default_rng([*self._seed, ticket.number])
        hu, nodule = apply_pose(kept, nodule, draw_pose(self._online, rng=rng))
        return self._door(hu), nodule

    def _made(self, index: int) -> Pair:
        hu, nodule = self.rows.pixels(index)
        pair: Pair = (self._door(hu) if self._online is None else hu, nodule)
        size = pair[0].nbytes + nodule.nbytes
        if size <= self._room:
            self._room -= size
            self._kept[index] = pair
        return pair


def collate(pairs: Sequence[Pair]) -> Batch:
    """Stack slices of one size."""
    image, nodule = (
        torch.from_numpy(np.stack(arrays))[:, None] for arrays in zip(*pairs, strict=True)
    )
    return Batch(image, nodule)


def loader(slices: Slices, batches: Iterable[list[Ticket]], workers: int = 0) -> DataLoader[Batch]:
    """Batches of ``slices`` in the given order, the same for any number of workers."""
    return DataLoader(
        slices,  # type: ignore[arg-type]
        batch_sampler=batches,  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        # Its own generator: starting a loader must not advance the one that layers draw from.
        generator=torch.Generator(),
    )
