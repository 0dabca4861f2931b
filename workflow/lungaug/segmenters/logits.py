"""What segmenters that give one map of logits share: slices of any size, loss and probability."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.protocol import Batch, Loss, Segmenter, SegmenterSettings

DECODER_CHANNELS = (256, 128, 64, 32, 16)


class LogitSegmenter(Segmenter):
    """A network of one output channel, for slices of any size.

    Slices are padded below and on the right with 0 (air, at the network's door) to a multiple of
    the encoder's stride, and the output is cropped.

    Args:
        network: logits (N, 1, H, W) of images (N, C, H, W) whose sides ``stride`` divides.
        stride: of the encoder.
        objective: the loss, from logits and target.
    """

    def __init__(
        self,
        network: nn.Module,
        stride: int,
        objective: Loss = functional.binary_cross_entropy_with_logits,
    ) -> None:
        super().__init__()
        self.stride = stride
        self.objective = objective
        # A fifth faster on CPU, and what tensor cores want.
        self.network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, image: Tensor) -> Tensor:
        """Logits, (N, 1, H, W), of images, (N, C, H, W)."""
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % self.stride, 0, -height % self.stride))
        logits: Tensor = self.network(padded.contiguous(memory_format=torch.channels_last))
        return logits[..., :height, :width]

    def loss(self, batch: Batch) -> Tensor:
        return self.objective(self(batch.image), target_of(batch))

    def predict(self, batch: Batch) -> Tensor:
        return torch.sigmoid(self(batch.image))

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self(batch.image)
        return self.objective(logits, target_of(batch)), torch.sigmoid(logits)


def target_of(batch: Batch) -> Tensor:
    """1 where there is any nodule, else 0; (N, 1, H, W) in the image's type."""
    return (batch.nodule > 0).to(batch.image.dtype)


def checked_channels(settings: SegmenterSettings) -> tuple[int, ...]:
    """The decoder's channels, one for every halving of the encoder."""
    depth = settings.encoder_depth
    if settings.decoder_channels is None:
        return DECODER_CHANNELS[-depth:]
    if len(settings.decoder_channels) != depth or min(settings.decoder_channels) < 1:
        raise SettingError(
            f"decoder_channels: got {list(settings.decoder_channels)}; accepted: {depth} positive "
            f"numbers, one for every halving of encoder_depth: {depth}"
        )
    return settings.decoder_channels
