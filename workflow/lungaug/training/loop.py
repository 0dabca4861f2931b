"""The training loop: steps, validation, the best step, checkpoints."""

from __future__ import annotations

import contextlib
import logging
import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from lungaug.errors import LungaugError, SettingError
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.data import Batch, Slices, loader
from lungaug.training.history import HistoryRow
from lungaug.training.inference import validate
from lungaug.training.order import BatchOrder
from lungaug.training.settings import TrainingSettings

logger = logging.getLogger(__name__)

Weights = dict[str, Tensor]


class TrainingError(LungaugError):
    """Training cannot go on."""


@dataclass
class Progress:
    """How far a training is, besides the states of network and optimiser."""

    step: int = 0  # steps done; also the sampler's position
    loss_sum: float = 0.0  # of the steps since the last row of the history
    history: list[HistoryRow] = field(default_factory=list)
    best_dice: float = math.nan  # on validation slices, as are the next
    best_loss: float = math.nan
    best_step: int = 0  # 0: none yet
    best_weights: Weights | None = None


@dataclass(frozen=True)
class Fit:
    """A finished training: the module holds the weights of the kept step."""

    module: Any
    step: int
    history: list[HistoryRow]


def fit(
    segmenter: nn.Module,
    training: Slices,
    validation: Slices | None,
    order: BatchOrder,
    *,
    settings: TrainingSettings,
    fabric: Any,
    checkpoint: Checkpoint,
    name: str,
) -> Fit:
    """Train a segmenter, or go on where a checkpoint of the same training stopped.

    Args:
        segmenter: has ``loss(batch)``, ``assess(batch)`` and ``predict(batch)``.
        training: slices of training patients.
        validation: slices of validation patients; None only where ``settings.select`` is last.
            With best, the step with the highest Dice is kept; among equal ones, or where no slice
            has a nodule, the one with the lowest loss; among equal ones of these, the earliest.
        order: the batches.
        settings: budget, optimiser, schedule, and when to validate and save.
        fabric: made by :func:`make_fabric`.
        checkpoint: read at the start, written as the training goes; not removed.
        name: begins every line of the log.

    Raises:
        TrainingError: the loss is no longer finite.
        ValueError: the best step cannot be chosen, for want of validation slices.
    """
    if validation is None and settings.select == "best":
        raise ValueError("no validation slices; accepted with select: last only")
    loop = _Loop(segmenter, validation, order, settings, fabric, checkpoint, name)
    loop.resume()
    done = loop.progress.step
    batches = loader(training, order.batches(done, loop.n_steps), settings.workers)
    for batch in batches:
        loop.learn(fabric.to_device(batch))
        loop.account()
    return loop.finish()


