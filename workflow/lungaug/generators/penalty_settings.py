"""Settings of the penalties. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.settings import setting


@dataclass(frozen=True)
class PenaltySettings:
    """Weights of what a generator pays for unlike HU inside its masks; 0 leaves a term out."""

    hinge: float = setting(
        0.0, "weight of HU beyond the 1st to 99th percentile of real nodules", minimum=0
    )
    wasserstein: float = setting(
        0.0, "weight of the distance between a batch's and real nodules' HU", minimum=0
    )
    texture: float = setting(
        0.0, "weight of the distance in local deviation and gradient of HU", minimum=0
    )
