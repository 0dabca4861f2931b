"""Where a training runs: device, precision, threads, and its share among several processes."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import torch

from lungaug.errors import SettingError
from lungaug.training.checkpoint import seed_generators
from lungaug.training.order import Ticket
from lungaug.training.settings import TrainingSettings


@contextlib.contextmanager
def _without(package: str) -> Iterator[None]:
    """Within: a package that is not imported yet cannot be, as if it were not installed."""
    if package in sys.modules:
        yield
        return
    sys.modules[package] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[package]


# Where torchmetrics is installed Fabric imports it, to ask for its version, which takes as long as
# importing torch.
with _without("torchmetrics"):
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.plugins.environments.slurm import SLURMEnvironment

__all__ = [
    "Fabric",
    "everyones",
    "make_fabric",
    "part_generators",
    "reproducible",
    "shares",
    "start_fabric",
]

UNUSED_LAYERS = "ddp_find_unused_parameters_true"


def start_fabric(device: str, settings: TrainingSettings) -> Any:
    """Fabric as a training's settings have it.

    Raises:
        SettingError: as of :func:`make_fabric`.
    """
    return make_fabric(
        device,
        precision=settings.precision,
        devices=settings.devices,
        nodes=settings.nodes,
        strategy=settings.strategy,
    )


def make_fabric(
    device: str,
    *,
    precision: Any = "32-true",
    devices: int = 1,
    nodes: int = 1,
    strategy: str = "auto",
) -> Any:
    """Fabric, launched: from here on there are ``devices * nodes`` processes.

    The first process starts the others of its node with its own command line.

    Args:
        device: auto (CUDA where there is a device), cpu or cuda.
        precision: one of Fabric's.
        devices: processes on a node.
        nodes: machines; with more than one srun or torchrun has started every process.
        strategy: one of ``TrainingSettings``.

    Raises:
        SettingError: another device, cuda where there is none or too few, a precision that the
            device does not have, or several machines on which nothing has started the processes.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise SettingError(f"device: got {device!r}; accepted: auto, cpu, cuda")
    n_gpus = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "cuda" and n_gpus == 0:
        raise SettingError("device: got 'cuda', but torch sees no CUDA device; accepted: auto, cpu")
    accelerator = "cuda" if n_gpus and device != "cpu" else "cpu"
    if accelerator == "cuda" and devices > n_gpus:
        raise SettingError(f"devices: got {devices}; accepted: at most {n_gpus}, the GPUs here")
    if accelerator == "cpu" and precision == "16-mixed":
        raise SettingError(
            "precision: got '16-mixed', which needs a GPU; accepted: 32-true, bf16-mixed"
        )
    if nodes > 1:
        _check_launched(devices, nodes)
    several = devices * nodes > 1
    fabric = Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=nodes,
        precision=precision,
        # Encoders have layers that a shallow decoder does not ask for.
        strategy=UNUSED_LAYERS if several and strategy == "auto" else strategy,
        # On one node it starts its own processes, also inside a scheduler's job, where Fabric would
        # expect as many as that job has tasks.
        plugins=[LightningEnvironment()] if nodes == 1 else [],
    )
    if several:
        fabric.launch()
        if not fabric.is_global_zero:
            logging.getLogger("lungaug").setLevel(logging.WARNING)
    return fabric


def _check_launched(devices: int, nodes: int) -> None:
    """Nothing, where each of the processes was started: the first waits for the others for ever.

    Raises:
        SettingError: none was, or another number of them.
    """
    started = "1"
    if "TORCHELASTIC_RUN_ID" in os.environ:
        started = os.environ.get("WORLD_SIZE", started)
    elif _under_slurm():
        started = os.environ["SLURM_NTASKS"]
    n_processes = devices * nodes
    if started != str(n_processes):
        raise SettingError(
            f"nodes: got {nodes}, which needs {n_processes} processes (devices: {devices} on each "
            f"node), and {started} was started; accepted: 1, or all of them started by srun "
            f"(--nodes={nodes} --ntasks-per-node={devices}) or, on every node, by torchrun "
            f"(--nnodes={nodes} --nproc-per-node={devices})"
        )


def _under_slurm() -> bool:
    with warnings.catch_warnings():
        # That srun is there and was not used is what the error says too, with what to do.
        warnings.simplefilter("ignore")
        return bool(SLURMEnvironment.detect())


def shares(batches: Iterable[list[Ticket]], fabric: Any) -> Iterator[list[Ticket]]:
    """This process's part of every batch."""
    for batch in batches:
        size = len(batch) // fabric.world_size
        yield batch[fabric.global_rank * size :][:size]


def part_generators(fabric: Any) -> None:
    """Give every process but the first generators of its own: layers must not drop alike."""
    if fabric.global_rank:
        seed_generators(torch.initial_seed() + fabric.global_rank)


def everyones(value: Any, fabric: Any) -> list[Any]:
    """The values of all processes, in their order."""
    if fabric.world_size == 1:
        return [value]
    values: list[Any] = [None] * fabric.world_size
    torch.distributed.all_gather_object(values, value)
    return values


@contextlib.contextmanager
def reproducible(threads: int, fabric: Any) -> Iterator[None]:
    """Within: torch's number of threads, and on the CPU its deterministic algorithms only."""
    before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    filling = memory.fill_uninitialized_memory
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(before[1] or fabric.device.type == "cpu")
    # Only helps to find reads of memory that nothing was written to, and takes a tenth of a step.
    memory.fill_uninitialized_memory = False
    try:
        yield
    finally:
        torch.set_num_threads(before[0])
        torch.use_deterministic_algorithms(before[1])
        memory.fill_uninitialized_memory = filling
