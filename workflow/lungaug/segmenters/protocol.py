"""What the training loop asks of a network, whatever is inside it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import Tensor, nn

from lungaug.segmenters.settings import SegmenterSettings

__all__ = ["Batch", "Detections", "Found", "Loss", "Segmenter", "SegmenterSettings"]

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits and a 0/1 target, both (N, 1, H, W) float, to a scalar."""


class Batch(Protocol):
    """Slices of one size."""

    @property
    def image(self) -> Tensor:
        """(N, C, H, W) float32, 0 to 1: what the network's door let through."""

    @property
    def nodule(self) -> Tensor:
        """(N, 1, H, W) uint8: 0 background, k the k-th nodule of that slice."""


class Detections(NamedTuple):
    """What a network that finds instances found in one slice."""

    boxes: Tensor  # (K, 4) float, px: top, left, bottom, right; the last two excluded
    scores: Tensor  # (K,) float, 0 to 1


class Found(NamedTuple):
    """A network's answer to a batch."""

    probability: Tensor  # (N, 1, H, W) float
    detections: list[Detections] | None  # one a slice; None: the network gives maps only


class Segmenter(nn.Module, ABC):
    """A network that knows its loss and turns its output into a probability map."""

    @abstractmethod
    def loss(self, batch: Batch) -> Tensor:
        """The scalar to minimise, in training and in evaluation mode."""

    @abstractmethod
    def predict(self, batch: Batch) -> Tensor:
        """Probability of nodule, (N, 1, H, W) float, for any H and W."""

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and probability; overridden where one pass through the network gives both."""
        return self.loss(batch), self.predict(batch)

    def find(self, batch: Batch) -> Found:
        """Probability, with the boxes of networks that find instances; overridden by these."""
        return Found(self.predict(batch), None)
