"""The codes of a VQ-VAE: vectors that follow what is encoded, as moving averages."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.generators.vqvae_settings import CodebookSettings

_EPSILON = 1e-5  # keeps the mean of a code that is never used finite


class Quantised(NamedTuple):
    """Encodings and the codes nearest to them.

    Attributes:
        codes: (B, D, H, W), with the encodings' gradient.
        indices: (B, H, W), of the codes.
        commitment: (), mean squared distance, whose gradient is the encodings'.
        perplexity: (), exp of the entropy of the batch's codes: how many are in use.
    """

    codes: Tensor
    indices: Tensor
    commitment: Tensor
    perplexity: Tensor


class Codebook(nn.Module):
    """Vectors that encodings are replaced by; always float32, whatever the precision around it.

    In training, each call moves them towards the mean of the encodings that they replaced. Codes
    hardly used are set onto encodings of the batch, all of them with the first batch.

    Args:
        settings: number and length of the codes, decay, and what is dead.

    References:
        van den Oord A, Vinyals O, Kavukcuoglu K, Neural discrete representation learning, NeurIPS
        2017, appendix A.1; restarts: Dhariwal P et al., Jukebox, 2020, section 3.2.
    """

    vectors: Tensor  # (K, D)
    uses: Tensor  # (K,) moving average of uses a step
    sums: Tensor  # (K, D) moving average of the sum of encodings a step

    def __init__(self, settings: CodebookSettings) -> None:
        super().__init__()
        self.settings = settings
        size = settings.size
        # What is published; the first batch's restarts replace it.
        vectors = torch.empty(size, settings.width).uniform_(-1 / size, 1 / size)
        self.register_buffer("vectors", vectors)
        self.register_buffer("uses", torch.zeros(size))
        self.register_buffer("sums", vectors.clone())

    def forward(self, encodings: Tensor, seed: int = 0) -> Quantised:
        """The nearest codes of (B, D, H, W) encodings.

        Args:
            encodings: of any floating type.
            seed: decides which encodings dead codes are set onto; a new one each step.
        """
        with torch.autocast(encodings.device.type, enabled=False):
            encodings = encodings.float()
            flat = encodings.detach().movedim(1, -1).flatten(0, -2)
            nearest = self._nearest(flat)
            one_hot = functional.one_hot(nearest, len(self.vectors)).float()
            indices = nearest.view(len(encodings), *encodings.shape[2:])
            codes = self.embed(indices)
            if self.training:
                self._follow(flat, one_hot)
                self._restart(flat, seed)
            commitment = functional.mse_loss(encodings, codes)
            passed = encodings + (codes - encodings).detach()
            return Quantised(passed, indices, commitment, perplexity(one_hot.mean(0)))

    def embed(self, indices: Tensor) -> Tensor:
        """(B, H, W) to (B, D, H, W)."""
        return self.vectors[indices].movedim(-1, 1)

    def n_used(self) -> int:
        """How many codes are not dead."""
        return int((self.uses >= max(self.settings.dead_below, _EPSILON)).sum())

    def _nearest(self, flat: Tensor) -> Tensor:
        # The encoding's own square is the same for all codes.
        squares = (self.vectors**2).sum(dim=1)
        return (squares - 2 * flat @ self.vectors.T).argmin(dim=1)

    def _follow(self, flat: Tensor, one_hot: Tensor) -> None:
        decay = self.settings.decay
        self.uses.mul_(decay).add_(one_hot.sum(0), alpha=1 - decay)
        self.sums.mul_(decay).add_(one_hot.T @ flat, alpha=1 - decay)
        total = self.uses.sum()
        smoothed = (self.uses + _EPSILON) / (total + len(self.uses) * _EPSILON) * total
        self.vectors.copy_(self.sums / smoothed[:, None])

    def _restart(self, flat: Tensor, seed: int) -> None:
        """Set dead codes onto encodings, without the GPU being asked which they are."""
        if self.settings.dead_below == 0:
            return
        rng = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(flat), (len(self.vectors),), generator=rng)
        dead = self.uses < self.settings.dead_below
        uses = torch.full_like(self.uses, self._fresh(len(flat)))
        vectors = flat[chosen.to(flat.device)]
        self.vectors.copy_(torch.where(dead[:, None], vectors, self.vectors))
        self.sums.copy_(torch.where(dead[:, None], vectors * uses[:, None], self.sums))
        self.uses.copy_(torch.where(dead, uses, self.uses))

    def _fresh(self, n_encodings: int) -> float:
        """Uses that a restarted code begins with: an even share, so that it lives for a while."""
        return max(n_encodings / len(self.vectors), 2 * self.settings.dead_below)


def perplexity(shares: Tensor) -> Tensor:
    """exp of the entropy of (K,) shares."""
    return torch.exp(-torch.xlogy(shares, shares).sum())
