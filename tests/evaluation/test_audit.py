"""The checks of the audit, each on rows made for it. Whole stages: tests/stages/test_audit.py."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import FileFormatError, LeakageError
from lungaug.evaluation.audit import (
    Evidence,
    Finding,
    audit,
    check_fingerprint,
    check_pixels,
    check_roles,
    check_split,
    check_table,
    expansion_places,
    refuse_held_out,
    stop_if_failed,
)
from lungaug.evaluation.fingerprints import FingerprintSettings
from lungaug.listing import Place, RealSlices, SliceFiles, claim_of
from small_cohort import SmallCohort, derived


def mirror(
    origin: str, hu: np.ndarray, nodule: np.ndarray, parameters: Mapping[str, Any]
) -> tuple[np.ndarray, np.ndarray]:
    return hu[:, :: parameters["step"]], nodule[:, :: parameters["step"]]


class Fold:
    """A cohort with everything of it listed."""

    def __init__(self, root: Path, pixels_of: dict[str, str] | None = None) -> None:
        self.cohort = SmallCohort(root, pixels_of)
        self.files = SliceFiles(root)
        self.names = ["preprocess/b00.h5", "preprocess/b01.h5"]
        self.real = RealSlices(self.files, self.names)
        places = [place for name in self.names for place, _ in self.files.places(name)]
        self.roles = {place: self.cohort.roles[self.patient(place)] for place in places}
        self.table = pd.DataFrame([self.files.describe(p, r) for p, r in self.roles.items()])

    def patient(self, place: Place) -> str:
        return str(self.files.fields(place)["patient"].decode())

    def places(self, role: str) -> list[Place]:
        return [place for place, own in self.roles.items() if own == role]

    def evidence(self, **changes: Any) -> Evidence:
        split = pd.DataFrame(
            [("fixed", p, "LR2", r) for p, r in self.cohort.roles.items()],
            columns=["fold", "patient", "lung_rads", "role"],
        )
        held_out = {role: self.places(role) for role in ("test", "validation")}
        given = {"split": split, "fold": "fixed", "table": self.table, "held_out": held_out}
        return Evidence(files=self.files, real=self.real, **{**given, **changes})

    def audit(self, *more: Place, **changes: Any) -> list[Finding]:
        training = [*self.places("train"), *more]
        evidence = self.evidence(**changes)
        return audit(evidence, training, mirror, FingerprintSettings(), unscored=True)


@pytest.fixture
def fold(tmp_path: Path) -> Iterator[Fold]:
    fold = Fold(tmp_path)
    with fold.files:
        yield fold


def failures(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.outcome == "failed"}


def test_clean_fold_passes_every_check(fold: Fold) -> None:
    findings = fold.audit()
    assert [f.outcome for f in findings] == ["passed"] * 6
    assert findings[-1].detail == "24 training rows against 6 test, 6 validation slices"


def test_patient_with_two_roles_fails(fold: Fold) -> None:
    split = fold.evidence().split
    twice = pd.concat([split, split.iloc[:1].assign(role="test")])
    found = list(check_split(fold.evidence(split=twice)))
    assert [f.subject for f in found] == ["p0"]
    assert "train, test" in found[0].detail


def test_fold_without_a_role_fails(fold: Fold) -> None:
    split = fold.evidence().split.query("role != 'validation'")
    assert [f.detail for f in check_split(fold.evidence(split=split))] == [
        "no patient for validation"
    ]


def test_row_listed_for_another_role_than_its_patients_fails(fold: Fold) -> None:
    assert list(check_roles(fold.evidence())) == []
    table = fold.table.copy()
    row = table.index[table["patient"] == "p5"][0]
    table.loc[row, "role"] = "train"
    (found,) = check_roles(fold.evidence(table=table))
    assert found.detail == "listed for train; p5 has test"
    table.loc[row, ["patient", "role"]] = ["nobody", "test"]
    (found,) = check_roles(fold.evidence(table=table))
    assert found.detail == "listed for test; nobody has no role"


def test_table_that_differs_from_the_file_fails(fold: Fold) -> None:
    table = fold.table.copy()
    table.loc[0, "host"] = "p1/s0/0000"
    found = list(check_table(fold.evidence(table=table)))
    assert ["host" in f.detail for f in found] == [True]


def test_table_that_names_no_row_is_an_error(fold: Fold) -> None:
    table = fold.table.assign(row=99)
    with pytest.raises(FileFormatError, match="no row 99"):
        list(check_table(fold.evidence(table=table)))


def test_test_slice_listed_for_training_fails_in_roles_and_lineage(fold: Fold) -> None:
    table = fold.table.copy()
    table.loc[table["patient"] == "p5", "role"] = "train"
    findings = fold.audit(*fold.places("test"), table=table)
    assert failures(findings) == {"roles", "lineage", "fingerprint"}


def one(fold: Fold, fields: np.void, hu: np.ndarray, nodule: np.ndarray) -> Place:
    path = fold.cohort.write_expansion("mirror", "b00", [(fields, hu, nodule)])
    return (fold.files.name(path), f"{hu.shape[0]}x{hu.shape[1]}", 0)


def test_honest_derived_row_passes(fold: Fold) -> None:
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    place = one(fold, derived(fields, "mirror", {"step": -1}), hu[:, ::-1], nodule[:, ::-1])
    assert failures(fold.audit(place)) == set()


@pytest.mark.parametrize("name", ["host", "donor", "patient"])
def test_row_that_names_a_held_out_patient_anywhere_fails(fold: Fold, name: str) -> None:
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    told = {"host": "p5/s0/0002", "donor": "p4/s0/0001", "patient": "p5"}[name]
    forged = derived(fields, "mirror", {"step": -1}, **{name: told})
    assert "lineage" in failures(fold.audit(one(fold, forged, hu[:, ::-1], nodule[:, ::-1])))


@pytest.mark.parametrize("step", [1, -1])
def test_held_out_pixels_with_forged_lineage_fail_twice(fold: Fold, step: int) -> None:
    fields, _, _ = fold.cohort.slice("p0", 2)
    _, hu, nodule = fold.cohort.slice("p5", 2)
    forged = derived(fields, "mirror", {"step": step})
    place = one(fold, forged, hu[:, ::step], nodule[:, ::step])
    findings = fold.audit(place)
    assert failures(findings) == {"pixels", "fingerprint"}
    named = next(f for f in findings if f.check == "fingerprint")
    assert "p0/s0/0002 (metalung/mirror/b00.h5, row 0)" in named.subject
    assert "test slice p5/s0/0002" in named.detail


def test_slice_that_is_not_scored_is_compared_as_well(fold: Fold) -> None:
    fields, _, _ = fold.cohort.slice("p0", 2)
    _, hu, nodule = fold.cohort.slice("p5", 4)
    place = one(fold, derived(fields, "mirror", {"step": 1}), hu, nodule)
    held_out = {"test": fold.places("test")[:1], "validation": fold.places("validation")}
    assert failures(fold.audit(place, held_out=held_out)) == {"pixels", "fingerprint"}


class OneMatch:
    """An index in which a slice shares so many blocks with whatever is looked for."""

    def __init__(self, n: int) -> None:
        self.n = n

    def matches(self, hashes: np.ndarray) -> Iterator[tuple[str, int]]:
        yield "p5/s0/0000", self.n


@pytest.mark.parametrize(("shared", "found"), [(2, 0), (3, 1), (4, 1)])
def test_as_many_blocks_as_the_setting_says_are_a_copy(fold: Fold, shared: int, found: int) -> None:
    place = fold.places("train")[0]
    claim = claim_of(place, fold.files.fields(place))
    indices: Any = {"test": OneMatch(shared)}
    findings = list(check_fingerprint(claim, np.zeros(9, np.uint64), indices, 3))
    assert len(findings) == found


def test_a_part_of_a_scored_slice_is_found_however_few_blocks_others_keep(fold: Fold) -> None:
    """Only the slices that are not scored are sampled."""
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    _, held_out, _ = fold.cohort.slice("p5", 2)
    mixed = []
    for row, column in itertools.product((0, 16), repeat=2):
        mixed.append(hu.copy())
        place = np.s_[row : row + 16, column : column + 16]
        mixed[-1][place] = held_out[place]
    rows = [(derived(fields, "mirror", {"step": 1}), pixels, nodule) for pixels in mixed]
    name = fold.files.name(fold.cohort.write_expansion("mirror", "b00", rows))
    places = [place for place, _ in fold.files.places(name)]
    settings = FingerprintSettings(sample=1, shared_blocks=1)
    findings = audit(fold.evidence(), places, mirror, settings, unscored=True)
    subjects = {f.subject for f in findings if f.check == "fingerprint" and f.outcome == "failed"}
    assert len(subjects) == len(rows)


@pytest.mark.parametrize(
    ("parameters", "host", "message"),
    [
        ({}, "p0/s0/0002", "cannot be replayed on p0/s0/0002: KeyError"),
        ({"step": 0}, "p0/s0/0002", "cannot be replayed on p0/s0/0002: ValueError"),
        ({"step": -1}, "p0/s0/0099", "no real slice 'p0/s0/0099'"),
        ({"step": -1}, "p0/s0/0003", "hu: "),
        ({"step": 2}, "p0/s0/0002", "hu: (32, 32), but p0/s0/0002 yields (32, 16)"),
    ],
)
def test_what_cannot_be_replayed_fails(
    fold: Fold, parameters: dict[str, object], host: str, message: str
) -> None:
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    forged = derived(fields, "mirror", parameters, host=host)
    place = one(fold, forged, hu[:, ::-1], nodule[:, ::-1])
    claim = claim_of(place, fold.files.fields(place))
    found = list(check_pixels(claim, fold.files.hu(place), fold.files, fold.real, mirror))
    assert found[0].detail.startswith(message)


def test_altered_nodule_alone_fails(fold: Fold) -> None:
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    wrong = nodule[:, ::-1].copy()
    wrong[0, 0] = 1
    place = one(fold, derived(fields, "mirror", {"step": -1}), hu[:, ::-1], wrong)
    assert failures(fold.audit(place)) == {"pixels"}


def test_row_that_claims_to_be_real_is_compared(fold: Fold) -> None:
    fields, _, _ = fold.cohort.slice("p0", 2)
    _, hu, nodule = fold.cohort.slice("p1", 2)
    assert failures(fold.audit(one(fold, fields, hu, nodule))) == {"pixels"}


@pytest.mark.parametrize(("train", "other"), [("p2", "p5"), ("p2", "p4"), ("p4", "p5")])
def test_patient_with_two_pseudonyms_fails(tmp_path: Path, train: str, other: str) -> None:
    fold = Fold(tmp_path, pixels_of={train: other})
    with fold.files:
        findings = fold.audit()
    assert failures(findings) == {"fingerprint"}
    assert all(train in f.subject and other in f.detail for f in findings if f.outcome == "failed")


def test_training_patient_with_two_pseudonyms_is_no_leak(tmp_path: Path) -> None:
    fold = Fold(tmp_path, pixels_of={"p0": "p1"})
    with fold.files:
        assert failures(fold.audit()) == set()


def test_slices_without_texture_are_noted(fold: Fold) -> None:
    fields, hu, nodule = fold.cohort.slice("p0", 2)
    smooth = np.full_like(hu, -1000)
    place = one(fold, derived(fields, "mirror", {"step": -1}), smooth, nodule)
    notes = [f.detail for f in fold.audit(place) if f.outcome == "note"]
    assert notes == ["1 training slices have no rough block and were not compared"]


def test_expansions_of_other_folds_are_left_out_and_of_no_fold_fail(fold: Fold) -> None:
    rows = [fold.cohort.slice(p, 2) for p in ("p0", "p2", "p4", "p5")]
    made = [(derived(fields, "mirror", {"step": -1}), hu, nodule) for fields, hu, nodule in rows]
    fold.cohort.write_expansion("mirror", "b00", made)
    roles = {"cv0": {"p0": "train", "p2": "test"}, "cv1": {"p0": "test", "p2": "train"}}
    roles["cv1"]["p4"] = "train"
    split = pd.DataFrame(
        [(fold_name, p, "LR2", r) for fold_name, own in roles.items() for p, r in own.items()],
        columns=["fold", "patient", "lung_rads", "role"],
    )
    name = "metalung/mirror/b00.h5"
    places, wrong = expansion_places(fold.files, [name], ["metalung:mirror"], split, "cv0")
    assert places == [(name, "32x32", 0)]
    assert [f.detail for f in wrong] == ["holds pixels of p5, who trains in no fold"]
    _, wrong = expansion_places(fold.files, [name], ["metalung:blur"], split, "cv0")
    assert len(wrong) == 4
    assert "accepted: metalung:blur" in wrong[0].detail


def test_door_of_training_refuses_held_out_patients(fold: Fold) -> None:
    train = fold.table[fold.table["role"] == "train"]
    refuse_held_out(train, fold.table)
    with pytest.raises(LeakageError, match="holds pixels of p5"):
        refuse_held_out(fold.table[fold.table["role"] != "validation"], fold.table)
    with pytest.raises(LeakageError, match="holds pixels of p4"):
        refuse_held_out(train.assign(donor="p4/s0/0000"), fold.table)


def test_message_names_the_first_failures_and_the_file(tmp_path: Path) -> None:
    path = tmp_path / "audit.failed.tsv"
    many = [Finding("lineage", f"slice {i}", "failed", "why") for i in range(7)]
    with pytest.raises(LeakageError) as caught:
        stop_if_failed(many, path)
    assert "7 failures" in str(caught.value)
    assert "slice 4" in str(caught.value)
    assert "slice 5" not in str(caught.value)
    assert "and 2 more" in str(caught.value)
    assert len(path.read_text().splitlines()) == 8
    stop_if_failed([Finding("lineage", "fixed", "passed", "")], path)
    assert not path.exists()
