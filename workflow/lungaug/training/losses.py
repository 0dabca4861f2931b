"""Losses of segmentation, from logits and a 0/1 target, both (N, 1, H, W) float, to a scalar.

In 32 bit, whatever the layers work in: sums over a batch of slices do not fit 16 bit floats.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

PUBLISHED_EPSILON = 1e-5


def dice_squared(logits: Tensor, target: Tensor) -> Tensor:
    """The published loss: Dice over the whole batch with squares in the denominator.

    1 - (2 Σpg + e) / (Σp² + Σg² + e), e = 1e-5. A batch without nodule gives nearly no gradient
    until the prediction is nearly empty. Of several processes each has the Dice of its own part of
    a batch; what is learned from is their mean.

    References:
        Milletari F, Navab N, Ahmadi S-A, V-Net, 3DV 2016, section 3.
    """
    probability, target = torch.sigmoid(logits.float()), target.float()
    overlap = 2 * (probability * target).sum() + PUBLISHED_EPSILON
    size = probability.square().sum() + target.square().sum() + PUBLISHED_EPSILON
    return 1 - overlap / size


def soft_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Dice over the whole batch: 1 - (2 Σpg + 1) / (Σp + Σg + 1).

    The batch, not the slice, since many slices have few nodule pixels or none; 1 pixel keeps the
    gradient of a batch without nodule small.
    """
    probability, target = torch.sigmoid(logits.float()), target.float()
    return 1 - (2 * (probability * target).sum() + 1) / (probability.sum() + target.sum() + 1)


def bce_dice(logits: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy plus soft Dice: calibrated pixels, and size does not drown nodules."""
    entropy = functional.binary_cross_entropy_with_logits(logits.float(), target.float())
    return entropy + soft_dice(logits, target)


LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "bce_dice": bce_dice,
    "dice_squared": dice_squared,
}
