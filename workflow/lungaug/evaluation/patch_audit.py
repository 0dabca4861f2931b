"""The leakage audit of generated nodules: what made them saw training patients only.

What is checked: the patches come from a model that was fitted to these crops, by their digest;
every patient that they name trains; a copy is its crop in the recorded pose, pixel by pixel. A
network's nodule has no donor whose pixels could be compared; so none of them is a nodule of a
held-out patient, turned, mirrored, moved a little or of other HU, whatever it says of itself. A
nodule that a network redraws more freely is not found.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np

from lungaug.crops import ROIS
from lungaug.errors import InputError
from lungaug.evaluation.audit import Finding, check_lineage, failed
from lungaug.evaluation.copied_nodules import nearest_held_out
from lungaug.evaluation.donor_audit import COPYING, REPLAY, SOURCES, check_donors
from lungaug.imaging.crop import Crop, CropSettings, cut
from lungaug.listing import Place, SliceFiles, claim_of

PATCH_CHECKS = (SOURCES, "lineage", REPLAY, "held_out")
COPIED = 0.95
"""Likeness from which a patch is a held-out nodule, unless real training nodules come near it. Of
1,100 honest pairs, nodules of other patients turned and scaled, the highest is 0.94; of copies
turned by 13 degrees nine in ten are above 0.95."""
MEASURED_PX = 64
"""Side of the crops of which that is true."""


def check_patches(
    files: SliceFiles,
    path: Path,
    rois: Path,
    held_out: Iterable[Place],
    roles: Mapping[str, str],
    settings: CropSettings,
) -> Iterator[Finding]:
    """Everything that the patches of one generator can be held to.

    Args:
        files: slice files of the cohort.
        path: the patches.
        rois: the crops of this fold, which are audited by themselves.
        held_out: slices that validate or test.
        roles: role by patient, in this fold.
        settings: how crops are cut.

    Yields:
        Failures, and a line for each check of ``PATCH_CHECKS`` that passed.
    """
    name = files.name(path)
    findings = [
        *_check_sources(files, name, files.name(rois)),
        *check_donors(files, name, files.name(rois), _generator(name)),
        *_check_patients(files, name, roles),
        *_check_held_out(files, name, files.name(rois), held_out, settings),
    ]
    yield from findings
    wrong = {finding.check for finding in findings}
    n = sum(len(files.file(name).slices(group)) for group in files.file(name).groups)
    for check in PATCH_CHECKS:
        if check not in wrong:
            yield Finding(check, name, "passed", f"{n} patches")


def _check_sources(files: SliceFiles, name: str, rois: str) -> Iterator[Finding]:
    """The patches come from a model of these crops."""
    told = files.file(name).sources.get(ROIS, "")
    if told != files.file(rois).content_digest:
        detail = f"of a model that was fitted to other crops than {rois}: '{told[:12]}'"
        yield failed(SOURCES, name, detail)


def _check_patients(files: SliceFiles, name: str, roles: Mapping[str, str]) -> Iterator[Finding]:
    """Everybody whose pixels a patch admits to hold trains; a network's patch admits nobody."""
    for place, fields in files.places(name):
        claim = claim_of(place, fields)
        if claim.patient or claim.donor:
            yield from check_lineage(claim, roles)


def _check_held_out(
    files: SliceFiles, name: str, rois: str, held_out: Iterable[Place], settings: CropSettings
) -> Iterator[Finding]:
    """No patch is a held-out nodule: turned, mirrored, moved a little, or of other HU.

    The limit lies half-way between a perfect copy and the real training nodule that is most like a
    held-out one, where that is above ``COPIED``: small images are alike by chance. Copies are left
    out: ``replay`` holds each to a crop of a training patient, pixel by pixel.
    """
    if _generator(name) in COPYING:
        return
    known = [nodule for place in sorted(held_out) for nodule in _nodules(files, place, settings)]
    real = [crop for _, crop in known]
    honest = nearest_held_out([_patch(files, place) for place, _ in files.places(rois)], real)
    highest = max((one.likeness for one in honest), default=0.0)
    places = [place for place, _ in files.places(name)]
    patches = [_patch(files, place) for place in places]
    for found in nearest_held_out(patches, real):
        limit = max((1 + highest) / 2, copied_from(min(patches[found.crop].hu.shape)))
        if found.likeness >= limit:
            nodule = known[found.held_out][0]
            detail = (
                f"is the held-out nodule {nodule}: aligned, they correlate by "
                f"{found.likeness:.4f}; accepted: below {limit:.4f}"
            )
            yield failed("held_out", f"{name}, row {places[found.crop][2]}", detail)


def copied_from(side_px: int) -> float:
    """Return the likeness from which a patch of that side is a held-out nodule.

    Of fewer pixels than ``MEASURED_PX`` more must be the same, in proportion to those they lack.
    """
    return 1 - (1 - COPIED) * min(side_px / MEASURED_PX, 1) ** 2


def _generator(name: str) -> str:
    """Return the generator whose folder a file of patches lies in."""
    return Path(name).parent.name


def _patch(files: SliceFiles, place: Place) -> Crop:
    unknown = (math.nan, math.nan)
    return Crop(files.hu(place), files.nodule(place) > 0, math.nan, "", unknown)


def _nodules(files: SliceFiles, place: Place, settings: CropSettings) -> Iterator[tuple[str, Crop]]:
    """Yield the name and the crop of each nodule of a slice."""
    hu, nodule, fields = files.hu(place), files.nodule(place), files.fields(place)
    key = claim_of(place, fields).key
    for label in (np.unique(nodule[nodule > 0])).tolist():
        try:
            crop = cut(hu, nodule, label, fields["spacing_mm"], settings)
        except InputError:
            continue  # what cannot be cut cannot have been cut either
        yield f"{key}, nodule {label}", crop
