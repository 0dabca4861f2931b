"""The networks of segmentation-models-pytorch: U-Net, U-Net++, DeepLabV3 and SegFormer.

Each is a :class:`LogitSegmenter`: one output channel, slices of any size. Args of all of them:
the settings (encoder, its depth and weights, the decoder's channels), ``in_channels`` (1 for one
slice, more for its neighbours) and the options of :class:`LogitSegmenter`. All raise SettingError
for an encoder, weights or channels that do not exist or do not fit.
"""

from __future__ import annotations

import segmentation_models_pytorch as smp
from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.encoders import on_encoder
from lungaug.segmenters.logits import LogitSegmenter, checked_channels
from lungaug.segmenters.protocol import Loss, SegmenterSettings

WIDTH = 256  # channels of the decoders of one width, as published


def unet(settings: SegmenterSettings, in_channels: int, **options: Loss) -> LogitSegmenter:
    """U-Net.

    References:
        Ronneberger O, Fischer P, Brox T, U-Net: convolutional networks for biomedical image
        segmentation, MICCAI 2015.
    """
    channels = checked_channels(settings)
    return on_encoder(smp.Unet, settings, in_channels, options, decoder_channels=channels)


def unetplusplus(settings: SegmenterSettings, in_channels: int, **options: Loss) -> LogitSegmenter:
    """U-Net++: between encoder and decoder, skips of nested and dense convolutions.

    References:
        Zhou Z, Siddiquee MMR, Tajbakhsh N, Liang J, UNet++: a nested U-Net architecture for
        medical image segmentation, DLMIA 2018.
    """
    channels = checked_channels(settings)
    return on_encoder(smp.UnetPlusPlus, settings, in_channels, options, decoder_channels=channels)


def deeplabv3(settings: SegmenterSettings, in_channels: int, **options: Loss) -> LogitSegmenter:
    """DeepLabV3: an encoder dilated from stride 8 on, and parallel dilated convolutions.

    References:
        Chen L-C, Papandreou G, Schroff F, Adam H, Rethinking atrous convolution for semantic image
        segmentation, arXiv:1706.05587.
    """
    width = checked_width(settings)
    built = on_encoder(smp.DeepLabV3, settings, in_channels, options, decoder_channels=width)
    pooling = built.get_submodule("network.decoder.aspp.convs")[-1]  # type: ignore[index]
    pooling[2] = _PooledNorm(width)
    return built


def segformer(settings: SegmenterSettings, in_channels: int, **options: Loss) -> LogitSegmenter:
    """SegFormer; the published encoders are mit_b0 to mit_b5.

    References:
        Xie E, Wang W, Yu Z et al., SegFormer: simple and efficient design for semantic
        segmentation with transformers, NeurIPS 2021.
    """
    width = checked_width(settings)
    return on_encoder(
        smp.Segformer, settings, in_channels, options, decoder_segmentation_channels=width
    )


def checked_width(settings: SegmenterSettings) -> int:
    """Channels of a decoder that is equally wide everywhere."""
    channels = settings.decoder_channels
    if channels is None:
        return WIDTH
    if len(channels) != 1 or channels[0] < 1:
        raise SettingError(
            f"decoder_channels: got {list(channels)}; accepted for deeplabv3 and segformer: one "
            "positive number"
        )
    return channels[0]


class _PooledNorm(nn.BatchNorm2d):
    """Normalises what is pooled over a slice, in a batch of one too.

    One value has no deviation: the running statistics stand in.
    """

    def forward(self, maps: Tensor) -> Tensor:
        if self.training and len(maps) > 1:
            return super().forward(maps)
        return functional.batch_norm(
            maps, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
        )
