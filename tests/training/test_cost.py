"""What a training cost: memory in MB, throughput, and the device's name."""

from __future__ import annotations

import math
import resource
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from lungaug.cohort import read_table
from lungaug.training.cost import Effort, Training, cost_of, peak_mb, write_cost

TRAINING = Training("fixed", "none", "unet", 0)
EFFORT = Effort(steps=20, samples=80, seconds=4.0, n_parameters=123)


def fabric(device: str) -> SimpleNamespace:
    precision = SimpleNamespace(precision="32-true")
    strategy = SimpleNamespace(precision=precision)
    return SimpleNamespace(device=torch.device(device), strategy=strategy, world_size=2)


def test_on_the_cpu() -> None:
    cost = cost_of(TRAINING, EFFORT, fabric("cpu"), 9.5)
    assert (cost.device, cost.precision, cost.processes) == ("cpu", "32-true", 2)
    assert (cost.samples_per_second, cost.total_seconds) == (20.0, 9.5)
    assert math.isnan(cost.peak_gpu_mb)


def test_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"card {device.index}")
    monkeypatch.setattr("torch.cuda.max_memory_allocated", lambda device: 3 * 2**20)
    cost = cost_of(TRAINING, EFFORT, fabric("cuda:1"), 9.5)
    assert (cost.device, cost.peak_gpu_mb) == ("card 1", 3.0)


@pytest.mark.parametrize(("platform", "expected"), [("linux", 1024.0), ("darwin", 1.0)])
def test_memory_is_in_mb_whatever_unit_the_system_has(
    monkeypatch: pytest.MonkeyPatch, platform: str, expected: float
) -> None:
    monkeypatch.setattr(resource, "getrusage", lambda who: SimpleNamespace(ru_maxrss=2**20))
    monkeypatch.setattr("sys.platform", platform)
    assert peak_mb() == expected


def test_no_time_at_all_is_no_division_by_zero() -> None:
    assert cost_of(TRAINING, Effort(), fabric("cpu"), 1.0).samples_per_second == 0


def test_written_as_a_table_of_one_row(tmp_path: Path) -> None:
    path = tmp_path / "cost.tsv"
    write_cost(path, cost_of(TRAINING, EFFORT, fabric("cpu"), 1 / 3))
    (row,) = read_table(path).to_dict("records")
    assert (row["segmenter"], row["steps"], row["n_parameters"]) == ("unet", 20, 123)
    assert row["total_seconds"] == pytest.approx(0.333333, abs=1e-9)
