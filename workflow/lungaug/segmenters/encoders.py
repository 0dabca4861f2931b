"""Encoders of segmentation-models-pytorch and timm, and the networks that are built on them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import segmentation_models_pytorch as smp
import timm

from lungaug.errors import InputError, SettingError
from lungaug.segmenters.logits import LogitSegmenter
from lungaug.segmenters.protocol import Loss, SegmenterSettings
from lungaug.segmenters.settings import PLAIN

# These can be dilated, and give a map at every stride: every network can be built on them.
COMMON = ("resnet18", "resnet50", "tu-mobilenetv3_small_050")


def on_encoder(
    architecture: Callable[..., Any],
    settings: SegmenterSettings,
    in_channels: int,
    options: dict[str, Loss],
    **decoder: Any,
) -> LogitSegmenter:
    """A network of segmentation-models-pytorch with one output channel.

    Args:
        architecture: its class there.
        settings: encoder, depth and weights.
        in_channels: slices that the network sees at once.
        options: of :class:`LogitSegmenter`.
        decoder: what the class wants to know of its decoder.

    Raises:
        SettingError: an unknown encoder, one that this network cannot be built on, or unknown
            weights.
        InputError: the weights cannot be downloaded.
    """
    weights = checked_weights(settings)
    try:
        network = architecture(
            encoder_name=settings.encoder,
            encoder_depth=settings.encoder_depth,
            encoder_weights=weights,
            in_channels=in_channels,
            classes=1,
            **decoder,
        )
    except OSError as error:
        raise InputError(
            f"weights: {settings.weights!r} of {settings.encoder} cannot be downloaded ({error}); "
            "accepted: a connection, the path of a file of weights, or null"
        ) from error
    except (AssertionError, RuntimeError, TypeError, ValueError) as error:
        raise SettingError(
            f"encoder: got {settings.encoder!r} with encoder_depth {settings.encoder_depth}, on "
            f"which {architecture.__name__} cannot be built ({error}); accepted: for example "
            f"{', '.join(COMMON)}"
        ) from error
    return LogitSegmenter(network, network.encoder.output_stride, **options)


def checked_weights(settings: SegmenterSettings) -> str | bool | None:
    """The weights as smp wants them, once the encoder and they are known to exist."""
    name, weights = settings.encoder, settings.weights
    check_encoder(name)
    if name.startswith("tu-"):
        known = ["imagenet"] if timm.is_model_pretrained(name[3:]) else []
    else:
        known = list(smp.encoders.encoders[name]["pretrained_settings"])
    if weights is not None and weights not in known:
        accepted = ", ".join(["null", *known, "the path of a file"])
        raise SettingError(f"weights: got {weights!r}; accepted for {name}: {accepted}")
    # timm names the variant within the encoder's name (tu-<name>.<variant>).
    return True if weights and name.startswith("tu-") else weights


def check_encoder(name: str) -> None:
    """Nothing, for an encoder that exists.

    Raises:
        SettingError: it does not; the message lists names like it.
    """
    if name == PLAIN:
        raise SettingError(
            f"encoder: got {name!r}, which only unet has; accepted: for example {', '.join(COMMON)}"
        )
    if name in smp.encoders.encoders or (name.startswith("tu-") and timm.is_model(name[3:])):
        return
    names = [n for n in smp.encoders.get_encoder_names() if not n.startswith("timm-")]
    names += [PLAIN, *(f"tu-{model}" for model in timm.list_models())]
    close = difflib.get_close_matches(name, names, n=5) or COMMON
    raise SettingError(
        f"encoder: got {name!r}; accepted: one of {len(names)} names, for example "
        f"{', '.join(close)}"
    )
