from __future__ import annotations

from pathlib import Path

import pytest

from lungaug.training.events import FILES, Events
from lungaug.training.history import HistoryRow
from training.small_fit import curves


def row(step: int, loss: float) -> HistoryRow:
    return HistoryRow(step, 0.5, loss, 2.0, 0.25, 1e-3)


def write(folder: Path, done: int, rows: list[HistoryRow]) -> None:
    events = Events(folder, done)
    for each in rows:
        events.write(each, 100.0)
    events.close()


def test_curves_hold_the_history_and_the_speed(tmp_path: Path) -> None:
    write(tmp_path, 0, [row(4, 1.0), row(8, 0.5)])
    found = curves(tmp_path)
    assert found["loss/train"] == [(4, 1.0), (8, 0.5)]
    assert found["loss/validation"] == [(4, 2.0), (8, 2.0)]
    assert found["dice/validation"] == [(4, 0.25), (8, 0.25)]
    assert found["samples_per_second"] == [(4, 100.0), (8, 100.0)]
    assert found["learning_rate"][0][1] == pytest.approx(1e-3)


def test_curves_can_be_watched_while_it_trains(tmp_path: Path) -> None:
    events = Events(tmp_path, 0)
    events.write(row(4, 1.0), 100.0)
    assert curves(tmp_path)["loss/train"] == [(4, 1.0)]
    events.close()


def test_steps_that_are_done_again_are_there_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 0, [row(4, 1.0), row(8, 0.5), row(12, 0.25)])
    # A file is named by the second; another process would also have another number in its name.
    monkeypatch.setattr("time.time", lambda: 4e9)
    write(tmp_path, 4, [row(8, 0.75)])
    assert curves(tmp_path)["loss/train"] == [(4, 1.0), (8, 0.75)]


def test_a_training_from_the_start_removes_what_another_left(tmp_path: Path) -> None:
    write(tmp_path, 0, [row(4, 1.0)])
    before = list(tmp_path.glob(FILES))
    write(tmp_path, 0, [row(4, 0.5)])
    assert len(before) == len(list(tmp_path.glob(FILES))) == 1
    assert curves(tmp_path)["loss/train"] == [(4, 0.5)]
