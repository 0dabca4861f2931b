"""Which real slices are used."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.cohort import SLICE_COLUMNS, read_table
from lungaug.errors import InputError
from lungaug.stages import select
from lungaug.stages.select import Choice, Settings, spread
from lungaug.store import SliceFile, SliceWriter
from small_cohort import MADE_BY, N_SLICES, SIDE, WITH_NODULE, SmallCohort, fields_of, pixels


def run(cohort: SmallCohort, fold: str = "fixed", **choices: Choice) -> pd.DataFrame:
    output = cohort.root / fold / "slices.tsv"
    select.run(
        preprocess=cohort.preprocess,
        split=cohort.split,
        fold=fold,
        output=output,
        root=cohort.root,
        settings=Settings(**choices),
        provenance=MADE_BY,
    )
    return read_table(output)


def test_default_takes_nodules_and_some_healthy_slices(tmp_path: Path) -> None:
    healthy = Choice(healthy_per_patient=2)
    table = run(SmallCohort(tmp_path), train=healthy, evaluate=healthy)
    assert tuple(table.columns) == SLICE_COLUMNS
    assert list(dict.fromkeys(table["role"])) == ["train", "validation", "test"]
    for _, own in table.groupby("patient"):
        assert len(own) == len(WITH_NODULE) + 2
        assert (own["n_nodule_px"] > 0).sum() == len(WITH_NODULE)
    row = table.iloc[0]
    assert (row["file"], row["origin"], row["host"]) == ("preprocess/b00.h5", "real", "")


def test_train_and_evaluation_choose_for_themselves(tmp_path: Path) -> None:
    table = run(SmallCohort(tmp_path), train=Choice("nodule"), evaluate=Choice("all"))
    counts = table.groupby("role").size()
    assert counts["train"] == 4 * len(WITH_NODULE)
    assert counts["test"] == counts["validation"] == N_SLICES


def test_slice_without_lungs_counts_only_with_a_nodule(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    ingest = tmp_path / "ingest/b00.h5"
    with SliceWriter(cohort.preprocess[0], MADE_BY, parent=ingest) as writer:
        for patient in ("p0", "p2", "p4"):
            fields = fields_of(patient, "LR2")
            fields["status"] = b"no_lungs"
            writer.append(fields, lung=np.zeros((N_SLICES, SIDE, SIDE), np.uint8))
    table = run(cohort)
    assert len(table[table["patient"] == "p4"]) == len(WITH_NODULE)
    assert len(table[table["patient"] == "p5"]) == N_SLICES


@given(st.integers(0, 300), st.integers(0, 20), st.integers(0, 9))
def test_spread_is_even(n: int, k: int, seed: int) -> None:
    chosen = spread(n, k, seed, "p1")
    assert len(set(chosen)) == min(n, k)
    assert all(0 <= i < n for i in chosen)
    gaps = np.diff(chosen)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_patients_outside_the_split_are_left_out(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    roles = {p: r for p, r in cohort.roles.items() if p != "p0"}
    cohort.write_split("fixed", roles)
    assert "p0" not in set(run(cohort)["patient"])


def unseen(cohort: SmallCohort, rows: tuple[int, ...]) -> None:
    """Make these slices of every patient ones that nobody looked at for nodules."""
    for path in cohort.preprocess:
        ingest = cohort.root / "ingest" / path.name
        with SliceFile(path) as file:
            names = [stack.patient for stack in file.stacks()]
        with SliceWriter(path, MADE_BY, parent=ingest) as writer:
            for name in names:
                fields = fields_of(name, "LR2")
                fields["diameter_mm"][list(rows)] = np.nan
                writer.append(fields, lung=np.ones((N_SLICES, SIDE, SIDE), np.uint8))


@pytest.mark.parametrize("which", ["nodule", "nodule_and_healthy", "all"])
def test_a_slice_that_nobody_looked_at_is_never_healthy(
    tmp_path: Path, which: Literal["nodule", "nodule_and_healthy", "all"]
) -> None:
    """It is left out for every role and every choice, and counts for no other slice."""
    cohort = SmallCohort(tmp_path)
    unseen(cohort, (0, 5))
    choice = Choice(which, healthy_per_patient=N_SLICES)
    table = run(cohort, train=choice, evaluate=choice)
    seen = WITH_NODULE if which == "nodule" else (1, *WITH_NODULE, 4)
    assert set(table["patient"]) == set(cohort.roles)
    for _, own in table.groupby("patient"):
        assert [int(key.split("/")[2]) for key in own["key"]] == list(seen)


def test_a_patient_whom_nobody_looked_at_fills_no_role(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    ingest, names = tmp_path / "ingest/b00.h5", ("p0", "p2", "p4")
    with SliceWriter(ingest, MADE_BY) as writer:
        for name in names:
            fields = fields_of(name, "")
            fields["diameter_mm"] = np.nan
            hu, nodule = pixels(name)
            writer.append(fields, hu=hu, nodule=nodule * 0)
    with SliceFile(ingest) as file:
        tables = [stack.slices for stack in file.stacks()]
    with SliceWriter(cohort.preprocess[0], MADE_BY, parent=ingest) as writer:
        for fields in tables:
            writer.append(fields, lung=np.ones((N_SLICES, SIDE, SIDE), np.uint8))
    with pytest.raises(InputError, match="no slice for validation"):
        run(cohort, evaluate=Choice("all"))


def test_a_nodule_of_unknown_size_is_used(tmp_path: Path) -> None:
    """Without spacing nobody knows its diameter, but somebody marked it."""
    cohort = SmallCohort(tmp_path)
    unseen(cohort, WITH_NODULE)
    table = run(cohort, train=Choice("nodule"), evaluate=Choice("nodule"))
    assert len(table) == len(cohort.roles) * len(WITH_NODULE)


def test_what_is_left_out_unseen_is_counted_in_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cohort = SmallCohort(tmp_path)
    unseen(cohort, (0, 5))
    run(cohort)
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said[:1] == ["p0: 2 slices are left out: nobody looked for nodules there"]
    assert len(said) == len(cohort.roles)


def test_training_without_a_nodule_is_refused(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    for path, names in zip(
        cohort.preprocess, (("p0", "p2", "p4"), ("p1", "p3", "p5")), strict=True
    ):
        ingest = tmp_path / "ingest" / path.name
        with SliceWriter(ingest, MADE_BY) as writer:
            for name in names:
                hu, nodule = pixels(name)
                nodule[:] = nodule if name in ("p4", "p5") else 0
                writer.append(fields_of(name, "LR2"), hu=hu, nodule=nodule)
        with SliceWriter(path, MADE_BY, parent=ingest) as writer:
            for name in names:
                lung = np.ones((N_SLICES, SIDE, SIDE), np.uint8)
                writer.append(fields_of(name, "LR2"), lung=lung)
    with pytest.raises(InputError, match="no training slice has a nodule"):
        run(cohort)


def test_role_without_slices_and_unknown_fold_are_refused(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    with pytest.raises(InputError, match="no fold 'cv9'"):
        run(cohort, "cv9")
    cohort.preprocess.pop()
    with pytest.raises(InputError, match="no slice for test"):
        run(cohort)
