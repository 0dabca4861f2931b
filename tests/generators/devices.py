"""A device that needs no hardware, and a watch over what is computed where."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lungaug.generators.channels import Pair

META = torch.device("meta")
"""Holds shapes and no numbers: what is computed there is computed as it would be on a GPU."""

_MOVE = ("_to_copy", "copy_", "to")


class OneDevice(TorchDispatchMode):
    """Within: no operation mixes devices, and none of a device but the CPU draws at random."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.device = device

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        name = func.overloadpacket.__name__
        tensors = [x for x in tree_leaves((args, kwargs, found)) if isinstance(x, Tensor)]
        # a number may lie on the CPU, as it may where the other device is a GPU
        devices = {x.device for x in tensors if x.ndim}
        if name not in _MOVE and len(devices) > 1:
            raise AssertionError(f"{name} mixes {devices}")
        if self.device in devices and torch.Tag.nondeterministic_seeded in func.tags:
            raise AssertionError(f"{name} draws on {self.device}")
        return found


def keep_channels(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> list[Tensor]:
    """What a generator's module takes out of its networks, which has no numbers on ``META``."""
    made: list[Tensor] = []

    def kept(channels: Tensor, window: object) -> Pair:
        made.append(channels)
        nothing = np.zeros((len(channels), *channels.shape[2:]), np.float32)
        return Pair(nothing, nothing)

    monkeypatch.setattr(module, "from_channels", kept)
    return made
