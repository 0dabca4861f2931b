"""The audit of generated nodules: who they admit to hold, and what they were fitted to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from insertion.inserting import DONOR, GENERATOR, crop_of, patches, write_inputs, write_patches
from lungaug.crops import Crops
from lungaug.evaluation.audit import Finding
from lungaug.evaluation.patch_audit import PATCH_CHECKS, check_patches, copied_from
from lungaug.imaging.copied_crop import CopyPose
from lungaug.imaging.crop import CropSettings
from lungaug.listing import SliceFiles
from small_cohort import SmallCohort


class Fold:
    """A cohort with crops and patches."""

    def __init__(self, root: Path) -> None:
        self.cohort = SmallCohort(root)
        write_inputs(self.cohort)
        self.path = root / f"fixed/generators/{GENERATOR}/patches.h5"
        self.rois = root / "fixed/rois.h5"

    def check(self, made: Crops) -> list[Finding]:
        write_patches(self.path, made)
        with SliceFiles(self.cohort.root) as files:
            arguments = (files, self.path, self.rois, [], self.cohort.roles, CropSettings())
            return list(check_patches(*arguments))


@pytest.fixture
def fold(tmp_path: Path) -> Fold:
    return Fold(tmp_path)


def of(patient: str, donor: str) -> Crops:
    """Patches of which the second says whose pixels it holds."""
    made = patches()
    patient_of, donor_of = made.patient.astype("U64"), made.donor.astype("U64")
    patient_of[1], donor_of[1] = patient, donor
    return replace(made, patient=patient_of, donor=donor_of)


def failed(findings: list[Finding]) -> list[Finding]:
    return [finding for finding in findings if finding.outcome == "failed"]


def test_honest_patches_pass_every_check(fold: Fold) -> None:
    findings = fold.check(patches())
    assert failed(findings) == []
    assert tuple(finding.check for finding in findings) == PATCH_CHECKS


@pytest.mark.parametrize(
    ("patient", "donor"), [("p5", "p5/s0/0002"), ("", "p5/s0/0002"), ("p5", "")]
)
def test_a_patch_that_admits_a_held_out_patient_anywhere_fails(
    fold: Fold, patient: str, donor: str
) -> None:
    findings = failed(fold.check(of(patient, donor)))
    checks = {"lineage", "sources"} if donor else {"lineage"}  # such a donor is no crop either
    assert {finding.check for finding in findings} == checks
    assert "holds pixels of p5, who has test" in {finding.detail for finding in findings}
    assert all("row 1" in finding.subject for finding in findings)


def test_a_networks_patch_admits_nobody(fold: Fold) -> None:
    made = patches()
    nobody = np.full(len(made.hu), "")
    assert failed(fold.check(replace(made, patient=nobody, donor=nobody))) == []


@pytest.mark.parametrize(("side_px", "limit"), [(128, 0.95), (64, 0.95), (32, 0.9875), (12, 0.998)])
def test_of_small_crops_more_must_be_the_same(side_px: int, limit: float) -> None:
    assert copied_from(side_px) == pytest.approx(limit, abs=5e-4)


def held_out_findings(fold: Fold, generator: str) -> set[str]:
    """Checks that fail where the patch of a generator is a held-out nodule."""
    own = crop_of(fold.cohort, "p5/s0/0002")
    network = generator == GENERATOR
    made = replace(
        own,
        patient=np.array(["" if network else "p0"]),
        donor=np.array(["" if network else DONOR]),
        pose=np.array(["" if network else CopyPose(False, 0.0, 1.0, 1).text]),
        origin=np.array([f"generated:{generator}"]),
    )
    path = fold.cohort.root / f"fixed/generators/{generator}/patches.h5"
    write_patches(path, made)
    with SliceFiles(fold.cohort.root) as files:
        rows = files.places("preprocess/b01.h5")
        held_out = [place for place, fields in rows if fields["patient"] == b"p5"]
        roles = fold.cohort.roles
        found = list(check_patches(files, path, fold.rois, held_out, roles, CropSettings()))
    return {finding.check for finding in failed(found)}


def test_a_held_out_nodule_is_found_whoever_is_said_to_have_made_it(fold: Fold) -> None:
    """A network's by its likeness; a copy, which looks like nobody it must not, by its crop."""
    assert held_out_findings(fold, GENERATOR) == {"held_out"}
    assert held_out_findings(fold, "copypaste") == {"replay"}
