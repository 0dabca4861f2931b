"""A collapse is named: samples that are alike, a discriminator that no longer teaches."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from lungaug.generators.collapse import Silence, alike, least_loss, spread
from lungaug.generators.settings import CollapseSettings

SETTINGS = CollapseSettings(alike=0.3, silent_loss=0.05, silent_steps=3)


def images(scale: float, n: int = 16) -> torch.Tensor:
    return scale * torch.randn(n, 2, 8, 8, generator=torch.Generator().manual_seed(0))


def test_spread_is_the_mean_distance_of_pairs() -> None:
    assert spread(torch.tensor([[[0.0, 0.0]], [[3.0, 4.0]]])) == pytest.approx(5 / 2**0.5)
    assert spread(images(1.0)) == pytest.approx(2**0.5, rel=0.05)
    assert spread(images(1.0, n=1)) == 0


def test_samples_that_hardly_differ_are_named_and_others_are_not() -> None:
    real = spread(images(1.0))
    assert "samples are alike (below 0.3 of" in alike(images(0.1), real, SETTINGS)
    assert "(below 0.3 of" in alike(torch.ones(8, 2, 8, 8), real, SETTINGS)
    assert alike(images(0.8), real, SETTINGS) == ""


def test_one_sample_and_one_crop_cannot_be_compared() -> None:
    assert alike(images(0.1, n=1), 1.0, SETTINGS) == ""
    assert alike(images(0.1), 0.0, SETTINGS) == ""


def test_a_silent_discriminator_is_named_when_it_is_silent_for_long() -> None:
    silence = Silence(SETTINGS)
    assert silence.note() == ""
    for loss in (0.01, 0.01, 0.7, 0.01, 0.01):
        silence.hear(torch.tensor(loss))
        assert silence.note() == ""
    silence.hear(torch.tensor(0.01))
    assert silence.note() == (
        "collapse: discriminator loss within 0.05 of its least for 3 steps or more"
    )


def test_silence_goes_on_after_a_resume() -> None:
    before, after = Silence(SETTINGS), Silence(SETTINGS)
    for _ in range(2):
        before.hear(torch.tensor(0.0))
    after.load_state_dict(before.state_dict())
    after.hear(torch.tensor(0.0))
    assert "for 3 steps" in after.note()


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.3])
def test_no_logit_loses_less_than_the_least(smoothing: float) -> None:
    logits = torch.linspace(-20, 20, 100_001, dtype=torch.float64)
    target = torch.full_like(logits, 1 - smoothing)
    losses = binary_cross_entropy_with_logits(logits, target, reduction="none")
    assert losses.min().item() == pytest.approx(least_loss(smoothing), abs=1e-6)
