"""The training loop: steps, validation, the best step, checkpoints."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lungaug.errors import LungaugError
from lungaug.training.checkpoint import Checkpoint, generator_states, set_generator_states
from lungaug.training.cost import Effort
from lungaug.training.data import Batch, Slices, loader
from lungaug.training.devices import (
    everyones,
    part_generators,
    shares,
)
from lungaug.training.ema import Average
from lungaug.training.events import Events
from lungaug.training.history import HistoryRow
from lungaug.training.inference import validate
from lungaug.training.optimisation import learning_rate, make_optimiser
from lungaug.training.order import BatchOrder
from lungaug.training.progress import Progress, Weights
from lungaug.training.settings import RunningSettings, TrainingSettings

logger = logging.getLogger(__name__)

Judge = Callable[[Any, Slices, int, Any], tuple[float, float]]
"""Of a module, slices, a batch size and Fabric: a loss, the lower the better, and a score, the
higher the better; NaN where there is none. The score decides, the loss among equal ones."""

METHODS = ("loss", "assess", "predict", "find")
SHOWN_SLICES = 16


class TrainingError(LungaugError):
    """Training cannot go on."""


@dataclass(frozen=True)
class Fit:
    """A finished training: the module holds the weights of the kept step."""

    module: Any
    step: int  # the kept one
    history: list[HistoryRow]
    n_steps: int  # that were made
    effort: Effort  # of these


def fit(
    segmenter: nn.Module,
    training: Slices,
    validation: Slices | None,
    order: BatchOrder,
    *,
    settings: TrainingSettings,
    running: RunningSettings,
    fabric: Any,
    checkpoint: Checkpoint,
    name: str,
    judge: Judge = validate,
    events: Path | None = None,
) -> Fit:
    """Train a network, or go on where a checkpoint of the same training stopped.

    Args:
        segmenter: has ``loss(batch)``, and whatever the judge asks for.
        training: slices of training patients.
        validation: slices of validation patients; None only where ``settings.select`` is last and
            ``settings.patience`` null. With best, the step with the highest score is kept; among
            equal ones, or where there is no score, the one with the lowest loss; among equal ones
            of these, the earliest.
        order: the batches.
        settings: budget, optimiser, schedule, and when to validate.
        running: when to save, and how many processes load.
        fabric: made by :func:`lungaug.training.devices.make_fabric`. Each of its processes takes
            its share of every batch; the first validates and writes.
        checkpoint: read at the start, written as the training goes; not removed.
        name: begins every line of the log.
        judge: what validates; in evaluation mode, without gradients, in Fabric's precision.
        events: folder of TensorBoard events; None: none.

    Raises:
        TrainingError: loss or weights are no longer finite. The checkpoint is from before.
        ValueError: the best step cannot be chosen, for want of validation slices.
    """
    if validation is None and (settings.select == "best" or settings.patience is not None):
        raise ValueError("no validation slices; accepted with select: last, patience: null only")
    data = (training, validation, order)
    loop = _Loop(segmenter, *data, settings, running, fabric, checkpoint, name, judge)
    loop.resume()
    loop.watch(events)
    if not loop.finished:
        tickets = shares(order.batches(loop.progress.step, loop.n_steps), fabric)
        for batch in loader(training, tickets, running.workers):
            loop.learn(fabric.to_device(batch))
            loop.account()
            if loop.finished:
                break
    return loop.finish()


class _Loop:
    def __init__(
        self,
        segmenter: nn.Module,
        training: Slices,
        validation: Slices | None,
        order: BatchOrder,
        settings: TrainingSettings,
        running: RunningSettings,
        fabric: Any,
        checkpoint: Checkpoint,
        name: str,
        judge: Judge,
    ) -> None:
        self.training, self.validation = training, validation
        self.order, self.settings, self.running = order, settings, running
        self.fabric, self.checkpoint = fabric, checkpoint
        self.name, self.judge = name, judge
        by_epochs = settings.epochs * order.batches_per_epoch
        self.n_steps = settings.steps if settings.budget == "steps" else by_epochs
        self.progress = Progress()
        # The network itself, without the wrapper in which processes wait for each other.
        self.network = segmenter
        self.module, self.optimiser = fabric.setup(segmenter, make_optimiser(segmenter, settings))
        for method in METHODS:
            if hasattr(segmenter, method):
                self.module.mark_forward_method(method)
        self.average = Average(segmenter, settings.ema) if settings.ema else None
        self.events: Events | None = None
        # Of the steps since the last look at them, and the first of these steps.
        self._losses: list[Tensor] = []
        self._first = 0
        self._clock = time.perf_counter()
        self._logged = (0, 0.0)
        part_generators(fabric)

    @property
    def finished(self) -> bool:
        patience = self.settings.patience
        stopped = patience is not None and self.progress.worse >= patience
        return stopped or self.progress.step >= self.n_steps

    def learn(self, batch: Batch) -> None:
        """One optimiser step."""
        self.module.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(self.progress.step, self.n_steps, self.settings)
        self.optimiser.zero_grad()
        # Fabric's wrapper sets the precision for `forward` and for several processes only.
        with self.fabric.autocast():
            loss = self.module.loss(batch)
        self._note(loss.detach())
        self.fabric.backward(loss)
        if self.settings.clip_norm is not None:
            self.fabric.clip_gradients(
                self.module,
                self.optimiser,
                max_norm=self.settings.clip_norm,
                error_if_nonfinite=False,
            )
        self.optimiser.step()
        self.progress.step += 1
        if self.average is not None:
            self.average.update(self.progress.step)

    def account(self) -> None:
        """Validate and save when it is time."""
        step, settings = self.progress.step, self.settings
        last = step == self.n_steps
        validating = last or step % settings.validate_every == 0
        saving = last or step % self.running.checkpoint_every == 0
        if not (validating or saving):
            return
        self._take_losses()
        self._check_weights()
        self.progress.seconds += time.perf_counter() - self._clock
        if validating:
            self._validate()
        if saving or self.finished:
            self._save()
        self._clock = time.perf_counter()

    def resume(self) -> None:
        state = self.checkpoint.load()
        if state is None:
            return
        self.network.load_state_dict(state["network"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.fabric.strategy.precision.load_state_dict(state["scaler"])
        if self.average is not None:
            self.average.load_state_dict(state["average"])
        self.progress = Progress.of(state["progress"])
        set_generator_states(state["generators"][self.fabric.global_rank])
        self._logged = (self.progress.step, self.progress.seconds)
        logger.info("%s goes on after step %d", self.name, self.progress.step)

    def watch(self, folder: Path | None) -> None:
        """Write TensorBoard events from here on."""
        if folder is not None and self.fabric.is_global_zero and not self.finished:
            self.events = Events(folder, self.progress.step)
        self._clock = time.perf_counter()

    def finish(self) -> Fit:
        """Put the kept weights into the network."""
        if self.events is not None:
            self.events.close()
        progress, best = self.progress, self.progress.best_weights
        self.network.load_state_dict(self._judged().state_dict() if best is None else best)
        kept = progress.step if best is None else progress.best_step
        return Fit(self.network, kept, progress.history, progress.step, self._effort())

    def _effort(self) -> Effort:
        n_steps, seconds = self.progress.step, self.progress.seconds
        n_parameters = sum(weight.numel() for weight in self.network.parameters())
        return Effort(n_steps, n_steps * self.settings.batch_size, seconds, n_parameters)

    def _judged(self) -> nn.Module:
        return self.network if self.average is None else self.average.settled()

    @property
    def _looks_at_once(self) -> bool:
        """Reading every loss would make a GPU wait."""
        return bool(self.fabric.device.type == "cpu")

    def _note(self, loss: Tensor) -> None:
        if not self._losses:
            self._first = self.progress.step
        self._losses.append(loss)
        if self._looks_at_once:
            self._take_losses()

    def _take_losses(self) -> None:
        """Add the losses since the last look, and find the first that is no number.

        Raises:
            TrainingError: there is one.
        """
        if not self._losses:
            return
        losses = torch.stack(self._losses).double()
        losses = self.fabric.all_reduce(losses, reduce_op="mean").tolist()
        self._losses = []
        for step, loss in enumerate(losses, start=self._first):
            if not math.isfinite(loss):
                raise self._error("loss is", step)
            self.progress.loss_sum += loss

    def _check_weights(self) -> None:
        """Nothing, unless the last step has spoiled the weights: no checkpoint may hold such."""
        weights = [
            value for value in self.network.state_dict().values() if value.is_floating_point()
        ]
        if not torch.stack([value.float().sum() for value in weights]).isfinite().all():
            raise self._error("weights are", self.progress.step - 1)

    def _error(self, what: str, step: int) -> TrainingError:
        keys = [self.training.rows.keys[ticket.row] for ticket in self.order.batch(step)]
        keys, n_more = keys[:SHOWN_SLICES], len(keys) - SHOWN_SLICES
        more = f" and {n_more} more" if n_more > 0 else ""
        kept = "; the checkpoint of an earlier step is kept, and the next start goes on from it"
        return TrainingError(
            f"{self.name}: the {what} no longer finite at step {step + 1}, on the slices "
            f"{', '.join(keys)}{more}{kept if self.checkpoint.path.is_file() else ''}; look at "
            f"these, or try a learning_rate below {self.settings.learning_rate}"
        )

    def _validate(self) -> None:
        progress = self.progress
        loss, score = self._scores()
        since = progress.history[-1].step if progress.history else 0
        row = HistoryRow(
            step=progress.step,
            epoch=progress.step / self.order.batches_per_epoch,
            train_loss=progress.loss_sum / (progress.step - since),
            validation_loss=loss,
            validation_dice=score,
            learning_rate=self.optimiser.param_groups[0]["lr"],
        )
        progress.history.append(row)
        progress.loss_sum = 0.0
        if (
            self.validation is not None
            and progress.improved(row)
            and self.settings.select == "best"
        ):
            progress.best_weights = weights_of(self._judged())
        self._log(row)

    def _scores(self) -> tuple[float, float]:
        """Loss and score of the first process, in every process."""
        scores = (math.nan, math.nan)
        if self.validation is not None and self.fabric.is_global_zero:
            judged = self._judged().eval()
            with torch.no_grad(), self.fabric.autocast():
                scores = self.judge(judged, self.validation, self.settings.batch_size, self.fabric)
            if math.isnan(scores[1]) and not self.progress.history:
                logger.info(
                    "%s: no validation slice has a nodule: the lowest validation loss decides",
                    self.name,
                )
        loss, score = self.fabric.broadcast(scores)
        return loss, score

    def _save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "average": self.average and self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.fabric.strategy.precision.state_dict(),
            "generators": everyones(generator_states(), self.fabric),
            "progress": self.progress.state_dict(),
        }
        if self.fabric.is_global_zero:
            self.checkpoint.save(state)
        self.fabric.barrier()

    def _log(self, row: HistoryRow) -> None:
        step, seconds = self._logged
        self._logged = (row.step, self.progress.seconds)
        speed = (row.step - step) / max(self.progress.seconds - seconds, 1e-9)
        samples = speed * self.settings.batch_size
        if self.events is not None:
            self.events.write(row, samples)
        logger.info(
            "%s step %d/%d epoch %.1f loss %.4f validation %.4f dice %.4f (best %.4f at %d) "
            "%.1f steps/s, %.1f samples/s",
            *(self.name, row.step, self.n_steps, row.epoch, row.train_loss),
            *(row.validation_loss, row.validation_dice),
            *(self.progress.best_dice, self.progress.best_step, speed, samples),
        )
        if self.finished and row.step < self.n_steps:
            logger.info(
                "%s stops early: %d validations without a better one",
                self.name,
                self.progress.worse,
            )


def weights_of(module: Any) -> Weights:
    """A copy of the weights on the CPU."""
    state = module.state_dict()
    return {name: value.detach().to("cpu", copy=True) for name, value in state.items()}
