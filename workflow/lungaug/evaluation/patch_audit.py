"""The leakage audit of generated nodules: what made them saw training patients only.

A network's nodule has no donor whose pixels could be compared. What is proved: the patches come
from a model that was fitted to these crops, by their digest; whoever they admit to hold trains; and
none of them is an unaltered nodule of a held-out patient, whatever it says of itself. That a
network reproduces a held-out nodule more freely is not for an audit to find, but it cannot have
seen one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import ROIS
from lungaug.errors import InputError
from lungaug.evaluation.audit import Finding, check_lineage, failed
from lungaug.evaluation.donor_audit import check_donors
from lungaug.imaging.crop import CropSettings, cut
from lungaug.listing import Place, SliceFiles, claim_of

PATCH_CHECKS = ("sources", "lineage", "held_out")


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
        *check_donors(files, name, files.name(rois)),
        *_check_patients(files, name, roles),
        *_check_held_out(files, name, held_out, settings),
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
        yield failed("sources", name, detail)


def _check_patients(files: SliceFiles, name: str, roles: Mapping[str, str]) -> Iterator[Finding]:
    """Everybody whose pixels a patch admits to hold trains; a network's patch admits nobody."""
    for place, fields in files.places(name):
        claim = claim_of(place, fields)
        if claim.patient or claim.donor:
            yield from check_lineage(claim, roles)


def _check_held_out(
    files: SliceFiles, name: str, held_out: Iterable[Place], settings: CropSettings
) -> Iterator[Finding]:
    """No patch is a held-out nodule, turned or mirrored at most."""
    known = {
        key: f"{claim_of(place, files.fields(place)).key}, nodule {label}"
        for place in sorted(held_out)
        for label, hu in _nodules(files, place, settings)
        for key in _orientations(hu)
    }
    for place, _ in files.places(name):
        found = known.get(files.hu(place).tobytes())
        if found:
            subject = f"{name}, row {place[2]}"
            yield failed("held_out", subject, f"is the held-out nodule {found}")


def _nodules(
    files: SliceFiles, place: Place, settings: CropSettings
) -> Iterator[tuple[int, NDArray[np.int16]]]:
    hu, nodule = files.hu(place), files.nodule(place)
    spacing_mm = files.fields(place)["spacing_mm"]
    for label in (np.unique(nodule[nodule > 0])).tolist():
        try:
            yield label, cut(hu, nodule, label, spacing_mm, settings).hu
        except InputError:
            continue  # what cannot be cut cannot have been cut either


def _orientations(hu: NDArray[np.int16]) -> Iterator[bytes]:
    for turned in (hu, hu[:, ::-1]):
        for quarter in range(4):
            yield np.ascontiguousarray(np.rot90(turned, quarter)).tobytes()
