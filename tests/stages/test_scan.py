"""The scan: what is in the cohort's table, what is rejected, and what makes a patient stale."""

from __future__ import annotations

import os
import stat
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from dicom_files import ct_dataset, read, uid, write, write_series
from dicom_source import Source, table, write_png
from lungaug.cohort import Pseudonyms, load_or_create_key
from lungaug.errors import InputError
from lungaug.stages import scan


@pytest.fixture
def source(tmp_path: Path) -> Source:
    """Two patients, P with 4 slices and Q with 3."""
    found = Source(tmp_path)
    write_series(found.root / "one", 4, patient_id="P", series=1)
    write_series(found.root / "two", 3, patient_id="Q", series=2)
    return found


def test_one_row_a_patient(source: Source) -> None:
    rows = source.scan()
    assert list(rows["P"]) == list(scan.COLUMNS)
    names = Pseudonyms(load_or_create_key(source.folder / "key"))
    assert {p: r["patient"] for p, r in rows.items()} == {p: names.patient(p) for p in "PQ"}
    assert (rows["P"]["n_series"], rows["P"]["n_files"], rows["P"]["warnings"]) == ("1", "4", "")
    assert source.rejected == []


def test_private_files_are_the_owners(source: Source) -> None:
    source.scan()
    modes = {
        stat.S_IMODE(path.stat().st_mode) for path in source.private.rglob("*") if path.is_file()
    }
    assert modes == {0o600}
    assert stat.S_IMODE(source.private.stat().st_mode) == 0o700


def test_same_bytes_again(source: Source) -> None:
    source.scan()
    first = (source.folder / "cohort.tsv").read_bytes()
    (source.private / "index.tsv").unlink()
    source.scan()
    assert (source.folder / "cohort.tsv").read_bytes() == first


def test_digest_of_the_edited_patient_only(source: Source) -> None:
    before = source.digests()
    path = next((source.root / "one").iterdir())
    os.utime(path, (1, 1))
    assert source.digests() == before
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    after = source.digests()
    assert (after["P"] != before["P"], after["Q"] != before["Q"]) == (True, False)


def test_a_new_patient_leaves_the_others_alone(source: Source) -> None:
    before = source.scan()
    write_series(source.root / "three", 2, patient_id="R", series=3)
    after = source.scan()
    assert {name: after[name] for name in before} == before
    assert "R" in after


def test_digest_holds_masks_and_sheet(source: Source) -> None:
    source.masks = source.folder / "masks"
    source.sheet = source.folder / "sheet.tsv"
    source.sheet.write_text("patient_id\tlung_rads\nP\tLR2\n")
    mask = write_png(source.masks / f"{uid(1, 2)}.png", (3, 3))
    rows = source.scan()
    assert [rows[name]["lung_rads"] for name in "PQ"] == ["LR2", ""]
    first = source.digests()
    write_png(mask, (4, 4))
    second = source.digests()
    assert (second["P"] != first["P"], second["Q"] != first["Q"]) == (True, False)
    source.sheet.write_text("patient_id\tlung_rads\nP\tLR2\nQ\tLR1\n")
    third = source.digests()
    assert (third["P"] != second["P"], third["Q"] != second["Q"]) == (False, True)


def test_faults_are_rows(source: Source) -> None:
    bad = source.root / "bad"
    write(bad / "mr.dcm", ct_dataset(Modality="MR"))
    write(bad / "scout.dcm", ct_dataset(ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]))
    (bad / "empty.dcm").touch()
    (bad / "notes.txt").write_text("no fault")
    whole = write(bad / "short.dcm", ct_dataset()).read_bytes()
    (bad / "short.dcm").write_bytes(whole[:400])
    twin = read(source.root / "one" / "IM0001.dcm")
    write(source.root / "one" / "twin.dcm", twin)
    rows = source.scan()
    assert sorted(rows) == ["P", "Q"]
    assert {path: reason.split(":")[0] for path, reason in source.rejected} == {
        "bad/mr.dcm": "not CT", "bad/scout.dcm": "localiser", "bad/empty.dcm": "empty file",
        "bad/short.dcm": "headers end early (missing tag", "one/twin.dcm": "duplicate slice",
        "bad/notes.txt": "text or table, not an image",
    }  # fmt: skip


