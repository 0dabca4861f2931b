"""What a generator pays for HU inside its masks that real nodules do not have.

Values are compared over a batch, not nodule by nodule: a nodule that had to hold the pooled
distribution of all would look like none of them.

References:
    Thesis, section on future work: bounds, distribution and texture of nodule HU as penalties.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from lungaug.crops import Crops
from lungaug.errors import InputError
from lungaug.generators.channels import Window, to_channels
from lungaug.generators.penalty_settings import PenaltySettings

_LEVELS = 256  # quantiles that stand for a distribution
_SIDE = 3  # of the square in which a deviation is local, in pixels
_TINY = 1e-6  # under roots, whose slope at 0 has no bound; 1e-3 of [-1, 1] is 0.7 HU


@dataclass(frozen=True)
class Reference:
    """What real nodules are like inside their masks, HU as networks see them.

    Attributes:
        low, high: 1st and 99th percentile.
        values: (L,) quantiles of HU, at levels (i + 1/2) / L, as are the next.
        deviation: (L,) of the standard deviation in the square around a pixel.
        gradient: (L,) of the gradient's length.
    """

    low: float
    high: float
    values: Tensor
    deviation: Tensor
    gradient: Tensor

    @classmethod
    def of(cls, crops: Crops, window: Window) -> Self:
        """Of real crops.

        Args:
            crops: of training patients.
            window: HU at -1 and at 1.

        Raises:
            InputError: no crop has a nodule.
        """
        if not crops.mask.any():
            raise InputError(f"{len(crops)} crops without a nodule; accepted: at least one with")
        hu, signs = to_channels(crops.hu, crops.mask, window).unbind(1)
        mask = (signs + 1) / 2
        low, high = torch.quantile(_levels_of(hu, mask, 4096), torch.tensor([0.01, 0.99])).tolist()
        parts = [(hu, mask), (_deviation(hu), _inner(mask)), (_gradient(hu), mask[:, :-1, :-1])]
        return cls(low, high, *(_levels_of(values, weight, _LEVELS) for values, weight in parts))

    def to(self, device: torch.device) -> Self:
        """The same in a device's memory."""
        parts = (self.values, self.deviation, self.gradient)
        return type(self)(self.low, self.high, *(part.to(device) for part in parts))


def penalty(
    hu: Tensor, mask: Tensor, reference: Reference, settings: PenaltySettings
) -> dict[str, Tensor]:
    """Weighted terms by name, those whose weight is above 0; all are 0 for HU like the reference.

    The mask only says where HU counts, and gets no gradient: a generator could else escape by
    making smaller nodules. A batch with empty masks pays nothing.

    Args:
        hu: (B, S, S), in [-1, 1].
        mask: (B, S, S), 0 to 1.
        reference: on the same device.
        settings: the weights.
    """
    hu, mask = hu.float(), mask.detach().float()
    terms = {}
    if settings.hinge > 0:
        beyond = torch.relu(reference.low - hu) + torch.relu(hu - reference.high)
        terms["hinge"] = settings.hinge * _mean(beyond, mask)
    if settings.wasserstein > 0:
        terms["wasserstein"] = settings.wasserstein * wasserstein(hu, mask, reference.values)
    if settings.texture > 0:
        deviation = wasserstein(_deviation(hu), _inner(mask), reference.deviation)
        gradient = wasserstein(_gradient(hu), mask[:, :-1, :-1], reference.gradient)
        terms["texture"] = settings.texture * (deviation + gradient)
    return terms


def wasserstein(values: Tensor, weight: Tensor, quantiles: Tensor) -> Tensor:
    """Distance in one dimension between weighted values and a distribution's quantiles; ().

    Args:
        values: any shape.
        weight: of the same shape, at least 0.
        quantiles: (L,), at levels (i + 1/2) / L.
    """
    ordered, order = values.flatten().sort()
    shares = weight.flatten()[order]
    shares = shares / shares.sum().clamp(min=_TINY)
    levels = shares.cumsum(0) - shares / 2
    return ((ordered - _at(levels, quantiles)).abs() * shares).sum()


def _at(levels: Tensor, quantiles: Tensor) -> Tensor:
    """The quantiles at levels from 0 to 1, linear between those known."""
    position = (levels * len(quantiles) - 0.5).clamp(0, len(quantiles) - 1)
    below = position.long()
    above = (below + 1).clamp(max=len(quantiles) - 1)
    return torch.lerp(quantiles[below], quantiles[above], position - below)


def _levels_of(values: Tensor, mask: Tensor, n: int) -> Tensor:
    """(n,) quantiles of the values inside a mask of 0 and 1."""
    ordered = values[mask > 0].sort().values
    return _at((torch.arange(n) + 0.5) / n, ordered)


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).sum() / weight.sum().clamp(min=_TINY)


def _deviation(hu: Tensor) -> Tensor:
    """(B, S - 2, S - 2) standard deviation of HU in the square around each inner pixel."""
    square, mean = (avg_pool2d(x[:, None], _SIDE, stride=1)[:, 0] for x in (hu**2, hu))
    return (torch.relu(square - mean**2) + _TINY).sqrt()


def _gradient(hu: Tensor) -> Tensor:
    """(B, S - 1, S - 1) length of the gradient, by forward differences."""
    down = hu[:, 1:, :-1] - hu[:, :-1, :-1]
    right = hu[:, :-1, 1:] - hu[:, :-1, :-1]
    return (down**2 + right**2 + _TINY).sqrt()


def _inner(mask: Tensor) -> Tensor:
    return mask[:, _SIDE // 2 : -(_SIDE // 2), _SIDE // 2 : -(_SIDE // 2)]
