"""What a network is built from. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.settings import setting

PLAIN = "plain"


@dataclass(frozen=True)
class TransUnetSettings:
    """Transformer of TransUNet; the defaults are ViT-B/16's."""

    width: int = setting(768, "channels of a token, a multiple of heads", minimum=1)
    depth: int = setting(12, "transformer blocks", minimum=1)
    heads: int = setting(12, "attention heads of a block", minimum=1)
    mlp_ratio: float = setting(
        4.0, "hidden channels of a block's perceptron, as a multiple of width", exclusiveMinimum=0
    )
    dropout: float = setting(
        0.1, "share of values dropped in the transformer", minimum=0, exclusiveMaximum=1
    )
    image_px: int = setting(
        512,
        "side of the images that the position embedding is laid out for, px, a multiple of 16; "
        "other sizes interpolate it",
        minimum=16,
    )


@dataclass(frozen=True)
class SwinUnetSettings:
    """Transformer of Swin-UNet; the defaults are Swin-T's."""

    width: int = setting(96, "channels of a token at full width, doubled a level", minimum=1)
    depths: tuple[int, ...] = setting((2, 2, 2, 2), "blocks of every level, the finest first")
    heads: tuple[int, ...] = setting(
        (3, 6, 12, 24), "attention heads of every level, the finest first"
    )
    window: int = setting(7, "side of an attention window, tokens", minimum=1)
    patch: int = setting(4, "side of the patch that makes a token, px", minimum=1)
    drop_path: float = setting(
        0.1, "share of slices that skip the deepest block", minimum=0, exclusiveMaximum=1
    )


@dataclass(frozen=True)
class MaskRcnnSettings:
    """Heads of Mask R-CNN; the defaults are torchvision's, but for two classes."""

    min_score: float = setting(
        0.05, "score below which a detection is dropped", minimum=0, exclusiveMaximum=1
    )
    max_detections: int = setting(100, "detections kept in a slice, the best first", minimum=1)
    hidden: int = setting(
        256,
        "channels of the pyramid and inside the heads; the box head has four times as many",
        minimum=1,
    )


@dataclass(frozen=True)
class SegmenterSettings:
    """Encoder, its weights, and the decoder's width; what one network alone has is nested."""

    encoder: str = setting(
        "resnet18",
        "encoder of segmentation-models-pytorch, or tu-<name> for one of timm; the published one "
        "is vgg11; of maskrcnn a residual network of torchvision, published resnet50; plain: a "
        "small one of this package, as wide as the decoder, quick without GPU",
    )
    encoder_depth: int = setting(
        5,
        "halvings of the image inside the encoder; 4 suits images of 128 px",
        minimum=3,
        maximum=5,
    )
    weights: str | None = setting(
        None,
        "pretrained weights: a name that the encoder knows, for example imagenet (downloaded), or "
        "a file with a state dict of the encoder or of the whole network; null: random",
    )
    decoder_channels: tuple[int, ...] | None = setting(
        None,
        "channels of the decoder: of unet and unetplusplus deepest first, one a halving, null: "
        "the last of 256, 128, 64, 32, 16; of deeplabv3 and segformer one number, null: 256; of "
        "transunet four, null: 256, 128, 64, 16",
    )
    neighbours: int = setting(
        0,
        "slices on either side that the network sees too (2.5-D); 0: one slice; slices that an arm "
        "adds have no neighbours and repeat themselves, which burdens the comparison with none",
        minimum=0,
    )
    transunet: TransUnetSettings = setting(TransUnetSettings, "transformer of transunet")
    swinunet: SwinUnetSettings = setting(SwinUnetSettings, "transformer of swinunet")
    maskrcnn: MaskRcnnSettings = setting(MaskRcnnSettings, "heads of maskrcnn")

    @property
    def in_channels(self) -> int:
        """Slices that the network sees at once."""
        return 2 * self.neighbours + 1
