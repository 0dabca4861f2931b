"""The networks of the VQ-VAE: encoder and decoder around the codes, and the prior over them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.generators.codebook import Codebook, Quantised
from lungaug.generators.conditions import Embedding, Seen
from lungaug.generators.pixelcnn import PixelCnn
from lungaug.generators.vqvae_settings import VqvaeSettings

_CHANNELS = 2  # HU and mask
_CHUNK = 64  # images at a time, which bounds the memory


class ResidualLayer(nn.Module):
    """3x3, then 1x1 back to the width, added to the input."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.narrow = nn.Conv2d(width, inner, 3, padding=1, bias=False)
        self.widen = nn.Conv2d(inner, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.widen(torch.relu(self.narrow(torch.relu(x))))
        return x + inner


class Autoencoder(nn.Module):
    """Encoder, codebook and decoder, for images whose sides are multiples of ``stride``.

    Args:
        settings: widths and codebook.
        channels: of the images.

    References:
        van den Oord A, Vinyals O, Kavukcuoglu K, Neural discrete representation learning, NeurIPS
        2017, section 4.1; normalised encodings: Łańcucki A et al., Robust training of vector
        quantized bottleneck models, IJCNN 2020.
    """

    def __init__(self, settings: VqvaeSettings, channels: int = _CHANNELS) -> None:
        super().__init__()
        self.stride = 2 ** len(settings.widths)
        self.encoder = _encoder(settings, channels)
        self.codebook = Codebook(settings.codebook)
        self.decoder = _decoder(settings, channels)

    def forward(self, x: Tensor, seed: int = 0) -> tuple[Tensor, Quantised]:
        """The reconstruction of (B, C, H, W) images, and their codes; the seed is for restarts."""
        quantised = self.codebook(self.encoder(x), seed)
        return self.decoder(quantised.codes), quantised

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """(B, H / stride, W / stride) codes of images, some at a time."""
        chunks = [self.codebook(self.encoder(chunk)).indices for chunk in torch.split(x, _CHUNK)]
        return torch.cat(chunks)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """The inverse: images of (B, h, w) codes."""
        return torch.cat(
            [self.decoder(self.codebook.embed(chunk)) for chunk in torch.split(codes, _CHUNK)]
        )


def _residual(settings: VqvaeSettings) -> list[nn.Module]:
    width, inner = settings.widths[-1], settings.residual_width
    return [ResidualLayer(width, inner) for _ in range(settings.residual_layers)]


def _encoder(settings: VqvaeSettings, channels: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, width in zip((channels, *settings.widths), settings.widths, strict=False):
        layers += [nn.Conv2d(before, width, 4, stride=2, padding=1), nn.ReLU()]
    layers += [nn.Conv2d(width, width, 3, padding=1), *_residual(settings), nn.ReLU()]
    layers += [nn.Conv2d(width, settings.codebook.width, 1)]
    if settings.normalise:
        layers += [nn.BatchNorm2d(settings.codebook.width, affine=False)]
    return nn.Sequential(*layers)


def _decoder(settings: VqvaeSettings, channels: int) -> nn.Sequential:
    widths = settings.widths[::-1]
    layers: list[nn.Module] = [nn.Conv2d(settings.codebook.width, widths[0], 3, padding=1)]
    layers += [*_residual(settings)]
    for width, after in zip(widths, (*widths[1:], channels), strict=True):
        layers += [nn.ReLU(), nn.ConvTranspose2d(width, after, 4, stride=2, padding=1)]
    return nn.Sequential(*layers)


class Prior(nn.Module):
    """The distribution of codes given what a nodule is asked to be."""

    def __init__(self, settings: VqvaeSettings, seen: Seen) -> None:
        super().__init__()
        sizes = settings.pixelcnn
        self.condition = Embedding(seen, sizes.condition_width, sizes.condition_dropout)
        self.pixelcnn = PixelCnn(settings.codebook.size, sizes)

    def forward(self, codes: Tensor, features: Tensor) -> Tensor:
        """Negative log-likelihood of (B, h, w) codes, a pixel's mean; ()."""
        logits = self.pixelcnn(codes, self.condition(features))
        return functional.cross_entropy(logits.float(), codes)

    @torch.no_grad()
    def draw(self, features: Tensor, uniforms: Tensor, temperature: float) -> Tensor:
        """(B, h, w) codes, decided by as many uniforms; the same however many are drawn at once."""
        parts = (torch.split(each, _CHUNK) for each in (features, uniforms))
        chunks = zip(*parts, strict=True)
        drawn = [self.pixelcnn.draw(self.condition(f), u, temperature) for f, u in chunks]
        return torch.cat(drawn)
