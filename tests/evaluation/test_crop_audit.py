"""The audit of crops: what is forged is found, whatever it holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungaug.crops import Crops, write_crops
from lungaug.errors import FileFormatError
from lungaug.evaluation.audit import Finding
from lungaug.evaluation.crop_audit import check_crops
from lungaug.imaging.crop import CropSettings, cut
from lungaug.listing import RealSlices, SliceFiles
from lungaug.store import SliceFile, SliceWriter, pack_parameters
from small_cohort import MADE_BY, SmallCohort

SETTINGS = CropSettings(size=32, fov_mm=22.4)


class Fold:
    """A cohort, and crops of some of its patients."""

    def __init__(self, root: Path) -> None:
        self.cohort = SmallCohort(root)
        self.path = root / "fixed/rois.h5"
        self.files = SliceFiles(root)
        self.real = RealSlices(self.files, ["preprocess/b00.h5", "preprocess/b01.h5"])

    def crops(self, *patients: str) -> Crops:
        """An honest crop of slice 2 of each."""
        found = [self.cohort.slice(patient, 2) for patient in patients]
        cuts = [cut(hu, nodule, 1, row["spacing_mm"], SETTINGS) for row, hu, nodule in found]
        n = len(cuts)
        return Crops(
            diameter_mm=np.array([crop.diameter_mm for crop in cuts], np.float32),
            kind=np.array([crop.kind for crop in cuts]),
            lung_rads=np.full(n, "LR2"),
            hu=np.stack([crop.hu for crop in cuts]),
            mask=np.stack([crop.mask for crop in cuts]),
            patient=np.array(patients),
            donor=np.array([f"{patient}/s0/0002" for patient in patients]),
            label=np.ones(n, np.int64),
            pose=np.full(n, ""),
            spacing_mm=np.array([crop.spacing_mm for crop in cuts], np.float32),
            origin=np.full(n, "cut:scaled"),
        )

    def check(self, crops: Crops | None = None) -> list[Finding]:
        if crops is not None:
            write_crops(self.path, crops, MADE_BY)
        arguments = (self.files, self.real, self.path, self.cohort.roles, SETTINGS)
        return list(check_crops(*arguments))

    def forge(self, change: Callable[[np.ndarray], None]) -> None:
        """Rewrite the rows of the crops of p0 and p1 with something changed in the first."""
        write_crops(self.path, self.crops("p0", "p1"), MADE_BY)
        with SliceFile(self.path) as file:
            (group,) = file.groups
            slices = file.slices(group).copy()
            images = {
                name: np.stack([file.image(name, group, row) for row in range(2)])
                for name in ("hu", "nodule")
            }
        change(slices)
        with SliceWriter(self.path, MADE_BY) as writer:
            writer.append(slices, **images)


@pytest.fixture
def fold(tmp_path: Path) -> Iterator[Fold]:
    fold = Fold(tmp_path)
    with fold.files:
        yield fold


def failures(findings: list[Finding]) -> set[str]:
    return {finding.check for finding in findings if finding.outcome == "failed"}


def test_honest_crops_pass(fold: Fold) -> None:
    findings = fold.check(fold.crops("p0", "p1", "p2", "p3"))
    assert [(f.check, f.outcome) for f in findings] == [("lineage", "passed"), ("pixels", "passed")]
    assert {f.detail for f in findings} == {"4 crops"}


@pytest.mark.parametrize("patient", ["p4", "p5"])
def test_a_crop_of_a_held_out_patient_fails_in_lineage(fold: Fold, patient: str) -> None:
    findings = fold.check(fold.crops("p0", patient))
    assert failures(findings) == {"lineage"}
    assert f"holds pixels of {patient}" in findings[0].detail
    assert "row 1" in findings[0].subject


def test_held_out_pixels_under_a_training_patients_name_fail_in_pixels(fold: Fold) -> None:
    smuggled = fold.crops("p4")
    told = {"patient": np.array(["p0"]), "donor": np.array(["p0/s0/0002"])}
    assert failures(fold.check(replace(smuggled, **told))) == {"pixels"}


@pytest.mark.parametrize("name", ["hu", "mask"])
def test_one_altered_pixel_fails(fold: Fold, name: str) -> None:
    crops = fold.crops("p0", "p1")
    image = getattr(crops, name)
    image[1, 3, 3] = 7 if name == "hu" else ~image[1, 3, 3]
    findings = fold.check(crops)
    assert failures(findings) == {"pixels"}
    failed = next(f for f in findings if f.outcome == "failed")
    assert "1 pixels are not what p1/s0/0002 yields" in failed.detail


def test_a_crop_cut_in_another_way_fails(fold: Fold) -> None:
    write_crops(fold.path, fold.crops("p0"), MADE_BY)
    other = replace(SETTINGS, fov_mm=25.0)
    arguments = (fold.files, fold.real, fold.path, fold.cohort.roles, other)
    assert failures(list(check_crops(*arguments))) == {"pixels"}


def test_a_patient_that_is_not_the_donors_fails(fold: Fold) -> None:
    findings = fold.check(replace(fold.crops("p0"), patient=np.array(["p1"])))
    assert "lineage" in failures(findings)
    assert any("accepted: a slice of p1" in f.detail for f in findings)


@pytest.mark.parametrize(
    ("values", "check"),
    [
        ({"donor": b"p0/s0/0099"}, "pixels"),
        ({"donor": b""}, "lineage"),
        ({"donor": b"nonsense"}, "lineage"),
        ({"donor": b"p5/s0/0002"}, "lineage"),
        ({"host": b"p5/s0/0002"}, "lineage"),
        ({"host": b""}, "lineage"),
        ({"origin": b"real"}, "lineage"),
        ({"origin": b"generated:dcgan"}, "lineage"),
        ({"patient": b"\xff\xfe"}, "lineage"),
        ({"donor": b"\xff/s0/0002"}, "pixels"),
        ({"parameters": b""}, "pixels"),
        ({"parameters": b"{broken"}, "pixels"),
        ({"parameters": b"3"}, "pixels"),
        ({"parameters": b'{"label":2}'}, "pixels"),
        ({"parameters": b'{"label":"1"}'}, "pixels"),
        ({"parameters": b'{"label":[1,2]}'}, "pixels"),
        ({"parameters": pack_parameters({"label": 1, "nodules": 5})}, "lineage"),
    ],
)
def test_forged_rows_are_findings(fold: Fold, values: dict[str, Any], check: str) -> None:
    def change(slices: np.ndarray) -> None:
        for name, value in values.items():
            slices[name][0] = value

    fold.forge(change)
    findings = fold.check()
    assert check in failures(findings)
    assert all("row 0" in f.subject for f in findings if f.outcome == "failed")


def test_rows_without_masks_are_findings(fold: Fold) -> None:
    write_crops(fold.path, fold.crops("p0"), MADE_BY)
    with SliceFile(fold.path) as file:
        (group,) = file.groups
        slices, hu = file.slices(group), file.image("hu", group, 0)
    with SliceWriter(fold.path, MADE_BY) as writer:
        writer.append(slices, hu=hu[None])
    assert failures(fold.check()) == {"pixels"}


def test_a_file_that_is_none_is_an_error(fold: Fold) -> None:
    fold.path.parent.mkdir()
    fold.path.write_bytes(b"no HDF5")
    with pytest.raises(FileFormatError, match=r"rois\.h5"):
        fold.check()