class _Loop:
    def __init__(
        self,
        segmenter: nn.Module,
        validation: Slices | None,
        order: BatchOrder,
        settings: TrainingSettings,
        fabric: Any,
        checkpoint: Checkpoint,
        name: str,
    ) -> None:
        self.settings = settings
        self.validation = validation
        self.checkpoint = checkpoint
        self.fabric = fabric
        self.name = name
        self.batches_per_epoch = order.batches_per_epoch
        by_epochs = settings.epochs * order.batches_per_epoch
        self.n_steps = settings.steps if settings.budget == "steps" else by_epochs
        self.progress = Progress()
        self.module, self.optimiser = fabric.setup(segmenter, make_optimiser(segmenter, settings))
        for method in ("loss", "assess", "predict"):
            self.module.mark_forward_method(method)
        self._loss_sum = torch.zeros((), dtype=torch.float64, device=fabric.device)
        self._clock = (0, time.perf_counter())

    def learn(self, batch: Batch) -> None:
        """One optimiser step."""
        self.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.progress.step, self.n_steps, self.settings)
        self.optimiser.zero_grad()
        loss = self.module.loss(batch)
        self.fabric.backward(loss)
        self.optimiser.step()
        # On the device: reading every loss would make a GPU wait.
        self._loss_sum += loss.detach()
        self.progress.step += 1

    def account(self) -> None:
        """Validate and save when it is time."""
        step, settings = self.progress.step, self.settings
        last = step == self.n_steps
        validating = last or step % settings.validate_every == 0
        saving = last or step % settings.checkpoint_every == 0
        if validating or saving:
            self._check_loss()
        if validating:
            self._validate()
        if saving:
            self._save()

    def resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.module.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        rows = [HistoryRow(**row) for row in state["progress"].pop("history")]
        self.progress = Progress(**state["progress"], history=rows)
        self._loss_sum.fill_(self.progress.loss_sum)
        self._clock = (self.progress.step, time.perf_counter())
        logger.info("%s goes on after step %d", self.name, self.progress.step)

    def finish(self) -> Fit:
        """Put the kept weights into the module."""
        if self.progress.best_weights is None:
            return Fit(self.module, self.progress.step, self.progress.history)
        self.module.load_state_dict(self.progress.best_weights)
        return Fit(self.module, self.progress.best_step, self.progress.history)

    def _check_loss(self) -> None:
        self.progress.loss_sum = self._loss_sum.item()
        if not math.isfinite(self.progress.loss_sum):
            first = self.progress.history[-1].step + 1 if self.progress.history else 1
            raise TrainingError(
                f"{self.name}: the loss is no longer finite between steps {first} and "
                f"{self.progress.step}; try a learning_rate below {self.settings.learning_rate}"
            )

    def _validate(self) -> None:
        progress, settings = self.progress, self.settings
        loss, dice = math.nan, math.nan
        if self.validation is not None:
            loss, dice = validate(self.module, self.validation, settings.batch_size, self.fabric)
            if settings.select == "best" and math.isnan(dice) and not progress.history:
                logger.info(
                    "%s: no validation slice has a nodule: the lowest validation loss decides",
                    self.name,
                )
        since = progress.history[-1].step if progress.history else 0
        row = HistoryRow(
            step=progress.step,
            epoch=progress.step / self.batches_per_epoch,
            train_loss=progress.loss_sum / (progress.step - since),
            validation_loss=loss,
            validation_dice=dice,
            learning_rate=self.optimiser.param_groups[0]["lr"],
        )
        progress.history.append(row)
        self._loss_sum.zero_()
        progress.loss_sum = 0.0
        if settings.select == "best":
            self._keep_if_best(row)
        self._log(row)

    def _keep_if_best(self, row: HistoryRow) -> None:
        progress = self.progress
        best = rank(progress.best_dice, progress.best_loss)
        if progress.best_step and rank(row.validation_dice, row.validation_loss) <= best:
            return
        progress.best_dice, progress.best_loss = row.validation_dice, row.validation_loss
        progress.best_step, progress.best_weights = row.step, weights_of(self.module)

    def _save(self) -> None:
        progress = {name: getattr(self.progress, name) for name in vars(self.progress)}
        progress["history"] = [asdict(row) for row in self.progress.history]
        self.checkpoint.save(
            {
                "network": self.module.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "progress": progress,
            }
        )

    def _log(self, row: HistoryRow) -> None:
        now = time.perf_counter()
        speed = (row.step - self._clock[0]) / max(now - self._clock[1], 1e-9)
        self._clock = (row.step, now)
        logger.info(
            "%s step %d/%d epoch %.1f loss %.4f validation %.4f dice %.4f (best %.4f at %d) "
            "%.1f steps/s",
            *(self.name, row.step, self.n_steps, row.epoch, row.train_loss),
            *(row.validation_loss, row.validation_dice),
            *(self.progress.best_dice, self.progress.best_step, speed),
        )


def rank(dice: float, loss: float) -> tuple[float, float]:
    """What orders steps, the better the larger: validation Dice, then a lower validation loss.

    Steps without a Dice (NaN) are equal in it; a loss that is NaN is worse than any other.
    """
    return (0.0 if math.isnan(dice) else dice, -math.inf if math.isnan(loss) else -loss)


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """The rate of a step, counted from 0.

    References:
        Loshchilov I, Hutter F, SGDR, ICLR 2017, equation 5, without restarts.
    """
    if settings.schedule == "constant":
        return settings.learning_rate
    return settings.learning_rate * (1 + math.cos(math.pi * step / n_steps)) / 2


def make_optimiser(module: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum, over all parameters."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimiser == "sgd":
        return torch.optim.SGD(
            module.parameters(), rate, momentum=settings.momentum, weight_decay=decay
        )
    return torch.optim.AdamW(module.parameters(), rate, weight_decay=decay, fused=True)


def weights_of(module: Any) -> Weights:
    """A copy of the weights on the CPU."""
    state = module.state_dict()
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}


def make_fabric(device: str) -> Any:
    """Fabric on one device.

    Args:
        device: auto (CUDA where there is a device), cpu or cuda.

    Raises:
        SettingError: another device, or cuda where there is none.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise SettingError(f"device: got {device!r}; accepted: auto, cpu, cuda")
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise SettingError("device: got 'cuda', but torch sees no CUDA device; accepted: auto, cpu")
    return Fabric(accelerator="cuda" if cuda and device != "cpu" else "cpu", devices=1)


@contextlib.contextmanager
def reproducible(threads: int, fabric: Any) -> Iterator[None]:
    """Within: torch's number of threads, and on the CPU its deterministic algorithms only."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(before[1] or fabric.device.type == "cpu")
    # Only helps to find reads of memory that nothing was written to, and takes a tenth of a step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filling
