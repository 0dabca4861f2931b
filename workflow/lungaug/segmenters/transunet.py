"""TransUNet: a CNN, a transformer over its deepest map, and an upsampler with skips."""

from __future__ import annotations

import difflib
import itertools
from dataclasses import replace
from functools import partial
from typing import Any

import segmentation_models_pytorch as smp
import timm
import torch
from timm.layers.pos_embed import resample_abs_pos_embed_nhwc
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import InputError, SettingError
from lungaug.segmenters.encoders import COMMON, checked_weights
from lungaug.segmenters.logits import LogitSegmenter, checked_channels
from lungaug.segmenters.protocol import Loss, SegmenterSettings
from lungaug.segmenters.settings import TransUnetSettings

HALVINGS = 4  # a token stands for 16 px by 16 px
DECODER_CHANNELS = (256, 128, 64, 16)
PROBE_PX = 64  # side of the image that finds out which weights an encoder uses


class TransUNet(LogitSegmenter):
    """TransUNet with one output channel, for slices of any size.

    The position embedding is learned at ``transunet.image_px`` and interpolated (bicubic) to the
    tokens of other sizes. The published CNN is resnet50, whose first three stages are used; the
    authors' code gives its third stage the three blocks of the fourth, and normalises groups.

    Args:
        settings: encoder (one of timm, with or without tu-), its weights, the decoder's channels
            and ``transunet``; encoder_depth is always 4.
        in_channels: 1 for one slice; more for its neighbours.
        objective: the loss, from logits and target.

    Raises:
        SettingError: an encoder, weights, channels, heads or an image side that do not fit.

    References:
        Chen J, Lu Y, Yu Q et al., TransUNet: transformers make strong encoders for medical image
        segmentation, arXiv:2102.04306.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        in_channels: int = 1,
        objective: Loss = functional.binary_cross_entropy_with_logits,
    ) -> None:
        settings = _checked(settings)
        super().__init__(_Network(settings, in_channels), 2**HALVINGS, objective)


class _Network(nn.Module):
    """Logits of images, whose sides 16 divides."""

    def __init__(self, settings: SegmenterSettings, in_channels: int) -> None:
        super().__init__()
        self.encoder = _encoder(settings, in_channels)
        channels: list[int] = self.encoder.out_channels
        *skips, deepest = channels[1:]
        self.transformer = _Transformer(deepest, settings.transunet)
        self.decoder = _Upsampler(
            settings.transunet.width, skips[::-1], settings.decoder_channels or DECODER_CHANNELS
        )

    def forward(self, image: Tensor) -> Tensor:
        *skips, maps = self.encoder(image)[1:]
        logits: Tensor = self.decoder(self.transformer(maps), skips[::-1])
        return logits


class _Transformer(nn.Module):
    """ViT over a map (N, before, h, w), every pixel of it a token; gives (N, width, h, w)."""

    def __init__(self, before: int, settings: TransUnetSettings) -> None:
        super().__init__()
        width, side = settings.width, settings.image_px // 2**HALVINGS
        normalisation: Any = partial(nn.LayerNorm, eps=1e-6)
        self.embed = nn.Conv2d(before, width, 1)
        self.position = nn.Parameter(torch.empty(1, side, side, width))
        nn.init.trunc_normal_(self.position, std=0.02)
        self.dropout = nn.Dropout(settings.dropout)
        self.blocks = nn.Sequential(
            *(
                Block(
                    width,
                    settings.heads,
                    settings.mlp_ratio,
                    qkv_bias=True,
                    proj_drop=settings.dropout,
                    norm_layer=normalisation,
                )
                for _ in range(settings.depth)
            )
        )
        self.norm = normalisation(width)

    def forward(self, maps: Tensor) -> Tensor:
        tokens = self.embed(maps).permute(0, 2, 3, 1)
        tokens = self.dropout(tokens + self.position_at(*maps.shape[2:]))
        encoded: Tensor = self.norm(self.blocks(tokens.flatten(1, 2)))
        return encoded.transpose(1, 2).reshape(len(maps), -1, *maps.shape[2:])

    def position_at(self, height: int, width: int) -> Tensor:
        """The position embedding of so many tokens, (1, height, width, channels)."""
        resampled: Tensor = resample_abs_pos_embed_nhwc(self.position, [height, width])
        return resampled


class _Upsampler(nn.Module):
    """Logits of the transformer's map and of skips, the deepest first (the paper's CUP)."""

    def __init__(self, before: int, skips: list[int], channels: tuple[int, ...]) -> None:
        super().__init__()
        self.narrow = _convolution(before, 2 * channels[0])
        pairs = itertools.pairwise((2 * channels[0], *channels))
        self.levels = nn.ModuleList(
            nn.Sequential(_convolution(deep + skip, here), _convolution(here, here))
            for (deep, here), skip in zip(pairs, [*skips, 0], strict=True)
        )
        self.head = nn.Conv2d(channels[-1], 1, 3, padding=1)

    def forward(self, maps: Tensor, skips: list[Tensor]) -> Tensor:
        maps = self.narrow(maps)
        for level, skip in itertools.zip_longest(self.levels, skips):
            maps = functional.interpolate(maps, scale_factor=2, mode="bilinear")
            # There is no skip at the image's resolution.
            maps = level(maps if skip is None else torch.cat([maps, skip], 1))
        logits: Tensor = self.head(maps)
        return logits


def _convolution(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(before, after, 3, padding=1, bias=False),
        nn.BatchNorm2d(after),
        nn.ReLU(inplace=True),
    )


def _encoder(settings: SegmenterSettings, in_channels: int) -> Any:
    """A CNN of timm, without the stages below stride 16."""
    weights = checked_weights(settings)
    try:
        encoder = smp.encoders.get_encoder(
            settings.encoder, in_channels=in_channels, depth=HALVINGS, weights=weights
        )
        _drop_unused(encoder, _used(encoder, torch.zeros(1, in_channels, PROBE_PX, PROBE_PX)))
        return encoder
    except OSError as error:
        raise InputError(
            f"weights: {settings.weights!r} of {settings.encoder} cannot be downloaded ({error}); "
            "accepted: a connection, the path of a file of weights, or null"
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise SettingError(
            f"encoder: got {settings.encoder!r}, on which transunet cannot be built ({error}); "
            f"accepted: for example {', '.join(COMMON)}"
        ) from error


def _used(encoder: nn.Module, image: Tensor) -> set[int]:
    """Identities of the parameters that the encoder's maps depend on."""
    parameters = list(encoder.parameters())
    total = torch.stack([maps.sum() for maps in encoder.eval()(image)[1:]]).sum()
    gradients = torch.autograd.grad(total, parameters, allow_unused=True)
    encoder.train()
    return {id(p) for p, g in zip(parameters, gradients, strict=True) if g is not None}


