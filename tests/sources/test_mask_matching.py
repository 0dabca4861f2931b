"""Whose a mask is: one image of one patient, or nobody's with the reason."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from lungaug.errors import InputError
from lungaug.sources.dicom_header import bare_header
from lungaug.sources.image import Image
from lungaug.sources.mask_matching import (
    CHANCE,
    CONFLICT,
    NO_IMAGE,
    OF_FRAMES,
    SEVERAL,
    SEVERAL_PATIENTS,
    SHEET_WINS,
    Candidate,
    MaskFile,
    Matching,
    image_key,
    match,
)
from lungaug.sources.sheet import Sheet, SheetMask


def candidate(
    path: str, patient: str = "", uid: str = "", frame: int = -1, place: float = 0.0
) -> Candidate:
    """An image of a patient, by default of the one whom its first folder names."""
    patient = patient or path.split("/")[0]
    header = replace(
        bare_header(8, 8), sop_uid=uid, frame=frame, patient_id=patient, location_mm=place
    )
    image = Image(path, f"digest of {path}", header)
    return Candidate(image, patient, image_key(image, patient))


def matched(
    images: Sequence[Candidate | str],
    masks: Sequence[str] | Mapping[str, str],
    sheet: Sheet | None = None,
) -> Matching:
    """Match masks, given by path or as path and digest."""
    listed = [one if isinstance(one, Candidate) else candidate(one) for one in images]
    digests = masks if isinstance(masks, Mapping) else {path: path for path in masks}
    files = [MaskFile(path, digest) for path, digest in digests.items()]
    return match(listed, files, sheet or Sheet(), lambda name: name if name in digests else None)


def pairs(found: Matching) -> dict[str, str]:
    return {image: mask.path for image, mask in found.masks.items()}


def test_sheet_then_uid_then_path() -> None:
    sheet = Sheet(masks={"a/1.dcm": SheetMask("z.png", 2), "1.2.4": SheetMask("y.png", 3)})
    images = [candidate(f"a/{i}.dcm", uid=f"1.2.{i + 2}") for i in (1, 2, 3, 4)]
    masks = ["z.png", "y.png", "m/1.2.3.png", "m/1.2.4.png", "m/1.2.5.png", "a/4.png"]
    found = matched(images, masks, sheet)
    assert pairs(found) == {
        "a/1.dcm": "z.png", "a/2.dcm": "y.png", "a/3.dcm": "m/1.2.5.png", "a/4.dcm": "a/4.png"
    }  # fmt: skip
    assert found.reasons == {"m/1.2.3.png": SHEET_WINS, "m/1.2.4.png": SHEET_WINS}
    assert [found.how[path] for path in ("z.png", "m/1.2.5.png", "a/4.png")] == [
        "sheet", "SOPInstanceUID", "path"
    ]  # fmt: skip


def test_sheet_names_a_mask_that_is_not_there() -> None:
    sheet = Sheet(masks={"a/1.dcm": SheetMask("SMITH.png", 7)})
    with pytest.raises(InputError, match="line 7 does not exist") as caught:
        matched(["a/1.dcm"], [], sheet)
    assert "SMITH" not in str(caught.value)


def test_sheet_names_a_uid_of_several_images() -> None:
    sheet = Sheet(masks={"1.2": SheetMask("m.png", 4)})
    images = [candidate(f"a/{i}.dcm", uid="1.2", place=i) for i in range(3)]
    with pytest.raises(InputError, match="line 4 names 3 images by one SOPInstanceUID"):
        matched(images, ["m.png"], sheet)


@pytest.mark.parametrize("name", ["IM1.dcm", "IM1.DCM", "IM1", "IM1.ima", "-100.5"])
@pytest.mark.parametrize("ending", [".png", ".PNG", "_mask.png", "-mask.png", "_seg.png"])
def test_same_path_but_for_the_suffix(name: str, ending: str) -> None:
    stem = name if name == "-100.5" else name.split(".")[0]
    mask = f"a/{stem}{ending}"
    assert pairs(matched([f"a/{name}", f"b/{name}"], [mask])) == {f"a/{name}": mask}


def test_whole_name_of_the_image() -> None:
    assert pairs(matched(["a/IM1.dcm"], ["a/IM1.dcm.png"])) == {"a/IM1.dcm": "a/IM1.dcm.png"}


def test_an_image_whose_name_ends_like_a_mask_keeps_its_own() -> None:
    found = matched(["a/x.dcm", "a/x_mask.dcm"], ["a/x_mask.png"])
    assert pairs(found) == {"a/x_mask.dcm": "a/x_mask.png"}


def test_suffixes_are_a_setting() -> None:
    image = candidate("a/x.dcm")
    mask = MaskFile("a/x.lesion.png", "")
    assert match([image], [mask], Sheet(), str).masks == {}
    assert match([image], [mask], Sheet(), str, [".lesion"]).masks == {"a/x.dcm": mask}


def test_names_in_another_unicode_normal_form() -> None:
    composed = unicodedata.normalize("NFC", "Müller/Größe.dcm")
    decomposed = unicodedata.normalize("NFD", "Müller/Größe.png")
    assert composed[:6] != decomposed[:7]
    assert pairs(matched([composed], [decomposed])) == {composed: decomposed}


@pytest.mark.parametrize(
    ("image", "mask", "how"),
    [
        ("P1/CT/1.dcm", "P1/1.png", "name"),
        ("P1/CT/1.dcm", "P1/masks/1.png", "name"),
        ("P1/CT/1.dcm", "masks/p1/1.png", "name"),
        ("P1/CT/1.dcm", "1.png", "name"),
        ("P1/CT/1.dcm", "P2/1.png", NO_IMAGE),
        ("P1/CT/1.dcm", "labels/1.png", NO_IMAGE),
        ("P1/CT/1.dcm", "2.png", NO_IMAGE),
    ],
)
def test_name_in_another_folder(image: str, mask: str, how: str) -> None:
    found = matched([image, "P3/CT/3.dcm"], [mask])
    assert pairs(found) == ({image: mask} if how == "name" else {})
    assert found.how.get(mask, found.reasons.get(mask)) == how


def test_the_folder_of_a_patient_who_is_not_here_fits_nobody() -> None:
    images = [f"P1/B-{i:03d}.dcm" for i in range(9)]
    found = matched(images, ["P1/B-000.png", *(f"P2/B-{i:03d}.png" for i in range(1, 9))])
    assert pairs(found) == {"P1/B-000.dcm": "P1/B-000.png"}
    assert set(found.reasons.values()) == {NO_IMAGE}
    assert not any(found.patients.values())


def test_one_name_in_several_patients() -> None:
    images = ["P1/CT/1.dcm", "P2/CT/1.dcm", "P1/CT/2.dcm"]
    found = matched(images, ["1.png", "2.png"])
    assert pairs(found) == {}
    assert found.reasons == {"1.png": SEVERAL, "2.png": CHANCE}
    assert found.patients == {"1.png": {"P1", "P2"}, "2.png": {"P1"}}
    found = matched(images, ["P1/1.png", "P2/1.png"])
    assert pairs(found) == {"P1/CT/1.dcm": "P1/1.png", "P2/CT/1.dcm": "P2/1.png"}


def test_a_folder_that_names_two_patients() -> None:
    found = matched(["P1/CT/1.dcm", "P2/CT/2.dcm"], ["P1/P2/1.png"])
    assert found.reasons == {"P1/P2/1.png": SEVERAL_PATIENTS}


def test_a_uid_that_all_slices_have() -> None:
    images = [candidate(f"a/{i}.dcm", uid="1.2", place=i) for i in range(3)]
    found = matched(images, ["a/1.2.png"])
    assert pairs(found) == {}
    assert found.reasons == {"a/1.2.png": SEVERAL}
    assert found.patients == {"a/1.2.png": {"a"}}


def test_a_uid_of_two_patients_goes_by_the_folder() -> None:
    images = [candidate("A/1.dcm", uid="1.2"), candidate("B/1.dcm", uid="1.2")]
    assert pairs(matched(images, ["A/1.2.png"])) == {"A/1.dcm": "A/1.2.png"}
    assert pairs(matched(images, ["masks/A/1.2.png"])) == {"A/1.dcm": "masks/A/1.2.png"}
    found = matched(images, ["1.2.png"])
    assert (pairs(found), found.patients) == ({}, {"1.2.png": {"A", "B"}})


def test_copies_share_a_mask() -> None:
    images = [candidate(f"{folder}/1.dcm", "P", "1.2") for folder in ("backup", "original")]
    found = matched(images, ["original/1.png"])
    assert pairs(found) == dict.fromkeys(("backup/1.dcm", "original/1.dcm"), "original/1.png")


def test_two_masks_of_one_image() -> None:
    image = candidate("P/1.dcm", uid="1.2")
    same = matched([image], {"P/1.png": "d", "P/1.2.png": "d"})
    assert pairs(same) == {"P/1.dcm": "P/1.2.png"}
    assert same.reasons == {}
    found = matched([image], {"P/1.png": "d", "P/1.2.png": "e"})
    assert pairs(found) == {}
    assert found.reasons == dict.fromkeys(("P/1.png", "P/1.2.png"), CONFLICT)
    assert found.patients["P/1.png"] == {"P"}


def test_one_mask_of_two_images() -> None:
    assert matched(["P/1.dcm", "P/1.ima"], ["P/1.png"]).reasons == {"P/1.png": SEVERAL}


def test_frames_have_no_masks() -> None:
    images = [candidate("P/x.dcm", frame=i) for i in range(2)]
    found = matched(images, ["P/x.png", "P/x_001.png"])
    assert set(found.reasons.values()) == {OF_FRAMES}
    assert found.patients == {"P/x.png": {"P"}, "P/x_001.png": {"P"}}
