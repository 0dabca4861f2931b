"""Weights from a file: those of a whole network, or of its encoder alone."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lungaug.errors import InputError, SettingError
from lungaug.segmenters.protocol import Segmenter

# What a file may hold: a segmenter of this package, a network of segmentation-models-pytorch; an
# encoder of it, of timm, or of torchvision for Mask R-CNN.
WHOLE = ("", "network.")
ENCODERS = ("network.encoder.", "network.encoder.model.", "backbone.body.")
SHOWN = 3  # keys named in a message


def read_tensors(path: Path) -> Any:
    """What ``torch.save`` wrote, as long as it is tensors and plain values.

    Raises:
        InputError: there is no such file, it is damaged, or it holds anything else.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        reason = (str(error).splitlines() or ["it ends early"])[0]
        raise InputError(f"{path}: no tensors can be read ({reason})") from error


def load_weights(segmenter: Segmenter, path: Path) -> None:
    """Replace a network's weights, or its encoder's, by those of a file.

    The first convolution takes those of another number of channels: summed for one channel, else
    repeated and scaled by the ratio of the numbers.

    Args:
        segmenter: the network.
        path: a state dict as of ``torch.save``, or a ``model.pt`` of this package.

    Raises:
        InputError: the file cannot be read or holds no state dict.
        SettingError: its weights have other names or shapes; the message names the first ones.
    """
    weights = _state_dict(path)
    prefix, own = _part(segmenter.state_dict(), weights)
    first = next((key for key, value in own.items() if value.ndim == 4), None)
    if first in weights:
        weights[first] = _with_channels(weights[first], own[first])
    if prefix in ENCODERS:
        weights = _without_other_stages(weights, own)
    wrong = _differences(own, weights)
    if wrong:
        more = f", and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else ""
        raise SettingError(
            f"weights: {path} does not fit: {', '.join(wrong[:SHOWN])}{more}; accepted: weights of "
            "the whole network or of its encoder, as the settings describe it, or null"
        )
    with torch.no_grad():
        for key, value in own.items():
            value.copy_(weights.get(key, value))


def _state_dict(path: Path) -> dict[str, Tensor]:
    stored = read_tensors(path)
    if isinstance(stored, Mapping) and "model_version" in stored:
        stored = stored.get("weights")
    if not isinstance(stored, Mapping) or not all(torch.is_tensor(v) for v in stored.values()):
        kind = type(stored).__name__
        raise InputError(
            f"{path}: no state dict (a {kind}); accepted: a mapping of names to tensors, or a "
            "model.pt of this package"
        )
    return dict(stored)


def _part(
    state: Mapping[str, Tensor], weights: Mapping[str, Tensor]
) -> tuple[str, dict[str, Tensor]]:
    """The part of a network that a file is of: the one with the most names in common."""
    parts = {
        prefix: {key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)}
        for prefix in (*WHOLE, *ENCODERS)
    }
    return max(parts.items(), key=lambda part: len(part[1].keys() & weights.keys()))


def _with_channels(given: Tensor, wanted: Tensor) -> Tensor:
    """Weights (out, in, h, w) of a convolution for as many channels as ``wanted`` takes."""
    if given.ndim != 4 or given[:, :1].shape != wanted[:, :1].shape:
        return given
    n_given, n_wanted = given.shape[1], wanted.shape[1]
    if n_given == n_wanted:
        return given
    if n_wanted == 1:
        return given.sum(1, keepdim=True)
    return given[:, torch.arange(n_wanted) % n_given] * (n_given / n_wanted)


def _without_other_stages(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """An encoder's weights without its classifier and without deep stages that are not used."""
    stages = {key.partition(".")[0] for key in own}
    return {key: value for key, value in weights.items() if key.partition(".")[0] in stages}


def _differences(own: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> list[str]:
    wrong = []
    for key, value in own.items():
        if key not in weights:
            # Old files do not count the batches that running statistics are of.
            if not key.endswith("num_batches_tracked"):
                wrong.append(f"{key} {_shape(value)} is missing")
        elif weights[key].shape != value.shape:
            wrong.append(f"{key} has {_shape(weights[key])} instead of {_shape(value)}")
    unknown = [key for key in weights if key not in own]
    return wrong + [f"{key} {_shape(weights[key])} is unknown" for key in unknown]


def _shape(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
