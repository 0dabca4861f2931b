"""Generators by name. A generator's libraries are imported when it is built: they take seconds."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.errors import FileFormatError, LungaugError, SettingError
from lungaug.generators.all_settings import GeneratorsSettings

if TYPE_CHECKING:
    from lungaug.generators.protocol import Generator

GENERATORS = ("vqvae", "dcgan", "copypaste", "gaussian")
MODEL_VERSION = 1

_FromState = Callable[[Mapping[str, Any]], "Generator"]


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
    check_name(name)
    if name == "vqvae":
        from lungaug.generators.vqvae import Vqvae

        return Vqvae(settings.vqvae)
    if name == "dcgan":
        from lungaug.generators.dcgan import Dcgan

        return Dcgan(settings.dcgan)
    if name == "copypaste":
        from lungaug.generators.copypaste import Copypaste

        return Copypaste(settings.copypaste)
    from lungaug.generators.gaussian import Gaussian

    return Gaussian(settings.gaussian)


def save(path: Path, name: str, generator: Generator) -> None:
    """Write ``model.pt``: what :func:`load` reads, aside and renamed."""
    from lungaug.training.checkpoint import save_tensors

    check_name(name)
    stored = {"generator_version": MODEL_VERSION, "generator": name, "state": generator.state()}
    save_tensors(path, stored)


def load(path: Path) -> tuple[str, Generator]:
    """Name and generator of a ``model.pt``, on the CPU.

    Raises:
        FileFormatError: the file is missing, damaged, of something else or of another version.
    """
    import torch

    remedy = f"rebuild it with: snakemake --force {path} (and the --configfile of the run)"
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch lets any kind escape when the bytes are no pickle
        raise FileFormatError(f"{path}: no generator can be read ({error}); {remedy}") from error
    if not isinstance(stored, dict) or stored.get("generator_version") != MODEL_VERSION:
        raise FileFormatError(f"{path}: not a generator of version {MODEL_VERSION}; {remedy}")
    name = stored["generator"]
    try:
        check_name(name)
        return name, _reader(name)(stored["state"])
    except (LungaugError, KeyError, TypeError, ValueError, RuntimeError) as error:
        message = f"{path}: not a {name} that this version wrote ({error}); {remedy}"
        raise FileFormatError(message) from error


def _reader(name: str) -> _FromState:
    """The ``from_state`` of a generator's module."""
    if name == "vqvae":
        from lungaug.generators import vqvae

        return vqvae.from_state
    if name == "dcgan":
        from lungaug.generators import dcgan

        return dcgan.from_state
    if name == "copypaste":
        from lungaug.generators import copypaste

        return copypaste.from_state
    from lungaug.generators import gaussian

    return gaussian.from_state
