"""What is particular to the networks of segmentation-models-pytorch and to the plain U-Net."""

from __future__ import annotations

import pytest
import torch

from lungaug.segmenters import factory
from lungaug.segmenters.settings import SegmenterSettings
from segmenters.shared import NETWORKS, PLAIN, SMALL, nodules


@pytest.mark.parametrize(
    ("name", "encoder", "n_parameters"),
    [
        ("unet", "vgg11", 18_252_881),
        ("deeplabv3", "resnet50", 39_627_457),
        ("unetplusplus", "vgg11", 33_851_985),
        ("unetplusplus", "resnet34", 26_072_337),
    ],
)
def test_published_numbers_of_parameters(name: str, encoder: str, n_parameters: int) -> None:
    with torch.device("meta"):  # no numbers are drawn
        network = factory.build(name, SegmenterSettings(encoder))
    assert sum(p.numel() for p in network.parameters()) == n_parameters


@pytest.mark.parametrize("which", ["unet", "unet, plain", "unetplusplus", "deeplabv3", "segformer"])
@pytest.mark.parametrize("depth", [3, 4])
def test_every_depth_has_a_default_decoder(depth: int, which: str) -> None:
    settings = SegmenterSettings(NETWORKS[which].encoder, encoder_depth=depth)
    network = factory.build(which.partition(",")[0], settings)
    assert network.predict(nodules(2, 32, 32)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("settings", [SMALL, PLAIN])
def test_the_encoder_gives_its_maps_the_deepest_last(settings: SegmenterSettings) -> None:
    segmenter = factory.build("unet", settings).eval()
    maps = segmenter.get_submodule("network.encoder")(torch.rand(2, 1, 64, 64))
    side = 64 // 2**settings.encoder_depth
    assert maps[-1].shape[2:] == (side, side)


def test_what_is_pooled_over_a_slice_is_normalised_by_the_batch() -> None:
    torch.manual_seed(0)
    network = factory.build("deeplabv3", NETWORKS["deeplabv3"])
    norm = network.get_submodule("network.decoder.aspp.convs")[-1][2]
    pooled = torch.rand(4, 32, 1, 1)
    torch.testing.assert_close(norm(pooled).mean(0), torch.zeros(32, 1, 1), atol=1e-5, rtol=0)
    before = norm.running_mean.clone()
    assert torch.equal(norm(pooled[:1]), norm.eval()(pooled[:1]))
    assert torch.equal(norm.running_mean, before)
