"""Arms with inserted nodules: what is honest trains, what comes from held-out patients stops."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from forged_expansions import choose
from insertion.inserting import (
    DONOR,
    GENERATOR,
    crop_of,
    patches,
    run,
    write_inputs,
    write_patches,
)
from lungaug.cohort import read_table
from lungaug.crops import Crops, write_crops
from lungaug.errors import FileFormatError, LeakageError
from lungaug.stages import arm
from lungaug.store import SliceFile, SliceWriter
from small_cohort import MADE_BY, SmallCohort

PATCHES = f"fixed/generators/{GENERATOR}/patches.h5"
Rows = list[tuple[np.void, np.ndarray, np.ndarray]]


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def inserted(cohort: SmallCohort, made: Crops | None = None) -> Rows:
    """What the insertion makes, honestly."""
    with SliceFile(run(write_inputs(cohort, made))) as file:
        (stacks,) = file.groups
        return [
            (row.copy(), file.image("hu", stacks, i), file.image("nodule", stacks, i))
            for i, row in enumerate(file.slices(stacks))
        ]


def arm_of(cohort: SmallCohort, rows: Rows) -> pd.DataFrame:
    path = cohort.root / "fixed/inserted" / f"{GENERATOR}.h5"
    with SliceWriter(path, MADE_BY) as writer:
        for row, hu, nodule in rows:
            writer.append(np.array([row]), hu=hu[None], nodule=nodule[None])
    output = cohort.root / "fixed/arms" / f"{GENERATOR}.tsv"
    arm.run(
        slices=choose(cohort),
        split=cohort.split,
        fold="fixed",
        arm=GENERATOR,
        origins=[f"inserted:{GENERATOR}"],
        preprocess=cohort.preprocess,
        expansions=[path],
        patches=[cohort.root / PATCHES],
        rois=cohort.root / "fixed/rois.h5",
        root=cohort.root,
        output=output,
        findings=output.with_suffix(".audit.tsv"),
        settings=arm.Settings(),
        provenance=MADE_BY,
    )
    return read_table(output)


def changed(row: np.void, **values: object) -> np.void:
    """A row whose first nodule is recorded otherwise."""
    parameters = json.loads(row["parameters"])
    parameters["nodules"][0].update(values)
    row["parameters"] = json.dumps(parameters).encode()
    return row


def test_inserted_slices_of_training_patients_train(cohort: SmallCohort) -> None:
    rows = inserted(cohort)
    table = arm_of(cohort, rows)
    added = table[table["origin"] == f"inserted:{GENERATOR}"]
    assert len(added) == len(rows)
    assert set(added["donor"]) == {DONOR}
    assert (added["n_nodule_px"] > 0).all()
    checked = read_table(cohort.root / "fixed/arms" / f"{GENERATOR}.audit.tsv")
    assert set(checked["outcome"]) == {"passed"}
    assert {"pixels", "fingerprint", "sources", "held_out"} <= set(checked["check"])


@pytest.mark.parametrize("name", ["donor", "source"])
def test_nodule_of_a_held_out_patient_stops_the_arm(cohort: SmallCohort, name: str) -> None:
    (row, hu, nodule), *rest = inserted(cohort)
    with pytest.raises(LeakageError, match="holds pixels of p5, who has test"):
        arm_of(cohort, [(changed(row, **{name: "p5/s0/0002"}), hu, nodule), *rest])


def test_held_out_host_with_honest_lineage_stops_the_arm(cohort: SmallCohort) -> None:
    (row, hu, nodule), *rest = inserted(cohort)
    for name in ("host", "patient"):
        row[name] = row[name].replace(row["patient"], b"p4")
    with pytest.raises(LeakageError, match="p4"):
        arm_of(cohort, [(row, hu, nodule), *rest])


def test_held_out_host_under_a_training_name_stops_the_arm(cohort: SmallCohort) -> None:
    (row, hu, nodule), *rest = inserted(cohort)
    _, other, _ = cohort.slice("p5", int(row["index"]))
    forged = np.where(nodule > 0, hu, other)
    with pytest.raises(LeakageError, match="are not what"):
        arm_of(cohort, [(row, forged, nodule), *rest])


def test_one_changed_pixel_far_from_the_nodule_stops_the_arm(cohort: SmallCohort) -> None:
    (row, hu, nodule), *rest = inserted(cohort)
    far = np.unravel_index(np.argmin(nodule), nodule.shape)
    hu[far] += 1
    with pytest.raises(LeakageError, match="hu: 1 pixels are not what"):
        arm_of(cohort, [(row, hu, nodule), *rest])


def test_patches_made_anew_after_the_insertion_stop_the_arm(cohort: SmallCohort) -> None:
    rows = inserted(cohort)
    write_patches(cohort.root / PATCHES, patches().take([4, 3, 2, 1, 0]))
    with pytest.raises(LeakageError, match="pixels"):
        arm_of(cohort, rows)


def test_patches_of_a_model_of_other_crops_stop_the_arm(cohort: SmallCohort) -> None:
    rows = inserted(cohort)
    write_patches(cohort.root / PATCHES, patches(), fitted_to="0" * 64)
    with pytest.raises(LeakageError, match="fitted to other crops"):
        arm_of(cohort, rows)


@pytest.mark.parametrize(
    ("donor", "label", "message"),
    [
        ("p1/s0/0003", 1, "of nodule 1 of p1/s0/0003, which is no crop"),
        (DONOR, 2, f"of nodule 2 of {DONOR}, which is no crop"),
        ("", 0, f"origin 'generated:copypaste'; accepted: generated:{GENERATOR}"),
    ],
)
def test_patches_with_forged_donors_stop_the_arm(
    cohort: SmallCohort, donor: str, label: int, message: str
) -> None:
    """The pixels may be anybody's: a donor counts only as a crop of the audited file."""
    made = patches()
    count = len(made)
    forged = replace(
        made,
        patient=np.full(count, donor.partition("/")[0]),
        donor=np.full(count, donor),
        label=np.full(count, label),
        origin=np.full(count, "generated:copypaste"),
    )
    with pytest.raises(LeakageError, match=message):
        arm_of(cohort, inserted(cohort, forged))


