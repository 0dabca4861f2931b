"""Generators by name. A generator's libraries are imported when it is built: they take seconds."""

from __future__ import annotations

import difflib
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.arms import GENERATORS
from lungaug.errors import FileFormatError, SettingError
from lungaug.generators.all_settings import GeneratorsSettings

if TYPE_CHECKING:
    from lungaug.generators.protocol import Generator

MODEL_VERSION = 2

_FromState = Callable[[Mapping[str, Any]], "Generator"]


@dataclass(frozen=True)
class Loaded:
    """What a ``model.pt`` holds.

    Attributes:
        name: of the generator, one of ``GENERATORS``.
        generator: fitted, on the CPU.
        rois: content digest of the file of crops that it was fitted to.
    """

    name: str
    generator: Generator
    rois: str


def check_name(name: str) -> None:
    """Nothing, for a generator that exists.

    Raises:
        SettingError: it does not; the message lists names like it.
    """
    if name not in GENERATORS:
        close = difflib.get_close_matches(name, GENERATORS) or GENERATORS
        raise SettingError(f"generator: got {name!r}; accepted: {', '.join(close)}")


def build(name: str, settings: GeneratorsSettings) -> Generator:
    """A generator that was fitted to nothing yet.

    Args:
        name: one of ``GENERATORS``.
        settings: of all of them.

    Raises:
        SettingError: unknown name.
    """
    make, _ = _parts(name)
    return make(getattr(settings, name))


def save(path: Path, name: str, generator: Generator, rois: str) -> None:
    """Write ``model.pt``: what :func:`load` reads, aside and renamed.

    Args:
        path: to write.
        name: of the generator.
        generator: fitted.
        rois: content digest of the file of crops that it was fitted to.
    """
    from lungaug.training.checkpoint import save_tensors

    check_name(name)
    stored = {
        "generator_version": MODEL_VERSION,
        "generator": name,
        "rois": rois,
        "state": generator.state(),
    }
    save_tensors(path, stored)


def remedy(path: Path) -> str:
    """How to rebuild a ``model.pt``, for the end of a message."""
    target = shlex.quote(str(path))
    return f"rebuild it with: snakemake --force {target} (and the --configfile of the run)"


def load(path: Path) -> Loaded:
    """What a ``model.pt`` holds.

    Raises:
        FileFormatError: the file is missing, damaged, of something else or of another version.
    """
    import torch

    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets any kind escape when the bytes are no pickle
        message = f"{path}: no generator can be read ({error}); {remedy(path)}"
        raise FileFormatError(message) from error
    if not isinstance(stored, dict) or stored.get("generator_version") != MODEL_VERSION:
        raise FileFormatError(f"{path}: not a generator of version {MODEL_VERSION}; {remedy(path)}")
    name, rois = _labels(path, stored)
    _, read = _parts(name)
    try:
        generator = read(stored["state"])
    except Exception as error:  # values of any type may lie where others belong
        told = f"{type(error).__name__}: {error}"
        message = f"{path}: not a {name} that this version wrote ({told}); {remedy(path)}"
        raise FileFormatError(message) from error
    return Loaded(name, generator, rois)


def _labels(path: Path, stored: Mapping[str, Any]) -> tuple[str, str]:
    """Name of the generator and digest of its crops."""
    name, rois = stored.get("generator"), stored.get("rois")
    if not isinstance(name, str) or name not in GENERATORS:
        accepted = ", ".join(GENERATORS)
        raise FileFormatError(f"{path}: generator {name!r}; accepted: {accepted}; {remedy(path)}")
    if not isinstance(rois, str) or not rois:
        raise FileFormatError(
            f"{path}: fitted to crops {rois!r}; accepted: the digest of a file; {remedy(path)}"
        )
    return name, rois


def _parts(name: str) -> tuple[Callable[[Any], Generator], _FromState]:
    """Class and ``from_state`` of a generator's module."""
    check_name(name)
    if name == "vqvae":
        from lungaug.generators import vqvae

        return vqvae.Vqvae, vqvae.from_state
    if name == "dcgan":
        from lungaug.generators import dcgan

        return dcgan.Dcgan, dcgan.from_state
    if name == "copypaste":
        from lungaug.generators import copypaste

        return copypaste.Copypaste, copypaste.from_state
    from lungaug.generators import gaussian

    return gaussian.Gaussian, gaussian.from_state
