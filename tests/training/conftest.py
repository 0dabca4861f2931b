"""A cohort to train on, and a training of ten steps that can be started again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from lungaug.training.checkpoint import Checkpoint
from lungaug.training.devices import make_fabric, reproducible
from lungaug.training.loop import Fit
from lungaug.training.settings import RunningSettings, TrainingSettings
from tiny_training import Cohort, write_cohort
from training.small_fit import TEN, fit_small

EVERY_THIRD = RunningSettings(checkpoint_every=3)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def train(cohort: Cohort, tmp_path: Path) -> Iterator[Callable[..., Fit]]:
    fabric = make_fabric("cpu")

    fabrics = {"32-true": fabric, "bf16-mixed": make_fabric("cpu", precision="bf16-mixed")}

    def run(
        settings: TrainingSettings = TEN,
        validate: bool = True,
        identity: str = "same",
        running: RunningSettings = EVERY_THIRD,
        **options: Any,
    ) -> Fit:
        checkpoint = Checkpoint(tmp_path / "checkpoint.pt", identity)
        fabric = fabrics[settings.precision]
        options |= {"validate": validate, "running": running}
        return fit_small(cohort, settings, checkpoint, fabric, **options)

    with reproducible(1, fabric):
        yield run
