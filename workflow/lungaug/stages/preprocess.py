"""Find the lungs and what stands in them, slice by slice; HU stay in the ingest file."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import write_rows
from lungaug.imaging.lungs import LungSettings, segment_lungs
from lungaug.imaging.obstacles import ObstacleSettings, find_obstacles
from lungaug.settings import setting
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    Stack,
    StorageSettings,
    slice_key,
)

BLOCK = 16
REASONS = {"no_lungs": "no lungs were found"}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How lungs and obstacles are found."""

    lungs: LungSettings = setting(LungSettings, "lung masks")
    obstacles: ObstacleSettings = setting(ObstacleSettings, "what no nodule may be put on")
    storage: StorageSettings = setting(StorageSettings, "compression of the slice file")


def run(
    *, ingest: Path, output: Path, skipped: Path, settings: Settings, provenance: Provenance
) -> None:
    """Write the lungs of one batch, row for row beside its ingest file.

    Args:
        ingest: slice file with ``hu`` and ``nodule``.
        output: slice file with ``lung`` (0 outside, 1 lung, 2 obstacle) and ``status``; its parent
            is ``ingest``.
        skipped: slices without lungs (slice, reason). A batch may lose all its slices (a single
            patient with an abdominal series): that is a warning, since whether anything is left
            to train on shows only when batches come together.
        settings: see :class:`Settings`.
        provenance: stored in the file.

    Raises:
        FileFormatError: ``ingest`` is damaged.
    """
    rows: list[dict[str, Any]] = []
    with (
        SliceFile(ingest) as file,
        SliceWriter(output, provenance, settings.storage, parent=ingest) as writer,
    ):
        for stack in file.stacks():
            slices = stack.slices.copy()
            outside = np.zeros(2, int)
            for block in _blocks(stack):
                lung, counted = _lungs(file, stack, slices, block, settings)
                writer.append(slices[block], lung=lung)
                outside += counted
            rows.extend(_skipped(slices))
            _report(stack, slices, outside)
        n_slices = len(file)
    if n_slices and len(rows) == n_slices:
        log.warning("no lungs on any of the %d slices", n_slices)
    write_rows(skipped, ("slice", "reason"), rows)


def _blocks(stack: Stack) -> Iterator[slice]:
    """Positions in a series, few at a time: memory does not grow with its length."""
    for start in range(0, len(stack.rows), BLOCK):
        yield slice(start, min(start + BLOCK, len(stack.rows)))


def _lungs(
    file: SliceFile, stack: Stack, slices: NDArray[np.void], block: slice, settings: Settings
) -> tuple[NDArray[np.uint8], NDArray[np.int_]]:
    """Labels (N, H, W) of a block and (nodule pixels outside the lungs, all); fills ``status``."""
    labels: list[NDArray[np.uint8]] = []
    counted = np.zeros(2, int)
    for position in range(block.start, block.stop):
        hu = file.image("hu", stack.group, stack.rows[position])
        nodule = file.image("nodule", stack.group, stack.rows[position]) > 0
        found = segment_lungs(hu, slices["spacing_mm"][position], settings.lungs)
        slices["status"][position] = found.status.encode()
        obstacles = find_obstacles(hu, found.mask, settings.obstacles)
        labels.append(found.mask.astype(np.uint8) + obstacles)
        counted += (np.count_nonzero(nodule & ~found.mask), np.count_nonzero(nodule))
    return np.stack(labels), counted


def _skipped(slices: NDArray[np.void]) -> Iterator[dict[str, str]]:
    for row in slices:
        status = row["status"].decode()
        if status in REASONS:
            yield {"slice": slice_key(row), "reason": REASONS[status]}


def _report(stack: Stack, slices: NDArray[np.void], outside: NDArray[np.int_]) -> None:
    lost = int(np.count_nonzero(slices["status"] == b"no_lungs"))
    log.info("%s: %d slices, %d without lungs", stack.patient, len(slices), lost)
    if outside[0]:
        log.warning("%s: %d of %d nodule pixels lie outside the lung mask", stack.patient, *outside)