def test_crops_of_a_held_out_patient_stop_the_arm(cohort: SmallCohort) -> None:
    """The model is of these crops, but these are not of training patients."""
    rows = inserted(cohort)
    write_crops(cohort.root / "fixed/rois.h5", crop_of(cohort, "p5/s0/0002"), MADE_BY)
    write_patches(cohort.root / PATCHES, patches())
    with pytest.raises(LeakageError, match="holds pixels of p5, who has test"):
        arm_of(cohort, rows)


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    centre = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
    matrix = cv2.getRotationMatrix2D(centre, degrees, 1)
    return cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REFLECT_101)


@pytest.mark.parametrize(
    ("move", "add"),
    [
        (lambda image: image, 0),
        (lambda image: image, 1),
        (lambda image: np.rot90(image[:, ::-1]), 0),
        (lambda image: turned(image, 13), 0),
        (lambda image: turned(image[:, ::-1], -55), 25),
        (lambda image: cv2.GaussianBlur(image, (0, 0), 0.7), 0),
    ],
    ids=["as it is", "HU + 1", "mirrored", "13 degrees", "mirrored, 55 degrees", "blur"],
)
def test_a_held_out_nodule_as_a_networks_own_stops_the_arm(
    cohort: SmallCohort, move: Callable[[np.ndarray], np.ndarray], add: int
) -> None:
    real = crop_of(cohort, "p5/s0/0002")
    hu, mask = (move(image[0].astype(np.float32)) for image in (real.hu, real.mask))
    own = replace(
        real,
        hu=np.round(hu + add).astype(np.int16)[None],
        mask=(mask > 0.5)[None],
        patient=np.array([""]),
        donor=np.array([""]),
        label=np.array([0]),
        origin=np.array([f"generated:{GENERATOR}"]),
    )
    with pytest.raises(LeakageError, match="is the held-out nodule p5/s0/0002, nodule 1"):
        arm_of(cohort, inserted(cohort, own))


def test_patches_without_their_crops_are_refused(cohort: SmallCohort) -> None:
    rows = inserted(cohort)
    (cohort.root / "fixed/rois.h5").unlink()
    with pytest.raises(FileFormatError, match="no such file"):
        arm_of(cohort, rows)
