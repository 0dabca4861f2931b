"""Arms with inserted nodules: what is honest trains, what comes from held-out patients stops."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from forged_expansions import choose
from insertion.inserting import DONOR, GENERATOR, patches, run, write_inputs
from lungaug.cohort import read_table
from lungaug.crops import write_crops
from lungaug.errors import LeakageError
from lungaug.stages import arm
from lungaug.store import SliceFile, SliceWriter
from small_cohort import MADE_BY, SmallCohort

Rows = list[tuple[np.void, np.ndarray, np.ndarray]]


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def inserted(cohort: SmallCohort) -> Rows:
    """What the insertion makes, honestly."""
    with SliceFile(run(write_inputs(cohort))) as file:
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
        patches=[cohort.root / "fixed/generators" / GENERATOR / "patches.h5"],
        root=cohort.root,
        output=output,
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
    path = cohort.root / "fixed/generators" / GENERATOR / "patches.h5"
    write_crops(path, patches().take([4, 3, 2, 1, 0]), MADE_BY)
    with pytest.raises(LeakageError, match="pixels"):
        arm_of(cohort, rows)
