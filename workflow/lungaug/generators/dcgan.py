"""DCGAN: one network draws crops from noise, another tells them from real ones.

References:
    Radford A, Metz L, Chintala S, Unsupervised Representation Learning with Deep Convolutional
    Generative Adversarial Networks, ICLR 2016.
    Miyato T, Koyama M, cGANs with Projection Discriminator, ICLR 2018: how it is conditioned.
    Zhao S et al., Differentiable Augmentation for Data-Efficient GAN Training, NeurIPS 2020: why
    the discriminator sees real and drawn crops turned alike.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.nn.utils.parametrizations import spectral_norm

from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError
from lungaug.generators.channels import from_channels, to_channels
from lungaug.generators.collapse import Silence, alike, least_loss, spread
from lungaug.generators.conditions import Embedding, Seen
from lungaug.generators.dcgan_settings import DcganSettings
from lungaug.generators.loop import learn
from lungaug.generators.penalties import Reference, penalty
from lungaug.generators.protocol import FitRun, HistoryRow, Samples
from lungaug.generators.sheets import write_sheet
from lungaug.settings import from_mapping
from lungaug.training.checkpoint import seed_generators

CHANNELS = 2  # HU and mask
_STEP = 16  # a crop's side over that of the smallest maps
_WATCHED = 64  # crops that sheets show and whose spread is measured
_CHUNK = 64  # nodules sampled at once


class Drawer(nn.Module):
    """Noise to crops: (B, latent) to (B, channels, size, size) in [-1, 1].

    Args:
        settings: width, latent, conditions.
        seen: what conditions there are.
        size: side of a crop, a multiple of 16; the published 64.
        channels: of a crop; published: 1.
    """

    def __init__(
        self, settings: DcganSettings, seen: Seen, size: int, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        self.embedding = embedding_of(settings, seen)
        told = 0 if self.embedding is None else settings.condition_width
        widths = [settings.latent + told, *(settings.width * k for k in (8, 4, 2, 1))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            shape = (size // _STEP, 1, 0) if i == 0 else (4, 2, 1)
            layers.append(nn.ConvTranspose2d(before, after, *shape, bias=False))
            layers += [nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
        layers += [nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1, bias=False), nn.Tanh()]
        self.layers = nn.Sequential(*layers)
        self.apply(_draw_weights)

    def forward(self, noise: Tensor, features: Tensor, hidden: Tensor | None = None) -> Tensor:
        if self.embedding is not None:
            noise = torch.cat([noise, self.embedding(features, hidden)], dim=1)
        drawn: Tensor = self.layers(noise[:, :, None, None])
        return drawn


class Judge(nn.Module):
    """Crops to logits of being real, (B, channels, size, size) to (B,).

    Conditions enter as the inner product of their embedding and the pooled last maps.

    Args:
        settings: width, conditions, first_norm.
        seen: what conditions there are.
        size: side of a crop, a multiple of 16.
        channels: of a crop.
    """

    def __init__(
        self, settings: DcganSettings, seen: Seen, size: int, channels: int = CHANNELS
    ) -> None:
        super().__init__()
        bounded = spectral_norm if settings.norm == "spectral" else nn.Identity()
        widths = [channels, *(settings.width * k for k in (1, 2, 4, 8))]
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(itertools.pairwise(widths)):
            layers.append(bounded(nn.Conv2d(before, after, 4, 2, 1, bias=False)))
            if settings.norm == "batch" and (i > 0 or settings.first_norm):
                layers.append(nn.BatchNorm2d(after))
            layers.append(nn.LeakyReLU(0.2, inplace=True))
        self.layers = nn.Sequential(*layers)
        self.head = bounded(nn.Conv2d(widths[-1], 1, size // _STEP, bias=False))
        self.embedding = embedding_of(settings, seen)
        if self.embedding is not None:
            self.project = nn.Linear(settings.condition_width, widths[-1], bias=False)
        self.apply(_draw_weights)

    def forward(self, crops: Tensor, features: Tensor, hidden: Tensor | None = None) -> Tensor:
        maps = self.layers(crops)
        logits: Tensor = self.head(maps).flatten()
        if self.embedding is None:
            return logits
        told = self.project(self.embedding(features, hidden))
        judged: Tensor = logits + (told * maps.sum((2, 3))).sum(1)
        return judged


def embedding_of(settings: DcganSettings, seen: Seen) -> Embedding | None:
    """The conditions' embedding; None where nothing is conditional."""
    if not seen.conditional or settings.condition_width == 0:
        return None
    return Embedding(seen, settings.condition_width, settings.condition_dropout)


