"""The loop on a network of two layers, with dropout, so that generators matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lungaug.cohort import read_table
from lungaug.training import loop
from lungaug.training.checkpoint import seed_generators
from lungaug.training.data import Batch
from lungaug.training.history import write_history
from lungaug.training.loop import Fit
from lungaug.training.optimisation import learning_rate
from lungaug.training.settings import RunningSettings
from training.small_fit import EVERY_STEP, EVERYTHING, TEN, Small, assert_same_fit, curves


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends within that step: nothing after the last checkpoint is left."""
    learn = loop._Loop.learn

    def dying(self: Any, batch: Batch) -> None:
        if self.progress.step == step:
            raise KeyboardInterrupt
        learn(self, batch)

    monkeypatch.setattr(loop._Loop, "learn", dying)


@pytest.mark.parametrize("how", [{}, {"optimiser": "sgd"}, EVERYTHING])
@pytest.mark.parametrize("step", [0, 2, 3, 5, 8, 9])
def test_killed_anywhere_it_ends_with_the_same_bits(
    train: Callable[..., Fit], tmp_path: Path, step: int, how: Any
) -> None:
    settings = replace(TEN, **how)
    whole = train(settings)
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.MonkeyPatch.context() as patch:
        die_at(step, patch)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    assert_same_fit(whole, train(settings))


@pytest.mark.parametrize("patience", [None, 1])
def test_a_finished_training_is_not_repeated(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, patience: int | None
) -> None:
    settings = replace(TEN, patience=patience)
    judge = validate_as([(0.1, 0.5), (0.2, 0.4), (0.3, 0.3)])
    whole = train(settings, judge=judge)
    assert whole.n_steps == (10 if patience is None else 8)
    monkeypatch.setattr(loop._Loop, "learn", None)
    assert_same_fit(whole, train(settings, judge=judge))


@pytest.mark.parametrize(("patience", "last"), [(1, 4), (2, 6), (3, 10), (None, 10)])
def test_patience_counts_validations_since_the_best(
    train: Callable[..., Fit], caplog: pytest.LogCaptureFixture, patience: int, last: int
) -> None:
    scores = [(0.5, 0.6), (0.5, 0.5), (0.5, 0.4), (0.5, 0.9), (0.5, 0.8)]
    settings = replace(TEN, patience=patience, validate_every=2)
    with caplog.at_level("INFO"):
        fitted = train(settings, judge=validate_as(scores))
    assert fitted.n_steps == last
    assert fitted.step == (8 if last == 10 else 2)
    assert ("stops early" in caplog.text) == (last < 10)


def test_patience_goes_on_where_it_stood(train: Callable[..., Fit]) -> None:
    scores = [(0.5, 0.6), (0.5, 0.5), (0.5, 0.4)]
    judge = validate_as(scores)
    settings = replace(TEN, patience=2, validate_every=2)
    with pytest.MonkeyPatch.context() as patch:
        die_at(5, patch)
        with pytest.raises(KeyboardInterrupt):
            train(settings, judge=judge, running=EVERY_STEP)
    assert train(settings, judge=judge, running=EVERY_STEP).n_steps == 6


def test_how_it_runs_changes_no_bit(train: Callable[..., Fit]) -> None:
    whole = train()
    other = RunningSettings(workers=1, checkpoint_every=7)
    assert_same_fit(whole, train(running=other, identity="other"))


def test_what_is_validated_and_kept_is_the_average(train: Callable[..., Fit]) -> None:
    """Against the definition, on the weights after every step."""
    seen: list[Any] = []
    learn = loop._Loop.learn

    def seeing(self: Any, batch: Batch) -> None:
        seen.append(loop.weights_of(self.network))
        learn(self, batch)
        if self.progress.step == 10:
            seen.append(loop.weights_of(self.network))

    judged: list[Any] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "learn", seeing)
        fitted = train(
            replace(TEN, ema=0.5, select="last"), judge=validate_as([(0.5, 0.5)] * 3, judged)
        )
    name = "layers.0.weight"
    average = seen[0][name]
    for step, weights in enumerate(seen[1:], start=1):
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * weights[name]
    torch.testing.assert_close(fitted.module.state_dict()[name], average)
    torch.testing.assert_close(judged[-1][name], average)
    buffer = "layers.1.running_mean"
    assert torch.equal(fitted.module.state_dict()[buffer], seen[-1][buffer])


