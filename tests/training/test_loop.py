"""The loop on a network of two layers, with dropout, so that generators matter."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lungaug.cohort import read_table
from lungaug.errors import SettingError
from lungaug.imaging.contrast import network_input
from lungaug.training import loop
from lungaug.training.checkpoint import Checkpoint, seed_generators
from lungaug.training.data import Batch, SliceRows, Slices
from lungaug.training.history import write_history
from lungaug.training.loop import Fit, TrainingError, fit, learning_rate, make_fabric, reproducible
from lungaug.training.losses import bce_dice
from lungaug.training.order import BatchOrder
from lungaug.training.settings import OnlineSettings, TrainingSettings
from tiny_training import TRAINING, Cohort, write_cohort

TEN = replace(TRAINING, steps=10, validate_every=4, checkpoint_every=3)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def loss(self, batch: Batch) -> Tensor:
        return bce_dice(self.layers(batch.image), (batch.nodule > 0).float())

    def predict(self, batch: Batch) -> Tensor:
        return torch.sigmoid(self.layers(batch.image))

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.loss(batch), self.predict(batch)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def train(cohort: Cohort, tmp_path: Path) -> Iterator[Callable[..., Fit]]:
    fabric = make_fabric("cpu")

    def run(settings: TrainingSettings = TEN, validate: bool = True, identity: str = "same") -> Fit:
        table = read_table(cohort.slices)
        rows = SliceRows(table[table["role"] == "train"], cohort.root)
        held_out = SliceRows(table[table["role"] == "validation"], cohort.root)
        seed_generators(1)
        return fit(
            Small(),
            Slices(rows, network_input, online=OnlineSettings()),
            Slices(held_out, network_input) if validate else None,
            BatchOrder(rows.groups, settings.batch_size),
            settings=settings,
            fabric=fabric,
            checkpoint=Checkpoint(tmp_path / "checkpoint.pt", identity),
            name="test",
        )

    with reproducible(1, fabric):
        yield run


def die_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process ends within that step: nothing after the last checkpoint is left."""
    learn = loop._Loop.learn

    def dying(self: Any, batch: Batch) -> None:
        if self.progress.step == step:
            raise KeyboardInterrupt
        learn(self, batch)

    monkeypatch.setattr(loop._Loop, "learn", dying)


def assert_same_fit(one: Fit, other: Fit) -> None:
    assert one.step == other.step
    assert one.history == other.history
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name


@pytest.mark.parametrize("optimiser", ["adamw", "sgd"])
@pytest.mark.parametrize("step", [0, 2, 3, 5, 8, 9])
def test_killed_anywhere_it_ends_with_the_same_bits(
    train: Callable[..., Fit], tmp_path: Path, step: int, optimiser: Any
) -> None:
    settings = replace(TEN, optimiser=optimiser)
    whole = train(settings)
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.MonkeyPatch.context() as patch:
        die_at(step, patch)
        with pytest.raises(KeyboardInterrupt):
            train(settings)
    assert_same_fit(whole, train(settings))


def test_a_finished_training_is_not_repeated(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train()
    monkeypatch.setattr(loop._Loop, "learn", None)
    assert_same_fit(whole, train())


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
    monkeypatch: pytest.MonkeyPatch,
    scores: list[tuple[float, float]],
    best: int,
) -> None:
    kept: list[Any] = []
    monkeypatch.setattr(loop, "validate", validate_as(scores, kept))
    fitted = train()
    assert fitted.step == (4, 8, 10)[best]
    for name, value in fitted.module.state_dict().items():
        assert torch.equal(value, kept[best][name])


@pytest.mark.parametrize("dice", [0.0, NAN])
def test_a_checkpoint_holds_the_loss_of_the_best_step(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, dice: float
) -> None:
    monkeypatch.setattr(loop, "validate", validate_as([(0.5, dice), (0.9, dice), (0.7, dice)]))
    with pytest.MonkeyPatch.context() as patch:
        die_at(9, patch)
        with pytest.raises(KeyboardInterrupt):
            train()
    assert train().step == 4


def test_without_a_nodule_to_validate_on_it_is_said_once(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(loop, "validate", validate_as([(0.5, NAN)] * 3))
    with caplog.at_level("INFO"):
        train()
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


def test_a_loss_that_is_no_number_stops_and_keeps_the_checkpoint(
    train: Callable[..., Fit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = iter(range(100))
    nan = torch.tensor(math.nan)
    loss = Small.loss
    monkeypatch.setattr(
        Small, "loss", lambda self, batch: loss(self, batch) * (nan if next(calls) == 4 else 1)
    )
    settings = replace(TEN, validate_every=10)
    with pytest.raises(TrainingError, match=r"no longer finite between steps 1 and 6.*0\.01"):
        train(settings)
    state = Checkpoint(tmp_path / "checkpoint.pt", "same").load()
    assert state is not None
    assert state["progress"]["step"] == 3


def test_progress_is_logged(train: Callable[..., Fit], caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        train()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert lines[0].startswith("test step 4/10 epoch 0.7 loss ")
    assert lines[0].endswith(" steps/s")


def test_rates() -> None:
    cosine = [learning_rate(step, 4, TEN) for step in (0, 2, 4)]
    assert cosine == pytest.approx([0.01, 0.005, 0.0])
    assert learning_rate(3, 4, replace(TEN, schedule="constant")) == 0.01


def test_history_is_a_table(train: Callable[..., Fit], tmp_path: Path) -> None:
    fitted = train()
    write_history(tmp_path / "history.tsv", fitted.history, fitted.step)
    table = read_table(tmp_path / "history.tsv")
    assert table["step"].tolist() == [4, 8, 10]
    assert table.loc[table["best"] == 1, "step"].tolist() == [fitted.step]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(SettingError, match=r"'cuda'.*accepted: auto, cpu"):
        make_fabric("cuda")
    assert make_fabric("auto").device.type == "cpu"


def test_an_unknown_device() -> None:
    with pytest.raises(SettingError, match="'tpu'; accepted: auto, cpu, cuda"):
        make_fabric("tpu")


def test_reproducible_puts_everything_back() -> None:
    memory: Any = torch.utils.deterministic

    def state() -> tuple[int, bool, bool]:
        deterministic = torch.are_deterministic_algorithms_enabled()
        return torch.get_num_threads(), deterministic, memory.fill_uninitialized_memory

    before = state()
    with reproducible(1, make_fabric("cpu")):
        assert state() == (1, True, False)
    assert state() == before