def _draw_weights(module: nn.Module) -> None:
    """First weights as in Radford et al., section 4."""
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


class Dcgan:
    """The generator of that name; see :class:`lungaug.generators.protocol.Generator`."""

    def __init__(self, settings: DcganSettings) -> None:
        self.settings = settings
        self._seen: Seen | None = None
        self._size = 0
        self._drawer: Drawer | None = None

    def fit(self, crops: Crops, run: FitRun) -> list[HistoryRow]:
        """Learn from crops; see the protocol.

        Raises:
            InputError: crops of a size that the networks do not draw, or of unknown diameter.
        """
        size = crops.hu.shape[1]
        if size % _STEP or crops.hu.shape[1] != crops.hu.shape[2]:
            raise InputError(
                f"crops of {crops.hu.shape[1]} x {crops.hu.shape[2]} pixels; accepted by dcgan: "
                f"squares whose side is a multiple of {_STEP} (setting rois.crop.size)"
            )
        seen = Seen.of(crops, self.settings.min_nodules)
        seed_generators(run.seed)
        learner = _Learner(self.settings, seen, crops, run)
        history = learn(learner, len(crops), self.settings.budget, run)
        self._seen, self._size, self._drawer = seen, size, learner.mean.cpu()
        return history

    def to(self, device: torch.device) -> None:
        """Move the network."""
        self._fitted()[0].to(device)

    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        """One nodule for each condition; see the protocol."""
        drawer, seen = self._fitted()
        seen.check(conditions)
        device = next(drawer.parameters()).device
        noise = _noise(len(conditions), self.settings.latent, seed)
        features = seen.features(conditions)
        with torch.inference_mode():
            parts = [
                drawer(*(x.to(device) for x in chunk))
                for chunk in zip(*(torch.split(x, _CHUNK) for x in (noise, features)), strict=True)
            ]
        pair = from_channels(torch.cat(parts), self.settings.window)
        return Samples.without_donors(pair.hu, pair.mask)

    def state(self) -> Mapping[str, Any]:
        """Settings, conditions, size and weights."""
        drawer, seen = self._fitted()
        return {
            "settings": asdict(self.settings),
            "seen": seen.state(),
            "size": self._size,
            "weights": {name: x.cpu().clone() for name, x in drawer.state_dict().items()},
        }

    def _fitted(self) -> tuple[Drawer, Seen]:
        if self._drawer is None or self._seen is None:
            raise RuntimeError("a dcgan that was neither fitted nor loaded draws nothing")
        return self._drawer, self._seen


def from_state(state: Mapping[str, Any]) -> Dcgan:
    """The inverse of :meth:`Dcgan.state`."""
    generator = Dcgan(from_mapping(DcganSettings, state["settings"]))
    generator._seen, generator._size = Seen.from_state(state["seen"]), int(state["size"])
    drawer = Drawer(generator.settings, generator._seen, generator._size)
    drawer.load_state_dict(state["weights"])
    generator._drawer = drawer.eval()
    return generator


