"""The steps of a generator's training: batches, losses, sample sheets, checkpoints, exact resume.

Crops are few and small: all of them lie in device memory, and a batch is an index. The batch of a
step follows from the seed and the step alone, so that a resumed training sees the same ones.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungaug.errors import LungaugError
from lungaug.generators.protocol import FitRun, HistoryRow
from lungaug.generators.settings import BudgetSettings
from lungaug.training.checkpoint import generator_states, set_generator_states
from lungaug.training.cost import Effort
from lungaug.training.devices import make_fabric

logger = logging.getLogger(__name__)


def make_mixed_fabric(device: str) -> Any:
    """Fabric on one device: on a GPU that has bfloat16, layers work in it and weights do not.

    Args:
        device: auto, cpu or cuda.

    Raises:
        SettingError: another device, or cuda where there is none.
    """
    fabric = make_fabric(device)
    if fabric.device.type != "cuda" or not torch.cuda.is_bf16_supported():
        return fabric
    return make_fabric("cuda", precision="bf16-mixed")


class FitError(LungaugError):
    """A generator cannot be trained further."""


class Learner(Protocol):
    """What learns: networks with their optimisers, already set up by Fabric."""

    def learn(self, index: Tensor, step: int) -> Mapping[str, Tensor]:
        """One optimiser step on the crops at (B,) ``index``; detached losses by name."""

    def observe(self, step: int, run: FitRun) -> Mapping[str, Any]:
        """Further columns of a history row, such as perplexity or ``note``; may draw a sheet."""

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimisers and whatever else decides the steps to come."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """The inverse."""


def learn(
    learner: Learner,
    n_crops: int,
    budget: BudgetSettings,
    run: FitRun,
    *,
    phase: str = "",
    before: Mapping[str, Any] | None = None,
) -> list[HistoryRow]:
    """Train for ``budget.steps`` steps, or go on where the checkpoint of this phase stopped.

    Args:
        learner: what learns.
        n_crops: how many crops there are to draw batches from.
        budget: steps, batch size, and when to log and save.
        run: seed, checkpoint, name.
        phase: name of this part of a fit; in the history.
        before: states of the phases that are done, kept in the checkpoint under their names.

    Returns:
        The history of this phase.

    Raises:
        FitError: a loss is no longer finite.
    """
    loop = _Loop(learner, n_crops, budget, run, phase, dict(before or {}))
    loop.resume()
    loop.start()
    for step in range(loop.step, budget.steps):
        loop.one_step(step)
    return loop.history


def saved_phases(run: FitRun) -> dict[str, Any]:
    """States of phases that a checkpoint holds as done, by name; empty without a checkpoint."""
    state = run.checkpoint.load() if run.checkpoint is not None else None
    return dict(state["done"]) if state is not None else {}


def effort_of(run: FitRun) -> Effort:
    """The work of a finished fit, all phases together; none without a checkpoint."""
    state = run.checkpoint.load() if run.checkpoint is not None else None
    return Effort(**state["effort"]) if state is not None else Effort()


def batch_index(seed: int, step: int, n_crops: int, batch_size: int) -> NDArray[np.int64]:
    """(B,) crops of a step: epochs of shuffled crops, whole batches only.

    Where there are fewer crops than a batch holds, every batch holds all of them once.
    """
    size = min(batch_size, n_crops)
    epoch, position = divmod(step, max(n_crops // size, 1))
    order = np.random.default_rng([seed, epoch]).permutation(n_crops)
    return np.asarray(order[position * size : (position + 1) * size], np.int64)


class _Loop:
    def __init__(
        self,
        learner: Learner,
        n_crops: int,
        budget: BudgetSettings,
        run: FitRun,
        phase: str,
        before: dict[str, Any],
    ) -> None:
        self.learner, self.n_crops, self.budget, self.run = learner, n_crops, budget, run
        self.phase, self.before = phase, before
        self.title = f"{run.name} {phase}".strip()
        self.step = 0
        self.history: list[HistoryRow] = []
        self._sums: dict[str, Tensor] = {}
        self._since = 0
        self.effort = Effort()
        self._logged = self.effort
        self._clock = time.perf_counter()

    def resume(self) -> None:
        before = generator_states()
        state = self.run.checkpoint.load() if self.run.checkpoint is not None else None
        self.effort = self._logged = Effort(**state["effort"]) if state is not None else Effort()
        if state is None or state["phase"] != self.phase:
            # Reading a checkpoint sets the generators, here to where another phase left them.
            set_generator_states(before)
            n_parameters = self.effort.n_parameters + n_trained(self.learner)
            self.effort = replace(self.effort, n_parameters=n_parameters)
            return
        self.learner.load_state_dict(state["learner"])
        self.step, self._since = int(state["step"]), int(state["since"])
        self.history = list(state["history"])
        device = self.run.fabric.device
        self._sums = {name: value.to(device) for name, value in state["sums"].items()}
        logger.info("%s goes on after step %d", self.title, self.step)

    def start(self) -> None:
        """Begin to count seconds."""
        self._clock = time.perf_counter()

    def one_step(self, step: int) -> None:
        index = batch_index(self.run.seed, step, self.n_crops, self.budget.batch_size)
        losses = self.learner.learn(torch.from_numpy(index).to(self.run.fabric.device), step)
        for name, loss in losses.items():
            # Summed on the device: reading every loss would make a GPU wait.
            self._sums[name] = self._sums.get(name, torch.zeros_like(loss)) + loss
        self.step = step + 1
        self.effort = replace(
            self.effort, steps=self.effort.steps + 1, samples=self.effort.samples + len(index)
        )
        last = self.step == self.budget.steps
        telling = last or self.step % self.budget.log_every == 0
        saving = last or self.step % self.budget.checkpoint_every == 0
        if not (telling or saving):
            return
        means = self._means()
        # Only now: a GPU has then done what it was asked for. Sheets and files are not counted.
        seconds = self.effort.seconds + time.perf_counter() - self._clock
        self.effort = replace(self.effort, seconds=seconds)
        if telling:
            self._log(means)
        if saving:
            self._save()
        self._clock = time.perf_counter()

    def _means(self) -> dict[str, float]:
        """Mean losses since the last row of the history."""
        n = self.step - self._since
        means = {name: float(total) / n for name, total in self._sums.items()}
        wrong = [name for name, mean in means.items() if not math.isfinite(mean)]
        if wrong:
            raise FitError(
                f"{self.title}: {', '.join(wrong)} is no longer finite between steps "
                f"{self._since + 1} and {self.step}; try a lower learning_rate"
            )
        return means

    def _log(self, means: Mapping[str, float]) -> None:
        batches_per_epoch = max(self.n_crops // self.budget.batch_size, 1)
        row: HistoryRow = {"phase": self.phase, "step": self.step}
        row |= {"epoch": round(self.step / batches_per_epoch, 3), **means}
        row |= self.learner.observe(self.step, self.run)
        self.history.append(row)
        self._sums, self._since = {}, self.step
        seconds = self.effort.seconds - self._logged.seconds
        speed = (self.effort.steps - self._logged.steps) / max(seconds, 1e-9)
        self._logged = self.effort
        words = " ".join(f"{name} {mean:.4f}" for name, mean in means.items())
        parts = (self.title, self.step, self.budget.steps, words, speed)
        logger.info("%s step %d/%d %s %.1f steps/s", *parts)
        if row.get("note") and row["note"] not in [
            known.get("note") for known in self.history[:-1]
        ]:
            logger.warning("%s step %d: %s", *parts[:2], row["note"])

    def _save(self) -> None:
        if self.run.checkpoint is None:
            return
        self.run.checkpoint.save(
            {
                "phase": self.phase,
                "done": self.before,
                "learner": self.learner.state_dict(),
                "step": self.step,
                "since": self._since,
                "history": self.history,
                "effort": asdict(self.effort),
                "sums": {name: value.detach().cpu() for name, value in self._sums.items()},
            }
        )


def n_trained(learner: Learner) -> int:
    """Weights that the learner's optimisers move."""
    groups = [
        group for part in vars(learner).values() for group in getattr(part, "param_groups", ())
    ]
    return sum(weight.numel() for group in groups for weight in group["params"])
