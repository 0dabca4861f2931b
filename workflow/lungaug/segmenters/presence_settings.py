"""What a presence classifier is built from. Standard library only: the schema reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.errors import SettingError
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.settings import setting


@dataclass(frozen=True)
class PresenceSettings:
    """Encoder, its weights, and what counts more in the loss."""

    encoder: str = setting(
        "resnet18",
        "encoder of segmentation-models-pytorch, or tu-<name> for one of timm; plain: a small one "
        "of this package, quick without GPU",
    )
    encoder_depth: int = setting(
        5, "halvings of the image inside the encoder", minimum=3, maximum=5
    )
    weights: str | None = setting(
        None, "pretrained weights, as of a segmenter: a name, a file, or null: random"
    )
    channels: tuple[int, ...] | None = setting(
        None,
        "channels of the encoder plain, deepest first, one a halving; null: the last of 256, 128, "
        "64, 32, 16",
    )
    neighbours: int = setting(
        0, "slices on either side that the classifier sees too (2.5-D)", minimum=0
    )
    positive_weight: float | None = setting(
        None,
        "weight in the loss of a slice with a nodule, of one without 1; null: as many as there are "
        "training slices without for each with one",
        exclusiveMinimum=0,
    )

    cell_weight: float = setting(
        1.0,
        "weight in the loss of where a nodule is, cell by cell of the deepest maps; 0: only "
        "whether there is one counts",
        minimum=0,
    )

    def __post_init__(self) -> None:
        depth, channels = self.encoder_depth, self.channels
        if channels is not None and (len(channels) != depth or min(channels) < 1):
            raise SettingError(
                f"channels: got {list(channels)}; accepted: {depth} positive numbers, one for "
                f"every halving of encoder_depth: {depth}"
            )

    @property
    def unet(self) -> SegmenterSettings:
        """Settings of the U-Net with that encoder."""
        return SegmenterSettings(
            encoder=self.encoder,
            encoder_depth=self.encoder_depth,
            weights=self.weights,
            decoder_channels=self.channels,
            neighbours=self.neighbours,
        )
