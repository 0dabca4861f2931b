"""What a generator may be asked for, and how its networks are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from lungaug.crops import NODULE_TYPES, Conditions, Crops
from lungaug.errors import InputError

_MARGIN = 0.2  # a diameter this share beyond those seen is still near enough


@dataclass(frozen=True)
class Seen:
    """The conditions of the crops that a generator was fitted to.

    Attributes:
        kinds: nodule types, in the order of ``NODULE_TYPES``.
        classes: Lung-RADS classes, sorted.
        diameter_mm: smallest and largest.
        conditional: whether there were enough crops to tell conditions apart.
    """

    kinds: tuple[str, ...]
    classes: tuple[str, ...]
    diameter_mm: tuple[float, float]
    conditional: bool

    @classmethod
    def of(cls, crops: Crops, min_nodules: int) -> Self:
        """The conditions of some crops; below ``min_nodules`` of them nothing is conditional.

        Raises:
            InputError: no crops, or one without a diameter.
        """
        if not len(crops):
            raise InputError("no crops to learn from; accepted: at least one")
        wrong = np.flatnonzero(~(np.isfinite(crops.diameter_mm) & (crops.diameter_mm > 0)))
        if len(wrong):
            raise InputError(
                f"crop {wrong[0]} of {crops.donor[wrong[0]]}: diameter "
                f"{crops.diameter_mm[wrong[0]]} mm; accepted: above 0 (an unknown spacing "
                "leaves it unknown: set ingest.assumed_spacing_mm)"
            )
        present = set(crops.kind.tolist())
        return cls(
            tuple(kind for kind in NODULE_TYPES if kind in present),
            tuple(sorted(set(crops.lung_rads.tolist()))),
            (float(crops.diameter_mm.min()), float(crops.diameter_mm.max())),
            len(crops) >= min_nodules,
        )

    def check(self, conditions: Conditions) -> None:
        """Nothing, for conditions that were seen.

        Raises:
            InputError: names the first that was not, and what is accepted.
        """
        for name, values, known in (
            ("nodule type", conditions.kind, self.kinds),
            ("Lung-RADS class", conditions.lung_rads, self.classes),
        ):
            unknown = sorted(set(values.tolist()) - set(known))
            if unknown:
                raise InputError(
                    f"{name} '{unknown[0]}': the generator never saw one; "
                    f"accepted: {', '.join(known)}"
                )
        low, high = self.diameter_mm[0] * (1 - _MARGIN), self.diameter_mm[1] * (1 + _MARGIN)
        wrong = conditions.diameter_mm[~self._within(conditions.diameter_mm, low, high)]
        if len(wrong):
            raise InputError(
                f"diameter {float(wrong[0]):.1f} mm: the generator never saw one; "
                f"accepted: {low:.1f} to {high:.1f} mm"
            )

    @staticmethod
    def _within(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.bool_]:
        return np.asarray((values >= low) & (values <= high))

    def note(self, n_crops: int, min_nodules: int) -> str:
        """What a person should know of it; '' if the generator is conditional."""
        if self.conditional:
            return ""
        return f"unconditional: {n_crops} nodules, fewer than min_nodules {min_nodules}"

    @property
    def n_features(self) -> int:
        """Length of a condition as numbers."""
        return 1 + len(self.kinds) + len(self.classes)

    def features(self, conditions: Conditions) -> Tensor:
        """(N, n_features) float32: log diameter from -1 to 1 over those seen, then one-hot."""
        low, high = np.log(self.diameter_mm)
        # No less than the margin: where all were of one size, a like one must not be far away.
        half = max((high - low) / 2, np.log1p(_MARGIN))
        size = (np.log(conditions.diameter_mm) - (low + high) / 2) / half
        kind = conditions.kind[:, None] == np.array(self.kinds)
        lung_rads = conditions.lung_rads[:, None] == np.array(self.classes)
        parts = np.concatenate([size[:, None], kind, lung_rads], axis=1)
        return torch.from_numpy(parts.astype(np.float32))

    def state(self) -> dict[str, Any]:
        """Plain values for a model file."""
        return {
            "kinds": list(self.kinds),
            "classes": list(self.classes),
            "diameter_mm": list(self.diameter_mm),
            "conditional": self.conditional,
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Self:
        """The inverse of :meth:`state`."""
        low, high = state["diameter_mm"]
        return cls(
            tuple(state["kinds"]), tuple(state["classes"]), (low, high), bool(state["conditional"])
        )


class Embedding(nn.Module):
    """Conditions as vectors, (B, n_features) to (B, width).

    In training a share of them is replaced by a learned vector for "any", so that the network
    learns the pooled distribution too; an unconditional one gives that vector always.

    Args:
        seen: what conditions there are.
        width: length of a vector.
        dropout: share that is replaced in training.
    """

    def __init__(self, seen: Seen, width: int, dropout: float) -> None:
        super().__init__()
        self.conditional = seen.conditional
        self.dropout = dropout
        self.embed = nn.Sequential(
            nn.Linear(seen.n_features, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.any = nn.Parameter(torch.zeros(width))

    def hidden(self, features: Tensor) -> Tensor:
        """(B, 1) bool, which conditions a step hides; drawn from torch's global generator."""
        if not self.training or self.dropout == 0:
            return torch.zeros(len(features), 1, dtype=torch.bool, device=features.device)
        return torch.rand(len(features), 1, device=features.device) < self.dropout

    def forward(self, features: Tensor, hidden: Tensor | None = None) -> Tensor:
        """Vectors; ``hidden`` is what two networks share that must hide the same conditions."""
        if not self.conditional:
            return self.any.expand(len(features), -1)
        vectors: Tensor = self.embed(features)
        drawn = self.hidden(features) if hidden is None else hidden
        return torch.where(drawn, self.any.to(vectors.dtype), vectors)
