"""How a VQ-VAE and its prior learn: the steps of both phases, and what is seen of them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.crops import Crops
from lungaug.generators.channels import from_channels
from lungaug.generators.collapse import alike, spread
from lungaug.generators.conditions import Seen
from lungaug.generators.penalties import Reference, penalty
from lungaug.generators.pixelcnn import uniforms_of
from lungaug.generators.protocol import FitRun
from lungaug.generators.settings import BudgetSettings
from lungaug.generators.sheets import write_sheet
from lungaug.generators.vqvae_networks import Autoencoder, Prior
from lungaug.generators.vqvae_settings import RateSettings, VqvaeSettings
from lungaug.settings import as_mapping

Module = TypeVar("Module", bound=nn.Module)

_ON_SHEET = 9  # crops; as many reconstructions below them, or twice as many samples
_RIM_PX = 3  # what an insertion may use of a nodule's surroundings
_FEW = 2  # codes in use, with which hardly anything can be said


def symmetry(x: Tensor, k: int) -> Tensor:
    """Images (..., H, W) mirrored, and from ``k`` = 4 on with rows for columns."""
    flipped = [axis for bit, axis in ((1, -1), (2, -2)) if k & bit]
    out = x.flip(flipped) if flipped else x
    return out.transpose(-1, -2) if k & 4 else out


def n_symmetries(images: Tensor, flips: bool) -> int:
    """How many of :func:`symmetry` keep the images' shape; 1, themselves, unless asked for."""
    if not flips:
        return 1
    return 8 if images.shape[-1] == images.shape[-2] else 4


def _draws(seed: int, step: int) -> np.random.Generator:
    return np.random.default_rng([seed, step])


