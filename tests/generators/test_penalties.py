"""Penalties are nothing for HU like real ones, and push unlike HU towards them."""

from __future__ import annotations

import pytest
import torch

from generators.small_crops import WINDOW, blobs
from lungaug.errors import InputError
from lungaug.generators.channels import to_channels
from lungaug.generators.penalties import Reference, penalty, wasserstein
from lungaug.generators.penalty_settings import PenaltySettings

CROPS = blobs(40)
REFERENCE = Reference.of(CROPS, WINDOW)
HU, SIGNS = to_channels(CROPS.hu, CROPS.mask, WINDOW).unbind(1)
MASK = (SIGNS + 1) / 2
EACH = [PenaltySettings(**{name: 1.0}) for name in ("hinge", "wasserstein", "texture")]


def only(hu: torch.Tensor, settings: PenaltySettings) -> torch.Tensor:
    (term,) = penalty(hu, MASK, REFERENCE, settings).values()
    return term


@pytest.mark.parametrize("settings", EACH)
def test_the_crops_that_made_the_reference_pay_next_to_nothing(settings: PenaltySettings) -> None:
    assert float(only(HU, settings)) < 2e-3


@pytest.mark.parametrize("settings", EACH)
def test_noise_and_shifted_hu_pay(settings: PenaltySettings) -> None:
    torch.manual_seed(0)
    unlike = HU + 0.5 + 0.4 * torch.randn_like(HU)
    assert float(only(unlike, settings)) > 0.05


@pytest.mark.parametrize(("shift", "sign"), [(1.0, 1), (-1.0, -1)])
@pytest.mark.parametrize("settings", EACH[:2])
def test_descent_moves_hu_towards_real_ones(
    settings: PenaltySettings, shift: float, sign: int
) -> None:
    hu = (HU + shift).requires_grad_()
    only(hu, settings).backward()
    assert hu.grad is not None
    inside = hu.grad[MASK > 0] * sign
    assert (inside >= 0).all()
    assert (inside > 0).float().mean() > 0.9
    assert (hu.grad[MASK == 0] == 0).all()


def test_descent_gives_flat_nodules_texture_and_calms_noisy_ones() -> None:
    for amplitude in (0.001, 1.0):
        torch.manual_seed(0)
        hu = (amplitude * torch.randn_like(HU)).requires_grad_()
        before = only(hu, EACH[2])
        before.backward()
        assert hu.grad is not None
        after = only(hu.detach() - 0.5 * hu.grad / hu.grad.abs().max() * 0.05, EACH[2])
        assert after < before


def test_weights_scale_terms_and_zero_leaves_them_out() -> None:
    hu = HU + 0.7
    assert penalty(hu, MASK, REFERENCE, PenaltySettings()) == {}
    both = penalty(hu, MASK, REFERENCE, PenaltySettings(hinge=2.0, wasserstein=3.0))
    assert list(both) == ["hinge", "wasserstein"]
    assert both["hinge"].item() == pytest.approx(2 * only(hu, EACH[0]).item())
    assert both["wasserstein"].item() == pytest.approx(3 * only(hu, EACH[1]).item())


def test_empty_masks_pay_nothing_and_masks_get_no_gradient() -> None:
    hu, mask = (HU + 1).requires_grad_(), torch.zeros_like(MASK).requires_grad_()
    total = sum(penalty(hu, mask, REFERENCE, PenaltySettings(1.0, 1.0, 1.0)).values())
    assert isinstance(total, torch.Tensor)
    assert total.item() == 0
    total.backward()
    assert mask.grad is None
    assert hu.grad is not None
    assert torch.isfinite(hu.grad).all()


def test_a_distance_between_known_distributions() -> None:
    quantiles = (torch.arange(100) + 0.5) / 100  # uniform on 0 to 1
    values = (torch.arange(1000) + 0.5) / 1000 + 0.25
    weight = torch.ones(1000)
    assert wasserstein(values, weight, quantiles).item() == pytest.approx(0.25, abs=0.005)
    weight = (values < 0.75).float()  # now uniform on 1/4 to 3/4
    assert wasserstein(values, weight, quantiles).item() == pytest.approx(0.125, abs=0.005)


def test_bounds_are_the_percentiles_of_real_hu() -> None:
    inside = torch.from_numpy(CROPS.hu[CROPS.mask]).float()
    low, high = torch.quantile(inside, torch.tensor([0.01, 0.99])).tolist()
    scale = 2 / (WINDOW[1] - WINDOW[0])
    expected = [(value - WINDOW[0]) * scale - 1 for value in (low, high)]
    assert [REFERENCE.low, REFERENCE.high] == pytest.approx(expected, abs=0.02)


def test_crops_without_a_nodule_make_no_reference() -> None:
    crops = blobs(2)
    crops.mask[:] = False
    with pytest.raises(InputError, match="2 crops without a nodule"):
        Reference.of(crops, WINDOW)
