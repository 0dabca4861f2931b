"""What is particular to Swin-UNet; what every network must do is in test_segmenters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lungaug.errors import SettingError
from lungaug.segmenters.settings import SegmenterSettings, SwinUnetSettings
from lungaug.segmenters.swinunet import SwinUNet
from segmenters.shared import nodules

WINDOW = 4
TINY = SwinUnetSettings(width=16, depths=(2, 2), heads=(2, 4), window=WINDOW)


def built(swin: SwinUnetSettings = TINY) -> SwinUNet:
    torch.manual_seed(0)
    return SwinUNet(SegmenterSettings(swinunet=swin)).eval()


def reach(module: nn.Module, side: int, token: tuple[int, int], channels: int = 16) -> Tensor:
    """Which tokens of (side, side) one output token depends on, (side, side) bool."""
    tokens = torch.rand(1, side, side, channels, requires_grad=True)
    module(tokens)[0, token[0], token[1]].square().sum().backward()
    assert tokens.grad is not None
    # What is masked has a weight of exp(-100).
    return tokens.grad[0].abs().sum(-1) > 1e-20


def test_the_published_network_differs_by_its_channels_and_classes() -> None:
    # The authors' code (github.com/HuCaoFighting/Swin-Unet): three channels, nine classes.
    published = 27_168_900
    patches, head = 2 * 96 * 4 * 4, 8 * 96
    with torch.device("meta"):
        segmenter = SwinUNet(SegmenterSettings())
    ours = sum(p.numel() for p in segmenter.parameters())
    assert ours == published - patches - head == 27_165_060


def test_without_a_shift_windows_do_not_mix() -> None:
    level = built(replace(TINY, depths=(1, 1))).get_submodule("network.encoder.0")
    seen = reach(level, 2 * WINDOW, (WINDOW - 1, WINDOW - 1))
    assert seen[:WINDOW, :WINDOW].all()
    assert seen.sum() == WINDOW**2


def test_a_shift_mixes_neighbouring_windows() -> None:
    level = built().get_submodule("network.encoder.0")
    assert reach(level, 2 * WINDOW, (WINDOW - 1, WINDOW - 1)).all()


@pytest.mark.parametrize("side", [8, 6, 5])
def test_a_shift_does_not_join_opposite_sides(side: int) -> None:
    level = built().get_submodule("network.encoder.0")
    seen = reach(level, side, (0, 0))
    assert seen[:WINDOW, :WINDOW].all()
    assert seen.sum() == WINDOW**2


def test_expanding_puts_the_children_of_a_token_in_its_place() -> None:
    expand = built().get_submodule("network.expand_patch")
    tokens = torch.rand(1, 3, 2, 16)
    expanded = expand(tokens)
    assert expanded.shape == (1, 12, 8, 16)
    other = tokens.clone()
    other[0, 1, 1] += torch.rand(16)
    changed = (expand(other) != expanded).any(-1)[0]
    assert changed[4:8, 4:8].all()
    assert changed.sum() == 4 * 4


@pytest.mark.parametrize("level", [0, 1])
def test_every_skip_matters(level: int) -> None:
    segmenter = built(replace(TINY, depths=(1, 1, 1), heads=(2, 2, 2)))
    batch = nodules(1, 64, 64)
    whole = segmenter.predict(batch)

    def without(module: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
        below, skip = inputs[0].chunk(2, -1)
        return (torch.cat([below, torch.zeros_like(skip)], -1),)

    segmenter.get_submodule(f"network.join.{level}").register_forward_pre_hook(without)
    assert (segmenter.predict(batch) - whole).abs().max() > 1e-4


def test_sizes_may_change_from_batch_to_batch() -> None:
    segmenter = built()
    first, other = nodules(1, 64, 64), nodules(2, 90, 35)
    before = segmenter.predict(first)
    assert segmenter.predict(other).shape == (2, 1, 90, 35)
    assert torch.equal(segmenter.predict(first), before)


@pytest.mark.parametrize(
    "swin",
    [
        replace(TINY, patch=2, depths=(1, 2, 1), heads=(1, 2, 4)),
        replace(TINY, patch=3, window=1),
        replace(TINY, depths=(1, 1, 1, 1), heads=(1, 1, 1, 1), window=7),
    ],
)
def test_other_patches_levels_and_windows_work(swin: SwinUnetSettings) -> None:
    assert built(swin).predict(nodules(1, 33, 50)).shape == (1, 1, 33, 50)


def test_deeper_blocks_are_skipped_more_often() -> None:
    segmenter = built(replace(TINY, drop_path=0.3))
    blocks = [segmenter.get_submodule(f"network.encoder.{level}.blocks") for level in (0, 1)]
    rates = [getattr(block.drop_path1, "drop_prob", 0) for level in blocks for block in level]
    assert rates == pytest.approx([0, 0.1, 0.2, 0.3])


def test_the_same_seed_gives_the_same_gradients() -> None:
    def gradients() -> list[Tensor]:
        segmenter = built().train()
        segmenter.loss(nodules(2, 80, 48)).backward()
        return [p.grad for p in segmenter.parameters() if p.grad is not None]

    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        pairs = list(zip(gradients(), gradients(), strict=True))
    finally:
        torch.use_deterministic_algorithms(before)
    assert pairs
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize(
    ("swin", "message"),
    [
        (
            replace(TINY, heads=(2, 4, 8)),
            r"swinunet.heads: got \[2, 4, 8\]; accepted: 2 positive numbers.*\[16, 32\]",
        ),
        (replace(TINY, heads=(2, 5)), r"swinunet.heads: got \[2, 5\]; accepted.*\[16, 32\]"),
        (replace(TINY, heads=(0, 2)), r"swinunet.heads: got \[0, 2\]; accepted"),
        (replace(TINY, depths=(2,), heads=(2,)), r"depths: got \[2\]; accepted: two or more"),
        (replace(TINY, depths=()), r"depths: got \[\]; accepted: two or more positive"),
        (replace(TINY, depths=(2, 0)), r"depths: got \[2, 0\]; accepted: .* positive numbers"),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(swin: SwinUnetSettings, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SwinUNet(SegmenterSettings(swinunet=swin))


def test_there_are_no_weights_to_download() -> None:
    with pytest.raises(SettingError, match="weights: got 'imagenet'; accepted for swinunet: null"):
        SwinUNet(SegmenterSettings(weights="imagenet"))