class _Learner:
    """Both networks at work; ``mean`` is the one that samples, of averaged weights."""

    def __init__(self, settings: DcganSettings, seen: Seen, crops: Crops, run: FitRun) -> None:
        self.settings = settings
        size, device = crops.hu.shape[1], run.fabric.device
        self.crops = to_channels(crops.hu, crops.mask, settings.window).to(device)
        self.features = seen.features(crops).to(device)
        self.note = seen.note(len(crops), settings.min_nodules) if settings.condition_width else ""
        self.reference = Reference.of(crops, settings.window).to(device)
        self.silence = Silence(settings.collapse)
        self.least_loss = least_loss(settings.smoothing)
        drawer, judge = Drawer(settings, seen, size), Judge(settings, seen, size)
        self.mean = copy.deepcopy(drawer).to(device).eval().requires_grad_(False)
        self.drawer, self.drawer_optimiser = run.fabric.setup(drawer, self._optimiser(drawer))
        self.judge, self.judge_optimiser = run.fabric.setup(judge, self._optimiser(judge))
        self.backward = run.fabric.backward
        watched = np.random.default_rng(run.seed).permutation(len(crops))[:_WATCHED]
        self.watched = torch.from_numpy(watched).to(device)
        self.noise = _noise(len(watched), settings.latent, run.seed).to(device)
        self.real_spread = spread(self.crops[self.watched])

    def learn(self, index: Tensor, step: int) -> dict[str, Tensor]:
        real, features = self.crops[index], self.features[index]
        hidden = self._hidden(features)
        noise = torch.randn(len(index), self.settings.latent, device=real.device)
        drawn = self.drawer(noise, features, hidden)
        losses = self._teach_judge(real, drawn.detach(), features, hidden)
        losses |= self._teach_drawer(drawn, features, hidden)
        self._average(step)
        # With smoothed targets the loss of a judge that is always right is not 0 but their entropy.
        self.silence.hear(losses["loss_d"] - self.least_loss)
        return losses

    def observe(self, step: int, run: FitRun) -> dict[str, Any]:
        with torch.inference_mode():
            drawn = self.mean(self.noise, self.features[self.watched])
        budget = self.settings.budget
        if run.sheets is not None and (step % budget.sheet_every == 0 or step == budget.steps):
            pair = from_channels(drawn, self.settings.window)
            path = run.sheets / f"step{step:06d}.png"
            write_sheet(path, pair.hu, pair.mask, self.settings.window)
        alarms = [alike(drawn, self.real_spread, self.settings.collapse), self.silence.note()]
        note = "; ".join(filter(None, [self.note, *alarms]))
        share = spread(drawn) / self.real_spread if self.real_spread > 0 else 1.0
        return {"spread": share, "note": note}

    def state_dict(self) -> dict[str, Any]:
        return {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    def _parts(self) -> dict[str, Any]:
        names = ("drawer", "judge", "drawer_optimiser", "judge_optimiser", "mean", "silence")
        return {name: getattr(self, name) for name in names}

    def _optimiser(self, module: nn.Module) -> torch.optim.Optimizer:
        settings = self.settings
        return torch.optim.Adam(module.parameters(), settings.learning_rate, betas=settings.betas)

    def _hidden(self, features: Tensor) -> Tensor | None:
        """Conditions that this step hides from both networks: they must play the same game."""
        embedding: Embedding | None = self.drawer.embedding
        return None if embedding is None else embedding.hidden(features)

    def _teach_judge(
        self, real: Tensor, drawn: Tensor, features: Tensor, hidden: Tensor | None
    ) -> dict[str, Tensor]:
        self.judge.requires_grad_(True)
        self.judge_optimiser.zero_grad()
        on_real = self.judge(self._turned(real), features, hidden)
        on_drawn = self.judge(self._turned(drawn), features, hidden)
        loss = _called(on_real, 1 - self.settings.smoothing) + _called(on_drawn, 0.0)
        self.backward(loss)
        self.judge_optimiser.step()
        scores = {"real_score": on_real, "drawn_score": on_drawn}
        means = {name: logits.detach().sigmoid().mean() for name, logits in scores.items()}
        return {"loss_d": loss.detach(), **means}

    def _teach_drawer(
        self, drawn: Tensor, features: Tensor, hidden: Tensor | None
    ) -> dict[str, Tensor]:
        # No gradient is needed of the judge's own weights here, a third of the backward pass.
        self.judge.requires_grad_(False)
        self.drawer_optimiser.zero_grad()
        loss = _called(self.judge(self._turned(drawn), features, hidden), 1.0)
        mask = (drawn[:, 1] + 1) / 2
        terms = penalty(drawn[:, 0], mask, self.reference, self.settings.penalties)
        self.backward(loss + sum(terms.values()))
        self.drawer_optimiser.step()
        return {"loss_g": loss.detach(), **{name: term.detach() for name, term in terms.items()}}

    def _turned(self, crops: Tensor) -> Tensor:
        """Each crop in one of its eight orientations, drawn from torch's global generator."""
        if not self.settings.flips:
            return crops
        choices = torch.randint(0, 2, (3, len(crops), 1, 1, 1), device=crops.device) > 0
        for chosen, turned in zip(choices, (_upside_down, _mirrored, _transposed), strict=True):
            crops = torch.where(chosen, turned(crops), crops)
        return crops

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the averaged weights; young averages forget faster, so that noise is not kept."""
        decay = min(self.settings.ema, (step + 1) / (step + 10))
        now = self.drawer.state_dict()
        for name, value in self.mean.state_dict().items():
            if value.is_floating_point():
                value.lerp_(now[name], 1 - decay)
            else:
                value.copy_(now[name])


def _called(logits: Tensor, target: float) -> Tensor:
    """Cross-entropy of logits that should all give one probability."""
    return binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


def _noise(n: int, length: int, seed: int) -> Tensor:
    values = np.random.default_rng(seed).standard_normal((n, length), dtype=np.float32)
    return torch.from_numpy(values)


def _upside_down(crops: Tensor) -> Tensor:
    return crops.flip(2)


def _mirrored(crops: Tensor) -> Tensor:
    return crops.flip(3)


def _transposed(crops: Tensor) -> Tensor:
    return crops.transpose(2, 3)
