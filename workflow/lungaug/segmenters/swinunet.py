"""Swin-UNet: a U-shaped network of transformers with shifted windows, without convolutions."""

from __future__ import annotations

import itertools

import torch
from timm.layers.patch_embed import PatchEmbed
from timm.models.swin_transformer import PatchMerging, SwinTransformerBlock
from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.logits import LogitSegmenter
from lungaug.segmenters.protocol import Loss, SegmenterSettings
from lungaug.segmenters.settings import SwinUnetSettings


class SwinUNet(LogitSegmenter):
    """Swin-UNet with one output channel, for slices of any size.

    Weights start as torch's layers draw them, by their width: with the published deviation of
    0.02, narrow networks stay at an empty prediction for long.

    Args:
        settings: ``swinunet``, and weights; there is no other encoder.
        in_channels: 1 for one slice; more for its neighbours.
        objective: the loss, from logits and target.

    Raises:
        SettingError: weights by name, of which there are none; depths and heads that do not fit.

    References:
        Cao H, Wang Y, Chen J et al., Swin-Unet: Unet-like pure transformer for medical image
        segmentation, ECCV Workshops 2022, arXiv:2105.05537.
        Liu Z, Lin Y, Cao Y et al., Swin transformer: hierarchical vision transformer using shifted
        windows, ICCV 2021.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        in_channels: int = 1,
        objective: Loss = functional.binary_cross_entropy_with_logits,
    ) -> None:
        swin = settings.swinunet
        _check(settings)
        stride = swin.patch * 2 ** (len(swin.depths) - 1)
        super().__init__(_Network(swin, in_channels), stride, objective)


class _Network(nn.Module):
    """Logits of images. Tokens inside are (N, h, w, channels); levels are the finest first."""

    def __init__(self, swin: SwinUnetSettings, in_channels: int) -> None:
        super().__init__()
        widths = [swin.width * 2**level for level in range(len(swin.depths))]
        self.embed = PatchEmbed(
            None, swin.patch, in_channels, swin.width, norm_layer=nn.LayerNorm, output_fmt="NHWC"
        )
        self.encoder = _levels(swin, widths)
        self.merge = nn.ModuleList(PatchMerging(width) for width in widths[:-1])
        self.norm = nn.LayerNorm(widths[-1])
        self.expand = nn.ModuleList(
            _PatchExpanding(deep, here, 2) for here, deep in itertools.pairwise(widths)
        )
        self.join = nn.ModuleList(nn.Linear(2 * width, width) for width in widths[:-1])
        self.decoder = _levels(swin, widths)[:-1]
        self.norm_up = nn.LayerNorm(swin.width)
        self.expand_patch = _PatchExpanding(swin.width, swin.width, swin.patch)
        # The normalisation before it has a bias already.
        self.head = nn.Conv2d(swin.width, 1, 1, bias=False)

    def forward(self, image: Tensor) -> Tensor:
        *skips, tokens = self._encode(self.embed(image))
        tokens = self.norm(tokens)
        for level in reversed(range(len(skips))):
            joined = torch.cat([self.expand[level](tokens), skips[level]], -1)
            tokens = self.decoder[level](self.join[level](joined))
        pixels = self.expand_patch(self.norm_up(tokens))
        logits: Tensor = self.head(pixels.permute(0, 3, 1, 2))
        return logits

    def _encode(self, tokens: Tensor) -> list[Tensor]:
        encoded = [self.encoder[0](tokens)]
        for merge, level in zip(self.merge, list(self.encoder)[1:], strict=True):
            encoded.append(level(merge(encoded[-1])))
        return encoded


def _levels(swin: SwinUnetSettings, widths: list[int]) -> nn.ModuleList:
    """Blocks of every level; the deeper, the more often slices skip one in training."""
    rates = iter(torch.linspace(0, swin.drop_path, sum(swin.depths), device="cpu").tolist())
    return nn.ModuleList(
        _Level(width, heads, swin.window, list(itertools.islice(rates, depth)))
        for width, heads, depth in zip(widths, swin.heads, swin.depths, strict=True)
    )


class _Level(nn.Module):
    """Swin blocks of one resolution, every second one with windows shifted by half their side."""

    def __init__(self, width: int, heads: int, window: int, drop_path: list[float]) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.Sequential(
            *(
                SwinTransformerBlock(
                    width,
                    window,
                    heads,
                    window_size=window,
                    shift_size=window // 2 if i % 2 else 0,
                    always_partition=True,
                    dynamic_mask=True,
                    drop_path=rate,
                )
                for i, rate in enumerate(drop_path)
            )
        )

    def forward(self, tokens: Tensor) -> Tensor:
        height, width = tokens.shape[1:3]
        # timm's block pads after the shift, where its mask of wrapped windows no longer fits.
        padding = (0, 0, 0, -width % self.window, 0, -height % self.window)
        padded: Tensor = self.blocks(functional.pad(tokens, padding))
        return padded[:, :height, :width]


class _PatchExpanding(nn.Module):
    """Tokens ``factor`` times as many on a side, (N, h, w, before) to (N, fh, fw, after)."""

    def __init__(self, before: int, after: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.linear = nn.Linear(before, factor**2 * after, bias=False)
        self.norm = nn.LayerNorm(after)

    def forward(self, tokens: Tensor) -> Tensor:
        split = self.linear(tokens).unflatten(-1, (self.factor, self.factor, -1))
        expanded: Tensor = self.norm(split.transpose(2, 3).flatten(3, 4).flatten(1, 2))
        return expanded


def _check(settings: SegmenterSettings) -> None:
    swin = settings.swinunet
    if len(swin.depths) < 2 or min(swin.depths) < 1:
        raise SettingError(
            f"swinunet.depths: got {list(swin.depths)}; accepted: two or more positive numbers"
        )
    widths = [swin.width * 2**level for level in range(len(swin.depths))]
    fits = len(swin.heads) == len(widths) and min(swin.heads) > 0
    if not fits or any(w % h for w, h in zip(widths, swin.heads, strict=True)):
        raise SettingError(
            f"swinunet.heads: got {list(swin.heads)}; accepted: {len(widths)} positive numbers, "
            f"one a level of depths, divisors of the levels' widths: {widths}"
        )
    if settings.weights is not None:
        raise SettingError(
            f"weights: got {settings.weights!r}; accepted for swinunet: null, the path of a file"
        )
