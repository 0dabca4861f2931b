"""Settings of the drawn ellipses. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.settings import setting


@dataclass(frozen=True)
class GaussianSettings:
    """Shape and texture of the nodules that are drawn."""

    n_nearest: int = setting(
        5, "training nodules nearest in diameter that HU are drawn from", minimum=1
    )
    axis_ratio: float = setting(
        0.6, "smallest ratio of the axes, minor to major", exclusiveMinimum=0, maximum=1
    )
    # about what a CT scanner's point spread does to a sharp edge
    edge_mm: float = setting(0.7, "SD of the edge's blur, mm", exclusiveMinimum=0)
    correlation_mm: float | None = setting(
        None, "SD of the kernel that makes the texture, mm; null: fitted", minimum=0
    )
