from __future__ import annotations

import math

import pytest
import torch

from lungaug.training.losses import LOSSES, bce_dice, dice_squared, soft_dice

TARGET = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])


def test_dice_squared_is_the_published_formula() -> None:
    logits = torch.zeros(1, 1, 2, 2)  # p = 1/2: overlap 1/2, squares 4/4 and 1
    expected = 1 - (1 + 1e-5) / (1 + 1 + 1e-5)
    assert dice_squared(logits, TARGET).item() == pytest.approx(expected, abs=1e-7)


def test_bce_dice_by_hand() -> None:
    logits = torch.zeros(1, 1, 2, 2)
    assert soft_dice(logits, TARGET).item() == pytest.approx(1 - 2 / 4, abs=1e-7)
    assert bce_dice(logits, TARGET).item() == pytest.approx(math.log(2) + 0.5, abs=1e-6)


def test_dice_is_over_the_batch() -> None:
    logits, target = torch.randn(2, 1, 4, 4), (torch.rand(2, 1, 4, 4) > 0.5).float()
    flat = [x.reshape(1, 1, 8, 4) for x in (logits, target)]
    torch.testing.assert_close(soft_dice(logits, target), soft_dice(*flat))


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_perfect_is_zero_wrong_is_large_and_empty_is_finite(name: str) -> None:
    loss, sure = LOSSES[name], 40 * (2 * TARGET - 1)
    assert loss(sure, TARGET).item() == pytest.approx(0, abs=1e-4)
    assert loss(-sure, TARGET).item() > 0.6
    assert torch.isfinite(loss(-sure.abs(), torch.zeros_like(TARGET)))
