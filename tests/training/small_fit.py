"""A training of a network of two layers, in this process or in one that a test may kill."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lungaug.cohort import read_table
from lungaug.imaging.contrast import network_input
from lungaug.training.checkpoint import Checkpoint, save_tensors, seed_generators
from lungaug.training.data import Batch, SliceRows, Slices
from lungaug.training.devices import make_fabric, reproducible
from lungaug.training.loop import Fit, fit
from lungaug.training.losses import bce_dice
from lungaug.training.order import BatchOrder
from lungaug.training.settings import OnlineSettings, RunningSettings, TrainingSettings
from tiny_training import TRAINING, Cohort

EVERYTHING: dict[str, Any] = {
    "ema": 0.9,
    "clip_norm": 0.5,
    "patience": 3,
    "warmup_steps": 3,
    "schedule": "poly",
    "precision": "bf16-mixed",
}
KILLED = replace(TRAINING, steps=200, learning_rate=0.1, validate_every=10, **EVERYTHING)
SHARED = replace(TRAINING, steps=8, validate_every=4, devices=2)
TEN = replace(TRAINING, steps=10, validate_every=4)
# A checkpoint a step, so that a kill often falls into one.
EVERY_STEP = RunningSettings(checkpoint_every=1)


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Conv2d(4, 1, 3, padding=1),
        )

    def loss(self, batch: Batch) -> Tensor:
        return bce_dice(self.layers(batch.image), (batch.nodule > 0).float())

    def predict(self, batch: Batch) -> Tensor:
        return torch.sigmoid(self.layers(batch.image))

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self.loss(batch), self.predict(batch)


class Plain(Small):
    """Without what differs between processes: statistics of a batch, dropout, sums over a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 3, padding=1)
        )

    def loss(self, batch: Batch) -> Tensor:
        target = (batch.nodule > 0).float()
        return nn.functional.binary_cross_entropy_with_logits(self.layers(batch.image), target)


class Spoiled(Plain):
    """In one of the processes the third loss is no number."""

    n_losses = 0

    def loss(self, batch: Batch) -> Tensor:
        self.n_losses += 1
        spoiled = self.n_losses == 3 and torch.distributed.get_rank() == 1
        return super().loss(batch) * (float("nan") if spoiled else 1.0)


NETWORKS = {"killed": Small, "shared": Plain, "spoiled": Spoiled}


def fit_small(
    cohort: Cohort,
    settings: TrainingSettings,
    checkpoint: Checkpoint,
    fabric: Any,
    *,
    validate: bool = True,
    network: type[Small] = Small,
    running: RunningSettings = EVERY_STEP,
    **options: Any,
) -> Fit:
    """Train with augmentation."""
    table = read_table(cohort.slices)
    rows = SliceRows(table[table["role"] == "train"], cohort.root)
    held_out = SliceRows(table[table["role"] == "validation"], cohort.root)
    seed_generators(1)
    return fit(
        network(),
        Slices(rows, network_input, online=OnlineSettings()),
        Slices(held_out, network_input) if validate else None,
        BatchOrder(rows.groups, settings.batch_size),
        settings=settings,
        running=running,
        fabric=fabric,
        checkpoint=checkpoint,
        name="test",
        **options,
    )


def assert_same_fit(one: Fit, other: Fit) -> None:
    assert one.step == other.step
    assert one.history == other.history
    for name, value in one.module.state_dict().items():
        assert torch.equal(value, other.module.state_dict()[name]), name


def curves(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Step and value of each curve that TensorBoard would show."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder)).Reload()
    names = found.Tags()["scalars"]
    return {name: [(e.step, e.value) for e in found.Scalars(name)] for name in names}


def main(what: str, folder: Path, cohort: Cohort) -> None:
    """Train, and leave the weights of every process in the folder."""
    settings = KILLED if what == "killed" else SHARED
    fabric = make_fabric("cpu", precision=settings.precision, devices=settings.devices)
    checkpoint = Checkpoint(folder / "checkpoint.pt", what)
    with reproducible(1, fabric):
        fitted = fit_small(cohort, settings, checkpoint, fabric, network=NETWORKS[what])
    state = {"step": fitted.step, "weights": fitted.module.state_dict()}
    drawn = torch.rand(1).item()
    save_tensors(folder / f"rank{fabric.global_rank}.pt", {**state, "drawn": drawn})


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Cohort(*map(Path, sys.argv[3:])))
