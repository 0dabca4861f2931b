"""U-Net on an encoder of segmentation-models-pytorch."""

from __future__ import annotations

import difflib

import segmentation_models_pytorch as smp
import timm
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.logits import LogitSegmenter, checked_channels
from lungaug.segmenters.protocol import Loss, SegmenterSettings
from lungaug.segmenters.settings import PLAIN


class UNet(LogitSegmenter):
    """U-Net with one output channel, for slices of any size.

    Args:
        settings: encoder and decoder.
        in_channels: 1 for one slice; more for its neighbours.
        objective: the loss, from logits and target.

    Raises:
        SettingError: unknown encoder or weights, or as many decoder channels as do not fit.

    References:
        Ronneberger O, Fischer P, Brox T, U-Net: convolutional networks for biomedical image
        segmentation, MICCAI 2015.
    """

    def __init__(
        self,
        settings: SegmenterSettings,
        in_channels: int = 1,
        objective: Loss = functional.binary_cross_entropy_with_logits,
    ) -> None:
        network = smp.Unet(
            encoder_name=settings.encoder,
            encoder_depth=settings.encoder_depth,
            encoder_weights=checked_weights(settings),
            decoder_channels=checked_channels(settings),
            in_channels=in_channels,
            classes=1,
        )
        super().__init__(network, 2**settings.encoder_depth, objective)


def checked_weights(settings: SegmenterSettings) -> str | bool | None:
    """The weights as smp wants them, once the encoder and they are known to exist."""
    name, weights = settings.encoder, settings.weights
    if name.startswith("tu-"):
        known = ["imagenet"] if _known(name) and timm.is_model_pretrained(name[3:]) else []
    else:
        known = list(smp.encoders.encoders[name]["pretrained_settings"]) if _known(name) else []
    if weights is not None and weights not in known:
        accepted = ", ".join(["null", *known])
        raise SettingError(f"weights: got {weights!r}; accepted for {name}: {accepted}")
    # timm names the variant within the encoder's name (tu-<name>.<variant>).
    return True if weights and name.startswith("tu-") else weights


def _known(name: str) -> bool:
    """True, for an encoder that exists.

    Raises:
        SettingError: it does not; the message lists names like it.
    """
    if name in smp.encoders.encoders or (name.startswith("tu-") and timm.is_model(name[3:])):
        return True
    names = [n for n in smp.encoders.get_encoder_names() if not n.startswith("timm-")]
    names += [PLAIN, *(f"tu-{model}" for model in timm.list_models())]
    close = difflib.get_close_matches(name, names, n=5) or sorted(names)[:5]
    raise SettingError(
        f"encoder: got {name!r}; accepted: one of {len(names)} names, for example "
        f"{', '.join(close)}"
    )
