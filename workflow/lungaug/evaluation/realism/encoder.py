"""Features of trained networks: what the encoder of a segmenter, or Inception, sees in a nodule."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from lungaug.errors import InputError
from lungaug.evaluation.realism.window import HIGH_HU, LOW_HU

_BATCH = 32
_INCEPTION_PX = 299
_IMAGENET_MEAN = (0.485, 0.456, 0.406)
_IMAGENET_SD = (0.229, 0.224, 0.225)


def encoder_features(
    encoder: Callable[[Tensor], list[Tensor]], views: NDArray[np.float32]
) -> NDArray[np.float64]:
    """(N, C) means of the middle of the deepest feature maps of views (N, S, S), 0 to 1.

    The nodule lies in the middle half; pooled over all of the view, where the wall lies would say
    more than the nodule does.

    Args:
        encoder: gives feature maps (N, C, h, w), the deepest last.
        views: as the network's door lets slices through; S a multiple of the encoder's stride.
    """

    def pooled(batch: Tensor) -> Tensor:
        deepest = encoder(batch[:, None])[-1]
        rows, cols = (slice(n // 4, n - n // 4) for n in deepest.shape[2:])
        return deepest[:, :, rows, cols].mean((2, 3))

    return _in_batches(pooled, views)


def inception_features(weights: Path, hu: NDArray[np.int16]) -> NDArray[np.float64]:
    """(N, 2048) features of torchvision's Inception v3 of crops (N, S, S), HU.

    Args:
        weights: state dict of ``torchvision.models.inception_v3``, a file that the user supplies.
        hu: windowed to -1000 to 400 HU and scaled as ImageNet's pictures are.

    Raises:
        InputError: the file does not hold such weights.
    """
    network = _inception(weights)
    mean, sd = (torch.tensor(v).view(1, 3, 1, 1) for v in (_IMAGENET_MEAN, _IMAGENET_SD))

    def pooled(batch: Tensor) -> Tensor:
        large = functional.interpolate(
            batch[:, None], size=(_INCEPTION_PX, _INCEPTION_PX), mode="bilinear", antialias=True
        )
        features: Tensor = network((large.expand(-1, 3, -1, -1) - mean) / sd)
        return features

    unit = (np.clip(hu, LOW_HU, HIGH_HU) - LOW_HU) / (HIGH_HU - LOW_HU)
    return _in_batches(pooled, unit.astype(np.float32))


def _inception(weights: Path) -> nn.Module:
    from torchvision.models import inception_v3

    network: nn.Module = inception_v3(weights=None, init_weights=False, transform_input=False)
    try:
        state: Any = torch.load(weights, map_location="cpu", weights_only=True)
        network.load_state_dict(state)
    except (
        OSError,
        RuntimeError,
        EOFError,
        TypeError,
        AttributeError,
        pickle.UnpicklingError,
    ) as error:
        raise InputError(
            f"inception_weights: {weights} cannot be used ({error}); accepted: the state dict of "
            "torchvision.models.inception_v3, or null"
        ) from error
    network.fc = nn.Identity()
    return network.eval()


def _in_batches(
    pooled: Callable[[Tensor], Tensor], images: NDArray[np.float32]
) -> NDArray[np.float64]:
    with _one_thread(), torch.inference_mode():
        parts = [
            pooled(torch.from_numpy(images[first : first + _BATCH])).double().numpy()
            for first in range(0, len(images), _BATCH)
        ]
    return np.concatenate(parts)


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sums in one order, whatever the number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
