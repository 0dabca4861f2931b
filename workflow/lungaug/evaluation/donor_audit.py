"""The leakage audit of copied nodules: their donors are crops of this fold's file."""

from __future__ import annotations

from collections.abc import Iterator

from lungaug.crops import GENERATED
from lungaug.evaluation.audit import Finding, failed
from lungaug.listing import Claim, SliceFiles, claim_of

CHECK = "sources"
_COPIES = (f"{GENERATED}:copypaste",)
"""Origins of patches that hold a real nodule's pixels, whose donor must be known."""


def check_donors(files: SliceFiles, name: str, rois: str) -> Iterator[Finding]:
    """Yield a failure for every patch whose donor is none of the crops that are audited.

    A patch says itself whose nodule it shows. Here the crop is looked up in the file of crops,
    which the audit holds to the real slices pixel by pixel.

    Args:
        files: slice files of the cohort.
        name: of the patches.
        rois: name of the crops.
    """
    crops = {(claim.donor, claim.parameters.get("label")) for claim in _claims(files, rois)}
    for claim in _claims(files, name):
        subject = f"{name}, row {claim.place[2]}"
        donor = claim.donor, claim.parameters.get("label")
        if claim.donor and donor not in crops:
            yield failed(CHECK, subject, f"of nodule {donor[1]} of {donor[0]}, which is no crop")
        elif not claim.donor and claim.origin in _COPIES:
            yield failed(CHECK, subject, f"{claim.origin} without the donor that was copied")


def _claims(files: SliceFiles, name: str) -> Iterator[Claim]:
    for place, fields in files.places(name):
        yield claim_of(place, fields)
