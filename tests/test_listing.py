"""Slices by name: few files stay open, real slices are found by key."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungaug.cohort import SLICE_COLUMNS
from lungaug.errors import FileFormatError
from lungaug.listing import RealSlices, SliceFiles, claim_of, patient_of
from small_cohort import N_SLICES, SmallCohort, derived

NAMES = ["preprocess/b00.h5", "preprocess/b01.h5"]


@pytest.mark.parametrize("most", [1, 4])
def test_slices_are_found_however_few_files_stay_open(tmp_path: Path, most: int) -> None:
    cohort = SmallCohort(tmp_path)
    with SliceFiles(tmp_path, most) as files:
        assert [files.name(path) for path in cohort.preprocess] == NAMES
        real = RealSlices(files, NAMES)
        for patient in cohort.roles:
            place = real.find(f"{patient}/s0/0002")
            assert place is not None
            assert (files.hu(place) == cohort.slice(patient, 2)[1]).all()
        assert real.find("p0/s0/0099") is None
        assert real.find("nobody/s0/0000") is None
        assert len(set(real.of_patients({"p0", "p5"}))) == 2 * N_SLICES


def test_description_has_the_columns_of_the_tables(tmp_path: Path) -> None:
    SmallCohort(tmp_path)
    with SliceFiles(tmp_path) as files:
        row = files.describe((NAMES[0], "32x32", 2), "train")
    assert tuple(row) == SLICE_COLUMNS
    assert (row["key"], row["n_nodule_px"], row["diameter_mm"]) == ("p0/s0/0002", 30, 5.0)


def test_claim_names_everybody_whose_pixels_it_holds(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    fields = derived(
        cohort.slice("p0", 2)[0], "replace", {"x": 1}, host="p1/s0/0001", donor="p2/s0/0000"
    )
    claim = claim_of(("a.h5", "32x32", 0), fields)
    assert claim.patients == {"p0", "p1", "p2"}
    assert claim.parameters == {"x": 1}
    assert patient_of(claim.host) == "p1"


def test_unreadable_parameters_name_the_row(tmp_path: Path) -> None:
    fields = SmallCohort(tmp_path).slice("p0", 2)[0]
    fields["parameters"] = b"{half"
    with pytest.raises(FileFormatError, match=r"a\.h5/32x32/0: no parameters"):
        claim_of(("a.h5", "32x32", 0), fields)
