"""Write a cohort of synthetic chest CT: DICOM series, nodule masks and a sample sheet."""

from __future__ import annotations

import logging
from pathlib import Path

from lungaug.errors import InputError
from lungaug.sources.phantom.settings import PhantomSettings as Settings
from lungaug.store import Provenance

__all__ = ["Settings", "run"]

_log = logging.getLogger(__name__)


def run(*, output: Path, settings: Settings, provenance: Provenance) -> None:
    """Write the cohort into the folder of ``output``, a file named ``sheet.tsv``.

    Raises:
        SettingError: sizes that cannot be drawn.
        InputError: the output has another name, or its folder holds other images.
    """
    from lungaug.sources.phantom.writer import write_cohort

    if output.name != "sheet.tsv":
        raise InputError(f"{output.name}: accepted: an output named sheet.tsv")
    n_patients = write_cohort(output.parent, settings)
    _log.info("phantom: %d patients", n_patients)
