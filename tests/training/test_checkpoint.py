from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lungaug.training.checkpoint import Checkpoint, save_tensors, seed_generators


def draw() -> list[float]:
    legacy = np.random.rand()  # noqa: NPY002 - its state is what is tested
    return [random.random(), legacy, torch.rand(1).item()]


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(tmp_path / "deep" / "checkpoint.pt", "settings, code and data")


def test_values_and_generators_come_back(checkpoint: Checkpoint) -> None:
    seed_generators(5)
    np.random.standard_normal()  # noqa: NPY002 - leaves a second number waiting
    state = {"weights": torch.rand(3), "step": 7, "best": -float("inf"), "none": None}
    checkpoint.save(state)
    expected = draw()
    draw()
    loaded = checkpoint.load()
    assert loaded is not None
    assert torch.equal(loaded.pop("weights"), state.pop("weights"))
    assert loaded == state
    assert draw() == expected


def test_seeds_beyond_what_numpy_takes_are_wrapped() -> None:
    seed_generators(2**32 + 5)
    beyond = np.random.rand()  # noqa: NPY002 - its state is what is tested
    seed_generators(5)
    assert np.random.rand() == beyond  # noqa: NPY002


def test_without_a_file_there_is_nothing_to_resume(checkpoint: Checkpoint) -> None:
    assert checkpoint.load() is None


def test_a_checkpoint_of_another_training_is_ignored_and_said(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint.save({"step": 1})
    with caplog.at_level("INFO"):
        assert Checkpoint(checkpoint.path, "another").load() is None
    assert "ignored: of other settings, code or data" in caplog.text


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "pickle"])
def test_a_damaged_checkpoint_is_ignored_and_said(
    checkpoint: Checkpoint, caplog: pytest.LogCaptureFixture, damage: str
) -> None:
    checkpoint.save({"weights": torch.rand(1000)})
    content = checkpoint.path.read_bytes()
    ran = checkpoint.path.with_name("ran")
    evil = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    damaged = {"cut": content[: len(content) // 2], "empty": b"", "text": b"x", "pickle": evil}
    checkpoint.path.write_bytes(damaged[damage])
    with caplog.at_level("INFO"):
        assert checkpoint.load() is None
    assert "cannot be read" in caplog.text
    assert not ran.exists()


def test_a_death_while_writing_leaves_the_last_one(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint.save({"step": 1})

    def dies(stored: Any, file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save({"step": 2})
    assert checkpoint.load() == {"step": 1}
    assert [path.name for path in checkpoint.path.parent.iterdir()] == ["checkpoint.pt"]


def test_what_a_killed_process_left_half_written_is_removed(checkpoint: Checkpoint) -> None:
    checkpoint.save({"step": 1})
    half = checkpoint.path.with_name(".checkpoint.pt.99.part")
    half.write_bytes(checkpoint.path.read_bytes()[:99])
    assert checkpoint.load() == {"step": 1}
    assert not half.exists()


def test_same_values_same_bytes(tmp_path: Path) -> None:
    for name in ("one.pt", "two.pt"):
        save_tensors(tmp_path / name, {"weights": torch.arange(4.0), "step": 3})
    assert (tmp_path / "one.pt").read_bytes() == (tmp_path / "two.pt").read_bytes()


def test_removed_when_done(checkpoint: Checkpoint) -> None:
    checkpoint.save({})
    checkpoint.remove()
    checkpoint.remove()
    assert not checkpoint.path.exists()
