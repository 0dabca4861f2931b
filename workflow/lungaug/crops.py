"""Crops of nodules: what generators learn from and what they make. Arrays and their file.

A crop is a square of fixed size around one nodule on one slice: HU with the nodule's true
surroundings, and the nodule's mask. The file is a slice file with one group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lungaug.errors import FileFormatError, InputError
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    StorageSettings,
    empty_slices,
    pack_parameters,
    unpack_parameters,
)

NODULE_TYPES = ("solid", "part_solid", "ground_glass")
CUT = "cut"
GENERATED = "generated"
ROIS = "rois"
"""In the sources of generated crops: digest of the crops that their generator was fitted to."""


@dataclass(frozen=True)
class Conditions:
    """What a nodule is asked to be.

    Attributes:
        diameter_mm: (N,) float32, of the circle with the mask's area.
        kind: (N,) str, of ``NODULE_TYPES``.
        lung_rads: (N,) str, class of the patient.
    """

    diameter_mm: NDArray[np.float32]
    kind: NDArray[np.str_]
    lung_rads: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.diameter_mm)

    def take(self, indices: ArrayLike) -> Self:
        """Those at some positions."""
        chosen = np.asarray(indices)
        return type(self)(**{f.name: getattr(self, f.name)[chosen] for f in fields(self)})


@dataclass(frozen=True)
class Crops(Conditions):
    """Crops, real or generated.

    Attributes:
        hu: (N, S, S) int16, HU.
        mask: (N, S, S) bool, the nodule.
        patient: (N,) str, pseudonym; '' where a network made the pixels.
        donor: (N,) str, key of the slice that the pixels come from; '' where a network made them.
        label: (N,) int, of the nodule on that slice; 0 where a network made it.
        pose: (N,) str, JSON of how that nodule was turned; '' where it was not, or there is none.
        spacing_mm: (N, 2) float32, of the crop's pixels (row, column); NaN where unknown.
        origin: (N,) str, ``cut:<variant>`` or ``generated:<generator>``.
    """

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    patient: NDArray[np.str_]
    donor: NDArray[np.str_]
    label: NDArray[np.int64]
    pose: NDArray[np.str_]
    spacing_mm: NDArray[np.float32]
    origin: NDArray[np.str_]


def write_crops(
    path: Path,
    crops: Crops,
    provenance: Provenance,
    storage: StorageSettings | None = None,
    sources: Mapping[str, str] | None = None,
) -> None:
    """Write crops as a slice file, row for row; ``host`` is the slice that a crop was cut from.

    Args:
        path: to write.
        crops: the rows.
        provenance: stored in the file.
        storage: compression.
        sources: digests of what generated crops were made from; see :data:`ROIS`.
    """
    slices = empty_slices(len(crops))
    for name in ("patient", "lung_rads", "donor", "origin"):
        slices[name] = np.char.encode(getattr(crops, name).astype(str), "ascii")
    slices["series"] = [donor.split("/")[1] if donor else "" for donor in crops.donor]
    slices["index"] = [int(donor.split("/")[2]) if donor else -1 for donor in crops.donor]
    slices["host"] = slices["donor"]
    slices["diameter_mm"] = crops.diameter_mm
    slices["spacing_mm"] = crops.spacing_mm
    slices["status"] = np.char.encode(crops.kind.astype(str), "ascii")
    slices["parameters"] = [
        pack_parameters({"label": int(label), **({"pose": json.loads(pose)} if pose else {})})
        for label, pose in zip(crops.label, crops.pose, strict=True)
    ]
    with SliceWriter(path, provenance, storage, sources=sources) as writer:
        if len(crops):
            writer.append(slices, hu=crops.hu, nodule=crops.mask.astype(np.uint8))


def read_crops(path: Path) -> Crops:
    """Read crops that :func:`write_crops` wrote.

    Raises:
        FileFormatError: the file is damaged, or holds slices of several sizes.
        InputError: it holds nothing.
    """
    with SliceFile(path) as file:
        if not file.groups:
            raise InputError(f"{path}: no crops; accepted: at least one")
        if len(file.groups) > 1:
            raise FileFormatError(f"{path}: sizes {', '.join(file.groups)}; accepted: one size")
        (stack_group,) = file.groups
        slices = file.slices(stack_group)
        rows = range(len(slices))
        hu = np.stack([file.image("hu", stack_group, row) for row in rows])
        mask = np.stack([file.image("nodule", stack_group, row) for row in rows]) > 0
    text = {
        name: np.char.decode(slices[name], "ascii")
        for name in slices.dtype.names or ()
        if slices[name].dtype.kind == "S"
    }
    try:
        parameters = [unpack_parameters(row) for row in slices]
    except ValueError as error:
        raise FileFormatError(f"{path}: no parameters ({error})") from error
    poses = [
        json.dumps(one["pose"], separators=(",", ":")) if "pose" in one else ""
        for one in parameters
    ]
    return Crops(
        diameter_mm=slices["diameter_mm"].astype(np.float32),
        kind=text["status"],
        lung_rads=text["lung_rads"],
        hu=hu,
        mask=mask,
        patient=text["patient"],
        donor=text["donor"],
        label=np.array([one.get("label", 0) for one in parameters], np.int64),
        pose=np.array(poses),
        spacing_mm=slices["spacing_mm"].astype(np.float32),
        origin=text["origin"],
    )


def equivalent_diameter_mm(mask: NDArray[np.bool_], spacing_mm: ArrayLike) -> float:
    """Diameter in mm of the circle with the mask's area.

    Args:
        mask: (H, W), the nodule.
        spacing_mm: (2,), of its pixels.
    """
    row_mm, col_mm = np.asarray(spacing_mm, np.float64)
    return float(np.sqrt(4 / np.pi * np.count_nonzero(mask) * row_mm * col_mm))
