"""U-Net on an encoder of segmentation-models-pytorch."""

from __future__ import annotations

import difflib

import segmentation_models_pytorch as smp
import timm
import torch
from torch import Tensor
from torch.nn import functional

from lungaug.errors import SettingError
from lungaug.segmenters.protocol import Batch, Loss, Segmenter, SegmenterSettings

DECODER_CHANNELS = (256, 128, 64, 32, 16)


class UNet(Segmenter):
    """U-Net with one output channel, for slices of any size.

    Slices are padded below and on the right with 0 (air, at the network's door) to a multiple of
    the encoder's stride, and the output is cropped.

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
        super().__init__()
        self.stride = 2**settings.encoder_depth
        self.objective = objective
        network = smp.Unet(
            encoder_name=settings.encoder,
            encoder_depth=settings.encoder_depth,
            encoder_weights=checked_weights(settings),
            decoder_channels=checked_channels(settings),
            in_channels=in_channels,
            classes=1,
        )
        # A fifth faster on CPU, and what tensor cores want.
        self.network = network.to(memory_format=torch.channels_last)

    def forward(self, image: Tensor) -> Tensor:
        """Logits, (N, 1, H, W), of images, (N, C, H, W)."""
        height, width = image.shape[-2:]
        padded = functional.pad(image, (0, -width % self.stride, 0, -height % self.stride))
        logits: Tensor = self.network(padded.contiguous(memory_format=torch.channels_last))
        return logits[..., :height, :width]

    def loss(self, batch: Batch) -> Tensor:
        return self.objective(self(batch.image), target_of(batch))

    def predict(self, batch: Batch) -> Tensor:
        return torch.sigmoid(self(batch.image))

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        logits = self(batch.image)
        return self.objective(logits, target_of(batch)), torch.sigmoid(logits)


def target_of(batch: Batch) -> Tensor:
    """1 where there is any nodule, else 0; (N, 1, H, W) in the image's type."""
    return (batch.nodule > 0).to(batch.image.dtype)


def checked_channels(settings: SegmenterSettings) -> tuple[int, ...]:
    """The decoder's channels, one for every halving of the encoder."""
    depth = settings.encoder_depth
    if settings.decoder_channels is None:
        return DECODER_CHANNELS[-depth:]
    if len(settings.decoder_channels) != depth or min(settings.decoder_channels) < 1:
        raise SettingError(
            f"decoder_channels: got {list(settings.decoder_channels)}; accepted: {depth} positive "
            f"numbers, one for every halving of encoder_depth: {depth}"
        )
    return settings.decoder_channels


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
    names += [f"tu-{model}" for model in timm.list_models()]
    close = difflib.get_close_matches(name, names, n=5) or sorted(names)[:5]
    raise SettingError(
        f"encoder: got {name!r}; accepted: one of {len(names)} names, for example "
        f"{', '.join(close)}"
    )