@pytest.mark.parametrize("damage", [b"", bytes(800), b"\0" * 128 + b"DICM"])
@pytest.mark.parametrize("suffix", [".dcm", ""])
def test_a_damaged_file_is_in_its_patients_digest(
    source: Source, damage: bytes, suffix: str
) -> None:
    for path in (source.root / "one").iterdir():
        path.rename(path.with_suffix(suffix))
    whole = source.digests()
    path = source.root / "one" / f"IM0002{suffix}"
    content = path.read_bytes()
    path.write_bytes(damage)
    rows = source.scan()
    assert rows["P"]["digest"] != whole["P"]
    assert rows["Q"]["digest"] == whole["Q"]
    assert "damaged files among the images: 1" in rows["P"]["warnings"].split("; ")
    assert [name for name, _ in source.rejected] == [f"one/IM0002{suffix}"]
    path.unlink()
    assert source.digests()["P"] not in (whole["P"], rows["P"]["digest"])
    path.write_bytes(content)
    assert source.digests() == whole


def test_what_is_no_image_is_in_no_digest(source: Source) -> None:
    before = source.scan()
    one = source.root / "one"
    for name in ("README", "README.txt", "LICENSE", "notes1.json", "IM0001.json", "IM0001.xml"):
        (one / name).write_text("no image, not even a broken one\n" * 9)
    for name in ("done", "log.txt"):
        (one / name).touch()
    write(one / "mr.dcm", ct_dataset(Modality="MR", patient_id="P"))
    write(one / "capture.dcm", ct_dataset(SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Rows=None))
    (one / "DICOMDIR").write_bytes(bytes(128) + b"DICM" + bytes(40))
    assert source.scan() == before


def test_a_damaged_file_among_several_patients_is_nobodys(source: Source) -> None:
    write(source.root / "one" / "other.dcm", ct_dataset(patient_id="R", series=3))
    before = source.digests()
    (source.root / "one" / "bad.dcm").write_bytes(bytes(800))
    (source.root / "empty").mkdir()
    (source.root / "empty" / "bad.dcm").write_bytes(bytes(800))
    assert source.digests() == before
    assert {path for path, _ in source.rejected} == {"empty/bad.dcm", "one/bad.dcm"}


def test_warnings(source: Source) -> None:
    write(source.root / "one" / "other.dcm", ct_dataset(patient_id="R", series=3))
    for i in range(4, 6):
        path = source.root / "two" / f"extra{i}.dcm"
        write(path, ct_dataset(z=20.0 * i, number=i, patient_id="Q", series=2, PixelSpacing=[1, 1]))
    warnings = {name: row["warnings"].split("; ") for name, row in source.scan().items()}
    assert "2 patients in one folder" in warnings["R"]
    assert "2 pixel spacings in one series" in warnings["Q"]
    assert any(text.startswith("slice spacing varies") for text in warnings["Q"])


def test_missing_slices(source: Source) -> None:
    write_series(source.root / "three", 9, patient_id="R", series=3)
    (source.root / "three" / "IM0004.dcm").unlink()
    rows = source.scan()
    assert rows["R"]["warnings"] == "1 missing slices in 1 gaps, the largest 4.00 mm"


def test_choice_of_series(source: Source) -> None:
    write_series(source.root / "again", 9, patient_id="P", series=3)
    row = source.scan()["P"]
    assert (row["n_files"], row["warnings"]) == ("9", "1 other series with 4 images left out")
    row = source.scan(series="all")["P"]
    assert (row["n_series"], row["n_files"], row["warnings"]) == ("2", "13", "")
    write_png(source.root / "one" / "IM0001.png", (3, 3))
    assert source.scan()["P"]["n_files"] == "4"


def test_reformats_are_not_chosen(source: Source) -> None:
    coronal = {"series": 3, "ImageOrientationPatient": [1, 0, 0, 0, 0, -1]}
    write_series(source.root / "coronal", 9, patient_id="P", **coronal)
    write_series(source.root / "alone", 2, patient_id="R", **coronal | {"series": 4})
    rows = source.scan()
    assert sorted(rows) == ["P", "Q"]
    assert (rows["P"]["n_files"], rows["P"]["warnings"]) == ("4", "")
    reason = "not axial: slice normal 90 degrees from the z axis"
    assert {path.split("/")[0] for path, _ in source.rejected} == {"coronal", "alone"}
    assert [why for _, why in source.rejected] == [reason] * 11


def test_batches(source: Source) -> None:
    source.scan(n_batches=7)
    rows = source.scan(n_batches=1)
    assert {row["batch"] for row in rows.values()} == {"b00"}
    assert [path.name for path in (source.private / "plans").iterdir()] == ["b00.jsonl"]


def test_include(source: Source) -> None:
    assert sorted(source.scan(include=["tw*"])) == ["Q"]
    with pytest.raises(InputError, match="include"):
        source.scan(include=["nothing"])


