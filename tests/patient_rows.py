"""Rows about patients: a folder of DICOM that changes, as a hospital's does."""

from __future__ import annotations

import shutil
from pathlib import Path

import cv2
import numpy as np

from rerun_rows import HOSPITAL, RERUNS, SUMMARIES, Row, jobs, replaced
from workflow_runs import Copy, Run

RESULTS = "results/hospital"
KEY = "5e" * 32
# With that key: folders of two training patients, the second alone in its batch.
TRAINING = "2168664680"
SOLE = "5019099592"
DIVIDED = ("scan", "split", "check_cohort", "select", "audit")
TRAINED = jobs(*SUMMARIES, *DIVIDED, arm=2, train_segmenter=2, evaluate=2)


def snakemake(copy: Copy, *arguments: str, cores: int = 2) -> Run:
    """Run the cohort of the folder ``incoming``."""
    return copy.snakemake(*arguments, cores=cores, configs=(RERUNS, HOSPITAL))


def incoming(root: Path) -> Copy:
    """A working copy with the phantom's files as a hospital's folder, one patient yet to come."""
    copy = Copy.of_repository(root)
    # The phantom's key is refused for patients of one's own.
    (copy.root / "tests/config/own.key").write_text(KEY, encoding="ascii")
    made = copy.snakemake("results/reruns/source/sheet.tsv", config="reruns")
    assert made.status == 0, made.output
    shutil.move(copy.root / "results/reruns/source", copy.root / "incoming")
    shutil.rmtree(copy.root / "results")
    folders(copy)[-1].rename(copy.root / "late")
    return copy


def folders(copy: Copy) -> list[Path]:
    """The patients' folders."""
    return sorted(path for path in (copy.root / "incoming/dicom").iterdir() if path.is_dir())


def touched_source(copy: Copy) -> None:
    """A DICOM file has a new time and the same content."""
    next(path for path in folders(copy)[0].rglob("*") if path.is_file()).touch()


def changed_mask(copy: Copy) -> None:
    """One nodule of one patient has one pixel less."""
    path = min((copy.root / "incoming/masks" / TRAINING).rglob("*.png"))
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert image is not None
    row, column = np.argwhere(image)[0]
    image[row, column] = 0
    assert image.any()
    cv2.imwrite(str(path), image)


def one_more(copy: Copy) -> None:
    """The patient who was yet to come is there, in a batch that holds another."""
    (copy.root / "late").rename(copy.root / "incoming/dicom/D97348403")


def one_fewer(copy: Copy) -> None:
    """A training patient whose batch holds nobody else is gone."""
    (copy.root / "incoming/dicom" / SOLE).rename(copy.root / "withdrawn")


def moved_source(copy: Copy) -> None:
    """The source lies elsewhere, with its times."""
    (copy.root / "incoming").rename(copy.root / "archive")
    for name in ("dicom", "masks", "sheet.tsv"):
        replaced(f"incoming/{name}", f"archive/{name}", HOSPITAL)(copy)


PATIENT_ROWS = (
    Row("a source file touched, not changed", touched_source, jobs("scan")),
    Row(
        "the mask of a training patient changed",
        changed_mask,
        {**TRAINED, **jobs("ingest", "preprocess", "metalung")},
    ),
    Row(
        "one more patient, in a batch with a training patient",
        one_more,
        {**TRAINED, **jobs("ingest", "preprocess", "metalung")},
    ),
    Row("one patient fewer, alone in its batch", one_fewer, TRAINED),
    Row("the source folder moved, with its times", moved_source, {}),
)
