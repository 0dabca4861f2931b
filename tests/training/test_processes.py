"""Trainings in processes of their own: killed at any moment, and two that share their batches."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lungaug.cohort import read_table
from lungaug.settings import as_mapping
from lungaug.store import SliceFile
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.devices import make_fabric, reproducible
from tiny_training import Cohort, with_training, write_cohort
from training import small_fit
from training.small_fit import KILLED, SHARED, Plain, fit_small

SECONDS = 300  # by then a process that hangs is ended


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def start(what: str, folder: Path, cohort: Cohort) -> subprocess.Popen[str]:
    """A process of its own group, which ends with its children."""
    paths = [str(path) for path in vars(cohort).values()]
    return subprocess.Popen(
        [sys.executable, small_fit.__file__, what, str(folder), *paths],
        env=environment(),
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def environment() -> dict[str, str]:
    # The instruction sets too: equal bits are promised on one processor only.
    chosen = ("PATH", "HOME", "ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "MKL_CBWR")
    kept = {name: os.environ[name] for name in chosen if name in os.environ}
    return {**kept, "PYTHONPATH": ":".join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}


def killed_after_a_checkpoint(process: subprocess.Popen[str], path: Path, seconds: float) -> None:
    """Kill it that long after it has written its first checkpoint."""
    before = path.stat().st_mtime_ns if path.is_file() else 0
    end = time.monotonic() + SECONDS
    while process.poll() is None and time.monotonic() < end:
        if path.is_file() and path.stat().st_mtime_ns != before:
            time.sleep(seconds)
            break
        time.sleep(0.002)
    process.kill()
    assert process.communicate()
    assert process.returncode == -9


@pytest.mark.slow
def test_killed_at_any_moment_it_ends_with_the_same_bits(cohort: Cohort, tmp_path: Path) -> None:
    """Dropout, bf16, average, augmentation, early stop."""
    fabric = make_fabric("cpu", precision=KILLED.precision)
    checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "killed")
    with reproducible(1, fabric):
        whole = fit_small(cohort, KILLED, checkpoint, fabric)
        checkpoint.remove()
        moments = np.random.default_rng().uniform(0, 0.15, 2)
        for moment in moments:
            process = start("killed", tmp_path, cohort)
            killed_after_a_checkpoint(process, checkpoint.path, moment)
        again = fit_small(cohort, KILLED, checkpoint, fabric)
    assert whole.n_steps < KILLED.steps
    assert (again.step, again.n_steps) == (whole.step, whole.n_steps)
    assert again.history == whole.history
    assert_same(again.module.state_dict(), whole.module.state_dict())


def assert_same(one: Any, other: Any) -> None:
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@pytest.mark.slow
def test_two_processes_do_what_one_does(cohort: Cohort, tmp_path: Path) -> None:
    process = start("shared", tmp_path, cohort)
    try:
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 0, said
    ranks = [torch.load(tmp_path / f"rank{rank}.pt", weights_only=True) for rank in (0, 1)]
    assert_same(ranks[0]["weights"], ranks[1]["weights"])
    assert ranks[0]["drawn"] != ranks[1]["drawn"]
    fabric = make_fabric("cpu")
    with reproducible(1, fabric):
        alone = fit_small(
            cohort,
            replace(SHARED, devices=1),
            Checkpoint(tmp_path / "alone.pt", "alone"),
            fabric,
            network=Plain,
        )
    assert ranks[0]["step"] == alone.step
    for name, value in alone.module.state_dict().items():
        torch.testing.assert_close(ranks[0]["weights"][name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_the_command_line_starts_its_own_processes(cohort: Cohort, tmp_path: Path) -> None:
    """With statistics of a batch, validation, prediction, and files by the first process only."""
    settings = with_training(devices=2, ema=0.5)
    arguments = cohort.arguments(tmp_path)
    arguments.pop("provenance")
    arguments["settings"] = json.dumps(as_mapping(settings))
    options = [(f"--{name.replace('_', '-')}", str(value)) for name, value in arguments.items()]
    done = subprocess.run(
        [sys.executable, "-m", "lungaug", "train_segmenter", *itertools.chain(*options)],
        env=environment(),
        timeout=SECONDS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("step 6/6") == 1
    cost = read_table(tmp_path / "cost.tsv").iloc[0]
    assert (cost["processes"], cost["samples"]) == (2, 24)
    assert read_table(tmp_path / "history.tsv")["step"].tolist() == [2, 4, 6]
    with SliceFile(tmp_path / "predictions.h5") as file:
        assert sum(len(file.slices(group)) for group in file.groups) == 24
    assert (tmp_path / "detections.tsv").is_file()
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_a_loss_that_is_no_number_ends_every_process(cohort: Cohort, tmp_path: Path) -> None:
    process = start("spoiled", tmp_path, cohort)
    try:
        _, said = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    assert process.returncode == 1
    assert "the loss is no longer finite at step 3, on the slices" in said
    assert not list(tmp_path.glob("rank*"))