def _drop_unused(module: nn.Module, used: set[int]) -> None:
    """Some networks of timm keep stages below the last map: time lost, and DDP refuses them."""
    for name, child in list(module.named_children()):
        own = {id(p) for p in child.parameters()}
        if own and not own & used:
            setattr(module, name, nn.Identity())
        else:
            _drop_unused(child, used)


def _checked(settings: SegmenterSettings) -> SegmenterSettings:
    """The settings with the encoder's and the decoder's part as TransUNet uses them."""
    transformer = settings.transunet
    if transformer.width % transformer.heads:
        raise SettingError(
            f"transunet.heads: got {transformer.heads}; accepted: a divisor of width: "
            f"{transformer.width}"
        )
    if transformer.image_px % 2**HALVINGS:
        raise SettingError(
            f"transunet.image_px: got {transformer.image_px}; accepted: a multiple of {2**HALVINGS}"
        )
    name = settings.encoder.removeprefix("tu-")
    if not timm.is_model(name):
        close = difflib.get_close_matches(name, timm.list_models(), n=5) or COMMON
        raise SettingError(
            f"encoder: got {settings.encoder!r}; accepted for transunet: one of timm, for example "
            f"{', '.join(close)}"
        )
    settings = replace(settings, encoder=f"tu-{name}", encoder_depth=HALVINGS)
    if settings.decoder_channels is not None:
        checked_channels(settings)
    return settings
