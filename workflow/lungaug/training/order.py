"""Which slices each step sees: a function of seed and step only, so that any step can resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Order = Literal["shuffled", "balanced", "table"]


class Ticket(NamedTuple):
    """One place in one batch."""

    row: int  # of the table
    number: int  # places before this one, over the whole training: what its augmentation hangs on


class BatchOrder:
    """Batches of slices of one size, all full, epoch after epoch.

    The last batch of a size is filled from that epoch's first slices, so that every step of every
    arm sees as many slices, and normalisation over a batch never meets a single one.

    Args:
        groups: (N,) the size of each slice, ``<H>x<W>``.
        batch_size: slices a batch.
        order: see ``TrainingSettings.order``.
        classes: (N,) Lung-RADS of each slice, for ``balanced``.
        seed: entropy of the permutations.
    """

    def __init__(
        self,
        groups: Sequence[str],
        batch_size: int,
        *,
        order: Order = "shuffled",
        classes: Sequence[str] = (),
        seed: Sequence[int] = (0,),
    ) -> None:
        if not groups:
            raise ValueError("no slices; accepted: at least one")
        self.batch_size = batch_size
        self._order = order
        self._seed = list(seed)
        self._classes = np.asarray(classes if order == "balanced" else [""] * len(groups))
        names = np.asarray(groups)
        self._members = [np.flatnonzero(names == name) for name in np.unique(names)]
        self._last: tuple[int, NDArray[np.intp]] | None = None

    @property
    def batches_per_epoch(self) -> int:
        return sum(-(-len(members) // self.batch_size) for members in self._members)

    def batch(self, step: int) -> list[Ticket]:
        """The batch of a step, counted from 0."""
        epoch, place = divmod(step, self.batches_per_epoch)
        first = step * self.batch_size
        indices = self._epoch(epoch)[place]
        return [Ticket(int(index), first + i) for i, index in enumerate(indices)]

    def batches(self, start: int, stop: int) -> Iterator[list[Ticket]]:
        """The batches of steps ``start`` to ``stop``, the latter excluded."""
        return (self.batch(step) for step in range(start, stop))

    def _epoch(self, epoch: int) -> NDArray[np.intp]:
        """(batches, batch_size) indices; the last epoch asked for is kept."""
        if self._last is None or self._last[0] != epoch:
            rng = np.random.default_rng([*self._seed, epoch])
            rows = [self._batches_of(members, rng) for members in self._members]
            batches = np.concatenate(rows)
            if self._order != "table":
                batches = rng.permutation(batches)
            self._last = epoch, batches
        return self._last[1]

    def _batches_of(self, members: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        drawn = members
        if self._order == "shuffled":
            drawn = rng.permutation(members)
        elif self._order == "balanced":
            _, kinds, counts = np.unique(
                self._classes[members], return_inverse=True, return_counts=True
            )
            weights = 1 / (len(counts) * counts[kinds])
            drawn = rng.choice(members, len(members), p=weights)
        n_batches = -(-len(members) // self.batch_size)
        return np.resize(drawn, (n_batches, self.batch_size))


def fixed_batches(groups: Sequence[str], batch_size: int) -> list[list[Ticket]]:
    """Every slice once, in table order within each size: for validation and prediction."""
    names = np.asarray(groups)
    batches = []
    for name in np.unique(names):
        members = np.flatnonzero(names == name).tolist()
        for start in range(0, len(members), batch_size):
            batches.append([Ticket(i, i) for i in members[start : start + batch_size]])
    return batches
