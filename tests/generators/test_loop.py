"""Batches, history and exact resume of what generators learn by."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from generators.small_crops import circumstances
from lungaug.generators import loop
from lungaug.generators.loop import (
    FitError,
    batch_index,
    effort_of,
    learn,
    make_mixed_fabric,
    saved_phases,
)
from lungaug.generators.protocol import FitRun
from lungaug.generators.settings import BudgetSettings
from lungaug.training.checkpoint import seed_generators
from lungaug.training.cost import Effort

BUDGET = BudgetSettings(steps=10, batch_size=4, log_every=4, checkpoint_every=3)


class Walk:
    """Adds up what it sees and draws; stops before a step if told to."""

    def __init__(self, stop_before: int = -1, worth: float = 1.0) -> None:
        self.position = torch.zeros(())
        self.stop_before, self.worth = stop_before, worth

    def learn(self, index: Tensor, step: int) -> Mapping[str, Tensor]:
        if step == self.stop_before:
            raise KeyboardInterrupt
        self.position = self.position + index.sum() + torch.rand(())
        return {"loss": self.position * self.worth}

    def observe(self, step: int, run: FitRun) -> Mapping[str, Any]:
        return {"note": "known" if step > 4 else ""}

    def state_dict(self) -> dict[str, Any]:
        return {"position": self.position}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.position = state["position"]


def test_an_epoch_sees_each_crop_once_in_whole_batches() -> None:
    epoch = [batch_index(0, step, 12, 4) for step in range(3)]
    assert sorted(np.concatenate(epoch).tolist()) == list(range(12))
    again = [batch_index(0, step, 12, 4) for step in range(3, 6)]
    assert not np.array_equal(np.concatenate(epoch), np.concatenate(again))
    assert all(len(batch_index(0, step, 14, 4)) == 4 for step in range(20))


def test_fewer_crops_than_a_batch_are_all_of_it() -> None:
    assert sorted(batch_index(0, 7, 3, 16).tolist()) == [0, 1, 2]


def test_history_has_a_row_at_each_interval_and_at_the_end() -> None:
    history = learn(Walk(), 12, BUDGET, circumstances(), phase="first")
    assert [row["step"] for row in history] == [4, 8, 10]
    assert [row["phase"] for row in history] == ["first"] * 3
    assert history[0]["epoch"] == pytest.approx(4 / 3, abs=1e-3)


@pytest.mark.parametrize("stop", [2, 5, 8])
def test_an_interrupted_walk_ends_where_a_whole_one_does(tmp_path: Path, stop: int) -> None:
    seed_generators(0)
    whole = Walk()
    expected = learn(whole, 12, BUDGET, circumstances())
    run = circumstances(checkpoint=tmp_path / "saved.pt")
    seed_generators(0)
    with pytest.raises(KeyboardInterrupt):
        learn(Walk(stop), 12, BUDGET, run)
    seed_generators(0)
    resumed = Walk()
    assert learn(resumed, 12, BUDGET, run) == expected
    assert resumed.position == whole.position


class Slow(Walk):
    """A step takes a second by the clock, drawing a sheet an hour."""

    now = 0.0

    def learn(self, index: Tensor, step: int) -> Mapping[str, Tensor]:
        losses = super().learn(index, step)
        Slow.now += 1
        return losses

    def observe(self, step: int, run: FitRun) -> Mapping[str, Any]:
        Slow.now += 3600
        return {}


def test_effort_is_that_of_all_runs_and_phases(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop.time, "perf_counter", lambda: Slow.now)
    run = circumstances(checkpoint=tmp_path / "saved.pt")
    with pytest.raises(KeyboardInterrupt):
        learn(Slow(5), 12, BUDGET, run, phase="first")
    Slow.now += 1e6
    # The steps since the last checkpoint, the third's, are made and counted anew.
    learn(Slow(), 12, BUDGET, run, phase="first")
    assert effort_of(run) == Effort(steps=10, samples=40, seconds=10)
    learn(Slow(), 3, BUDGET, run, phase="second")
    assert effort_of(run) == Effort(steps=20, samples=40 + 30, seconds=20)
    assert effort_of(circumstances()) == Effort()


def test_a_second_phase_starts_as_it_does_without_a_checkpoint(tmp_path: Path) -> None:
    ends = []
    for checkpoint in (None, tmp_path / "saved.pt"):
        run = circumstances(checkpoint=checkpoint)
        seed_generators(0)
        learn(Walk(), 12, BUDGET, run, phase="first")
        torch.rand(3)  # what the next phase's weights are drawn with
        second = Walk()
        learn(second, 12, BUDGET, run, phase="second", before={"first": {"x": torch.ones(1)}})
        ends.append(float(second.position))
        if checkpoint is not None:
            assert list(saved_phases(run)) == ["first"]
    assert ends[0] == ends[1]


def test_without_a_checkpoint_nothing_is_done() -> None:
    assert saved_phases(circumstances()) == {}


def test_a_loss_that_is_not_finite_is_an_error_and_is_not_saved(tmp_path: Path) -> None:
    run = circumstances(checkpoint=tmp_path / "saved.pt")
    with pytest.raises(FitError, match=r"loss is no longer finite.*1 and 3.*learning_rate"):
        learn(Walk(worth=float("nan")), 12, BUDGET, run)
    assert not (tmp_path / "saved.pt").exists()


def test_a_note_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    learn(Walk(), 12, BUDGET, circumstances())
    assert [r.message for r in caplog.records if r.levelname == "WARNING"] == ["test step 8: known"]


def test_the_cpu_works_in_full_precision() -> None:
    fabric = make_mixed_fabric("cpu")
    linear = fabric.setup(torch.nn.Linear(2, 2))
    assert linear(torch.ones(1, 2)).dtype == torch.float32
