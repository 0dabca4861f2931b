"""What a network is built from. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.settings import setting

PLAIN = "plain"


@dataclass(frozen=True)
class SegmenterSettings:
    """Encoder, its weights, and the decoder's width."""

    encoder: str = setting(
        "resnet18",
        "encoder of segmentation-models-pytorch, or tu-<name> for one of timm; the published one "
        "is vgg11; plain: a small one of this package, as wide as the decoder, quick without GPU",
    )
    encoder_depth: int = setting(
        5,
        "halvings of the image inside the encoder; 4 suits images of 128 px",
        minimum=3,
        maximum=5,
    )
    weights: str | None = setting(
        None, "pretrained weights, for example imagenet (downloaded); null: random"
    )
    decoder_channels: tuple[int, ...] | None = setting(
        None,
        "channels of the decoder, deepest first, one a halving; null: the last of 256, 128, 64, "
        "32, 16",
    )
