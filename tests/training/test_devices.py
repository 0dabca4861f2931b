from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch

from lungaug.errors import SettingError
from lungaug.training.devices import make_fabric, reproducible
from tiny_training import TRAINING


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(SettingError, match=r"'cuda'.*accepted: auto, cpu"):
        make_fabric("cuda")
    assert make_fabric("auto").device.type == "cpu"


def test_an_unknown_device() -> None:
    with pytest.raises(SettingError, match="'tpu'; accepted: auto, cpu, cuda"):
        make_fabric("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(SettingError, match=r"'16-mixed', which needs a GPU; accepted: 32-true, bf"):
        make_fabric("cpu", precision="16-mixed")


def test_processes_share_a_batch() -> None:
    with pytest.raises(SettingError, match="batch_size: got 4; accepted: a multiple of the 3"):
        replace(TRAINING, devices=3)


def test_reproducible_puts_everything_back() -> None:
    memory: Any = torch.utils.deterministic

    def state() -> tuple[int, bool, bool]:
        deterministic = torch.are_deterministic_algorithms_enabled()
        return torch.get_num_threads(), deterministic, memory.fill_uninitialized_memory

    before = state()
    with reproducible(1, make_fabric("cpu")):
        assert state() == (1, True, False)
    assert state() == before
