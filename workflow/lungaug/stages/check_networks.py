"""Build every network once, before anything is trained: are there its encoder, weights, device?

Their libraries know the names, and importing them takes ten seconds: one job asks for all.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lungaug.cohort import write_text
from lungaug.errors import LungaugError, SettingError
from lungaug.segmenters import factory
from lungaug.segmenters.presence_settings import PresenceSettings
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The networks that the configuration trains."""

    segmenters: dict[str, SegmenterSettings] = setting(dict, "settings by segmenter")
    presence: PresenceSettings | None = setting(None, "of the classifier, if it is trained")
    cuda_devices: int = setting(0, "CUDA devices that device: cuda asks for", minimum=0)


def run(*, output: Path, settings: Settings, provenance: Provenance) -> None:
    """Write a table of the networks and their numbers of parameters.

    Args:
        output: the table.
        settings: the networks.
        provenance: unused; a table carries no attributes.

    Raises:
        SettingError: encoders, weights or devices that do not exist here; all of them, a line each.
    """
    faults = _device_faults(settings.cuda_devices)
    rows = ["network\tencoder\tparameters"]
    for name, (chosen, build) in _builders(settings).items():
        try:
            rows.append(f"{name}\t{chosen.encoder}\t{_n_parameters(build())}")
        except LungaugError as error:
            faults.append(str(error))
    if faults:
        raise SettingError("\n".join(faults))
    write_text(output, "\n".join([*rows, ""]))
    logger.info("%d networks can be built", len(rows) - 1)


Chosen = SegmenterSettings | PresenceSettings


def _builders(settings: Settings) -> dict[str, tuple[Chosen, Callable[[], Any]]]:
    """Each network's settings, and what builds it."""
    found: dict[str, tuple[Chosen, Callable[[], Any]]] = {
        name: (chosen, lambda name=name, chosen=chosen: factory.build(name, chosen))  # type: ignore[misc]
        for name, chosen in settings.segmenters.items()
    }
    if settings.presence is not None:
        found["presence"] = (settings.presence, lambda: _presence(settings.presence))
    return found


def _presence(settings: PresenceSettings | None) -> Any:
    from lungaug.segmenters.presence import Presence

    try:
        return Presence(settings or PresenceSettings())
    except SettingError as error:
        raise SettingError(f"presence: {error}") from error


def _n_parameters(network: Any) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def _device_faults(wanted: int) -> list[str]:
    if not wanted:
        return []
    import torch

    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if found >= wanted:
        return []
    seen = f"torch sees {found} CUDA devices and {wanted} are wanted"
    return [f"device: got 'cuda', but {seen}; accepted: auto, cpu, or a machine that has them"]
