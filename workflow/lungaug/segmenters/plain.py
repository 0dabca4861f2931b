"""A small U-Net of plain convolutions, for small images and processors without a GPU."""

from __future__ import annotations

import itertools

from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.logits import LogitSegmenter, checked_channels
from lungaug.segmenters.protocol import Loss, SegmenterSettings


class PlainUNet(LogitSegmenter):
    """U-Net without a library's encoder, the cheaper the closer to the image's resolution.

    Needs neither segmentation-models-pytorch nor timm, which take seconds to import. Unlike the
    encoders of these it also has a level at full resolution, which nodules of a few pixels need.

    Args:
        settings: depth and channels; the encoder has the decoder's, and at its deepest as many as
            the decoder's deepest.
        in_channels: 1 for one slice; more for its neighbours.
        objective: the loss, from logits and target.

    Raises:
        SettingError: weights, of which there are none, or as many decoder channels as do not fit.

    References:
        Ronneberger O, Fischer P, Brox T, U-Net: convolutional networks for biomedical image
        segmentation, MICCAI 2015; with skips that are added instead of concatenated, as in
        Chaurasia A, Culurciello E, LinkNet, VCIP 2017.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        in_channels: int = 1,
        objective: Loss = functional.binary_cross_entropy_with_logits,
    ) -> None:
        if settings.weights is not None:
            raise SettingError(
                f"weights: got {settings.weights!r}; accepted for {settings.encoder}: null, the "
                "path of a file"
            )
        channels = checked_channels(settings)
        network = _Network(in_channels, (channels[0], *channels))
        super().__init__(network, 2**settings.encoder_depth, objective)


class _Network(nn.Module):
    """Logits of images; ``channels``: of every level, the deepest first."""

    def __init__(self, in_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.encoder = _Encoder(in_channels, channels[::-1])
        pairs = list(itertools.pairwise(channels))
        self.narrow = nn.ModuleList(_convolution(deep, here, 1) for deep, here in pairs)
        self.decoder = nn.ModuleList(_convolution(here, here) for _, here in pairs)
        self.head = nn.Conv2d(channels[-1], 1, 1)

    def forward(self, image: Tensor) -> Tensor:
        *skips, maps = self.encoder(image)
        for narrow, decode, skip in zip(self.narrow, self.decoder, skips[::-1], strict=True):
            # Narrowed before it is enlarged: a quarter of the work.
            maps = decode(functional.interpolate(narrow(maps), scale_factor=2) + skip)
        logits: Tensor = self.head(maps)
        return logits


class _Encoder(nn.Module):
    """Feature maps of images, from full resolution to the deepest level."""

    def __init__(self, in_channels: int, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.levels = nn.ModuleList([_convolution(in_channels, channels[0])])
        for before, here in itertools.pairwise(channels):
            self.levels.append(nn.Sequential(_convolution(before, here), _convolution(here, here)))

    def forward(self, image: Tensor) -> list[Tensor]:
        maps = [self.levels[0](image)]
        for level in list(self.levels)[1:]:
            maps.append(level(functional.max_pool2d(maps[-1], 2)))
        return maps


def _convolution(before: int, after: int, size: int = 3) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, size, padding=size // 2, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )
