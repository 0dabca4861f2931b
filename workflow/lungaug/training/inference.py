"""A network on held-out slices: the validation score, and the probability maps."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lungaug.training.data import Slices, loader
from lungaug.training.order import fixed_batches

THRESHOLD = 0.5

Boxes = tuple[NDArray[np.float64], NDArray[np.float64]]
"""(K, 4) top, left, bottom, right in px, the last two excluded; and (K,) scores."""


class Predicted(NamedTuple):
    """What a network says of a batch."""

    indices: list[int]  # rows of the table, N
    probability: NDArray[np.float32]  # (N, H, W)
    nodule: NDArray[np.uint8]  # labels, (N, H, W)
    detections: list[Boxes] | None  # one a slice; None: the network gives maps only


@torch.no_grad()
def validate(module: Any, slices: Slices, batch_size: int, fabric: Any) -> tuple[float, float]:
    """Loss and Dice on validation slices; the module is left in evaluation mode.

    Returns:
        Mean loss over all slices; and Dice, the mean over patients of the mean over their slices
        with a nodule, as the tables' pooled Dice is. Slices without a nodule, and patients that
        have no others, do not count for Dice: on them a network that predicts nothing would be
        perfect. NaN where no slice has a nodule.
    """
    module.eval()
    batches = fixed_batches(slices.rows.groups, batch_size)
    losses, dice = np.zeros(len(slices)), np.zeros(len(slices))
    for tickets, batch in zip(batches, loader(slices, batches), strict=True):
        batch = fabric.to_device(batch)
        loss, probability = module.assess(batch)
        indices = [ticket.row for ticket in tickets]
        losses[indices] = loss.item()
        dice[indices] = slice_dice(probability, batch.nodule).cpu().numpy()
    return float(losses.mean()), patient_mean(dice, slices.rows.patients)


@torch.no_grad()
def predict(module: Any, slices: Slices, batch_size: int, fabric: Any) -> Iterator[Predicted]:
    """Slices as the network sees them, batch by batch, sizes one after the other."""
    module.eval()
    batches = fixed_batches(slices.rows.groups, batch_size)
    for tickets, batch in zip(batches, loader(slices, batches), strict=True):
        with fabric.autocast():
            found = module.find(fabric.to_device(batch))
        yield Predicted(
            [ticket.row for ticket in tickets],
            found.probability[:, 0].float().cpu().numpy(),
            batch.nodule[:, 0].numpy(),
            None if found.detections is None else [_on_cpu(boxes) for boxes in found.detections],
        )


def _on_cpu(detections: Any) -> Boxes:
    boxes, scores = (part.float().cpu().numpy().astype(np.float64) for part in detections)
    return boxes, scores


def slice_dice(probability: Tensor, nodule: Tensor) -> Tensor:
    """Dice of each slice, 2I / (G + P), at the threshold 0.5; NaN where there is no nodule.

    Args:
        probability: (N, 1, H, W).
        nodule: labels, (N, 1, H, W), 0 background.

    Returns:
        (N,).
    """
    predicted, reference = probability.float() >= THRESHOLD, nodule > 0
    both = (predicted & reference).sum((1, 2, 3))
    n_reference = reference.sum((1, 2, 3))
    dice = 2 * both / (n_reference + predicted.sum((1, 2, 3)))
    return torch.where(n_reference > 0, dice, math.nan)


def patient_mean(scores: NDArray[np.float64], patients: Sequence[str]) -> float:
    """Mean over patients of the mean over their slices; NaN scores do not count.

    Args:
        scores: of slices, (N,).
        patients: whose slices they are, (N,).

    Returns:
        The mean, NaN where no score counts.
    """
    counted = ~np.isnan(scores)
    if not counted.any():
        return math.nan
    names, owner = np.unique(np.asarray(patients)[counted], return_inverse=True)
    sums = np.bincount(owner, scores[counted], len(names))
    return float((sums / np.bincount(owner, minlength=len(names))).mean())
