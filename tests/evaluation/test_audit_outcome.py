"""What a training reads is what its audits saw, or there is no training."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import pytest

from audited import write_audit
from lungaug.cohort import read_table, write_table
from lungaug.errors import LeakageError
from lungaug.evaluation.audit_outcome import CHECKS, Audits, check_audited
from lungaug.training.arm_tables import read_tables
from tiny_training import Cohort, edit_table, write_cohort


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort") / "fixed", sizes=((32, 32),))


@pytest.fixture
def cohort(honest: Cohort, tmp_path: Path) -> Cohort:
    """One that a test may spoil; the fold has the name of its folder."""
    root = tmp_path / "fixed"
    shutil.copytree(honest.root, root)
    paths = (honest.arm, honest.slices, honest.audit, honest.arm_audit, honest.split)
    return Cohort(root, *(root / path.relative_to(honest.root) for path in paths))


def check(cohort: Cohort) -> None:
    audits = Audits(cohort.audit, cohort.arm_audit, cohort.split)
    tables = read_tables(cohort.arm, cohort.slices)
    for rows in (tables.learned, tables.test):
        check_audited(rows, cohort.arm, cohort.slices, audits, cohort.root)


def refused(cohort: Cohort) -> str:
    with pytest.raises(LeakageError) as caught:
        check(cohort)
    return str(caught.value)


def test_an_honest_training_is_let_in(cohort: Cohort) -> None:
    check(cohort)


def test_rows_that_point_to_test_slices(cohort: Cohort) -> None:
    cohort.point_to_test_slices()
    said = refused(cohort)
    assert "none.audit.tsv: the audit saw something else" in said
    assert "snakemake --force" in said
    assert "table: changed since its audit" in said


@pytest.mark.parametrize("column", ["key", "patient", "origin", "host", "donor"])
def test_records_that_are_not_what_the_audited_table_says(cohort: Cohort, column: str) -> None:
    """Also where somebody wrote the new digest of the table into the audit."""
    table = read_table(cohort.arm)
    table.loc[2, column] = "a/sa/9999"
    write_table(cohort.arm, table)
    cohort.audit_again()
    said = refused(cohort)
    assert f"seen.h5, 32x32, row 2: {column} " in said
    assert "the table says 'a/sa/9999'" in said


@pytest.mark.parametrize("row", [-1, 99])
def test_a_row_that_is_not_there(cohort: Cohort, row: int) -> None:
    edit_table(cohort.arm, row=row)
    cohort.audit_again()
    assert "no such slice" in refused(cohort)


def test_a_row_that_points_to_test_slices_of_an_audit_written_by_hand(cohort: Cohort) -> None:
    cohort.point_to_test_slices()
    cohort.audit_again()
    assert "unseen.h5, 32x32, row 0: key 'g/" in refused(cohort)


@pytest.mark.parametrize("which", ["audit", "arm_audit"])
def test_an_audit_of_one_row(cohort: Cohort, which: str) -> None:
    path: Path = getattr(cohort, which)
    path.write_text("check\tsubject\toutcome\tdetail\nlineage\tfixed\tpassed\t\n")
    said = refused(cohort)
    assert f"{path}: not a whole audit of fold 'fixed'" in said
    assert "roles" in said
    assert "pixels" in said


@pytest.mark.parametrize("which", ["audit", "arm_audit"])
@pytest.mark.parametrize("lacking", CHECKS)
def test_an_audit_that_lacks_a_check(cohort: Cohort, which: str, lacking: str) -> None:
    path: Path = getattr(cohort, which)
    table = read_table(path)
    write_table(path, table[table["check"] != lacking])
    assert f"lacks the checks {lacking};" in refused(cohort)


@pytest.mark.parametrize("which", ["audit", "arm_audit"])
def test_an_audit_of_another_fold(cohort: Cohort, which: str) -> None:
    edit_table(getattr(cohort, which), subject="cv1")
    assert "not a whole audit of fold 'fixed'" in refused(cohort)


@pytest.mark.parametrize("which", ["audit", "arm_audit"])
def test_an_audit_without_what_it_saw(cohort: Cohort, which: str) -> None:
    write_audit(getattr(cohort, which), "fixed", {})
    assert "split: not among what was audited" in refused(cohort)


def test_the_audit_of_another_arm(cohort: Cohort) -> None:
    other = cohort.arm.with_name("other.tsv")
    write_table(other, read_table(cohort.arm).iloc[1:])
    other.replace(cohort.arm)
    assert "table: changed since its audit" in refused(cohort)


def test_a_file_that_was_not_audited(cohort: Cohort) -> None:
    table = read_table(cohort.arm_audit)
    write_table(cohort.arm_audit, table[table["subject"] != "seen.h5"])
    assert "seen.h5: not among what was audited" in refused(cohort)


def test_roles_that_changed(cohort: Cohort) -> None:
    """A test patient of today must not be one who trained when it was audited."""
    table = read_table(cohort.split)
    write_table(
        cohort.split, table.assign(role=table["role"].mask(table["patient"] == "a", "test"))
    )
    assert "split: changed since its audit" in refused(cohort)


def test_roles_of_other_folds_do_not_count(cohort: Cohort) -> None:
    more = "cv0\ta\tLR2\ttest\n"
    cohort.split.write_text(cohort.split.read_text() + more)
    check(cohort)


def test_held_out_slices_that_changed(cohort: Cohort) -> None:
    table = read_table(cohort.slices)
    write_table(cohort.slices, table[table["patient"] != "h"])
    assert "slices: changed since its audit" in refused(cohort)


@pytest.mark.parametrize("name", ["seen.h5", "unseen.h5"])
@pytest.mark.parametrize("image", ["hu", "nodule"])
def test_pixels_changed_in_place(cohort: Cohort, name: str, image: str) -> None:
    with h5py.File(cohort.root / name, "r+") as file:
        file[f"32x32/{image}"][3, 5, 5] += 1
    assert f"{name}: changed since its audit" in refused(cohort)


def test_pixels_of_the_file_that_another_refers_to(cohort: Cohort) -> None:
    """The HU of a preprocess file lie in that of ingest."""
    path = cohort.root / "seen.h5"
    parent = cohort.root / "ingest/b00.h5"
    parent.parent.mkdir()
    shutil.copyfile(path, parent)
    with h5py.File(path, "r+") as file:
        del file["32x32/hu"]
        file.attrs["parent"] = "ingest/b00.h5"
        file.attrs["parent_digest"] = h5py.File(parent).attrs["content_digest"]
    cohort.audit_again()
    check(cohort)
    with h5py.File(parent, "r+") as file:
        file["32x32/hu"][0, 0, 0] += 1
    assert "ingest/b00.h5: changed since its audit" in refused(cohort)


def test_only_the_first_differences_are_listed(cohort: Cohort) -> None:
    edit_table(cohort.arm, donor="a/sa/9999")
    cohort.audit_again()
    assert refused(cohort).splitlines()[-1].strip() == "and 7 more"
