"""The leakage audit of crops: what generators learn from is cut from patients that train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import CUT
from lungaug.evaluation.audit import Finding, check_lineage, check_pixels, failed
from lungaug.imaging.crop import CropSettings, cut
from lungaug.listing import Claim, Place, RealSlices, SliceFiles, claim_of, patient_of

CROP_CHECKS = ("lineage", "pixels")


def check_crops(
    files: SliceFiles,
    real: RealSlices,
    path: Path,
    roles: Mapping[str, str],
    settings: CropSettings,
) -> Iterator[Finding]:
    """Every crop is of a patient that trains, and is what cutting its real slice again yields.

    A forged row is a finding, whatever it holds; one crop and one slice are in memory at a time.

    Args:
        files: slice files of the cohort.
        real: the real slices, by key.
        path: the crops.
        roles: role by patient, in this fold.
        settings: how the crops were cut.

    Yields:
        Failures, and a line for each check of ``CROP_CHECKS`` that passed.

    Raises:
        FileFormatError: the file as a whole cannot be read.
    """
    name = files.name(path)
    failures: Counter[str] = Counter()
    n_crops = 0
    for place, fields in files.places(name):
        n_crops += 1
        lineage = _caught("lineage", place, _check_lineage(place, fields, roles, settings))
        pixels = _caught("pixels", place, _check_pixels(place, fields, files, real, settings))
        for finding in (*lineage, *pixels):
            failures[finding.check] += 1
            yield finding
    for check in CROP_CHECKS:
        if not failures[check]:
            yield Finding(check, name, "passed", f"{n_crops} crops")


def _caught(check: str, place: Place, findings: Iterator[Finding]) -> Iterator[Finding]:
    try:
        yield from findings
    except Exception as error:  # whatever a forged row provokes is a finding
        subject = f"{place[0]}, row {place[2]}"
        yield failed(check, subject, f"cannot be checked: {type(error).__name__}: {error}")


def _check_lineage(
    place: Place, fields: np.void, roles: Mapping[str, str], settings: CropSettings
) -> Iterator[Finding]:
    """Everybody whose pixels the row admits to hold trains, and it admits one slice only."""
    claim = claim_of(place, fields)
    yield from check_lineage(claim, roles)
    origin = f"{CUT}:{settings.variant}"
    if claim.origin != origin:
        yield failed("lineage", _subject(claim), f"origin '{claim.origin}'; accepted: {origin}")
    if patient_of(claim.donor) != claim.patient:
        detail = f"donor '{claim.donor}'; accepted: a slice of {claim.patient}"
        yield failed("lineage", _subject(claim), detail)
    if claim.host != claim.donor:
        detail = f"host '{claim.host}'; accepted: the donor, {claim.donor}"
        yield failed("lineage", _subject(claim), detail)


def _check_pixels(
    place: Place, fields: np.void, files: SliceFiles, real: RealSlices, settings: CropSettings
) -> Iterator[Finding]:
    """The crop is the nodule of that label on its donor."""
    claim = claim_of(place, fields)
    found = real.find(claim.donor)
    if found is None:
        yield failed("pixels", _subject(claim), f"no real slice '{claim.donor}'")
        return
    spacing_mm = files.fields(found)["spacing_mm"]

    def cut_again(
        _origin: str,
        hu: NDArray[np.int16],
        nodule: NDArray[np.uint8],
        parameters: Mapping[str, Any],
    ) -> tuple[NDArray[np.int16], NDArray[np.uint8]]:
        crop = cut(hu, nodule, parameters["label"], spacing_mm, settings)
        return crop.hu, crop.mask.astype(np.uint8)

    yield from check_pixels(claim, files.hu(place), files, real, cut_again)


def _subject(claim: Claim) -> str:
    file, _, row = claim.place
    return f"{claim.donor or 'no donor'} ({file}, row {row})"
