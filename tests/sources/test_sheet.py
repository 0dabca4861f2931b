"""The sample sheet."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lungaug.errors import InputError
from lungaug.sources.sheet import Sheet, SheetMask, read_sheet


def sheet(tmp_path: Path, *lines: str, name: str = "sheet.tsv") -> Sheet:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")
    return read_sheet(path)


def test_no_sheet_says_nothing() -> None:
    empty = read_sheet(None)
    assert empty.patient_of("a/b") == ""
    assert empty.lung_rads_of("P", ["a/b"]) == ""
    assert empty.mask_of("a/b", "1.2") is None


def test_one_row_a_slice(tmp_path: Path) -> None:
    found = sheet(
        tmp_path, "patient_id\tlung_rads\timage\tmask", "P\tLR2\ta/1\tm/1.png", "P\t2\ta/2\t",
        "Q\t4a\t1.2.3\tm/3.png",
    )  # fmt: skip
    assert found.lung_rads_of("P", []) == "LR2"
    assert found.lung_rads_of("Q", []) == "LR4A"
    assert found.mask_of("a/1", "") == SheetMask("m/1.png", 2)
    assert found.mask_of("b/9", "1.2.3") == SheetMask("m/3.png", 4)


def test_folders(tmp_path: Path) -> None:
    found = sheet(
        tmp_path, "folder,patient_id,lung_rads", "a/,P,", "a/b,Q,", "c,,LR3", name="s.csv"
    )
    assert [found.patient_of(p) for p in ("a/1", "a/b/c/1", "x/1")] == ["P", "Q", ""]
    assert found.lung_rads_of("R", ["c/d/1"]) == "LR3"


def test_lines_that_name_nothing(tmp_path: Path) -> None:
    found = sheet(
        tmp_path, "patient_id\tfolder\timage\tlung_rads\tmask", "P\ta/\t\tLR2\t",
        "X\t\t\tLR2\t", "P\t\ta/b/1\t\tm.png", "\t\t1.2\t\tm.png", "\t\tb/1\t\tm.png",
        "\ta/b\t\tLR2\t", "\tb\t\tLR2\t", "\t.\t\tLR2\t", "\t\t\t\t",
    )  # fmt: skip
    assert found.unmatched({"P"}, ["a/b/1"], ["1.2"]) == [3, 6, 8]
    assert read_sheet(None).unmatched({"P"}, ["a/b/1"], ["1.2"]) == []


@pytest.mark.parametrize(
    "lines",
    [
        ("name\tdiagnosis", "SMITH\tx"),
        ("patient_id\tlung_rads", "SMITH\tLR9"),
        ("patient_id\tlung_rads", "SMITH\tLR2", "SMITH\tLR3"),
        ("patient_id\tlung_rads\timage", "\tLR2\tSMITH"),
        ("patient_id\tlung_rads", "\tLR2"),
        ("patient_id\tmask", "SMITH\tm.png"),
        ("image\tmask", "SMITH\tm.png", "SMITH\tn.png"),
        ("folder\tpatient_id", "SMITH\ta", "SMITH\tb"),
    ],
)
def test_faults_name_lines_not_people(tmp_path: Path, lines: tuple[str, ...]) -> None:
    with pytest.raises(InputError, match=r"^sheet: ") as caught:
        sheet(tmp_path, *lines)
    assert "SMITH" not in str(caught.value)


def test_two_classes_by_folder(tmp_path: Path) -> None:
    found = sheet(tmp_path, "folder\tlung_rads", "a\tLR2", "b\tLR3")
    with pytest.raises(InputError, match="LR2, LR3"):
        found.lung_rads_of("P", ["a/1", "b/1"])


def test_files_that_are_no_sheet(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_sheet(tmp_path / "nothing.tsv")
    (tmp_path / "x.tsv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not a table"):
        read_sheet(tmp_path / "x.tsv")
    (tmp_path / "y.tsv").write_text("")
    with pytest.raises(InputError, match="no column of use"):
        read_sheet(tmp_path / "y.tsv")


def test_unused_columns_are_counted_not_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        sheet(tmp_path, "patient_id\tlung_rads\tSMITH", "P\tLR2\tx")
    assert "1 columns are not used" in caplog.text
    assert "SMITH" not in caplog.text
