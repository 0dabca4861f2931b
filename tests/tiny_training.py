"""A cohort of a few 32 x 32 slices, and settings under which a network trains on it in a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd

from audited import write_audits
from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, read_table, write_table
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.stages.train_segmenter import Settings
from lungaug.store import Provenance, SliceWriter, empty_slices, slice_key
from lungaug.training.settings import TrainingSettings

NETWORK = SegmenterSettings("tu-lcnet_035", encoder_depth=3, decoder_channels=(8, 8, 8))
TRAINING = TrainingSettings(steps=6, batch_size=4, validate_every=2, learning_rate=1e-2)
RUNNING = '{"checkpoint_every": 2}'
SETTINGS = Settings(network=NETWORK, training=TRAINING)
PROVENANCE = Provenance("test", "{}", "code")
ROLES = {"train": "abcd", "validation": "ef", "test": "gh"}
FILES = {"train": "seen.h5", "validation": "seen.h5", "test": "unseen.h5"}


@dataclass(frozen=True)
class Cohort:
    """What a training is handed."""

    root: Path
    arm: Path
    slices: Path
    audit: Path
    arm_audit: Path
    split: Path

    def audit_again(self) -> None:
        """Let the audits pass on what lies there now, leaks and all."""
        write_audits(
            fold_audit=self.audit,
            arm_audit=self.arm_audit,
            arm=self.arm,
            slices=self.slices,
            split=self.split,
        )

    def point_to_test_slices(self) -> None:
        """Let the rows of the arm's table lie where test slices do, and keep their keys."""
        where = read_table(self.slices).query("role == 'test'").iloc[0]
        edit_table(self.arm, file=where["file"], group=where["group"], row=where["row"])

    def paint_test_pixels(self) -> None:
        """Give a training slice the HU of a test slice, in place."""
        with h5py.File(self.root / FILES["test"]) as source:
            hu = source["32x32/hu"][0]
        with h5py.File(self.root / FILES["train"], "r+") as file:
            file["32x32/hu"][0] = hu

    def arguments(self, folder: Path, settings: Settings = SETTINGS, **changes: Any) -> Any:
        """Arguments of the stage's ``run`` for outputs in ``folder``."""
        return {
            "arm": self.arm,
            "slices": self.slices,
            "audit": self.audit,
            "arm_audit": self.arm_audit,
            "split": self.split,
            "root": self.root,
            "segmenter": "unet",
            "seed_index": 0,
            "online": "no",
            "device": "cpu",
            "model": folder / "model.pt",
            "history": folder / "history.tsv",
            "predictions": folder / "predictions.h5",
            "detections": folder / "detections.tsv",
            "cost": folder / "cost.tsv",
            "checkpoint": folder / "checkpoints" / "none.pt",
            "events": folder / "events",
            "settings": settings,
            "provenance": PROVENANCE,
            "running": RUNNING,
            **changes,
        }


def with_training(**changes: Any) -> Settings:
    """The tiny settings with another training."""
    return replace(SETTINGS, training=replace(TRAINING, **changes))


def write_cohort(root: Path, sizes: Sequence[tuple[int, int]] = ((32, 32), (32, 40))) -> Cohort:
    """Write slice files and tables: four patients to train, two to validate, two to test."""
    rng = np.random.default_rng(0)
    tables = []
    for name in sorted(set(FILES.values())):
        roles = [role for role in ROLES if FILES[role] == name]
        with SliceWriter(root / name, PROVENANCE) as writer:
            for size in sizes:
                tables.append(_write(writer, name, roles, size, rng))
    table = pd.concat(tables)
    names = ("arms/none.tsv", "slices.tsv", "audit.tsv", "arms/none.audit.tsv", "split.tsv")
    cohort = Cohort(root, *(root / name for name in names))
    write_table(cohort.slices, table)
    write_table(cohort.arm, table[table["role"] == "train"])
    rows = [(root.name, who, "LR2", role) for role, patients in ROLES.items() for who in patients]
    write_table(cohort.split, pd.DataFrame(rows, columns=list(SPLIT_COLUMNS)))
    cohort.audit_again()
    return cohort


def edit_table(path: Path, **columns: Any) -> None:
    """Overwrite whole columns of a table."""
    write_table(path, pd.read_csv(path, sep="\t", keep_default_na=False).assign(**columns))


def _write(
    writer: SliceWriter,
    file: str,
    roles: list[str],
    size: tuple[int, int],
    rng: np.random.Generator,
) -> pd.DataFrame:
    owners = [(role, patient) for role in roles for patient in ROLES[role] for _ in range(3)]
    slices = empty_slices(len(owners))
    hu = rng.normal(-850, 60, (len(owners), *size)).astype(np.int16)
    nodule = np.zeros(hu.shape, np.uint8)
    for i, (_, patient) in enumerate(owners):
        top, left = rng.integers(4, 20, 2)
        nodule[i, top : top + 7, left : left + 7] = 1
        slices[i]["patient"], slices[i]["series"] = patient.encode(), f"s{patient}".encode()
        slices[i]["index"] = 100 * size[1] + i
    hu[nodule > 0] += 600
    writer.append(slices, hu=hu, nodule=nodule)
    rows = {
        "role": [role for role, _ in owners],
        "file": file,
        "group": f"{size[0]}x{size[1]}",
        "row": range(len(owners)),
        "key": [slice_key(row) for row in slices],
        "patient": [patient for _, patient in owners],
        "lung_rads": ["LR2" if patient in "abe" else "LR3" for _, patient in owners],
        "diameter_mm": 7.0,
        "n_nodule_px": 49,
        "origin": "real",
        "host": "",
        "donor": "",
    }
    return pd.DataFrame(rows)[list(SLICE_COLUMNS)]
