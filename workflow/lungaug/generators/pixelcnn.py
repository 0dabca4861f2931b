"""Gated PixelCNN: codes of an image, one after the other, each given those before it.

Two stacks of layers: the vertical one sees all rows above a pixel, the horizontal one what is left
of it in its row, and the vertical one's. Together they see every earlier pixel, and no other.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.generators.vqvae_settings import PixelCnnSettings


class MaskedConv2d(nn.Conv2d):
    """A convolution whose masked taps do nothing, whatever was saved for them.

    Args:
        in_channels, out_channels: as of any convolution.
        kernel: rows and columns.
        masked: which end of the kernel does not exist for a pixel that must not see itself: the
            last row ("row"), the last column ("column"), or none ("").
    """

    mask: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel: tuple[int, int], masked: str
    ) -> None:
        super().__init__(in_channels, out_channels, kernel)
        # Not read from the mask: asking a GPU for a number makes it wait.
        self.left = kernel[0] - (masked == "row"), kernel[1] - (masked == "column")
        mask = torch.ones(1, 1, *kernel)
        if masked == "row":
            mask[:, :, -1] = 0
        elif masked == "column":
            mask[:, :, :, -1] = 0
        self.register_buffer("mask", mask)
        # Without a gradient they stay so, and what is saved says what is used.
        self.weight.data.mul_(mask)

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight * self.mask, self.bias)

    def taps(self) -> Tensor:
        """(out, in, rows, columns): the weights that the mask leaves."""
        rows, columns = self.left
        return self.weight.detach()[:, :, :rows, :columns]


class GatedLayer(nn.Module):
    """One layer of both stacks.

    Args:
        settings: width, dropout, length of the condition.
        kernel: side; the vertical stack has its upper half, the horizontal one its left half.
        first: the pixel itself is masked, and nothing is added to the input.
    """

    def __init__(self, settings: PixelCnnSettings, kernel: int, first: bool) -> None:
        super().__init__()
        width, half = settings.width, kernel // 2
        self.first, self.reach = first, half
        rows = (half + 1, kernel)
        self.vertical = MaskedConv2d(width, 2 * width, rows, "row" if first else "")
        self.horizontal = MaskedConv2d(width, 2 * width, (1, half + 1), "column" if first else "")
        self.across = nn.Conv2d(2 * width, 2 * width, 1)
        self.output = nn.Conv2d(width, width, 1)
        self.condition = nn.Linear(settings.condition_width, 2 * width)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, above: Tensor, left: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        """Both stacks' activations, (B, C, H, W), from those of the layer below."""
        half = self.reach
        told = self.condition(condition)[:, :, None, None]
        vertical = self.vertical(functional.pad(above, (half, half, half, 0)))
        horizontal = self.horizontal(functional.pad(left, (half, 0, 0, 0)))
        out = self.output(self.dropout(gated(horizontal + self.across(vertical) + told)))
        return gated(vertical + told), out if self.first else out + left


class PixelCnn(nn.Module):
    """Distribution of a pixel's code given all before it, row by row, and given a condition.

    Args:
        n_codes: in the codebook.
        settings: layers and widths.

    References:
        van den Oord A et al., Conditional image generation with PixelCNN decoders, NeurIPS 2016,
        equations 2 and 4 and figure 2.
    """

    def __init__(self, n_codes: int, settings: PixelCnnSettings) -> None:
        super().__init__()
        self.embed = nn.Embedding(n_codes, settings.width)
        kernels = [settings.first_kernel] + [settings.kernel] * (settings.layers - 1)
        self.layers = nn.ModuleList(
            GatedLayer(settings, kernel, first=i == 0) for i, kernel in enumerate(kernels)
        )
        self.hidden = nn.Conv2d(settings.width, settings.head, 1)
        self.last = nn.Conv2d(settings.head, n_codes, 1)

    def gated_layers(self) -> list[GatedLayer]:
        """From the first to the last."""
        return [layer for layer in self.layers if isinstance(layer, GatedLayer)]

    def forward(self, codes: Tensor, condition: Tensor) -> Tensor:
        """Logits, (B, n_codes, H, W), of (B, H, W) codes and a (B, condition_width) condition."""
        return self.logits(self.embed(codes).movedim(-1, 1), condition)

    def logits(self, embedded: Tensor, condition: Tensor) -> Tensor:
        """The same of embedded codes, (B, width, H, W)."""
        above = left = embedded
        for layer in self.layers:
            above, left = layer(above, left, condition)
        logits: Tensor = self.last(torch.relu(self.hidden(left)))
        return logits

    @torch.no_grad()
    def draw(self, condition: Tensor, uniforms: Tensor, temperature: float = 1.0) -> Tensor:
        """(B, H, W) codes, each drawn given those before it.

        Nothing is computed twice: the vertical stack goes on by a row, the horizontal one by a
        pixel, with what earlier ones left in memory.

        Args:
            condition: (B, condition_width).
            uniforms: (B, H, W) float64 in [0, 1), which decide the draws.
            temperature: the logits are divided by it.
        """
        n, height, width = uniforms.shape
        codes = torch.zeros(n, height, width, dtype=torch.long, device=condition.device)
        columns = _Columns(self)
        rows = _Rows(self, condition, width)
        embedded = rows.blank()
        for row in range(height):
            columns.begin(rows.advance(embedded))
            embedded = rows.blank()
            for column in range(width):
                logits = columns.logits(column)
                codes[:, row, column] = pick(logits / temperature, uniforms[:, row, column])
                embedded[:, :, column] = self.embed(codes[:, row, column])
                columns.put(embedded[:, :, column])
        return codes


