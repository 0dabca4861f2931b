"""The header index: what a file is, and when it is opened again."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from pydicom.uid import ImplicitVRLittleEndian

from dicom_files import (
    ct_dataset,
    gradient,
    read,
    write,
    write_enhanced,
    write_series,
)
from lungaug.errors import InputError
from lungaug.sources import headers
from lungaug.sources.headers import Entry, update_index


def look(path: Path) -> Entry:
    (entry,) = update_index(path.parent, path.parent.parent / "index.tsv")
    return entry


def fault_of(tmp_path: Path, **tags: object) -> str:
    return look(write(tmp_path / "a" / "x.dcm", ct_dataset(**tags))).fault


def test_header_says_what_the_file_says(tmp_path: Path) -> None:
    entry = look(write(tmp_path / "a" / "x.dcm", ct_dataset(z=-3.5, number=4)))
    (header,) = entry.headers
    assert (entry.kind, entry.fault) == ("image", "")
    assert header.patient_id == "PATIENT^ONE"
    assert header.position_mm == (0.0, 0.0, -3.5)
    assert header.spacing_mm == (0.7, 0.8)
    assert (header.rows, header.columns, header.instance) == (12, 16, 4)
    assert (header.slope, header.intercept, header.padding) == (1, -1024, None)


@pytest.mark.parametrize(
    ("tags", "fault"),
    [
        ({"Modality": "MR"}, "not CT: modality MR"),
        ({"Modality": "J SMITH"}, "not CT: modality unknown"),
        (
            {"Modality": None, "SOPClassUID": None},
            "headers are damaged (not CT: neither Modality nor SOPClassUID",
        ),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "localiser"),
        ({"SamplesPerPixel": 3}, "colour image"),
        ({"Rows": None}, "headers are damaged (missing tag: Rows"),
        ({"RescaleSlope": None}, "missing tag: RescaleSlope"),
        ({"RescaleIntercept": ""}, "missing tag: RescaleSlope or RescaleIntercept"),
        ({"NumberOfFrames": 2, "PixelData": bytes(2 * 12 * 16 * 2)}, "multi-frame file that is no"),
    ],
)
def test_faults(tmp_path: Path, tags: dict[str, object], fault: str) -> None:
    assert fault_of(tmp_path, **tags).startswith(fault)


@pytest.mark.parametrize(
    "tags",
    [{"Modality": None}, {"SOPClassUID": None}, {"PixelSpacing": None}, {"PatientID": None}],
)
def test_tags_that_may_be_missing(tmp_path: Path, tags: dict[str, object]) -> None:
    assert fault_of(tmp_path, **tags) == ""


def test_unparsable_value_counts_as_absent(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "x.dcm", ct_dataset(PixelSpacing=["0.1234", "0.5678"]))
    path.write_bytes(path.read_bytes().replace(b"0.1234", b"abcdef"))
    assert look(path).headers[0].spacing_mm is None


@pytest.mark.parametrize("share", [0.02, 0.2, 0.5, 0.9, 0.999])
def test_truncated_anywhere(tmp_path: Path, share: float) -> None:
    path = write(tmp_path / "a" / "x.dcm", ct_dataset(stored=gradient(0, (40, 40))))
    data = path.read_bytes()
    assert look(path).headers[0].cut == ""
    path.write_bytes(data[: int(len(data) * share)])
    found = look(path)
    assert found.fault or found.headers[0].cut


def test_cut_anywhere_in_the_headers_is_damage(tmp_path: Path) -> None:
    data = write(tmp_path / "a" / "x.dcm", ct_dataset()).read_bytes()
    for n in range(len(data)):
        (tmp_path / "a" / f"{n}.dcm").write_bytes(data[:n])
    found = update_index(tmp_path / "a", tmp_path / "index.tsv")
    assert [e.path for e in found if e.kind != "damaged" and not e.headers] == []
    assert sum(e.kind == "damaged" for e in found) > 500


@pytest.mark.parametrize("start", range(0, 720, 48))
def test_zeros_in_the_headers_are_seen(tmp_path: Path, start: int) -> None:
    path = write(tmp_path / "a" / "x.dcm", ct_dataset())
    data = path.read_bytes()
    path.write_bytes(data[:start] + bytes(256) + data[start + 256 :])
    assert look(path).kind == "damaged"


@pytest.mark.parametrize(
    "tags",
    [
        {"Modality": "MR"},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "RescaleSlope": None},
        {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.66", "Rows": None, "PixelData": None},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"], "PixelData": None},
        {"RescaleSlope": None},
    ],
)
def test_what_is_no_ct_is_not_damaged(tmp_path: Path, tags: dict[str, object]) -> None:
    found = look(write(tmp_path / "a" / "x.dcm", ct_dataset(**tags)))
    assert (found.kind, bool(found.fault)) == ("image", True)


@pytest.mark.parametrize(
    ("pixels", "cut"), [(None, "no pixel data"), (bytes(100), "100 of 384 bytes of pixels")]
)
def test_cut_pixels_are_told_of_an_image_that_is_known(
    tmp_path: Path, pixels: bytes | None, cut: str
) -> None:
    found = look(write(tmp_path / "a" / "x.dcm", ct_dataset(PixelData=pixels)))
    assert (found.fault, found.headers[0].cut) == ("", cut)


def test_padding_of_either_sign_is_one_value(tmp_path: Path) -> None:
    signed = gradient().astype(np.int16)
    dataset = ct_dataset(stored=signed)
    dataset.add_new(0x00280120, "US", 63536)
    assert look(write(tmp_path / "a" / "x.dcm", dataset)).headers[0].padding == (-2000, -2000)
    dataset = ct_dataset()
    dataset.add_new(0x00280120, "SS", -2000)
    dataset.add_new(0x00280121, "US", 63540)
    assert look(write(tmp_path / "a" / "x.dcm", dataset)).headers[0].padding == (63536, 63540)


@pytest.mark.parametrize("value", [0, 3071, 16384, 32767])
def test_padding_above_tissue_stays_above(tmp_path: Path, value: int) -> None:
    """Only the highest of the 16 bits is a sign."""
    dataset = ct_dataset(stored=gradient().astype(np.int16))
    dataset.add_new(0x00280120, "US", value)
    assert look(write(tmp_path / "a" / "x.dcm", dataset)).headers[0].padding == (value, value)
    dataset[0x00280120].value = 2**16 - 1 - value
    padding = look(write(tmp_path / "a" / "x.dcm", dataset)).headers[0].padding
    assert padding == (-1 - value, -1 - value)


def test_file_without_preamble(tmp_path: Path) -> None:
    path = write(tmp_path / "a" / "x", ct_dataset())
    dataset = read(path)
    bare = dataset.copy()
    bare.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    del bare.preamble
    with path.open("wb") as file:
        from pydicom.filewriter import write_dataset
        from pydicom.filebase import DicomFileLike  # isort: skip

        stream = DicomFileLike(file)
        stream.is_implicit_VR, stream.is_little_endian = True, True
        del bare.file_meta
        write_dataset(stream, bare)
    assert look(path).headers[0].patient_id == "PATIENT^ONE"


@pytest.mark.parametrize(
    ("name", "content", "fault"),
    [
        ("x.dcm", b"", "empty file"),
        ("x", b"", "empty file"),
        ("x.txt", b"", "empty file"),
        ("x.dcm", b"PK" + bytes(500), "not a DICOM file, in spite of its name"),
        ("x.csv", b"a,b\n" * 100, "text or table, not an image"),
        ("README", b"some words, more than a preamble's length " * 9, "text or table"),
        ("x.xml", b"<other/>", "text or table, not an image"),
        ("x.xml", b"<LidcReadMessage>", "malformed XML"),
    ],
)
def test_files_that_are_no_dicom(tmp_path: Path, name: str, content: bytes, fault: str) -> None:
    path = tmp_path / "a" / name
    path.parent.mkdir()
    path.write_bytes(content)
    entry = look(path)
    assert entry.fault.startswith(fault)
    assert bool(entry.fault) == bool(fault)
    assert not entry.headers


def test_frames_of_enhanced_ct(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path / "a" / "x.dcm", [gradient(0), gradient(1), gradient(2)])
    found = look(path).headers
    assert [h.frame for h in found] == [0, 1, 2]
    assert [h.position_mm for h in found] == [(0, 0, 0), (0, 0, -2.5), (0, 0, -5)]
    assert [h.intercept for h in found] == [-1000, -1001, -1002]
    assert {h.spacing_mm for h in found} == {(0.5, 0.6)}


def test_frames_without_functional_groups(tmp_path: Path) -> None:
    path = write_enhanced(
        tmp_path / "a" / "x.dcm", [gradient(), gradient()], PerFrameFunctionalGroupsSequence=None
    )
    assert "functional groups" in look(path).fault


def test_index_opens_changed_files_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, index = tmp_path / "root", tmp_path / "private" / "index.tsv"
    files = write_series(root, 3)
    first = update_index(root, index)
    assert stat.S_IMODE(index.stat().st_mode) == 0o600
    opened: list[str] = []
    look_at = headers._look_at
    monkeypatch.setattr(headers, "_look_at", lambda *a: opened.append(a[1]) or look_at(*a))
    assert update_index(root, index) == first
    assert opened == []
    data = bytearray(files[1].read_bytes())
    data[-1] ^= 1
    files[1].write_bytes(data)  # same size
    again = update_index(root, index)
    assert opened == [files[1].name]
    assert [a.digest != b.digest for a, b in zip(first, again, strict=True)].count(True) == 1
    files[0].unlink()
    assert len(update_index(root, index)) == 2


def test_touch_changes_no_digest(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path / "root", 1)
    before = update_index(tmp_path / "root", tmp_path / "index.tsv")
    os.utime(file, (1, 1))
    after = update_index(tmp_path / "root", tmp_path / "index.tsv")
    assert before[0].digest == after[0].digest


def test_index_of_another_version_is_made_anew(tmp_path: Path) -> None:
    write_series(tmp_path / "root", 1)
    index = tmp_path / "index.tsv"
    first = update_index(tmp_path / "root", index)
    index.write_text("something else\n" + index.read_text())
    assert update_index(tmp_path / "root", index) == first


def test_include_and_hidden(tmp_path: Path) -> None:
    root = tmp_path / "root"
    for folder in ("lidc_1", "lidc_2/deep", "covid", ".cache"):
        write_series(root / folder, 1)
    for include, expected in (
        ((), ["covid", "lidc_1", "lidc_2/deep"]),
        (("lidc_*",), ["lidc_1", "lidc_2/deep"]),
        (("covid", "*/deep"), ["covid", "lidc_2/deep"]),
    ):
        found = update_index(root, tmp_path / "index.tsv", include)
        assert [os.path.dirname(entry.path) for entry in found if not entry.fault] == expected
        hidden = [(entry.path, entry.fault) for entry in found if entry.fault]
        assert hidden == ([] if include else [(".cache", "hidden: not read")])


def test_links_are_followed_once(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write_series(tmp_path / "elsewhere", 1)
    (root / "a").mkdir(parents=True)
    (root / "a" / "link").symlink_to(tmp_path / "elsewhere")
    (root / "a" / "loop").symlink_to(root)
    assert [e.path for e in update_index(root, tmp_path / "i.tsv")] == ["a/link/IM0001.dcm"]


def test_root_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not a folder"):
        update_index(tmp_path / "nothing", tmp_path / "index.tsv")


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    path = write(tmp_path / "root" / "x.dcm", ct_dataset())
    try:
        os.rename(os.fsencode(path), os.fsencode(path.parent) + b"/\xff\tx.dcm")
    except OSError:
        pytest.skip("the file system takes UTF-8 names only")
    first = update_index(tmp_path / "root", tmp_path / "index.tsv")
    assert update_index(tmp_path / "root", tmp_path / "index.tsv") == first


def test_real_files(real_data: Path, tmp_path: Path) -> None:
    found = update_index(real_data, tmp_path / "index.tsv", ("lidc*", "lungmask*", "enhanced*"))
    kinds = {e.path: e.kind for e in found if e.kind in ("mask", "annotations")}
    assert kinds["lidc_0001_GE/69.xml"] == "annotations"
    assert kinds["lidc_0095_SIEMENS_slice/IM140.png"] == "mask"
    faults = {e.path.split("/")[0]: e.fault for e in found if e.fault}
    assert faults == {"lidc_nodule_crops": "text or table, not an image"}
    units = {h.rescale_type for e in found for h in e.headers if "enhanced" in e.path}
    assert units == {"US"}
    assert sum("lungmask" in e.path and bool(e.headers) for e in found) == 2
