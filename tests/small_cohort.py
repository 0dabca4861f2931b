"""A cohort of a few small slice files, for tests of what comes after preprocessing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from lungaug.cohort import write_table
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    empty_slices,
    pack_parameters,
    slice_key,
)

Change = Callable[[np.ndarray], np.ndarray]
MADE_BY = Provenance("test", "{}", "0")
SIDE = 32
N_SLICES = 6
WITH_NODULE = (2, 3)


def pixels(name: str, side: int = SIDE) -> tuple[np.ndarray, np.ndarray]:
    """HU (N, H, W) and nodules (N, H, W) of a patient, made from its name."""
    rng = np.random.default_rng(list(name.encode()))
    hu = rng.normal(-600, 40, (N_SLICES, side, side)).astype(np.int16)
    nodule = np.zeros(hu.shape, np.uint8)
    for index in WITH_NODULE:
        nodule[index, 12:17, 10:16] = 1
        hu[index][nodule[index] > 0] += 500
    return hu, nodule


def fields_of(patient: str, lung_rads: str) -> np.ndarray:
    slices = empty_slices(N_SLICES)
    slices["patient"] = patient.encode()
    slices["series"] = b"s0"
    slices["index"] = np.arange(N_SLICES)
    slices["lung_rads"] = lung_rads.encode()
    slices["status"] = b"ok"
    slices["spacing_mm"] = 0.7
    slices["diameter_mm"][list(WITH_NODULE)] = 5
    return slices


def write_ingest(
    path: Path,
    classes: dict[str, str],
    pixels_of: dict[str, str] | None = None,
    side: int = SIDE,
    changed: dict[str, Change] | None = None,
) -> Path:
    """An ingest file of these patients; ``pixels_of`` gives one patient the pixels of another.

    ``changed`` alters each slice of a patient, (H, W) in HU.
    """
    with SliceWriter(path, MADE_BY) as writer:
        for patient, lung_rads in sorted(classes.items()):
            hu, nodule = pixels((pixels_of or {}).get(patient, patient), side)
            if patient in (changed or {}):
                hu = np.stack([changed[patient](one) for one in hu])
            fields = fields_of(patient, lung_rads)
            if lung_rads == "LR1":
                nodule[:], fields["diameter_mm"] = 0, 0
            writer.append(fields, hu=hu, nodule=nodule)
    return path


def write_preprocess(path: Path, ingest: Path) -> Path:
    """The preprocess file of an ingest file: all is lung."""
    with SliceFile(ingest) as source, SliceWriter(path, MADE_BY, parent=ingest) as writer:
        for stack in source.stacks():
            hu = source.images("hu", stack)
            writer.append(stack.slices, lung=np.ones(hu.shape, np.uint8))
    return path


ROLES = {
    "p0": "train",
    "p1": "train",
    "p2": "train",
    "p3": "train",
    "p4": "validation",
    "p5": "test",
}


class SmallCohort:
    """Six patients in two batches: p0 to p3 train, p4 validates, p5 tests."""

    def __init__(
        self,
        root: Path,
        pixels_of: dict[str, str] | None = None,
        changed: dict[str, Change] | None = None,
        side: int = SIDE,
    ) -> None:
        self.root = root
        self.roles = dict(ROLES)
        self.preprocess = []
        for batch, names in (("b00", ("p0", "p2", "p4")), ("b01", ("p1", "p3", "p5"))):
            classes = {name: "LR2" for name in names}
            path = root / f"ingest/{batch}.h5"
            ingest = write_ingest(path, classes, pixels_of, side, changed)
            self.preprocess.append(write_preprocess(root / f"preprocess/{batch}.h5", ingest))
        self.split = self.write_split("fixed", self.roles)

    def write_split(self, fold: str, roles: dict[str, str], *more: pd.DataFrame) -> Path:
        rows = [(fold, patient, "LR2", role) for patient, role in roles.items()]
        frame = pd.DataFrame(rows, columns=["fold", "patient", "lung_rads", "role"])
        write_table(self.root / "split.tsv", pd.concat([frame, *more], ignore_index=True))
        return self.root / "split.tsv"

    def slice(self, patient: str, index: int) -> tuple[np.void, np.ndarray, np.ndarray]:
        """Fields, HU and nodules of a real slice, as the files have them."""
        for path in self.preprocess:
            with SliceFile(path) as file:
                for stack in file.stacks():
                    if stack.patient == patient:
                        hu, nodule = file.images("hu", stack), file.images("nodule", stack)
                        return stack.slices[index].copy(), hu[index], nodule[index]
        raise KeyError(patient)

    def write_expansion(
        self, operation: str, batch: str, rows: Iterable[tuple[np.void, np.ndarray, np.ndarray]]
    ) -> Path:
        path = self.root / f"metalung/{operation}/{batch}.h5"
        with SliceWriter(path, MADE_BY) as writer:
            for fields, hu, nodule in rows:
                writer.append(np.array([fields]), hu=hu[None], nodule=nodule[None])
        return path


def derived(
    claimed: np.void, operation: str, parameters: dict[str, object], **changes: str
) -> np.void:
    """Fields of a slice made from the claimed one."""
    fields = claimed.copy()
    fields["origin"] = f"metalung:{operation}".encode()
    fields["host"] = slice_key(claimed).encode()
    fields["parameters"] = pack_parameters(parameters)
    for name, value in changes.items():
        fields[name] = value.encode()
    return fields