def test_the_best_weights_are_the_average_that_was_validated(train: Callable[..., Fit]) -> None:
    """Not the raw weights of that step, nor the average of a later one."""
    judged: list[Any] = []
    raw: list[Any] = []
    note = loop._Loop._validate

    def seeing(self: Any) -> None:
        raw.append(loop.weights_of(self.network))
        note(self)

    scores = [(0.5, 0.6), (0.5, 0.9), (0.5, 0.7)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "_validate", seeing)
        fitted = train(replace(TEN, ema=0.9), judge=validate_as(scores, judged))
    assert fitted.step == 8
    weights = fitted.module.state_dict()
    for name, value in weights.items():
        assert torch.equal(value, judged[1][name]), name
    assert not torch.equal(weights["layers.0.weight"], raw[1]["layers.0.weight"])


def test_the_loss_of_a_row_is_the_mean_since_the_row_before(train: Callable[..., Fit]) -> None:
    losses: list[float] = []
    note = loop._Loop._note

    def noting(self: Any, loss: Tensor) -> None:
        losses.append(loss.item())
        note(self, loss)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "_note", noting)
        history = train().history
    means = [sum(losses[a:b]) / (b - a) for a, b in ((0, 4), (4, 8), (8, 10))]
    assert [row.train_loss for row in history] == pytest.approx(means, rel=1e-6)


