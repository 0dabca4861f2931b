"""From rows of a slice table to batches of a network. Pixels are read when they are asked for."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from lungaug.store import SliceFile
from lungaug.training.online import draw_pose, pose_hu, pose_labels
from lungaug.training.order import Ticket
from lungaug.training.settings import OnlineSettings

if TYPE_CHECKING:
    import pandas as pd

logger = logging.getLogger(__name__)

Door = Callable[[NDArray[np.int16]], NDArray[np.float32]]
Pair = tuple[NDArray[Any], NDArray[np.uint8]]
Plane = tuple[Path, str, int]
"""Where a slice lies: file, group and row."""

REAL = "real"
LEVELS = np.float32(255)


class Batch(NamedTuple):
    """Slices of one size."""

    image: Tensor  # (N, C, H, W) float32, 0 to 1: one slice, or with its neighbours in order
    nodule: Tensor  # (N, 1, H, W) uint8, 0 background, k the k-th nodule


class SliceRows:
    """Pixels and records of a table's slices; a file is opened when a slice of it is asked for.

    Args:
        table: columns of ``cohort.SLICE_COLUMNS``.
        root: folder that the column ``file`` is relative to.
        neighbours: slices on either side that belong to a slice: those next to it in its series.
            The last one of a series stands for those beyond it, and a slice that is not real,
            whose neighbours do not show what was changed in it, for all of its own.
    """

    def __init__(self, table: pd.DataFrame, root: Path, neighbours: int = 0) -> None:
        self._names = [str(file) for file in table["file"]]
        self._paths = [root / name for name in self._names]
        self._rows = [int(row) for row in table["row"]]
        self.groups = [str(group) for group in table["group"]]
        self.keys = [str(key) for key in table["key"]]
        self.patients = [str(patient) for patient in table["patient"]]
        self.classes = [str(name) for name in table["lung_rads"]]
        self.neighbours = neighbours
        self._real = [str(origin) == REAL for origin in table["origin"]]
        self._open: dict[Path, SliceFile] = {}
        if neighbours and not all(self._real):
            logger.info(
                "%d of %d slices are not real and have no neighbours: they repeat themselves",
                *(self._real.count(False), len(self)),
            )

    def __len__(self) -> int:
        return len(self._rows)

    def planes(self, index: int) -> list[Plane]:
        """Where a slice and its neighbours lie, in their order; the slice is in the middle."""
        path, group, row = self._paths[index], self.groups[index], self._rows[index]
        around = range(row - self.neighbours, row + self.neighbours + 1)
        if not self.neighbours or not self._real[index]:
            return [(path, group, row) for _ in around]
        series = self._file(path).slices(group)[["patient", "series"]]
        found = [row]
        for step in (-1, 1):
            last = row
            for _ in range(self.neighbours):
                beyond = last + step
                if 0 <= beyond < len(series) and series[beyond] == series[row]:
                    last = beyond
                found.append(last)
        return [(path, group, place) for place in sorted(found)]

    def hu(self, plane: Plane) -> NDArray[np.int16]:
        """(H, W), HU."""
        path, group, row = plane
        return self._file(path).image("hu", group, row)

    def nodule(self, index: int) -> NDArray[np.uint8]:
        """Nodule labels of a slice, (H, W)."""
        return self._file(self._paths[index]).image("nodule", self.groups[index], self._rows[index])

    def record(self, index: int) -> np.void:
        """The slice's row of its file's ``slices`` table."""
        record: np.void = self._file(self._paths[index]).slices(self.groups[index])[
            self._rows[index]
        ]
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

    def _file(self, path: Path) -> SliceFile:
        if path not in self._open:
            self._open[path] = SliceFile(path)
        return self._open[path]


class Slices(Dataset[Pair]):
    """Slices as the network sees them, (C, H, W), with the labels of the middle one, (H, W).

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
        self._kept: dict[Plane | int, NDArray[Any]] = {}
        self._room = int(cache_mb * 2**20)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, ticket: Ticket) -> Pair:
        planes = self.rows.planes(ticket.row)
        nodule = self._kept.get(ticket.row)
        if nodule is None:
            nodule = self._keep(ticket.row, self.rows.nodule(ticket.row))
        if self._online is None:
            return _stack(planes, lambda plane: _restored(self._settled(plane))), nodule
        # From the ticket alone: neither workers nor a restart change what a slice draws.
        rng = np.random.default_rng([*self._seed, ticket.number])
        pose = draw_pose(self._online, rng=rng)
        image = _stack(planes, lambda plane: self._door(pose_hu(self._settled(plane), pose)))
        return image, pose_labels(nodule, pose)

    def _settled(self, plane: Plane) -> NDArray[Any]:
        """(H, W), all of the work on a slice that is the same in every epoch."""
        kept = self._kept.get(plane)
        if kept is not None:
            return kept
        hu = self.rows.hu(plane)
        return self._keep(plane, hu if self._online is not None else _compact(self._door(hu)))

    def _keep(self, name: Plane | int, array: NDArray[Any]) -> NDArray[Any]:
        if array.nbytes <= self._room:
            self._room -= array.nbytes
            self._kept[name] = array
        return array


def _stack(planes: list[Plane], make: Callable[[Plane], NDArray[Any]]) -> NDArray[Any]:
    """(C, H, W); a slice that stands for its neighbours too is made once."""
    made = {plane: make(plane) for plane in dict.fromkeys(planes)}
    return np.stack([made[plane] for plane in planes])


def _compact(image: NDArray[np.float32]) -> NDArray[Any]:
    """Equalised slices have 256 levels: a byte a pixel, where that is exact."""
    levels = np.rint(image * LEVELS).astype(np.uint8)
    return levels if np.array_equal(_restored(levels), image) else image


def _restored(kept: NDArray[Any]) -> NDArray[np.float32]:
    return kept.astype(np.float32) / LEVELS if kept.dtype == np.uint8 else kept


def collate(pairs: Sequence[Pair]) -> Batch:
    """Stack slices of one size."""
    images, nodules = zip(*pairs, strict=True)
    return Batch(torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(nodules))[:, None])


def loader(
    slices: Slices, batches: Iterable[list[Ticket]], workers: int = 0, prefetch: int = 2
) -> DataLoader[Batch]:
    """Batches of ``slices`` in the given order, the same for any number of workers.

    Args:
        slices: what is loaded.
        batches: tickets of each batch.
        workers: processes that load; 0: the one that asks.
        prefetch: batches that each worker makes ahead.
    """
    return DataLoader(
        slices,  # type: ignore[arg-type]
        batch_sampler=batches,  # type: ignore[arg-type]
        collate_fn=collate,
        num_workers=workers,
        prefetch_factor=prefetch if workers else None,
        # Copied to a GPU while that computes.
        pin_memory=torch.cuda.is_available(),
        # Its own generator: starting a loader must not advance the one that layers draw from.
        generator=torch.Generator(),
    )
