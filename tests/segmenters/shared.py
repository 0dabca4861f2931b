"""Small networks and batches for the tests of segmenters."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lungaug.segmenters.settings import (
    MaskRcnnSettings,
    SegmenterSettings,
    SwinUnetSettings,
    TransUnetSettings,
)

SMALL = SegmenterSettings("tu-lcnet_035", decoder_channels=(16, 16, 8, 8, 8))
PLAIN = SegmenterSettings("plain", encoder_depth=3, decoder_channels=(16, 8, 8))
NETWORKS = {
    "unet": SMALL,
    "unet, plain": PLAIN,
    "unetplusplus": SMALL,
    "deeplabv3": SegmenterSettings("tu-lcnet_035", decoder_channels=(32,)),
    "segformer": SegmenterSettings("mit_b0", decoder_channels=(32,)),
    "maskrcnn": SegmenterSettings(
        "resnet18", encoder_depth=4, maskrcnn=MaskRcnnSettings(hidden=16)
    ),
    "transunet": SegmenterSettings(
        "tu-ghostnet_050",
        decoder_channels=(32, 16, 16, 8),
        transunet=TransUnetSettings(width=32, depth=1, heads=2, image_px=64),
    ),
    "swinunet": SegmenterSettings(
        swinunet=SwinUnetSettings(width=16, depths=(2, 2), heads=(2, 4), window=4)
    ),
}
"""Small settings of every network; what follows a comma tells two of one network apart."""


class Batch(NamedTuple):
    image: Tensor
    nodule: Tensor


def nodules(n: int, height: int, width: int, *, channels: int = 1) -> Batch:
    """Random slices, each with one bright nodule of label 2, a quarter of the slice's sides."""
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(n, channels, height, width, generator=generator) / 2
    nodule = torch.zeros(n, 1, height, width, dtype=torch.uint8)
    nodule[:, :, height // 4 : height // 2, width // 4 : width // 2] = 2
    return Batch(image + (nodule > 0) / 2, nodule)