@pytest.mark.learning
def test_bf16_learns_and_weights_stay_32_bit(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Layers work in bfloat16 in training too, not only where the loop validates."""
    seen: set[torch.dtype] = set()
    loss = Small.loss

    def looked_at(self: Small, batch: Batch) -> Tensor:
        if self.training:
            seen.add(self.layers[0](batch.image).dtype)
        return loss(self, batch)

    monkeypatch.setattr(Small, "loss", looked_at)
    fitted = train(replace(TEN, steps=40, precision="bf16-mixed", validate_every=20))
    assert seen == {torch.bfloat16}
    full = train(replace(TEN, steps=40, validate_every=20), identity="full")
    losses = [[row.train_loss for row in fit.history] for fit in (fitted, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.05)
    assert losses[0] != losses[1]
    assert all(second < 0.9 * first for first, second in losses)
    assert {value.dtype for value in fitted.module.parameters()} == {torch.float32}


def test_gradients_are_shortened(train: Callable[..., Fit]) -> None:
    """Plain descent: a step's length is the rate times the gradient's."""
    how = {"optimiser": "sgd", "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant"}
    short = replace(TEN, steps=1, clip_norm=1e-3, select="last", **how)  # type: ignore[arg-type]
    seed_generators(1)
    before = [weight.detach() for weight in Small().parameters()]
    after = train(short, validate=False).module.parameters()
    moves = [(b - a).square().sum() for b, a in zip(before, after, strict=True)]
    assert sum(moves).sqrt().item() == pytest.approx(1e-3 * short.learning_rate, rel=1e-2)


def test_another_training_starts_afresh(train: Callable[..., Fit]) -> None:
    whole = train(replace(TEN, steps=4), identity="one")
    assert_same_fit(whole, train(replace(TEN, steps=4), identity="two"))


def test_history_has_every_validation_and_the_last_step(train: Callable[..., Fit]) -> None:
    fitted = train()
    assert [row.step for row in fitted.history] == [4, 8, 10]
    assert fitted.history[-1].epoch == pytest.approx(10 / 6)
    rates = [row.learning_rate for row in fitted.history]
    assert rates == [learning_rate(step - 1, 10, TEN) for step in (4, 8, 10)]


NAN = math.nan


def validate_as(scores: Sequence[tuple[float, float]], kept: list[Any] | None = None) -> Any:
    """A ``validate`` that returns these losses and Dice, one after the other."""
    left = iter(scores)

    def validate(module: Any, *_: Any) -> tuple[float, float]:
        if kept is not None:
            kept.append(loop.weights_of(module))
        return next(left)

    return validate


@pytest.mark.parametrize(
    ("scores", "best"),
    [
        ([(1.0, 0.2), (1.0, 0.6), (1.0, 0.6)], 1),
        ([(0.1, 0.2), (0.9, 0.6), (0.1, 0.5)], 1),
        ([(0.9, 0.0), (0.5, 0.0), (0.7, 0.0)], 1),
        ([(0.5, 0.0), (0.5, 0.0), (0.9, 0.0)], 0),
        ([(0.9, 0.6), (0.1, 0.2), (0.8, 0.6)], 2),
        ([(0.9, NAN), (0.5, NAN), (0.5, NAN)], 1),
        ([(NAN, 0.0), (NAN, 0.0), (0.5, 0.0)], 2),
        ([(0.5, NAN), (NAN, NAN), (NAN, NAN)], 0),
        ([(NAN, NAN), (NAN, NAN), (NAN, NAN)], 0),
    ],
)
def test_the_best_step_has_the_highest_dice_then_the_lowest_loss_then_is_the_earliest(
    train: Callable[..., Fit],
    scores: list[tuple[float, float]],
    best: int,
) -> None:
    kept: list[Any] = []
    fitted = train(judge=validate_as(scores, kept))
    assert fitted.step == (4, 8, 10)[best]
    for name, value in fitted.module.state_dict().items():
        assert torch.equal(value, kept[best][name])


@pytest.mark.parametrize("dice", [0.0, NAN])
def test_a_checkpoint_holds_the_loss_of_the_best_step(
    train: Callable[..., Fit], dice: float
) -> None:
    judge = validate_as([(0.5, dice), (0.9, dice), (0.7, dice)])
    with pytest.MonkeyPatch.context() as patch:
        die_at(9, patch)
        with pytest.raises(KeyboardInterrupt):
            train(judge=judge)
    assert train(judge=judge).step == 4


def test_without_a_nodule_to_validate_on_it_is_said_once(
    train: Callable[..., Fit], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        train(judge=validate_as([(0.5, NAN)] * 3))
    assert caplog.text.count("the lowest validation loss decides") == 1


def test_the_last_step_without_validation_patients(train: Callable[..., Fit]) -> None:
    fitted = train(replace(TEN, select="last"), validate=False)
    assert fitted.step == 10
    assert all(math.isnan(row.validation_dice) for row in fitted.history)


def test_the_best_step_needs_validation_patients(train: Callable[..., Fit]) -> None:
    with pytest.raises(ValueError, match="select: last"):
        train(validate=False)


def test_a_budget_of_epochs(train: Callable[..., Fit]) -> None:
    fitted = train(replace(TEN, budget="epochs", epochs=2))
    assert fitted.history[-1].step == 12
    assert fitted.history[-1].epoch == 2


def test_progress_is_logged(train: Callable[..., Fit], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        train()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("test step 4/10 epoch 0.7 loss ")
    assert lines[0].endswith(" samples/s")


def test_events_are_written_while_it_goes(train: Callable[..., Fit], tmp_path: Path) -> None:
    train(events=tmp_path / "events")
    assert [step for step, _ in curves(tmp_path / "events")["loss/validation"]] == [4, 8, 10]


def test_a_finished_training_leaves_its_events_alone(
    train: Callable[..., Fit], tmp_path: Path
) -> None:
    folder = tmp_path / "events"
    train(events=folder)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    train(events=folder)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_rates() -> None:
    cosine = [learning_rate(step, 4, TEN) for step in (0, 2, 4)]
    assert cosine == pytest.approx([0.01, 0.005, 0.0])
    assert learning_rate(3, 4, replace(TEN, schedule="constant")) == 0.01
    poly = [learning_rate(step, 4, replace(TEN, schedule="poly")) for step in (0, 2, 4)]
    assert poly == pytest.approx([0.01, 0.01 * 0.5**0.9, 0.0])
    warm = replace(TEN, warmup_steps=4)
    rates = [learning_rate(step, 8, warm) for step in (0, 1, 3, 4, 6, 8)]
    assert rates == pytest.approx([0.0025, 0.005, 0.01, 0.01, 0.005, 0.0])


@pytest.mark.parametrize("score", ["validation_dice", "validation_auc"])
def test_history_is_a_table(train: Callable[..., Fit], tmp_path: Path, score: str) -> None:
    fitted = train()
    write_history(tmp_path / "history.tsv", fitted.history, fitted.step, score)
    table = read_table(tmp_path / "history.tsv")
    losses = ["train_loss", "validation_loss"]
    assert list(table.columns) == ["step", "epoch", *losses, score, "learning_rate", "best"]
    scores = [row.validation_dice for row in fitted.history]
    assert table[score].tolist() == pytest.approx(scores, abs=1e-5)
    assert table["step"].tolist() == [4, 8, 10]
    assert table.loc[table["best"] == 1, "step"].tolist() == [fitted.step]
