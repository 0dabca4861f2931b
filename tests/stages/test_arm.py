"""The arm stage: what an arm holds, and that it is audited before it has a name."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from forged_expansions import choose, expand, result
from lungaug.arms import GENERATORS, Parts, parse_arm
from lungaug.cohort import SLICE_COLUMNS, read_table, write_table
from lungaug.errors import InputError, LeakageError, SettingError
from lungaug.metalung.operations import DEFAULT_OPERATIONS, OPERATIONS
from lungaug.stages import arm
from small_cohort import MADE_BY, WITH_NODULE, SmallCohort

N_NODULE = 4 * len(WITH_NODULE)


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def run(
    cohort: SmallCohort,
    name: str,
    expansions: list[Path],
    slices: Path | None = None,
    fold: str = "fixed",
) -> pd.DataFrame:
    output = cohort.root / fold / "arms" / f"{name}.tsv"
    wanted = parse_arm(name, Parts(list(OPERATIONS), list(DEFAULT_OPERATIONS), GENERATORS, ()))
    arm.run(
        slices=slices or choose(cohort, fold),
        split=cohort.split,
        fold=fold,
        arm=name,
        origins=list(wanted.origins),
        preprocess=cohort.preprocess,
        expansions=expansions,
        patches=[],
        root=cohort.root,
        output=output,
        findings=output.with_suffix(".audit.tsv"),
        settings=arm.Settings(),
        provenance=MADE_BY,
        ratio=f"{wanted.ratio or ''}",
    )
    return read_table(output)


@pytest.mark.parametrize("name", ["none", "online"])
def test_arm_without_operations_is_the_real_training_slices(cohort: SmallCohort, name: str) -> None:
    table = run(cohort, name, [])
    expected = read_table(choose(cohort)).query("role == 'train'").reset_index(drop=True)
    pd.testing.assert_frame_equal(table, expected)


def test_arm_adds_the_operations_that_it_names(cohort: SmallCohort) -> None:
    expansions = [p for o in ("mirror", "noise_slice", "blur") for p in expand(cohort, o)]
    table = run(cohort, "mirror+noise_slice+online", expansions)
    assert tuple(table.columns) == SLICE_COLUMNS
    counts = table.groupby("origin").size().to_dict()
    assert counts == {"real": 24, "metalung:mirror": N_NODULE, "metalung:noise_slice": N_NODULE}
    added = table[table["origin"] == "metalung:mirror"].iloc[0]
    assert (added["file"], added["host"], added["role"]) == (
        "metalung/mirror/b00.h5",
        added["key"],
        "train",
    )
    assert (table["n_nodule_px"] == 30).sum() == 3 * N_NODULE


def test_a_ratio_takes_so_many_slices_and_more_hold_all_of_fewer(cohort: SmallCohort) -> None:
    expansions = [p for o in ("mirror", "noise_slice") for p in expand(cohort, o)]
    tables = [run(cohort, f"mirror+noise_slice@{r}", expansions) for r in ("0.5", "1.5")]
    fewer, more = (table.query("origin != 'real'") for table in tables)
    assert (len(fewer), len(more)) == (N_NODULE // 2, 3 * N_NODULE // 2)
    places = [set(zip(t["file"], t["group"], t["row"], strict=True)) for t in (fewer, more)]
    assert places[0] < places[1]
    assert all((table["origin"] == "real").sum() == 24 for table in tables)


def test_metalung_stands_for_the_default_operations(cohort: SmallCohort) -> None:
    expansions = [p for o in ("mirror", "blur") for p in expand(cohort, o)]
    assert set(run(cohort, "metalung", expansions)["origin"]) == {"real", "metalung:mirror"}


def test_arm_holds_only_this_folds_training_patients(cohort: SmallCohort) -> None:
    others = {"p0": "test", "p1": "validation"}
    second = read_table(cohort.split).assign(fold="cv1")
    cohort.write_split("cv0", {p: others.get(p, "train") for p in cohort.roles}, second)
    table = run(cohort, "mirror", expand(cohort, "mirror"), fold="cv0")
    assert set(table["patient"]) == {"p2", "p3", "p4", "p5"}
    assert set(table.query("origin != 'real'")["patient"]) == {"p2", "p3"}


def test_test_slice_with_honest_lineage_stops_the_arm(cohort: SmallCohort) -> None:
    expansions = expand(cohort, "mirror", result(cohort, "mirror", "p5", 2))
    with pytest.raises(LeakageError, match="p5"):
        run(cohort, "mirror", expansions)
    assert [p.name for p in (cohort.root / "fixed/arms").iterdir()] == ["mirror.failed.tsv"]


@pytest.mark.parametrize("operation", ["mirror", "noise_slice", "rotate_slice"])
def test_test_slice_with_forged_lineage_stops_the_arm(cohort: SmallCohort, operation: str) -> None:
    leak = result(cohort, operation, "p5", 2, claimed="p0")
    with pytest.raises(LeakageError, match="pixels are not what p0/s0/0002 yields"):
        run(cohort, operation, expand(cohort, operation, leak))
    assert not (cohort.root / f"fixed/arms/{operation}.tsv").exists()


def test_test_slice_among_the_training_slices_stops_the_arm(cohort: SmallCohort) -> None:
    slices = choose(cohort)
    table = read_table(slices)
    table.loc[table["patient"] == "p5", "role"] = "train"
    write_table(slices, table)
    with pytest.raises(LeakageError, match="p5"):
        run(cohort, "none", [], slices)


def test_arm_that_adds_nothing_is_refused(cohort: SmallCohort) -> None:
    with pytest.raises(InputError, match="adds no slice"):
        run(cohort, "mirror", [])


def test_operation_that_adds_nothing_is_named(
    cohort: SmallCohort, caplog: pytest.LogCaptureFixture
) -> None:
    run(cohort, "mirror+replace", expand(cohort, "mirror"))
    assert "replace adds no slice" in caplog.text


def test_unknown_origin_is_refused(cohort: SmallCohort) -> None:
    with pytest.raises(SettingError, match="metalung:mirrors"):
        arm.run(
            slices=choose(cohort),
            split=cohort.split,
            fold="fixed",
            arm="mirrors",
            origins=["metalung:mirrors"],
            preprocess=cohort.preprocess,
            expansions=[],
            patches=[],
            root=cohort.root,
            output=cohort.root / "mirrors.tsv",
            findings=cohort.root / "mirrors.audit.tsv",
            settings=arm.Settings(),
            provenance=MADE_BY,
        )


def test_arm_without_a_nodule_is_refused(cohort: SmallCohort) -> None:
    slices = choose(cohort)
    table = read_table(slices)
    write_table(slices, table[(table["role"] != "train") | (table["n_nodule_px"] == 0)])
    with pytest.raises(InputError, match="no training slice has a nodule"):
        run(cohort, "none", [], slices)
