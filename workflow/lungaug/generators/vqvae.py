"""VQ-VAE with a gated PixelCNN prior: crops become a few codes, and new codes become crops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError
from lungaug.generators.channels import from_channels, to_channels
from lungaug.generators.conditions import Seen
from lungaug.generators.loop import learn, saved_phases
from lungaug.generators.pixelcnn import uniforms_of
from lungaug.generators.protocol import FitRun, HistoryRow, Samples
from lungaug.generators.vqvae_learning import AutoencoderLearner, PriorLearner
from lungaug.generators.vqvae_networks import Autoencoder, Prior
from lungaug.generators.vqvae_settings import VqvaeSettings
from lungaug.settings import as_mapping, from_mapping
from lungaug.training.checkpoint import seed_generators


@dataclass(frozen=True)
class _Fitted:
    """What a fit leaves."""

    seen: Seen
    latent: tuple[int, int]  # rows and columns of codes
    autoencoder: Autoencoder
    prior: Prior


class Vqvae:
    """The generator; conditional on diameter, type and class where there are enough crops."""

    def __init__(self, settings: VqvaeSettings) -> None:
        self.settings = settings
        self._fitted: _Fitted | None = None

    def fit(self, crops: Crops, run: FitRun) -> list[HistoryRow]:
        """Train encoder and decoder, then the prior of their codes; first one, then the other.

        Args:
            crops: of training patients; sides are multiples of 2 to the number of ``widths``.
            run: seed, Fabric, checkpoint, folder for sheets.

        Returns:
            Rows of both phases: reconstruction, commitment, perplexity and penalties of
            ``autoencoder``, nll (nats a code) of ``prior``.

        Raises:
            InputError: no crops, of another size, or with a diameter that is not a number.
        """
        settings = self.settings
        _check(crops, 2 ** len(settings.widths))
        seen = Seen.of(crops, settings.min_nodules)
        images = to_channels(crops.hu, crops.mask, settings.window).to(run.fabric.device)
        done = saved_phases(run)

        seed_generators(run.seed)
        first = AutoencoderLearner(crops, images, settings, run)
        if "autoencoder" in done:
            first.module.load_state_dict(done["autoencoder"]["weights"])
            history = done["autoencoder"]["history"]
        else:
            history = learn(first, len(crops), settings.autoencoder, run, phase="autoencoder")
        done = {"autoencoder": {"weights": first.module.state_dict(), "history": history}}

        # Seeded anew: the prior must not depend on where an interrupted fit went on.
        seed_generators(run.seed + 1)
        second = PriorLearner(crops, images, first.module, seen, settings, run)
        rows = learn(second, len(crops), settings.prior, run, phase="prior", before=done)
        height, width = second.codes.shape[-2:]
        modules = (first.module.cpu().eval(), second.module.cpu().eval())
        self._fitted = _Fitted(seen, (height, width), *modules)
        return [*history, *rows]

    def to(self, device: torch.device) -> None:
        """Move the networks."""
        fitted = self._whole()
        fitted.autoencoder.to(device)
        fitted.prior.to(device)

    @torch.no_grad()
    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        """One nodule for each condition; the first ones do not depend on how many follow.

        Raises:
            InputError: nothing was fitted, or a condition was not among the crops.
        """
        fitted = self._whole()
        fitted.seen.check(conditions)
        device = next(fitted.prior.parameters()).device
        features = fitted.seen.features(conditions).to(device)
        uniforms = uniforms_of(seed, (len(conditions), *fitted.latent)).to(device)
        codes = fitted.prior.draw(features, uniforms, self.settings.temperature)
        pair = from_channels(fitted.autoencoder.decode(codes), self.settings.window)
        return Samples.without_donors(pair.hu, pair.mask)

    def state(self) -> Mapping[str, Any]:
        """Settings, conditions, size and weights of both networks."""
        fitted = self._whole()
        return {
            "settings": as_mapping(self.settings),
            "seen": fitted.seen.state(),
            "latent": list(fitted.latent),
            "autoencoder": {k: x.cpu() for k, x in fitted.autoencoder.state_dict().items()},
            "prior": {k: x.cpu() for k, x in fitted.prior.state_dict().items()},
        }

    def _whole(self) -> _Fitted:
        if self._fitted is None:
            raise InputError("vqvae: not fitted; accepted: after fit, or from_state")
        return self._fitted


def from_state(state: Mapping[str, Any]) -> Vqvae:
    """The generator whose :meth:`Vqvae.state` this is, on the CPU."""
    generator = Vqvae(from_mapping(VqvaeSettings, state["settings"]))
    seen = Seen.from_state(state["seen"])
    autoencoder, prior = Autoencoder(generator.settings), Prior(generator.settings, seen)
    autoencoder.load_state_dict(state["autoencoder"])
    prior.load_state_dict(state["prior"])
    height, width = (int(n) for n in state["latent"])
    generator._fitted = _Fitted(seen, (height, width), autoencoder.eval(), prior.eval())
    return generator


def _check(crops: Crops, stride: int) -> None:
    if not len(crops):
        raise InputError("no crops; accepted: at least one")
    height, width = crops.hu.shape[1:]
    if height % stride or width % stride:
        raise InputError(f"crops of {height} x {width}; accepted: multiples of {stride}")
    if not np.isfinite(crops.diameter_mm).all():
        raise InputError("crops with a diameter that is not a number; accepted: mm")
