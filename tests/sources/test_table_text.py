"""Sheets as spreadsheet programs save them: encodings, separators, spellings of headers."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from lungaug.errors import InputError
from lungaug.sources.sheet import Sheet, read_sheet
from lungaug.sources.table_text import alike

ROWS = [["patient_id", "lung_rads", "folder"], ["007", "LR4B", "Müller"], ["1e5", "2", "b"]]


def saved(
    tmp_path: Path,
    rows: list[list[str]] = ROWS,
    *,
    separator: str = ",",
    encoding: str = "utf-8",
    end: str = "\n",
    name: str = "sheet.csv",
    first: str = "",
) -> Sheet:
    path = tmp_path / name
    text = first + "".join(separator.join(row) + end for row in rows)
    path.write_bytes(text.encode(encoding))
    return read_sheet(path)


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252"]
)
@pytest.mark.parametrize("name", ["sheet.csv", "sheet.tsv", "sheet.txt"])
def test_encodings_and_separators(tmp_path: Path, separator: str, encoding: str, name: str) -> None:
    found = saved(tmp_path, separator=separator, encoding=encoding, name=name)
    assert found.classes == {"007": "LR4B", "1e5": "LR2"}
    assert found.patient_of("Müller/1.dcm") == "007"


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", ["", "sep=;\n", '"sep=;"\r\n'])
def test_ends_of_lines_and_the_line_of_excel(tmp_path: Path, end: str, first: str) -> None:
    found = saved(tmp_path, separator=";", end=end, first=first)
    assert found.classes == {"007": "LR4B", "1e5": "LR2"}
    assert [row.line for row in found.rows] == [2 + bool(first), 3 + bool(first)]


@pytest.mark.parametrize(
    "header",
    [
        "PatientID,Lung-RADS",
        "Patient ID,Lung_RADS",
        "PATIENT_ID,lungrads",
        "patient-id, Lung RADS ",
        '"Patient_ID","lung_rads"',
    ],
)
def test_spellings_of_headers(tmp_path: Path, header: str) -> None:
    assert saved(tmp_path, [[header], ["007", "3"]]).classes == {"007": "LR3"}


@pytest.mark.parametrize("text", ["4a", "LR4A", "LR-4A", "Lung-RADS 4A", "lung_rads: 4a", "\xa04A"])
def test_spellings_of_classes(tmp_path: Path, text: str) -> None:
    assert saved(tmp_path, [["patient_id", "lung_rads"], ["P", text]]).classes == {"P": "LR4A"}


@pytest.mark.parametrize("text", ["4", "-1", "4A+", "LR", "RADS", "2.0"])
def test_classes_that_are_not_guessed(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputError, match="line 2: unknown lung_rads"):
        saved(tmp_path, [["patient_id", "lung_rads"], ["P", text]])


def test_two_columns_of_one_meaning(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="two columns mean patient_id"):
        saved(tmp_path, [["patient_id", "PatientID", "lung_rads"], ["SMITH", "Q", "2"]])


@pytest.mark.parametrize("data", [b"PK\x03\x04rest", b"\xd0\xcf\x11\xe0rest"])
def test_workbooks_are_refused_with_the_cure(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "sheet.xlsx").write_bytes(data)
    with pytest.raises(InputError, match=r"workbook.*save it as CSV in UTF-8"):
        read_sheet(tmp_path / "sheet.xlsx")


@pytest.mark.parametrize("data", [b"patient_id\x81\x8d,x\n", b"a\0b,c\n", b"\xff\xfea"])
def test_bytes_that_are_no_text(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "s.csv").write_bytes(data)
    with pytest.raises(InputError, match="save it as CSV in UTF-8"):
        read_sheet(tmp_path / "s.csv")


def test_a_separator_inside_of_a_text(tmp_path: Path) -> None:
    rows = [["folder", "lung_rads"], ['"a, b"', "2"]]
    assert saved(tmp_path, rows).folder_classes == {"a, b": "LR2"}
    with pytest.raises(InputError, match="line 2 has more cells"):
        saved(tmp_path, [["folder", "lung_rads"], ["a, b", "2"]])
    assert saved(tmp_path, [["folder", "lung_rads"], ["a", "2", "", ""]]).folder_classes


def test_the_normal_form_of_letters_does_not_matter(tmp_path: Path) -> None:
    composed, parts = (unicodedata.normalize(form, "Müller") for form in ("NFC", "NFD"))
    assert composed != parts
    for written, kept in ((composed, parts), (parts, composed)):
        rows = [
            ["patient_id", "folder", "image", "lung_rads", "mask"],
            ["", written, "", "2", ""],
            ["", "", f"{written}/1", "", "m.png"],
            [written, "x", "", "3", ""],
        ]
        found = saved(tmp_path, rows)
        assert found.lung_rads_of("P", [f"{kept}/1"]) == "LR2"
        assert found.lung_rads_of(kept, []) == "LR3"
        assert found.mask_of(f"{kept}/1", "") is not None
        assert found.unmatched([kept], [f"{kept}/1", "x/1"], []) == []


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode("Müller".encode("latin-1"))
    found = saved(tmp_path, [["folder", "lung_rads"], ["Müller", "2"]], encoding="cp1252")
    assert found.lung_rads_of("P", [f"{name}/1"]) == "LR2"
    assert alike(name) == "Müller"
