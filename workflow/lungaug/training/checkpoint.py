"""Checkpoints that resume exactly, and only the training that they belong to."""

from __future__ import annotations

import logging
import pickle
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lungaug.aside import remove_parts, written_aside

logger = logging.getLogger(__name__)

CHECKPOINT_VERSION = 3


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint's place, and what it must have come from to be used.

    Args:
        path: outside the declared outputs, which a workflow deletes when a job fails.
        identity: digest of settings, code and data of the training.
    """

    path: Path
    identity: str

    def save(self, state: Mapping[str, Any]) -> None:
        """Write plain values and tensors, with every generator's state: aside, then renamed."""
        stored = {
            "checkpoint_version": CHECKPOINT_VERSION,
            "identity": self.identity,
            "generators": generator_states(),
            "state": dict(state),
        }
        save_tensors(self.path, stored)

    def load(self) -> dict[str, Any] | None:
        """The state of a training to go on with, its generators set; None: start afresh."""
        remove_parts(self.path)
        if not self.path.is_file():
            return None
        try:
            stored = torch.load(self.path, map_location="cpu", weights_only=True)
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            logger.info("checkpoint %s ignored: it cannot be read (%s)", self.path.name, error)
            return None
        fits = isinstance(stored, dict) and stored.get("checkpoint_version") == CHECKPOINT_VERSION
        if not fits or stored["identity"] != self.identity:
            logger.info("checkpoint %s ignored: of other settings, code or data", self.path.name)
            return None
        set_generator_states(stored["generators"])
        return dict(stored["state"])

    def remove(self) -> None:
        remove_parts(self.path)
        self.path.unlink(missing_ok=True)


def save_tensors(path: Path, stored: Mapping[str, Any]) -> None:
    """``torch.save``, aside and renamed; the same values give the same bytes."""
    # An open file, since torch writes the name of a path into what it saves.
    with written_aside(path) as part, part.open("wb") as file:
        torch.save(dict(stored), file)


def seed_generators(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch, which libraries may draw from."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002 - the global one is meant
    torch.manual_seed(seed)


def generator_states() -> dict[str, Any]:
    """State of the global generators, as what ``weights_only`` reads back."""
    kind, keys, *rest = np.random.get_state(legacy=True)  # noqa: NPY002
    states = {
        "python": random.getstate(),
        "numpy": [kind, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def set_generator_states(states: Mapping[str, Any]) -> None:
    """The inverse of :func:`generator_states`."""
    random.setstate(states["python"])
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(states["cuda"])
