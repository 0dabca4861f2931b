from __future__ import annotations

import subprocess
import sys
import warnings
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lungaug.errors import SettingError
from lungaug.training import devices
from lungaug.training.devices import (
    everyones,
    make_fabric,
    reproducible,
    shares,
    start_fabric,
)
from lungaug.training.settings import RunningSettings
from tiny_training import TRAINING


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(SettingError, match=r"'cuda'.*accepted: auto, cpu"):
        make_fabric("cuda")
    assert make_fabric("auto").device.type == "cpu"


def test_the_cpu_where_there_are_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does their number bound the processes."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert make_fabric("cpu").device.type == "cpu"
    for device in ("auto", "cuda"):
        with pytest.raises(SettingError, match="got 3; accepted: at most 2, the GPUs here"):
            make_fabric(device, devices=3)


def test_an_unknown_device() -> None:
    with pytest.raises(SettingError, match="'tpu'; accepted: auto, cpu, cuda"):
        make_fabric("tpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_half_precision_needs_a_gpu() -> None:
    with pytest.raises(SettingError, match=r"'16-mixed', which needs a GPU; accepted: 32-true, bf"):
        make_fabric("cpu", precision="16-mixed")


@pytest.mark.parametrize("environment", [{}, {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}])
def test_one_process_is_alone_whatever_scheduler_is_about(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    surroundings(monkeypatch, environment)
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fabric = make_fabric("cpu")
    assert (fabric.world_size, fabric.global_rank) == (1, 0)


def test_processes_share_a_batch() -> None:
    with pytest.raises(SettingError, match="batch_size: got 4; accepted: a multiple of the 3"):
        replace(TRAINING, devices=3)


ALONE: dict[str, str] = {}
SLURM = {"SLURM_NTASKS": "4", "SLURM_JOB_NAME": "train"}
TORCHRUN = {"TORCHELASTIC_RUN_ID": "1", "WORLD_SIZE": "4"}


@pytest.mark.parametrize(
    ("environment", "n_started"),
    [
        (ALONE, 1),
        ({**SLURM, "SLURM_NTASKS": "2"}, 2),
        # Fabric does not count the tasks of an interactive session: nobody starts them.
        ({**SLURM, "SLURM_JOB_NAME": "interactive"}, 1),
        ({**TORCHRUN, "WORLD_SIZE": "8"}, 8),
        ({**TORCHRUN, "WORLD_SIZE": "1", "SLURM_NTASKS": "4"}, 1),
    ],
)
def test_several_nodes_need_a_process_each(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], n_started: int
) -> None:
    surroundings(monkeypatch, environment)
    message = rf"nodes: got 2, which needs 4 .*, and {n_started} was.*accepted: 1, or .* srun .*run"
    with pytest.raises(SettingError, match=message):
        make_fabric("cpu", devices=2, nodes=2)


@pytest.mark.parametrize("environment", [SLURM, TORCHRUN])
def test_several_nodes_where_all_processes_were_started(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    launched: list[dict[str, Any]] = []
    surroundings(monkeypatch, environment)
    monkeypatch.setattr(devices, "Fabric", lambda **options: launched.append(options) or Launched())
    start_fabric("cpu", replace(TRAINING, devices=2, nodes=2))
    assert [(each["devices"], each["num_nodes"]) for each in launched] == [(2, 2)]


@pytest.mark.parametrize(("n_devices", "n_launches"), [(1, 0), (2, 1)])
def test_several_processes_are_launched_and_tolerate_unused_layers(
    monkeypatch: pytest.MonkeyPatch, n_devices: int, n_launches: int
) -> None:
    options: dict[str, Any] = {}
    fabric = Launched()
    monkeypatch.setattr(devices, "Fabric", lambda **given: options.update(given) or fabric)
    make_fabric("cpu", devices=n_devices)
    assert fabric.n_launches == n_launches
    assert options["strategy"] == (devices.UNUSED_LAYERS if n_launches else "auto")


def test_every_ticket_of_a_batch_is_one_processes_own() -> None:
    batches = [list(range(6)), list(range(6, 12))]
    parts = [
        list(shares(batches, SimpleNamespace(world_size=3, global_rank=rank))) for rank in range(3)
    ]
    assert parts == [[[0, 1], [6, 7]], [[2, 3], [8, 9]], [[4, 5], [10, 11]]]


def test_values_of_all_processes_in_their_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def gather(values: list[Any], own: Any) -> None:
        values[:] = [f"{own} of {rank}" for rank in range(len(values))]

    monkeypatch.setattr("torch.distributed.all_gather_object", gather)
    assert everyones("loss", SimpleNamespace(world_size=1)) == ["loss"]
    found = everyones("loss", SimpleNamespace(world_size=3))
    assert found == ["loss of 0", "loss of 1", "loss of 2"]


class Launched:
    is_global_zero = True
    n_launches = 0

    def launch(self) -> None:
        self.n_launches += 1


def surroundings(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    """What a launcher has left, and nothing else of one."""
    for name in {*SLURM, *TORCHRUN}:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)


def test_how_it_runs_is_read_from_json() -> None:
    assert RunningSettings.of("{}") == RunningSettings()
    assert RunningSettings.of('{"workers": 4}').worker_cache_mb == 256
    for text, words in (
        ("{", r"running: got '\{'; accepted: JSON"),
        ('{"steps": 1}', "running.steps: unknown setting; accepted: workers, cache_mb"),
        ('{"workers": -1}', "running.workers: got -1; accepted: at least 0"),
    ):
        with pytest.raises(SettingError, match=words):
            RunningSettings.of(text)


def test_reproducible_puts_everything_back() -> None:
    memory: Any = torch.utils.deterministic

    def state() -> tuple[int, bool, bool]:
        deterministic = torch.are_deterministic_algorithms_enabled()
        return torch.get_num_threads(), deterministic, memory.fill_uninitialized_memory

    before = state()
    with reproducible(before[0] + 1, make_fabric("cpu")):
        assert state() == (before[0] + 1, True, False)
    assert state() == before


def test_fabric_is_imported_without_torchmetrics_which_stays_importable() -> None:
    script = (
        "import sys, importlib.util, lungaug.training.devices;"
        "print('torchmetrics' in sys.modules, importlib.util.find_spec('torchmetrics') is None)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120
    )
    assert done.stdout.split() == ["False", "False"]
