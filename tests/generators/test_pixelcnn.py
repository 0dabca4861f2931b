"""The prior sees all that came before a pixel and nothing else, and draws what the loop draws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from lungaug.errors import SettingError
from lungaug.generators.pixelcnn import MaskedConv2d, PixelCnn, pick, uniforms_of
from lungaug.generators.vqvae_settings import PUBLISHED, PixelCnnSettings

SETTINGS = PixelCnnSettings(
    layers=3, width=6, first_kernel=5, kernel=3, head=8, dropout=0.0, condition_width=4
)
N_CODES = 9
SHAPE = (4, 7)  # not square


def prior(settings: PixelCnnSettings = SETTINGS) -> PixelCnn:
    torch.manual_seed(0)
    network = PixelCnn(N_CODES, settings).eval()
    for parameter in network.parameters():
        parameter.data.mul_(2)  # else every code is as likely as the other
    return network


def conditions(n: int) -> Tensor:
    return torch.randn(n, SETTINGS.condition_width, generator=torch.Generator().manual_seed(1))


def naive(network: PixelCnn, condition: Tensor, uniforms: Tensor, temperature: float) -> Tensor:
    """The loop of the publication: the whole image for each pixel."""
    codes = torch.zeros(uniforms.shape, dtype=torch.long)
    for row, column in np.ndindex(*uniforms.shape[1:]):
        logits = network(codes, condition)[:, :, row, column] / temperature
        codes[:, row, column] = pick(logits, uniforms[:, row, column])
    return codes


def gradients(network: PixelCnn, row: int, column: int) -> Tensor:
    """(H, W) size of the gradient of a pixel's logits in every input pixel."""
    torch.manual_seed(2)
    embedded = torch.randn(1, SETTINGS.width, *SHAPE, requires_grad=True)
    logits = network.logits(embedded, conditions(1))[0, :, row, column]
    # Random signs, so that nothing cancels.
    (slope,) = torch.autograd.grad((logits * torch.randn(N_CODES)).sum(), embedded)
    return slope[0].abs().sum(dim=0)


def test_every_pixel_sees_all_that_came_before_and_nothing_else() -> None:
    network = prior(replace(SETTINGS, layers=9))  # reaches over the whole image
    for row, column in np.ndindex(*SHAPE):
        seen = gradients(network, row, column).flatten()
        here = row * SHAPE[1] + column
        assert (seen[here:] == 0).all(), (row, column)
        assert (seen[:here] > 0).all(), (row, column)


def test_there_is_no_blind_spot_within_the_reach_of_few_layers() -> None:
    # Two to the right in the row above: what masks of a single stack never reach.
    seen = gradients(prior(), 2, 3)
    assert (seen[1, 1:6] > 0).all()
    assert (seen[2, :3] > 0).all()


def test_masks_are_buffers_and_masked_taps_do_nothing() -> None:
    network, codes = prior(), torch.randint(N_CODES, (2, *SHAPE))
    before = network(codes, conditions(2))
    masked = [x for x in network.modules() if isinstance(x, MaskedConv2d) and (x.mask == 0).any()]
    assert len(masked) == 2
    assert {"layers.0.vertical.mask", "layers.0.horizontal.mask"} < set(network.state_dict())
    for convolution in masked:
        assert (convolution.weight * (1 - convolution.mask) == 0).all()
        convolution.weight.data += 5 * (1 - convolution.mask)
    assert torch.equal(network(codes, conditions(2)), before)
    uniforms = uniforms_of(0, (2, *SHAPE))
    drawn = network.draw(conditions(2), uniforms)
    assert torch.equal(drawn, naive(network, conditions(2), uniforms, 1.0))


def test_masked_taps_stay_zero_in_training() -> None:
    network = prior().train()
    optimiser = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(3):
        codes = torch.randint(N_CODES, (2, *SHAPE))
        torch.nn.functional.cross_entropy(network(codes, conditions(2)), codes).backward()
        optimiser.step()
    for layer in network.gated_layers():
        for convolution in (layer.vertical, layer.horizontal):
            assert (convolution.weight * (1 - convolution.mask) == 0).all()


def test_masked_taps_of_the_first_layer_are_the_pixel_itself() -> None:
    first, second = prior().gated_layers()[:2]
    assert (first.vertical.mask[..., -1, :] == 0).all()
    assert (first.horizontal.mask[..., -1] == 0).all()
    assert first.vertical.taps().shape[2:] == (2, 5)
    assert first.horizontal.taps().shape[2:] == (1, 2)
    assert second.vertical.taps().shape[2:] == (2, 3)


@pytest.mark.parametrize(
    "settings",
    [SETTINGS, replace(SETTINGS, first_kernel=7, kernel=5, layers=2), replace(SETTINGS, layers=6)],
    ids=["published kernels", "wide kernels", "deep"],
)
@pytest.mark.parametrize("shape", [SHAPE, (6, 3), (1, 5), (5, 1)])
def test_incremental_draws_are_those_of_the_naive_loop(
    settings: PixelCnnSettings, shape: tuple[int, int]
) -> None:
    network, uniforms = prior(settings), uniforms_of(3, (5, *shape))
    drawn = network.draw(conditions(5), uniforms, 0.8)
    with torch.no_grad():
        assert torch.equal(drawn, naive(network, conditions(5), uniforms, 0.8))
    assert len(drawn.unique()) > 1


def test_draws_do_not_depend_on_how_many_are_drawn_at_once() -> None:
    network, uniforms = prior(), uniforms_of(4, (7, *SHAPE))
    together = network.draw(conditions(7), uniforms)
    apart = [network.draw(conditions(7)[i : i + 3], uniforms[i : i + 3]) for i in (0, 3, 6)]
    assert torch.equal(together, torch.cat(apart))


def test_first_uniforms_do_not_depend_on_how_many_follow() -> None:
    assert torch.equal(uniforms_of(5, (2, *SHAPE)), uniforms_of(5, (9, *SHAPE))[:2])


def test_picks_follow_the_distribution() -> None:
    shares = torch.tensor([0.0, 0.2, 0.0, 0.5, 0.3, 0.0])
    levels = (torch.arange(1000, dtype=torch.float64) + 0.5) / 1000
    picked = pick(shares.log().expand(1000, -1), levels)
    counts = torch.bincount(picked, minlength=6)
    assert counts.tolist() == [0, 200, 0, 500, 300, 0]
    ends = pick(shares.log().expand(2, -1), torch.tensor([0.0, np.nextafter(1, 0)]))
    assert ends.tolist() == [1, 4]


def test_low_temperature_draws_the_likeliest() -> None:
    network, uniforms = prior(), uniforms_of(6, (3, *SHAPE))
    codes = network.draw(conditions(3), uniforms, 1e-6)
    assert torch.equal(network(codes, conditions(3)).argmax(dim=1), codes)


def test_conditions_change_what_is_drawn() -> None:
    network, uniforms = prior(), uniforms_of(7, (4, *SHAPE))
    drawn = [network.draw(sign * 3 * conditions(4), uniforms) for sign in (1, -1)]
    assert not torch.equal(*drawn)


def test_published_sizes() -> None:
    """The published count, less its ten embeddings of a single class."""
    with torch.device("meta"):
        network = PixelCnn(PUBLISHED.codebook.size, PUBLISHED.pixelcnn)
    named = network.named_parameters()
    count = sum(value.numel() for name, value in named if "condition" not in name)
    assert count + 10 * 2 * 256 == 17_456_640


def test_even_kernels_are_refused() -> None:
    with pytest.raises(SettingError, match="kernel: got 4; accepted: odd"):
        PixelCnnSettings(kernel=4)