class _Learner(Generic[Module]):
    """A module and its optimiser under Fabric: what both phases share."""

    def __init__(
        self, module: Module, rates: RateSettings, budget: BudgetSettings, run: FitRun
    ) -> None:
        self.module, self.rates, self.budget, self.fabric = module, rates, budget, run.fabric
        optimiser = torch.optim.Adam(module.parameters(), rates.values[0])
        self.network, self.optimiser = run.fabric.setup(module, optimiser)

    def descend(self, loss: Tensor, step: int) -> None:
        self.optimiser.param_groups[0]["lr"] = self.rates.at(step, self.budget.steps)
        self.optimiser.zero_grad()
        self.fabric.backward(loss)
        self.optimiser.step()

    def sheet_due(self, step: int) -> bool:
        """Whether a sheet's step has come since the last row of the history."""
        budget = self.budget
        return step == budget.steps or step % budget.sheet_every < min(
            budget.log_every, budget.sheet_every
        )

    def state_dict(self) -> dict[str, Any]:
        return {"module": self.module.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.module.load_state_dict(state["module"])
        self.optimiser.load_state_dict(state["optimiser"])


class AutoencoderLearner(_Learner[Autoencoder]):
    """Learns to reconstruct crops, (N, 2, H, W) on the device."""

    def __init__(self, crops: Crops, images: Tensor, settings: VqvaeSettings, run: FitRun) -> None:
        rates, budget = settings.autoencoder_rates, settings.autoencoder
        super().__init__(Autoencoder(settings), rates, budget, run)
        self.images, self.settings, self.seed = images, settings, run.seed
        self.n_symmetries = n_symmetries(images, settings.flips)
        self.reference = None
        if any(as_mapping(settings.penalties).values()):
            self.reference = Reference.of(crops, settings.window).to(images.device)

    def learn(self, index: Tensor, step: int) -> Mapping[str, Tensor]:
        rng = _draws(self.seed, step)
        images = symmetry(self.images[index], int(rng.integers(self.n_symmetries)))
        self.network.train()
        output, quantised = self.network(images, int(rng.integers(2**31)))
        error = (output.float() - images) ** 2
        losses = {"reconstruction": error.mean()}
        if self.settings.nodule_weight > 0:
            losses["nodule"] = self.settings.nodule_weight * nodule_mean(error, images)
        losses["commitment"] = self.settings.commitment * quantised.commitment
        if self.reference is not None:
            mask = (images[:, 1] + 1) / 2
            losses |= penalty(output[:, 0], mask, self.reference, self.settings.penalties)
        self.descend(torch.stack(list(losses.values())).sum(), step)
        losses["perplexity"] = quantised.perplexity
        return {name: loss.detach() for name, loss in losses.items()}

    def observe(self, step: int, run: FitRun) -> Mapping[str, Any]:
        self.module.eval()
        if run.sheets is not None and self.sheet_due(step):
            real = self.images[_spaced(len(self.images), _ON_SHEET)]
            made = self.module.decode(self.module.encode(real))
            path = run.sheets / f"autoencoder_{step:06d}.png"
            _draw_sheet(path, torch.cat([real, made]), self.settings)
        n_used = self.module.codebook.n_used()
        return {"codes_used": n_used, "note": _few_codes(n_used)}


def nodule_mean(error: Tensor, images: Tensor) -> Tensor:
    """Mean of (B, 2, H, W) errors in and next to the nodules, each of which counts the same; ().

    Small nodules are a hundredth of a crop: the mean of all pixels hardly knows of them.
    """
    rim = 2 * _RIM_PX + 1
    near = functional.max_pool2d(images[:, 1:], rim, stride=1, padding=_RIM_PX) > 0
    inside = (error * near).sum(dim=(1, 2, 3)) / error.shape[1]
    return (inside / near.sum(dim=(1, 2, 3)).clamp(min=1)).mean()


def _few_codes(n_used: int) -> str:
    return f"collapse: {n_used} codes in use" if n_used <= _FEW else ""


def _draw_sheet(path: Path, images: Tensor, settings: VqvaeSettings) -> None:
    pair = from_channels(images, settings.window)
    write_sheet(path, pair.hu, pair.mask, settings.window)


class PriorLearner(_Learner[Prior]):
    """Learns the codes of crops, those of their mirror images included.

    Args:
        crops: what was encoded; their conditions are learned too.
        images: (N, 2, H, W), the crops as networks see them, on the device.
        autoencoder: fitted, on the device.
        seen: the crops' conditions.
        settings, run: of the fit.
    """

    def __init__(
        self,
        crops: Crops,
        images: Tensor,
        autoencoder: Autoencoder,
        seen: Seen,
        settings: VqvaeSettings,
        run: FitRun,
    ) -> None:
        super().__init__(Prior(settings, seen), settings.prior_rates, settings.prior, run)
        self.settings, self.seed = settings, run.seed
        self.autoencoder = autoencoder.eval()
        self.features = seen.features(crops).to(images.device)
        self.first_note = seen.note(len(crops), settings.min_nodules)
        n = n_symmetries(images, settings.flips)
        self.codes = torch.stack([autoencoder.encode(symmetry(images, k)) for k in range(n)])
        self.shown = _spaced(len(images), 2 * _ON_SHEET)
        self.real_spread = spread(images[self.shown])

    def learn(self, index: Tensor, step: int) -> Mapping[str, Tensor]:
        k = int(_draws(self.seed, step).integers(len(self.codes)))
        self.network.train()
        loss = self.network(self.codes[k, index], self.features[index])
        self.descend(loss, step)
        return {"nll": loss.detach()}

    def observe(self, step: int, run: FitRun) -> Mapping[str, Any]:
        notes = [self.first_note if step <= self.budget.log_every else ""]
        if self.sheet_due(step):
            notes.append(self._look(step, run))
        return {"note": "; ".join(note for note in notes if note)}

    def _look(self, step: int, run: FitRun) -> str:
        """Draw a sheet of nodules with some crops' conditions; whether they are alike."""
        self.module.eval()
        features = self.features[self.shown]
        uniforms = uniforms_of(run.seed, (len(features), *self.codes.shape[-2:]))
        codes = self.module.draw(features, uniforms.to(features.device), self.settings.temperature)
        made = self.autoencoder.decode(codes)
        if run.sheets is not None:
            _draw_sheet(run.sheets / f"prior_{step:06d}.png", made, self.settings)
        return alike(made, self.real_spread, self.settings.collapse)


def _spaced(n: int, wanted: int) -> list[int]:
    """Some of ``n`` positions, evenly apart: neighbours are often of one patient."""
    return [int(i) for i in np.linspace(0, n - 1, min(n, wanted)).round()]
