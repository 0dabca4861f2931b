"""Small crops with round nodules, and the circumstances of a fit that takes a second."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lungaug.crops import NODULE_TYPES, Crops
from lungaug.generators.all_settings import GeneratorsSettings
from lungaug.generators.protocol import FitRun
from lungaug.settings import from_mapping
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.devices import make_fabric

WINDOW = (-1000.0, 400.0)
MM = 1.5  # side of a pixel
TINY = from_mapping(
    GeneratorsSettings,
    {
        "vqvae": {
            "widths": [4, 8],
            "residual_layers": 1,
            "residual_width": 4,
            "codebook": {"size": 8, "width": 4},
            "pixelcnn": {"layers": 2, "width": 8, "head": 8, "condition_width": 4},
            "autoencoder": {"steps": 2, "batch_size": 4},
            "prior": {"steps": 2, "batch_size": 4},
        },
        "dcgan": {"latent": 4, "width": 4, "budget": {"steps": 2, "batch_size": 4}},
    },
)
"""Generators that are fitted in no time and have learned nothing."""
_HU = {"solid": 0, "part_solid": -300, "ground_glass": -600}


def blobs(n: int, size: int = 32, seed: int = 0) -> Crops:
    """Discs of 4 to 12 pixels across in noisy lung; three types and two classes."""
    rng = np.random.default_rng(seed)
    diameter = rng.uniform(4, 12, n)
    kind = np.array(NODULE_TYPES)[rng.integers(0, 3, n)]
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    mask = np.hypot(rows, columns)[None] <= diameter[:, None, None] / 2
    inside = np.array([_HU[name] for name in kind])[:, None, None]
    hu = np.where(mask, inside, -850) + rng.normal(0, 30, mask.shape)
    return Crops(
        diameter_mm=(MM * diameter).astype(np.float32),
        kind=kind,
        lung_rads=np.where(diameter < 8, "LR2", "LR3"),
        hu=np.rint(hu).astype(np.int16),
        mask=mask,
        patient=np.array([f"p{i % 4}" for i in range(n)]),
        donor=np.array([f"p{i % 4}/s0/{i:04d}" for i in range(n)]),
        label=np.ones(n, np.int64),
        pose=np.full(n, ""),
        spacing_mm=np.full((n, 2), MM, np.float32),
        origin=np.full(n, "cut:scaled"),
    )


def circumstances(
    seed: int = 0, checkpoint: Path | None = None, sheets: Path | None = None
) -> FitRun:
    """On the CPU."""
    saved = None if checkpoint is None else Checkpoint(checkpoint, "same")
    return FitRun("test", seed, make_fabric("cpu"), saved, sheets)
