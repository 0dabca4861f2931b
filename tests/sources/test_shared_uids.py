"""UIDs under two patients: what counts as one, who is named, and that no cohort is too large."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest

from lungaug.cohort import Pseudonyms
from lungaug.sources.dicom_header import bare_header
from lungaug.sources.image import Image
from lungaug.sources.shared_uids import (
    damaged_files,
    message,
    rows,
    shared_uids,
    sharing,
)

ROOT = "1.2.826.0.1.3680043.8.498"


def image(path: str, **uids: str) -> Image:
    return Image(path, "", replace(bare_header(4, 4), **uids))


def cohort(**patients: Image | list[Image]) -> dict[str, dict[str, list[Image]]]:
    return {
        name: {"series": images if isinstance(images, list) else [images]}
        for name, images in patients.items()
    }


@pytest.mark.parametrize(
    "uid",
    [
        "",
        "0",
        "1.2.3",
        "REMOVED",
        "ANONYMISED",
        "1.2.840.10008.1.4.1.1",  # the Talairach atlas
    ],
)
def test_a_placeholder_or_a_uid_of_the_standard_is_nobodys(uid: str) -> None:
    both = cohort(P=image("a", frame_uid=uid), Q=image("b", frame_uid=uid))
    assert shared_uids(both) == []


@pytest.mark.parametrize("uid", [f"{ROOT}.1", "4bae1d63-1eeb-4386-bd1b-68e8ba379989"])
def test_any_other_is_one_patients(uid: str) -> None:
    both = cohort(P=image("a", series_uid=uid), Q=image("b", series_uid=uid))
    (found,) = shared_uids(both)
    assert (found.kind, found.uid, list(found.images)) == ("series", uid, ["P", "Q"])


def test_a_kind_is_compared_with_its_own_only() -> None:
    """An anonymiser may number studies and series alike."""
    both = cohort(P=image("a", study_uid=f"{ROOT}.1"), Q=image("b", series_uid=f"{ROOT}.1"))
    assert shared_uids(both) == []


def test_one_patient_may_repeat_a_uid() -> None:
    own = [image(name, study_uid=f"{ROOT}.1", sop_uid=f"{ROOT}.2") for name in "abc"]
    assert shared_uids(cohort(P=own, Q=image("d", study_uid=f"{ROOT}.9"))) == []


def test_everybody_who_shares_is_named_with_the_first_file() -> None:
    shared = {name: image(name.lower(), study_uid=f"{ROOT}.1") for name in "PQR"}
    later = image("z", study_uid=f"{ROOT}.1", sop_uid=f"{ROOT}.5")
    whole = cohort(**shared | {"P": [shared["P"], later], "S": image("s", study_uid=f"{ROOT}.3")})
    found = shared_uids(whole)
    names = Pseudonyms(bytes(32))
    assert {row[3]: row[4] for row in rows(found, names)} == {"P": "p", "Q": "q", "R": "r"}
    assert set(sharing(found)) == {"P", "Q", "R"}
    said = message(found, names, Path("private"))
    assert "3 patients" in said
    (left,) = damaged_files("Q", found, names)
    assert left.file.name == "q"
    assert all(names.patient(other) in left.reason for other in "PR")
    assert names.patient("Q") not in left.reason


def test_a_whole_cohort_under_one_frame_is_told_in_a_few_lines() -> None:
    many = {f"P{i}": image(f"f{i}", frame_uid=f"{ROOT}.1") for i in range(300)}
    said = message(shared_uids(cohort(**many)), Pseudonyms(bytes(32)), Path("private"))
    assert "300 patients" in said
    assert "and 296 more" in said
    assert len(said) < 1500


def test_pairs_beyond_the_first_are_counted() -> None:
    many = {
        f"P{i}{side}": image(f"{i}{side}", frame_uid=f"{ROOT}.{i}")
        for i in range(25)
        for side in "ab"
    }
    lines = message(shared_uids(cohort(**many)), Pseudonyms(bytes(32)), Path("private"))
    assert "  and 5 more groups" in lines.splitlines()


def test_a_large_cohort_takes_no_time() -> None:
    """Comparing each image with each would take minutes."""
    sides = {
        side: [image(f"{side}{i}", sop_uid=f"{ROOT}.{i}", study_uid=ROOT) for i in range(20_000)]
        for side in "PQ"
    }
    start = time.process_time()
    assert len(shared_uids(cohort(**sides))) == 20_001
    assert time.process_time() - start < 10
