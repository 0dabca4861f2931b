"""Losses and weights that are no numbers: where it stops, what it names and what it keeps."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from lungaug.cohort import read_table
from lungaug.training import loop
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.data import Batch
from lungaug.training.loop import Fit, TrainingError
from lungaug.training.order import BatchOrder
from tiny_training import Cohort
from training.small_fit import TEN, Small, assert_same_fit


def spoil(patch: pytest.MonkeyPatch, step: int) -> None:
    """The loss of that step, counted from 1, is no number."""
    learn, loss = loop._Loop.learn, Small.loss
    now = [0]

    def counting(self: Any, batch: Batch) -> None:
        now[0] = self.progress.step + 1
        learn(self, batch)

    def wrong(self: Small, batch: Batch) -> Tensor:
        return loss(self, batch) * (math.nan if self.training and now[0] == step else 1)

    patch.setattr(loop._Loop, "learn", counting)
    patch.setattr(Small, "loss", wrong)


def keys_of(cohort: Cohort, step: int) -> list[str]:
    """Of the slices of a step, counted from 1."""
    table = read_table(cohort.slices)
    table = table[table["role"] == "train"].reset_index()
    tickets = BatchOrder(table["group"].tolist(), TEN.batch_size).batch(step - 1)
    return [table["key"][ticket.row] for ticket in tickets]


@pytest.mark.parametrize("late", [False, True])
def test_a_loss_that_is_no_number_stops_at_its_step_and_names_its_slices(
    train: Callable[..., Fit],
    cohort: Cohort,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    late: bool,
) -> None:
    settings = replace(TEN, validate_every=10)
    whole = train(settings)
    (tmp_path / "checkpoint.pt").unlink()
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, 5)
        if late:
            patch.setattr(loop._Loop, "_looks_at_once", False)  # as on a GPU
        with pytest.raises(TrainingError) as caught:
            train(settings)
    assert f"at step 5, on the slices {', '.join(keys_of(cohort, 5))};" in str(caught.value)
    assert "the next start goes on from it" in str(caught.value)
    state = Checkpoint(tmp_path / "checkpoint.pt", "same").load()
    assert state is not None
    assert state["progress"]["step"] == 3
    with caplog.at_level("INFO"):
        assert_same_fit(whole, train(settings))
    assert "test goes on after step 3" in caplog.text


@pytest.mark.parametrize(("size", "more"), [(16, ""), (17, " and 1 more")])
def test_the_message_names_sixteen_slices(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, size: int, more: str
) -> None:
    spoil(monkeypatch, 1)
    with pytest.raises(TrainingError) as caught:
        train(replace(TEN, batch_size=size))
    listed = str(caught.value).partition("on the slices ")[2].partition(";")[0]
    assert listed.count(",") == 15
    assert listed.partition(" and ")[1:] == (("", "") if not more else (" and ", "1 more"))


@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_gradients_that_are_no_numbers_stop_it_the_same_way(
    train: Callable[..., Fit], monkeypatch: pytest.MonkeyPatch, clip_norm: float | None
) -> None:
    """Half precision skips such a step, so that clipping must not stop at it."""
    loss = Small.loss

    def steep(self: Small, batch: Batch) -> Tensor:
        value = loss(self, batch)
        if value.requires_grad:
            value.register_hook(lambda gradient: gradient * math.inf)
        return value

    monkeypatch.setattr(Small, "loss", steep)
    with pytest.raises(TrainingError, match=r"at step 2, on the slices"):
        train(replace(TEN, clip_norm=clip_norm))


def test_no_checkpoint_holds_spoiled_weights(
    train: Callable[..., Fit], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    learn = loop._Loop.learn

    def spoiling(self: Any, batch: Batch) -> None:
        learn(self, batch)
        if self.progress.step == 6:
            self.network.layers[0].weight.data[0] = math.inf

    monkeypatch.setattr(loop._Loop, "learn", spoiling)
    with pytest.raises(TrainingError, match="weights are no longer finite at step 6"):
        train()
    state = Checkpoint(tmp_path / "checkpoint.pt", "same").load()
    assert state is not None
    assert state["progress"]["step"] == 3
