"""Find the lungs and what stands in them, slice by slice; HU stay in the ingest file."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lungaug.census import with_nodule
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
_NO_LUNGS = b"no_lungs"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How lungs and obstacles are found."""

    lungs: LungSettings = setting(LungSettings, "lung masks")
    obstacles: ObstacleSettings = setting(ObstacleSettings, "what no nodule may be put on")
    storage: StorageSettings = setting(StorageSettings, "compression of the slice file")


class _Lost(NamedTuple):
    """A slice without lungs."""

    key: str
    patient: str
    has_nodule: bool


def run(
    *, ingest: Path, output: Path, skipped: Path, settings: Settings, provenance: Provenance
) -> None:
    """Write the lungs of one batch, row for row beside its ingest file.

    Args:
        ingest: slice file with ``hu`` and ``nodule``.
        output: slice file with ``lung`` (0 outside, 1 lung, 2 obstacle) and ``status``; its parent
            is ``ingest``.
        skipped: slices without lungs (slice, reason); the reason says whether the slice is used
            all the same, as one with a nodule is. A batch may lose all its slices (a single
            patient with an abdominal series): that is a warning, since whether anything is left
            to train on shows only when batches come together.
        settings: see :class:`Settings`.
        provenance: stored in the file.

    Raises:
        FileFormatError: ``ingest`` is damaged.
    """
    lost: list[_Lost] = []
    with_lungs: set[str] = set()
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
            lost += _without_lungs(slices, with_nodule(file, stack))
            if (slices["status"] != _NO_LUNGS).any():
                with_lungs.add(stack.patient)
            _report(stack, slices, outside)
        n_slices = len(file)
    if n_slices and len(lost) == n_slices:
        log.warning("no lungs on any of the %d slices", n_slices)
    rows = [{"slice": one.key, "reason": _reason(one, with_lungs)} for one in lost]
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


def _without_lungs(slices: NDArray[np.void], ill: NDArray[np.bool_]) -> list[_Lost]:
    """The slices of a stack without lungs; ``ill`` (N,) are those with a nodule."""
    return [
        _Lost(slice_key(row), row["patient"].decode(), has_nodule)
        for row, has_nodule in zip(slices, ill.tolist(), strict=True)
        if row["status"] == _NO_LUNGS
    ]


def _reason(lost: _Lost, with_lungs: Collection[str]) -> str:
    """What becomes of a slice without lungs, as stages split and select have it."""
    if lost.patient not in with_lungs:
        return "no lungs were found, nor on any other slice of the patient, who has no role"
    if lost.has_nodule:
        return "no lungs were found; used all the same, since it has a nodule"
    return "no lungs were found; used only where select takes all slices"


def _report(stack: Stack, slices: NDArray[np.void], outside: NDArray[np.int_]) -> None:
    lost = int(np.count_nonzero(slices["status"] == _NO_LUNGS))
    log.info("%s: %d slices, %d without lungs", stack.patient, len(slices), lost)
    if outside[0]:
        log.warning("%s: %d of %d nodule pixels lie outside the lung mask", stack.patient, *outside)