def test_nothing_usable_says_why(source: Source) -> None:
    for path in source.root.rglob("*.dcm"):
        write(path, ct_dataset(Modality="MR", PatientID="SMITH"))
    (source.root / "a.txt").write_text("x")
    with pytest.raises(InputError, match="no usable CT among 8 files: 7 times not CT: modality MR"):
        source.scan()


def test_mask_of_no_image(source: Source) -> None:
    source.masks = source.folder / "masks"
    write_png(source.masks / "unknown.png", (1, 1))
    (source.masks / "preview.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    with pytest.raises(InputError, match=r"none of 1 masks .* 1 times mask of no image"):
        source.scan()
    write_png(source.masks / f"{uid(1, 2)}.png", (3, 3))
    source.scan()
    reason = "mask of no image, by sheet, SOPInstanceUID or file name"
    assert sorted(source.rejected) == [
        ("masks:preview.jpg", "JPEG picture; accepted as mask: PNG"), ("masks:unknown.png", reason)
    ]  # fmt: skip


@pytest.mark.parametrize("place", ["masks", "masks/deep", "root/one"])
def test_mask_named_in_the_sheet(source: Source, place: str) -> None:
    source.masks = source.folder / "masks" if "masks" in place else None
    write_png(source.folder / place / "m.png", (1, 1))
    source.sheet = source.folder / "sheet.tsv"
    source.sheet.write_text(f"image\tmask\none/IM0001.dcm\t{place}/m.png\n")
    source.scan()
    assert source.rejected == []
    plans = "".join(path.read_text() for path in (source.private / "plans").iterdir())
    assert plans.count("m.png") == 1
    source.sheet.write_text("image\tmask\none/IM0001.dcm\tnothing.png\n")
    with pytest.raises(InputError, match="line 2"):
        source.scan()


def test_lines_of_the_sheet_that_name_nothing(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    (source.root / "bad.dcm").write_bytes(b"not DICOM")
    source.sheet = source.folder / "sheet.tsv"
    header = "patient_id\tfolder\timage\tlung_rads\tmask\n"
    good = "P\t\t\tLR2\t\n\ttwo\t\tLR3\t\n\t\tbad.dcm\t\t\n"
    source.sheet.write_text(header + good)
    source.scan()
    assert "nothing in the source" not in caplog.text
    source.sheet.write_text(header + "SMITH\t\t\tLR2\t\n" + good + "\t\tSMITH.dcm\t\tm.png\n")
    source.scan()
    assert "sheet: lines 2, 6 name nothing in the source" in caplog.text
    caplog.clear()
    source.sheet.write_text(header + good + "\tSMITH\t\tLR1\t\n" * 25)
    source.scan()
    assert "23, 24 and 5 more name nothing" in caplog.text
    assert "SMITH" not in caplog.text


TAGS = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "frame_of_reference": "FrameOfReferenceUID",
    "sop": "SOPInstanceUID",
}


def twice(source: Source, kind: str) -> None:
    """Write a patient R of whom one image has a UID of Q's, with other HU: the pixels differ."""
    tag = TAGS[kind]
    mine = {tag: uid(7, 7)}
    write(source.root / "two" / "more.dcm", ct_dataset(z=-9, number=8, patient_id="Q", series=2,
                                                       **mine))  # fmt: skip
    for z in range(3):
        stored = np.full((12, 16), 100 + z, np.uint16)
        tags = mine if z == 1 else {}
        write(source.root / f"three/{z}.dcm", ct_dataset(z=z, number=z, patient_id="R", series=3,
                                                         stored=stored, **tags))  # fmt: skip


@pytest.mark.parametrize("kind", TAGS)
def test_one_uid_under_two_patients_stops_the_scan(source: Source, kind: str) -> None:
    twice(source, kind)
    with pytest.raises(InputError) as caught:
        source.scan()
    names = Pseudonyms(load_or_create_key(source.folder / "key"))
    said = str(caught.value)
    both = [names.patient(name) for name in "QR"]
    files = [names.file(path) for path in ("two/more.dcm", "three/1.dcm")]
    for word in (f"1 {TAGS[kind]}", *both, *files, f"scan.shared_uids: [{kind}]", "on_bad_input"):
        assert word in said
    assert names.patient("P") not in said
    assert not any(secret in said for secret in (uid(7, 7), "more.dcm", "three/"))
    rows = table(source.private / "shared_uids.tsv")
    assert [(row["tag"], row["uid"], row["patient_id"], row["file"]) for row in rows] == [
        (TAGS[kind], uid(7, 7), "Q", "two/more.dcm"), (TAGS[kind], uid(7, 7), "R", "three/1.dcm"),
    ]  # fmt: skip
    assert not (source.folder / "cohort.tsv").exists()


@pytest.mark.parametrize("kind", TAGS)
def test_both_patients_of_one_uid_are_left_out(source: Source, kind: str) -> None:
    twice(source, kind)
    kept = source.both(on_bad_input="skip")
    assert set(kept) == {"P"}
    assert {name for name, _ in source.left_out} == {"Q", "R"}
    assert all(f"{TAGS[kind]} that another patient has" in reason for _, reason in source.left_out)
    for name in "QR":
        assert "UIDs that other patients have too: 1" in source.scanned[name]["warnings"]


@pytest.mark.parametrize("kind", TAGS)
def test_a_collection_may_share_a_kind_of_uid(source: Source, kind: str) -> None:
    twice(source, kind)
    before = source.scan(shared_uids=[kind])
    assert set(before) == {"P", "Q", "R"}
    others = [other for other in TAGS if other != kind]
    with pytest.raises(InputError, match=TAGS[kind]):
        source.scan(shared_uids=others)


def test_the_sheet_makes_one_patient_of_two_identifiers(source: Source) -> None:
    twice(source, "study")
    source.sheet = source.folder / "sheet.tsv"
    source.sheet.write_text("patient_id\tfolder\nQ\ttwo\nQ\tthree\n")
    assert set(source.scan()) == {"P", "Q"}


def test_a_lost_annotation_and_a_shared_uid_are_said_together(source: Source) -> None:
    twice(source, "study")
    bad = write_png(source.root / "one" / "IM0002.png", (3, 3))
    (source.root / "one" / "IM0002.dcm").write_bytes(b"")
    with pytest.raises(InputError, match=r"(?s)1 patient loses annotations.*2 patients have UIDs"):
        source.scan()
    assert bad.is_file()


def test_real_cohort(real_data: Path, tmp_path: Path) -> None:
    source = Source(tmp_path)
    source.root = real_data
    rows = source.scan(kind="lidc")
    assert {name: int(row["n_files"]) for name, row in rows.items()} == {
        "LIDC-IDRI-0001": 16, "LIDC-IDRI-0002": 12, "LIDC-IDRI-0095": 1, "normal002": 34,
        "cap002": 27, "C3N-00247": 29, "Lung_Dx-A0002": 30, "A002304": 1, "A046441": 1,
        "A048383": 1, "2178309": 1, "1CT1": 1, "folder:totalseg_ct_dicom_SIEMENS_j2k": 20,
        "folder:lungmask_2slices": 2,
    }  # fmt: skip
    assert [path.split("/")[0] for path, _ in source.rejected].count("ge_ctimage_ts") == 4
    assert [path.split("/")[0] for path, _ in source.rejected].count("enhanced_ct_synth") == 2
    assert len([path for path, _ in source.rejected if path.endswith(".dcm")]) == 7
    assert rows["A046441"]["warnings"].startswith("3 patients in one folder")
    assert rows["normal002"]["warnings"] == rows["C3N-00247"]["warnings"] == ""
    assert table(source.private / "shared_uids.tsv") == []


@pytest.mark.parametrize(
    "unit", ["HU", "hu", "HU_MOD", "Hounsfield", "Houndsfield Unit", "HOUNSFIELD UNITS", ""]
)
def test_spellings_of_hounsfield(source: Source, unit: str) -> None:
    write_series(source.root / "six", 2, patient_id="R", series=6, RescaleType=unit)
    assert set(source.scan()) == {"P", "Q", "R"}


def test_values_of_another_unit(source: Source) -> None:
    write_series(source.root / "six", 2, patient_id="R", series=6, RescaleType="US")
    assert set(source.scan()) == {"P", "Q"}
    assert {path for path, _ in source.rejected} == {"six/IM0001.dcm", "six/IM0002.dcm"}
    assert all("scan.rescale_types" in reason for _, reason in source.rejected)
    assert set(source.scan(rescale_types=["us"])) == {"P", "Q", "R"}
    assert source.rejected == []


def test_a_mask_named_in_another_normal_form(source: Source) -> None:
    composed, parts = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
    write_png(source.root / f"{parts}.png", (5, 5))
    source.sheet = source.folder / "sheet.tsv"
    source.sheet.write_text(f"image\tmask\none/IM0001.dcm\t{composed}.png\n")
    before = source.digests()["P"]
    write_png(source.root / f"{parts}.png", (6, 6))
    assert source.digests()["P"] != before
