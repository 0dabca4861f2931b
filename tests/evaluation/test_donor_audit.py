"""The audit of copied nodules: what is not its crop in the recorded pose stops the arm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from insertion.inserting import DONOR, crop_of, write_inputs, write_patches
from lungaug.crops import Crops
from lungaug.evaluation.audit import Finding
from lungaug.evaluation.donor_audit import check_donors
from lungaug.imaging.copied_crop import CopyPose, apply_pose, as_stored
from lungaug.listing import SliceFiles
from small_cohort import SmallCohort

POSE = CopyPose(flip=True, degrees=13.0, scale=1.1, n_pixels=30)
PATCHES = "fixed/generators/copypaste/patches.h5"
Change = Callable[[Crops], Crops]


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    made = SmallCohort(tmp_path)
    write_inputs(made)
    return made


def copied(cohort: SmallCohort, key: str = DONOR, told: str = DONOR) -> Crops:
    """The nodule of a slice in ``POSE``, as a copy of what is told."""
    crop = crop_of(cohort, key)
    hu, mask = as_stored(*apply_pose(crop.hu[0], crop.mask[0], POSE))
    return replace(
        crop,
        hu=hu[None],
        mask=mask[None],
        patient=np.array([told.partition("/")[0]]),
        donor=np.array([told]),
        pose=np.array([POSE.text]),
        origin=np.array(["generated:copypaste"]),
    )


def findings(cohort: SmallCohort, patches: Crops, generator: str = "copypaste") -> list[Finding]:
    write_patches(cohort.root / PATCHES, patches)
    with SliceFiles(cohort.root) as files:
        return list(check_donors(files, PATCHES, "fixed/rois.h5", generator))


def test_an_honest_copy_passes_and_is_not_the_crop_itself(cohort: SmallCohort) -> None:
    patches = copied(cohort)
    assert (patches.hu != crop_of(cohort, DONOR).hu).mean() > 0.3
    assert findings(cohort, patches) == []


def test_hu_that_another_processor_rounds_otherwise_pass(cohort: SmallCohort) -> None:
    patches = copied(cohort)
    assert findings(cohort, replace(patches, hu=patches.hu + 1)) == []
    assert len(findings(cohort, replace(patches, hu=patches.hu + 2))) == 1


def with_one_hu(patches: Crops) -> Crops:
    hu = patches.hu.copy()
    hu[0, 5, 5] += 2
    return replace(patches, hu=hu)


def with_another_mask(patches: Crops) -> Crops:
    return replace(patches, mask=np.roll(patches.mask, 2, axis=1))


def posed(**changes: object) -> Change:
    return lambda patches: replace(patches, pose=np.array([replace(POSE, **changes).text]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_one_hu, f"HU of 1 and mask of 0 pixels are not what {DONOR} yields"),
        (with_another_mask, "HU of 0 and mask of"),
        (posed(flip=False), "are not what"),
        (posed(degrees=14.0), "are not what"),
        (posed(scale=1.0), "are not what"),
        (posed(n_pixels=20), "HU of 0 and mask of"),
        (posed(scale=0.0), "cannot be copied again"),
        (posed(degrees=float("nan")), "cannot be copied again"),
        (posed(flip="yes"), "cannot be copied again"),
        (lambda patches: replace(patches, pose=np.array([""])), "cannot be copied again"),
        (lambda patches: replace(patches, pose=np.array(['{"a": 1}'])), "cannot be copied again"),
        (
            lambda patches: replace(patches, hu=patches.hu[:, 4:-4], mask=patches.mask[:, 4:-4]),
            "(56, 64), but the crop of p0/s0/0002 is (64, 64)",
        ),
    ],
)
def test_what_the_crop_in_that_pose_is_not_fails(
    cohort: SmallCohort, change: Change, message: str
) -> None:
    (finding,) = findings(cohort, change(copied(cohort)))
    assert (finding.check, finding.outcome) == ("replay", "failed")
    assert message in finding.detail


def test_a_held_out_nodule_under_a_training_donor_fails(cohort: SmallCohort) -> None:
    (finding,) = findings(cohort, copied(cohort, key="p5/s0/0002"))
    assert f"are not what {DONOR} yields" in finding.detail


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"donor": "p1/s0/0003"}, "of nodule 1 of p1/s0/0003, which is no crop"),
        ({"label": 2}, f"of nodule 2 of {DONOR}, which is no crop"),
        ({"donor": ""}, "without the donor that was copied"),
        ({"origin": "generated:dcgan"}, "origin 'generated:dcgan'; accepted: generated:copypaste"),
    ],
)
def test_a_donor_or_origin_that_is_not_the_generators_fails(
    cohort: SmallCohort, changes: dict[str, str | int], message: str
) -> None:
    forged = {name: np.array([value]) for name, value in changes.items()}
    (finding,) = findings(cohort, replace(copied(cohort), **forged))
    assert (finding.check, finding.outcome) == ("sources", "failed")
    assert message in finding.detail


def test_a_label_of_another_type_is_a_finding(cohort: SmallCohort) -> None:
    path = cohort.root / PATCHES
    findings(cohort, copied(cohort))
    with h5py.File(path, "r+") as file:
        (group,) = file.values()
        rows = group["slices"][:]
        rows["parameters"] = rows["parameters"][0].replace(b'"label":1', b'"label":[1]')
        group["slices"][:] = rows
    with SliceFiles(cohort.root) as files:
        (finding,) = check_donors(files, PATCHES, "fixed/rois.h5", "copypaste")
    assert "of nodule [1] of p0/s0/0002, which is no crop" in finding.detail


def test_only_copies_are_made_again(cohort: SmallCohort) -> None:
    """A network may name a donor that it took something from, such as its texture."""
    patches = replace(copied(cohort), origin=np.array(["generated:dcgan"]), pose=np.array([""]))
    assert findings(cohort, patches, "dcgan") == []
