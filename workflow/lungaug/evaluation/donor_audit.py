"""The leakage audit of copied nodules: each is made again from the crop that it says it copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from lungaug.crops import GENERATED
from lungaug.evaluation.audit import Finding, failed
from lungaug.imaging.copied_crop import CopyPose, apply_pose, as_stored
from lungaug.listing import Claim, Place, SliceFiles, claim_of

SOURCES, REPLAY = "sources", "replay"
COPYING = ("copypaste",)
"""Generators whose patches are a real nodule's pixels, turned and scaled."""
# Processors resample a little differently: a HU is rounded the other way, and of two equally
# covered pixels at the edge of a mask the other one is taken.
_ROUNDING_HU = 1
_EDGE_SHARE = 0.05


def check_donors(files: SliceFiles, name: str, rois: str, generator: str) -> Iterator[Finding]:
    """Yield a failure for every patch that is not what its donor and its pose yield.

    A patch says itself whose nodule it shows, and how it was turned. Here the crop is looked up in
    the file of crops, which the audit holds to the real slices pixel by pixel, and turned again.

    Args:
        files: slice files of the cohort.
        name: of the patches.
        rois: name of the crops.
        generator: that made the patches.
    """
    crops = {_nodule(claim): claim.place for claim in _claims(files, rois)}
    origin = f"{GENERATED}:{generator}"
    for claim in _claims(files, name):
        subject = f"{name}, row {claim.place[2]}"
        if claim.origin != origin:
            yield failed(SOURCES, subject, f"origin '{claim.origin}'; accepted: {origin}")
        donor, label = _nodule(claim)
        if claim.donor and (donor, label) not in crops:
            yield failed(SOURCES, subject, f"of nodule {label} of {donor}, which is no crop")
        elif claim.donor and generator in COPYING:
            yield from _made_again(files, claim, crops[donor, label], subject)
        elif generator in COPYING:
            yield failed(SOURCES, subject, f"{claim.origin} without the donor that was copied")


def _made_again(files: SliceFiles, claim: Claim, crop: Place, subject: str) -> Iterator[Finding]:
    """A copy has the pixels of its crop in the recorded pose."""
    told: Mapping[str, Any] = claim.parameters.get("pose", {})
    try:
        pose = CopyPose.of(told)
        hu, mask = as_stored(*apply_pose(files.hu(crop), files.nodule(crop) > 0, pose))
    except Exception as error:  # whatever a forged pose provokes is a finding
        detail = f"cannot be copied again from {claim.donor}: {type(error).__name__}: {error}"
        yield failed(REPLAY, subject, detail)
        return
    held_hu, held_mask = files.hu(claim.place), files.nodule(claim.place) > 0
    if hu.shape != held_hu.shape:
        detail = f"{held_hu.shape}, but the crop of {claim.donor} is {hu.shape}"
        yield failed(REPLAY, subject, detail)
        return
    n_hu = np.count_nonzero(np.abs(hu.astype(np.int32) - held_hu) > _ROUNDING_HU)
    n_mask = np.count_nonzero(mask != held_mask)
    if n_hu or n_mask > _EDGE_SHARE * np.count_nonzero(mask):
        detail = f"HU of {n_hu} and mask of {n_mask} pixels are not what {claim.donor} yields"
        yield failed(REPLAY, subject, detail)


def _nodule(claim: Claim) -> tuple[str, str]:
    return claim.donor, str(claim.parameters.get("label"))


def _claims(files: SliceFiles, name: str) -> Iterator[Claim]:
    for place, fields in files.places(name):
        yield claim_of(place, fields)
