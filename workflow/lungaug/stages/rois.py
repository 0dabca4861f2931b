"""Cut the nodules of a fold's training patients: what the generators learn from."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import SLICE_COLUMNS, read_table, write_rows
from lungaug.crops import CUT, NODULE_TYPES, Crops, equivalent_diameter_mm, write_crops
from lungaug.errors import InputError
from lungaug.imaging.crop import Crop, CropSettings, cut
from lungaug.listing import Place, SliceFiles
from lungaug.settings import setting
from lungaug.store import Provenance, StorageSettings, slice_key

log = logging.getLogger(__name__)

SKIPPED_COLUMNS = ("slice", "reason")
_SHOWN = 3


@dataclass(frozen=True)
class Settings:
    """Which nodules are cut, and how."""

    crop: CropSettings = setting(CropSettings, "how a nodule is cut out of its slice")
    min_diameter_mm: float = setting(
        3.0, "smallest diameter on the slice in mm; caps of nodules lie below", minimum=0
    )
    storage: StorageSettings = setting(StorageSettings, "how the crops are compressed")


@dataclass(frozen=True)
class _Cut:
    """A crop and whose it is."""

    crop: Crop
    fields: np.void
    label: int


def run(
    *,
    slices: Path,
    fold: str,
    root: Path,
    output: Path,
    skipped: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write the crops of a fold, one a nodule and training slice, and what could not be cut.

    Args:
        slices: ``slices.tsv`` of the fold.
        fold: its name, for messages.
        root: the cohort's results, which the ``file`` column is relative to.
        output: crops to write, in the order of ``slices``.
        skipped: table to write, one row a nodule (slice, reason).
        settings: see :class:`Settings`.
        provenance: stored in the file.

    Raises:
        InputError: nothing could be cut; it says what to do.
        FileFormatError: a file is damaged.
    """
    places = _training_places(slices)
    problems: list[dict[str, str]] = []
    with SliceFiles(root) as files:
        found = [each for place in places for each in _cut_slice(files, place, settings, problems)]
    if not found:
        raise InputError(_nothing(fold, len(places), problems))
    crops = _as_crops(found, settings.crop.variant)
    write_crops(output, crops, provenance, settings.storage)
    write_rows(skipped, SKIPPED_COLUMNS, problems)
    kinds = Counter(crops.kind.tolist())
    told = ", ".join(f"{kinds[kind]} {kind}" for kind in NODULE_TYPES)
    n_patients = len(np.unique(crops.patient))
    log.info("%s: %d crops of %d patients (%s)", fold, len(crops), n_patients, told)
    log.info("%s: %d nodules skipped", fold, len(problems))


def _training_places(slices: Path) -> list[Place]:
    table = read_table(slices, SLICE_COLUMNS)
    rows = table[(table["role"] == "train") & (table["n_nodule_px"] > 0)]
    columns = (rows[name] for name in ("file", "group", "row"))
    return [(str(file), str(group), int(row)) for file, group, row in zip(*columns, strict=True)]


def _cut_slice(
    files: SliceFiles, place: Place, settings: Settings, problems: list[dict[str, str]]
) -> Iterator[_Cut]:
    """The crops of a slice's nodules; those that cannot be cut are named as problems."""
    fields, hu, nodule = files.fields(place), files.hu(place), files.nodule(place)
    for label in np.unique(nodule[nodule > 0]).tolist():
        try:
            _check_size(nodule == label, fields["spacing_mm"], settings.min_diameter_mm)
            crop = cut(hu, nodule, label, fields["spacing_mm"], settings.crop)
        except InputError as error:
            problems.append({"slice": slice_key(fields), "reason": f"nodule {label}: {error}"})
        else:
            yield _Cut(crop, fields, label)


def _check_size(mask: NDArray[np.bool_], spacing_mm: NDArray[np.float32], least_mm: float) -> None:
    diameter = equivalent_diameter_mm(mask, spacing_mm)
    if diameter < least_mm:  # an unknown spacing is for the cut to judge
        raise InputError(f"diameter {diameter:.1f} mm on the slice; accepted: at least {least_mm}")


def _as_crops(found: list[_Cut], variant: str) -> Crops:
    crops = [each.crop for each in found]
    fields = [each.fields for each in found]
    return Crops(
        diameter_mm=np.array([crop.diameter_mm for crop in crops], np.float32),
        kind=np.array([crop.kind for crop in crops]),
        lung_rads=np.array([row["lung_rads"].decode() for row in fields]),
        hu=np.stack([crop.hu for crop in crops]),
        mask=np.stack([crop.mask for crop in crops]),
        patient=np.array([row["patient"].decode() for row in fields]),
        donor=np.array([slice_key(row) for row in fields]),
        label=np.array([each.label for each in found], np.int64),
        pose=np.full(len(found), ""),
        spacing_mm=np.array([crop.spacing_mm for crop in crops], np.float32),
        origin=np.full(len(found), f"{CUT}:{variant}"),
    )


def _nothing(fold: str, n_slices: int, problems: list[dict[str, str]]) -> str:
    if not n_slices:
        return (
            f"fold {fold}: no training slice has a nodule to cut; accepted: at least one annotated "
            "training patient (see ingest/*.nodules.tsv and split.tsv), or arms without generators"
        )
    lines = [f"{row['slice']}: {row['reason']}" for row in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"and {len(problems) - _SHOWN} more")
    told = "\n  ".join(lines)
    return (
        f"fold {fold}: none of the {len(problems)} nodules on {n_slices} training slices could be "
        "cut; accepted: at least one. Lower rois.min_diameter_mm, widen rois.crop.fov_mm, set "
        "ingest.assumed_spacing_mm where the spacing is unknown, or take arms without generators:\n"
        f"  {told}"
    )
