"""MetaLung: one operation on the nodule slices of the listed patients of one batch."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import write_rows
from lungaug.errors import SettingError
from lungaug.metalung.blur import BlurSettings
from lungaug.metalung.mirror import MirrorSettings
from lungaug.metalung.noise import NoiseSettings
from lungaug.metalung.operations import OPERATIONS, Inapplicable, rng_for
from lungaug.metalung.protocol import Hu, Labels, Pair, Parameters
from lungaug.metalung.replace import ReplaceSettings
from lungaug.metalung.rotate_nodule import RotateNoduleSettings
from lungaug.metalung.rotate_slice import RotateSliceSettings
from lungaug.settings import setting
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    StorageSettings,
    pack_parameters,
    slice_key,
)

log = logging.getLogger(__name__)

SKIPPED_COLUMNS = ("slice", "reason")


@dataclass(frozen=True)
class Settings:
    """What the operations draw from; a run uses those of its own operation."""

    seed: int = setting(0, "seed of everything drawn", minimum=0)
    storage: StorageSettings = setting(StorageSettings, "how the slice file is compressed")
    copies: int = setting(1, "results a slice and operation, as far as they differ", minimum=1)
    mirror: MirrorSettings = setting(MirrorSettings, "left-right flip")
    replace: ReplaceSettings = setting(ReplaceSettings, "nodule moved to free lung")
    rotate_slice: RotateSliceSettings = setting(RotateSliceSettings, "slice turned")
    rotate_nodule: RotateNoduleSettings = setting(RotateNoduleSettings, "nodule turned")
    noise_slice: NoiseSettings = setting(NoiseSettings, "noise on the slice")
    noise_nodule: NoiseSettings = setting(NoiseSettings, "noise on the nodules")
    blur: BlurSettings = setting(BlurSettings, "Gaussian blur")


@dataclass(frozen=True)
class Source:
    """One slice to work on: its row of the table and its images, (H, W) each."""

    row: np.void
    hu: Hu
    nodule: Labels
    lung: Labels


def run(
    *,
    preprocess: Path,
    output: Path,
    skipped: Path,
    operation: str,
    patients: list[str],
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write what one operation makes of a batch, and what it could not be applied to.

    Slices come in file order, one in memory at a time; a result depends on the seed, the slice,
    the operation and its settings, not on the batch. Without a slice to work on the output is a
    valid file without rows.

    Args:
        preprocess: slice file of the batch, with lungs; its parent holds HU and nodules.
        output: slice file to write.
        skipped: table to write, one row a slice and reason.
        operation: a name in ``OPERATIONS``.
        patients: pseudonyms of those who train in some fold.

    Raises:
        SettingError: there is no such operation.
    """
    if operation not in OPERATIONS:
        raise SettingError(f"operation: got '{operation}'; accepted: {', '.join(OPERATIONS)}")
    needs_lungs = OPERATIONS[operation].needs_lungs
    problems: list[dict[str, str]] = []
    n_written = 0
    with SliceFile(preprocess) as file, SliceWriter(output, provenance, settings.storage) as writer:
        for source in _sources(file, set(patients), needs_lungs, problems):
            for parameters, (hu, nodule) in _results(source, operation, settings, problems):
                slices = _lineage(source.row, operation, parameters)
                writer.append(slices, hu=hu[None], nodule=nodule[None])
                n_written += 1
    write_rows(skipped, SKIPPED_COLUMNS, problems)
    log.info("%s: %d slices written, %d skipped", operation, n_written, len(problems))


def _sources(
    file: SliceFile, patients: set[str], needs_lungs: bool, problems: list[dict[str, str]]
) -> Iterator[Source]:
    """Slices with a nodule; where lungs are needed, those without are named as problems."""
    for stack in file.stacks():
        if stack.patient not in patients:
            continue
        for row, index in zip(stack.slices, stack.rows, strict=True):
            nodule = file.image("nodule", stack.group, index)
            if not nodule.any():
                continue
            status = row["status"].decode()
            if needs_lungs and status == "no_lungs":
                problems.append({"slice": slice_key(row), "reason": f"lungs: {status}"})
                continue
            hu = file.image("hu", stack.group, index)
            yield Source(row, hu, nodule, file.image("lung", stack.group, index))


def _results(
    source: Source, operation: str, settings: Settings, problems: list[dict[str, str]]
) -> Iterator[tuple[Parameters, Pair]]:
    """The copies of one slice that differ; an operation without chance gives one."""
    key = slice_key(source.row)
    chosen = OPERATIONS[operation]
    seen: list[Parameters] = []
    for copy in range(settings.copies):
        drawn = chosen.draw(
            source.hu,
            source.nodule,
            source.lung,
            settings=getattr(settings, operation),
            rng=rng_for(settings.seed, key, operation, copy),
        )
        if isinstance(drawn, Inapplicable):
            problems.append({"slice": key, "reason": drawn.reason})
        elif drawn not in seen:
            seen.append(drawn)
            yield {**drawn, "copy": copy}, chosen.apply(source.hu, source.nodule, drawn)


def _lineage(row: np.void, operation: str, parameters: Parameters) -> NDArray[np.void]:
    """(1,) row of the result: the source's, with where it comes from."""
    slices = np.array([row], row.dtype)
    slices["origin"] = f"metalung:{operation}".encode()
    slices["host"] = slice_key(row).encode()
    slices["parameters"] = pack_parameters(parameters)
    return slices
