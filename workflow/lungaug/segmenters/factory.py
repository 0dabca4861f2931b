"""Segmenters by name. A network's libraries are imported when it is built: they take seconds."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.errors import FileFormatError, SettingError
from lungaug.segmenters.settings import PLAIN, SegmenterSettings
from lungaug.settings import from_mapping

if TYPE_CHECKING:
    from lungaug.segmenters.protocol import Loss, Segmenter

MODEL_VERSION = 1


def _unet(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    if settings.encoder == PLAIN:
        from lungaug.segmenters.plain import PlainUNet

        return PlainUNet(settings, in_channels, **options)
    from lungaug.segmenters.unet import UNet

    return UNet(settings, in_channels, **options)


NETWORKS: dict[str, Callable[..., Segmenter]] = {"unet": _unet}


def check_name(name: str) -> None:
    """Nothing, for a network that exists.

    Raises:
        SettingError: it does not; the message lists names like it.
    """
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS) or sorted(NETWORKS)
        raise SettingError(f"segmenter: got {name!r}; accepted: {', '.join(close)}")


def build(
    name: str, settings: SegmenterSettings, in_channels: int = 1, objective: Loss | None = None
) -> Segmenter:
    """A network with fresh weights, drawn from torch's global generator.

    Args:
        name: one of ``NETWORKS``.
        settings: encoder, weights, decoder.
        in_channels: slices that the network sees at once.
        objective: loss of networks that have none of their own; None: binary cross-entropy.

    Raises:
        SettingError: unknown name, encoder or weights.
    """
    check_name(name)
    options = {} if objective is None else {"objective": objective}
    return NETWORKS[name](settings, in_channels, **options)


def describe(name: str, settings: SegmenterSettings, in_channels: int = 1) -> dict[str, Any]:
    """What :func:`load` needs beside the weights; plain values."""
    return {
        "model_version": MODEL_VERSION,
        "segmenter": name,
        "in_channels": in_channels,
        "network": asdict(settings),
    }


def load(path: Path) -> Segmenter:
    """The network of a ``model.pt``, on the CPU and in evaluation mode.

    Raises:
        FileFormatError: the file is missing, damaged or of another version.
    """
    import pickle

    import torch

    remedy = f"rebuild it with: snakemake --force {path} (and the --configfile of the run)"
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise FileFormatError(f"{path}: no model can be read ({error}); {remedy}") from error
    if not isinstance(stored, dict) or stored.get("model_version") != MODEL_VERSION:
        raise FileFormatError(f"{path}: not a model of version {MODEL_VERSION}; {remedy}")
    # The weights come from the file: nothing is to be downloaded.
    settings = from_mapping(SegmenterSettings, {**stored["network"], "weights": None})
    segmenter = build(stored["segmenter"], settings, stored["in_channels"])
    segmenter.load_state_dict(stored["weights"])
    return segmenter.eval()
