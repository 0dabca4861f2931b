"""Segmenters by name. A network's libraries are imported when it is built: they take seconds."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.errors import FileFormatError, InputError, SettingError
from lungaug.segmenters.settings import PLAIN, SegmenterSettings
from lungaug.settings import from_mapping

if TYPE_CHECKING:
    from lungaug.segmenters.protocol import Loss, Segmenter

MODEL_VERSION = 1


def _unet(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    if settings.encoder == PLAIN:
        from lungaug.segmenters.plain import PlainUNet

        return PlainUNet(settings, in_channels, **options)
    from lungaug.segmenters.smp_networks import unet

    return unet(settings, in_channels, **options)


def _unetplusplus(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.smp_networks import unetplusplus

    return unetplusplus(settings, in_channels, **options)


def _deeplabv3(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.smp_networks import deeplabv3

    return deeplabv3(settings, in_channels, **options)


def _segformer(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.smp_networks import segformer

    return segformer(settings, in_channels, **options)


def _maskrcnn(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.maskrcnn import MaskRcnn

    return MaskRcnn(settings, in_channels, **options)


def _transunet(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.transunet import TransUNet

    return TransUNet(settings, in_channels, **options)


def _swinunet(settings: SegmenterSettings, in_channels: int, **options: Any) -> Segmenter:
    from lungaug.segmenters.swinunet import SwinUNet

    return SwinUNet(settings, in_channels, **options)


NETWORKS: dict[str, Callable[..., Segmenter]] = {
    "unet": _unet,
    "unetplusplus": _unetplusplus,
    "deeplabv3": _deeplabv3,
    "segformer": _segformer,
    "maskrcnn": _maskrcnn,
    "transunet": _transunet,
    "swinunet": _swinunet,
}


def check_name(name: str) -> None:
    """Nothing, for a network that exists.

    Raises:
        SettingError: it does not; the message lists names like it.
    """
    if name not in NETWORKS:
        close = difflib.get_close_matches(name, NETWORKS) or sorted(NETWORKS)
        raise SettingError(f"segmenter: got {name!r}; accepted: {', '.join(close)}")


def build(
    name: str,
    settings: SegmenterSettings,
    in_channels: int | None = None,
    objective: Loss | None = None,
) -> Segmenter:
    """A network with fresh weights, drawn from torch's global generator, or those of a file.

    Args:
        name: one of ``NETWORKS``.
        settings: encoder, weights, decoder.
        in_channels: slices that the network sees at once; None: as ``settings.neighbours`` says.
        objective: loss of networks that have none of their own (maskrcnn has); None: binary
            cross-entropy.

    Raises:
        SettingError: unknown name, encoder or weights, or weights of other shapes.
        InputError: the file of weights cannot be read, or weights cannot be downloaded.
    """
    check_name(name)
    options = {} if objective is None else {"objective": objective}
    file = weights_file(settings)
    if file is not None:
        settings = replace(settings, weights=None)
    try:
        segmenter = NETWORKS[name](settings, in_channels or settings.in_channels, **options)
    except SettingError as error:
        raise SettingError(f"{name}: {error}") from error
    if file is not None:
        from lungaug.segmenters.weights import load_weights

        load_weights(segmenter, file)
    return segmenter


def weights_file(settings: SegmenterSettings) -> Path | None:
    """The file of weights that the settings name, if they name one: it has a dot or a slash."""
    weights = settings.weights
    return Path(weights) if weights is not None and ("." in weights or "/" in weights) else None


def describe(
    name: str, settings: SegmenterSettings, in_channels: int | None = None
) -> dict[str, Any]:
    """What :func:`load` needs beside the weights; plain values."""
    return {
        "model_version": MODEL_VERSION,
        "segmenter": name,
        "in_channels": in_channels or settings.in_channels,
        "network": asdict(settings),
    }


def load(path: Path) -> Segmenter:
    """The network of a ``model.pt``, on the CPU and in evaluation mode.

    Raises:
        FileFormatError: the file is missing, damaged or of another version.
    """
    from lungaug.segmenters.weights import read_tensors

    target = shlex.quote(str(path))
    remedy = f"rebuild it with: snakemake --force {target} (and the --configfile of the run)"
    try:
        stored = read_tensors(path)
    except InputError as error:
        raise FileFormatError(f"{error}; {remedy}") from error
    if not isinstance(stored, dict) or stored.get("model_version") != MODEL_VERSION:
        raise FileFormatError(f"{path}: not a model of version {MODEL_VERSION}; {remedy}")
    # The weights come from the file: nothing is to be downloaded.
    settings = from_mapping(SegmenterSettings, {**stored["network"], "weights": None})
    segmenter = build(stored["segmenter"], settings, stored["in_channels"])
    segmenter.load_state_dict(stored["weights"])
    return segmenter.eval()
