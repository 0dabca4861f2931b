"""The audit stage: it lets a clean fold pass and stops whatever leaks, honest or forged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from forged_expansions import choose, expand, result
from lungaug.cohort import read_table, write_table
from lungaug.errors import LeakageError
from lungaug.metalung.operations import OPERATIONS
from lungaug.stages import audit
from lungaug.store import slice_key
from small_cohort import MADE_BY, WITH_NODULE, SmallCohort, derived


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def run(
    cohort: SmallCohort, expansions: list[Path], slices: Path | None = None, fold: str = "fixed"
) -> Path:
    output = cohort.root / fold / "audit.tsv"
    audit.run(
        slices=slices or choose(cohort, fold),
        split=cohort.split,
        fold=fold,
        preprocess=cohort.preprocess,
        expansions=expansions,
        root=cohort.root,
        output=output,
        settings=audit.Settings(),
        provenance=MADE_BY,
    )
    return output


def blurred(hu: np.ndarray) -> np.ndarray:
    """Every pixel another one: no fingerprint is left."""
    soft = cv2.GaussianBlur(hu.astype(np.float32), (0, 0), 0.6)
    return np.round(1.02 * np.roll(soft, 1, axis=1) + 15).astype(np.int16)


def failed_checks(cohort: SmallCohort) -> set[str]:
    assert not (cohort.root / "fixed/audit.tsv").exists()
    table = read_table(cohort.root / "fixed/audit.failed.tsv")
    return set(table.loc[table["outcome"] == "failed", "check"])


def test_all_operations_on_training_patients_pass(cohort: SmallCohort) -> None:
    expansions = [path for operation in OPERATIONS for path in expand(cohort, operation)]
    table = read_table(run(cohort, expansions))
    noted = table[table["outcome"] == "note"]
    assert set(table["outcome"]) <= {"passed", "note"}
    assert noted["detail"].str.contains("no rough block").all()  # what was blurred
    n = 4 * len(WITH_NODULE) * len(OPERATIONS) + 4 * 6
    assert table.set_index("check")["detail"]["lineage"] == f"{n} training rows"


@pytest.mark.parametrize("operation", list(OPERATIONS))
def test_test_patient_with_honest_lineage_stops_the_run(
    cohort: SmallCohort, operation: str
) -> None:
    expansions = expand(cohort, operation, result(cohort, operation, "p5", 2))
    with pytest.raises(LeakageError, match="p5, who trains in no fold"):
        run(cohort, expansions)
    assert "lineage" in failed_checks(cohort)


@pytest.mark.parametrize(
    ("operation", "patient"), [("mirror", "p4"), *((name, "p5") for name in OPERATIONS)]
)
def test_held_out_patient_with_forged_lineage_stops_the_run(
    cohort: SmallCohort, operation: str, patient: str
) -> None:
    row = result(cohort, operation, patient, 2, claimed="p0")
    with pytest.raises(LeakageError, match="p0/s0/0002"):
        run(cohort, expand(cohort, operation, row))
    unaltered_tissue = operation in ("mirror", "replace", "rotate_nodule", "noise_nodule")
    expected = {"pixels", "fingerprint"} if unaltered_tissue else {"pixels"}
    assert failed_checks(cohort) >= expected


@pytest.mark.parametrize("operation", ["mirror", "noise_slice"])
def test_plain_copy_under_another_name_stops_the_run(cohort: SmallCohort, operation: str) -> None:
    claimed, _, _ = result(cohort, operation, "p0", 2)
    _, hu, nodule = cohort.slice("p5", 3)
    with pytest.raises(LeakageError):
        run(cohort, expand(cohort, operation, (claimed, hu, nodule)))
    assert failed_checks(cohort) == {"pixels", "fingerprint"}


def test_lineage_that_hides_behind_an_unknown_origin_stops_the_run(cohort: SmallCohort) -> None:
    fields, hu, nodule = cohort.slice("p0", 2)
    row = derived(fields, "mirror", {}, origin="metalung:other")
    with pytest.raises(LeakageError, match="origin 'metalung:other'; accepted: metalung:blur"):
        run(cohort, expand(cohort, "mirror", (row, hu, nodule)))


def test_parameters_that_cannot_be_replayed_stop_the_run(cohort: SmallCohort) -> None:
    fields, hu, nodule = cohort.slice("p0", 2)
    row = derived(fields, "rotate_slice", {"nothing": 1})
    with pytest.raises(LeakageError, match="cannot be replayed"):
        run(cohort, expand(cohort, "rotate_slice", (row, hu, nodule)))


@pytest.mark.parametrize("forged", [False, True], ids=["honest", "forged"])
def test_test_slice_in_the_list_of_slices_stops_the_run(cohort: SmallCohort, forged: bool) -> None:
    slices = choose(cohort)
    table = read_table(slices)
    moved = table["patient"] == "p5"
    table.loc[moved & (table["row"] > 14), "role"] = "train"
    if forged:
        table.loc[table["role"].eq("train") & moved, ["patient", "key"]] = ["p0", "p0/s0/0002"]
    write_table(slices, table)
    with pytest.raises(LeakageError):
        run(cohort, [], slices)
    assert failed_checks(cohort) >= ({"table", "lineage"} if forged else {"roles", "lineage"})


def test_same_scan_under_two_pseudonyms_stops_the_run(tmp_path: Path) -> None:
    twins = SmallCohort(tmp_path, pixels_of={"p3": "p5"})
    with pytest.raises(LeakageError, match=r"shares .* blocks with the test slice p5"):
        run(twins, [])
    assert failed_checks(twins) == {"fingerprint", "copies"}


@pytest.mark.parametrize("role", ["test", "validation"])
def test_a_held_out_scan_of_other_hu_and_place_stops_the_run(tmp_path: Path, role: str) -> None:
    name = {"test": "p5", "validation": "p4"}[role]
    stolen = SmallCohort(tmp_path, pixels_of={"p3": name}, changed={"p3": blurred}, side=96)
    with pytest.raises(LeakageError, match=rf"is the {role} slice {name}.*, changed"):
        run(stolen, [])
    assert failed_checks(stolen) == {"copies"}


def test_one_person_under_two_names_in_training_is_noted(tmp_path: Path) -> None:
    twins = SmallCohort(tmp_path, pixels_of={"p0": "p1"}, changed={"p0": blurred}, side=96)
    table = read_table(run(twins, []))
    noted = table[table["outcome"] == "note"]
    assert len(noted) >= 3  # of six, whose noise has no large shapes to be aligned by
    assert noted["detail"].str.contains("is the train slice p1/s0/000., changed").all()
    assert "copies" in set(table.loc[table["outcome"] == "passed", "check"])


def test_expansions_of_another_folds_patients_do_not_matter(cohort: SmallCohort) -> None:
    others = {"p0": "test", "p1": "validation"}
    rest = {p: others.get(p, "train") for p in cohort.roles}
    second = read_table(cohort.split).assign(fold="cv1")
    cohort.write_split("cv0", rest, second)
    expansions = expand(cohort, "mirror")
    table = read_table(run(cohort, expansions, fold="cv0"))
    assert table.set_index("check")["detail"]["lineage"] == f"{4 * 6 + 4} training rows"


def test_failure_takes_an_earlier_success_away(cohort: SmallCohort) -> None:
    run(cohort, expand(cohort, "mirror"))
    leak = result(cohort, "mirror", "p5", 2, claimed="p0")
    with pytest.raises(LeakageError):
        run(cohort, expand(cohort, "mirror", leak))
    assert failed_checks(cohort)
    run(cohort, expand(cohort, "mirror"))
    assert not (cohort.root / "fixed/audit.failed.tsv").exists()


def test_same_fold_gives_the_same_bytes(cohort: SmallCohort) -> None:
    expansions = expand(cohort, "mirror")
    first = run(cohort, expansions).read_bytes()
    assert run(cohort, expansions[::-1]).read_bytes() == first


def test_donor_outside_training_stops_the_run(cohort: SmallCohort) -> None:
    row, hu, nodule = result(cohort, "mirror", "p0", 2)
    row["donor"] = slice_key(cohort.slice("p4", 2)[0]).encode()
    with pytest.raises(LeakageError, match="holds pixels of p4, who has validation"):
        run(cohort, expand(cohort, "mirror", (row, np.asarray(hu), nodule)))
