"""What is particular to TransUNet; what every network must do is in test_segmenters."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from lungaug.errors import SettingError
from lungaug.segmenters.settings import SegmenterSettings, TransUnetSettings
from lungaug.segmenters.transunet import TransUNet
from segmenters.shared import nodules

SMALL = SegmenterSettings(
    "tu-lcnet_035",
    decoder_channels=(32, 16, 16, 8),
    transunet=TransUnetSettings(width=32, depth=1, heads=2, image_px=64),
)
SIDE = 4  # tokens of 64 px


def built(settings: SegmenterSettings = SMALL) -> TransUNet:
    torch.manual_seed(0)
    return TransUNet(settings).eval()


def n_parameters(settings: SegmenterSettings, in_channels: int) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in TransUNet(settings, in_channels).parameters())


def test_the_published_network_differs_by_three_blocks_and_eight_classes() -> None:
    # The authors' code (github.com/Beckschen/TransUNet), three channels, nine classes, 224 px.
    published = 105_277_081
    # Its CNN has nine blocks at stride 16, a ResNet-50 has six.
    block = 1024 * 256 + 3 * 3 * 256 * 256 + 256 * 1024 + 2 * (256 + 256 + 1024)
    classes = 8 * (3 * 3 * 16 + 1)
    settings = SegmenterSettings("resnet50", transunet=TransUnetSettings(image_px=224))
    ours = n_parameters(settings, in_channels=3)
    assert ours == published - 3 * block - classes == 101_924_369
    assert abs(ours / published - 1) < 0.04


def test_the_default_has_more_positions_and_one_channel() -> None:
    positions = (32**2 - 14**2) * 768
    stem = 2 * 64 * 7 * 7
    assert n_parameters(SegmenterSettings("resnet50"), 1) == 101_924_369 + positions - stem


def test_an_encoder_of_timm_goes_by_either_name() -> None:
    short, long = (n_parameters(replace(SMALL, encoder=e), 1) for e in ("resnet18", "tu-resnet18"))
    assert short == long


@pytest.mark.parametrize("encoder", ["lcnet_035", "resnet10t"])
def test_no_weight_of_an_encoder_is_idle(encoder: str) -> None:
    segmenter = TransUNet(replace(SMALL, encoder=encoder))
    assert all(module.training for module in segmenter.modules())
    segmenter.loss(nodules(1, 64, 64)).backward()
    assert not [name for name, p in segmenter.named_parameters() if p.grad is None]


def test_at_its_own_size_the_position_embedding_is_what_was_learned() -> None:
    transformer = built().get_submodule("network.transformer")
    assert transformer.position_at(SIDE, SIDE) is transformer.position


@pytest.mark.parametrize("size", [(3, 7), (8, 8), (1, 5)])
def test_at_other_sizes_the_position_embedding_keeps_its_layout(size: tuple[int, int]) -> None:
    transformer = built().get_submodule("network.transformer")
    rows = torch.linspace(-1, 1, SIDE)[:, None, None].expand(SIDE, SIDE, 32)
    transformer.position = nn.Parameter(rows[None].clone())
    position = transformer.position_at(*size).detach()
    assert position.shape == (1, *size, 32)
    assert (position.diff(dim=1) > 0).all()
    torch.testing.assert_close(position, position[:, :, :1].expand_as(position))


def test_where_a_token_is_matters() -> None:
    transformer = built().get_submodule("network.transformer")
    same = torch.ones(1, transformer.embed.in_channels, SIDE, SIDE)
    assert transformer(same).std(dim=(2, 3)).min() > 1e-3


def test_every_token_sees_every_other() -> None:
    transformer = built().get_submodule("network.transformer")
    maps = torch.rand(1, transformer.embed.in_channels, 3, 5, requires_grad=True)
    transformer(maps)[0, 0, 0, 0].backward()
    assert maps.grad is not None
    assert (maps.grad.abs().sum(1) > 0).all()


@pytest.mark.parametrize("level", [1, 2, 3])
def test_every_skip_matters(level: int) -> None:
    transformer = replace(SMALL.transunet, dropout=0.0)
    # In training mode, where the scale of fresh weights is normalised away.
    segmenter = built(replace(SMALL, transunet=transformer)).train()
    batch = nodules(1, 64, 64)
    whole = segmenter.predict(batch)

    def without(module: nn.Module, inputs: object, maps: list[Tensor]) -> list[Tensor]:
        return [torch.zeros_like(m) if i == level else m for i, m in enumerate(maps)]

    segmenter.get_submodule("network.encoder").register_forward_hook(without)
    assert (segmenter.predict(batch) - whole).abs().max() > 1e-2


def test_the_same_seed_gives_the_same_gradients() -> None:
    def gradients() -> list[Tensor]:
        segmenter = built().train()
        # Of a size to which the position embedding is interpolated.
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
    ("settings", "message"),
    [
        (
            replace(SMALL, transunet=TransUnetSettings(width=32, heads=3)),
            "transunet.heads: got 3; accepted: a divisor of width: 32",
        ),
        (
            replace(SMALL, transunet=TransUnetSettings(image_px=100)),
            "transunet.image_px: got 100; accepted: a multiple of 16",
        ),
        (
            replace(SMALL, decoder_channels=(16, 16, 8, 8, 8)),
            r"decoder_channels: got \[16, 16, 8, 8, 8\]; accepted: 4 positive numbers",
        ),
        (replace(SMALL, encoder="resnet19"), "encoder: got 'resnet19'.*timm.*resnet18"),
        (replace(SMALL, encoder="plain"), "encoder: got 'plain'.*timm"),
        (
            replace(SMALL, encoder="tu-vit_tiny_patch16_224"),
            "encoder: got 'tu-vit_tiny_patch16_224'.*cannot be built.*resnet18",
        ),
        (replace(SMALL, weights="cats"), "weights: got 'cats'; accepted.*null"),
    ],
)
def test_what_does_not_fit_is_named_with_what_does(
    settings: SegmenterSettings, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        TransUNet(settings)