def gated(x: Tensor) -> Tensor:
    """tanh of the first half of the channels, times sigmoid of the second."""
    values, gate = x.chunk(2, dim=1)
    return torch.tanh(values) * torch.sigmoid(gate)


def pick(logits: Tensor, uniforms: Tensor) -> Tensor:
    """(B,) classes of (B, K) logits by the inverse of their cumulative distribution.

    Args:
        logits: of any floating type.
        uniforms: (B,) float64 in [0, 1).
    """
    shares = torch.softmax(logits.double(), dim=1).cumsum(dim=1)
    # Scaled by what rounding left of 1, and on to the first class that passes it.
    levels = (uniforms * shares[:, -1])[:, None]
    return torch.searchsorted(shares, levels, right=True)[:, 0].clamp(max=logits.shape[1] - 1)


def uniforms_of(seed: int, shape: tuple[int, ...]) -> Tensor:
    """(N, H, W) float64 in [0, 1): the first of N do not depend on how many follow."""
    return torch.from_numpy(np.random.default_rng(seed).random(shape))


class _Rows:
    """The vertical stack, a row at a time."""

    def __init__(self, network: PixelCnn, condition: Tensor, width: int) -> None:
        self.layers = network.gated_layers()
        self.told = [layer.condition(condition)[:, :, None] for layer in self.layers]
        self.shape = (len(condition), self.layers[0].output.in_channels, width)
        self.like = condition
        # Rows above the present one that a layer still sees.
        self.seen = [[self.blank() for _ in range(layer.reach)] for layer in self.layers]
        self.taps = [layer.vertical.taps() for layer in self.layers]

    def blank(self) -> Tensor:
        """A row of nothing, (B, C, W)."""
        return self.like.new_zeros(self.shape)

    def advance(self, row: Tensor) -> list[Tensor]:
        """What each layer adds to the horizontal stack in the next row: (B, 2 C, W) each.

        Args:
            row: (B, C, W), the embedded codes of the row that is done.
        """
        added = []
        self.seen[0] = [*self.seen[0][1:], row]
        rows = self.seen[0]
        for i, layer in enumerate(self.layers):
            stacked = functional.pad(torch.stack(rows, dim=2), (layer.reach, layer.reach))
            vertical = functional.conv2d(stacked, self.taps[i], layer.vertical.bias)
            added.append(layer.across(vertical)[:, :, 0] + self.told[i])
            if i + 1 < len(self.layers):
                above = gated(vertical[:, :, 0] + self.told[i])
                rows = [*self.seen[i + 1], above]
                self.seen[i + 1] = rows[1:]
        return added


class _Matrix(NamedTuple):
    """A 1x1 convolution as what it is at one pixel."""

    weight: Tensor  # (in, out)
    bias: Any  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.addmm(self.bias, x, self.weight)


class _Layer(NamedTuple):
    """A layer of the horizontal stack, as matrices."""

    taps: Tensor  # (taps * C, 2 C)
    taps_bias: Any  # (2 C,)
    output: _Matrix
    reach: int  # pixels to the left that it sees


class _Columns:
    """The horizontal stack and the head, a pixel at a time."""

    def __init__(self, network: PixelCnn) -> None:
        self.layers = [_layer(layer) for layer in network.gated_layers()]
        self.hidden, self.last = _matrix(network.hidden), _matrix(network.last)

    def begin(self, added: list[Tensor]) -> None:
        """Begin a row, with what the vertical stack adds to each layer, (B, 2 C, W)."""
        pairs = zip(added, self.layers, strict=True)
        # One pixel after the other in memory.
        self.added = [(x.permute(2, 0, 1) + layer.taps_bias).contiguous() for x, layer in pairs]
        blank = added[0].new_zeros(len(added[0]), len(self.layers[0].output.weight))
        # Activations left of the present pixel that a layer still sees.
        self.seen = [[blank] * each.reach for each in self.layers]

    def logits(self, column: int) -> Tensor:
        """(B, K) of the pixel in a column, that of the codes put before."""
        left = self._step(0, column, self.seen[0])
        for i in range(1, len(self.layers)):
            seen = [*self.seen[i], left]
            self.seen[i] = seen[1:]
            left = self._step(i, column, seen) + left
        return self.last(torch.relu(self.hidden(left)))

    def _step(self, i: int, column: int, seen: list[Tensor]) -> Tensor:
        layer = self.layers[i]
        sums = torch.addmm(self.added[i][column], torch.cat(seen, dim=1), layer.taps)
        return layer.output(gated(sums))

    def put(self, embedded: Tensor) -> None:
        """Take in the (B, C) embedded code of the present pixel."""
        self.seen[0] = [*self.seen[0][1:], embedded]


def _layer(layer: GatedLayer) -> _Layer:
    taps = layer.horizontal.taps()[:, :, 0].permute(2, 1, 0).flatten(0, 1).contiguous()
    return _Layer(taps, layer.horizontal.bias, _matrix(layer.output), layer.reach)


def _matrix(convolution: nn.Conv2d) -> _Matrix:
    return _Matrix(convolution.weight.detach()[:, :, 0, 0].T.contiguous(), convolution.bias)
