"""Classes, pseudonyms, the key and the tables."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.cohort import (
    Pseudonyms,
    batch_of,
    load_or_create_key,
    lung_rads_of,
    read_table,
    write_rows,
    write_table,
)
from lungaug.errors import FileFormatError, InputError


@pytest.mark.parametrize(
    ("diameter_mm", "expected"),
    [
        (0, "LR1"),
        (3, "LR2"),
        (5.99, "LR2"),
        (6, "LR3"),
        (8, "LR4A"),
        (15, "LR4B"),
        (math.inf, "LR4B"),
        (math.nan, ""),
    ],
)
def test_class_of_a_diameter(diameter_mm: float, expected: str) -> None:
    assert lung_rads_of(diameter_mm) == expected


def test_negative_diameter_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 0"):
        lung_rads_of(-1)


def test_pseudonyms_differ_by_kind_and_key() -> None:
    names, others = Pseudonyms(b"a"), Pseudonyms(b"b")
    made = {names.patient("1"), names.series("1"), names.file("1"), others.patient("1")}
    assert len({name[1:] for name in made}) == 4
    assert all(len(name) == 13 for name in made)


def test_spaces_around_an_identifier_make_no_other_patient() -> None:
    names = Pseudonyms(b"a")
    assert names.patient("LIDC 1 ") == names.patient("LIDC 1")
    assert names.file("a ") != names.file("a")


def test_undecodable_path_has_a_pseudonym() -> None:
    assert Pseudonyms(b"a").file("\udcff.dcm")


@given(st.text(min_size=1), st.integers(1, 200))
def test_batch_is_one_of_them(patient: str, n_batches: int) -> None:
    assert 0 <= int(batch_of(patient, n_batches)[1:]) < n_batches


def test_key_is_made_once_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "private" / "key"
    key = load_or_create_key(path)
    assert len(key) == 32
    assert load_or_create_key(path) == key
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("folder", [".", "there", "a/b"])
def test_a_key_is_made_in_a_folder_that_is_there_or_not(tmp_path: Path, folder: str) -> None:
    (tmp_path / "there").mkdir()
    assert len(load_or_create_key(tmp_path / folder / "key")) == 32


@pytest.mark.parametrize("text", ["", "abc", "zz" * 32, "ab" * 31])
def test_what_is_no_key_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    with pytest.raises(InputError, match="32 bytes"):
        load_or_create_key(path)


def test_table_comes_back_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "patient": ["p1", "p2"],
            "digest": ["12e45", "007"],
            "lung_rads": ["", "LR2"],
            "dice": [0.1 + 0.2, math.nan],
            "row": [3, 4],
            "best": [True, False],
            "reason": ["NA", 'a "tab"\tand more'],
        }
    )
    write_table(tmp_path / "t.tsv", frame)
    pd.testing.assert_frame_equal(read_table(tmp_path / "t.tsv"), frame, check_dtype=False)
    assert read_table(tmp_path / "t.tsv")["row"].dtype == int


def test_rows_are_written_as_a_frame_would_be(tmp_path: Path) -> None:
    rows = [{"file": "f1", "reason": "not CT"}, {"file": "f2"}]
    write_rows(tmp_path / "a.tsv", ("file", "reason"), rows)
    write_table(tmp_path / "b.tsv", pd.DataFrame(rows))
    assert (tmp_path / "a.tsv").read_bytes() == (tmp_path / "b.tsv").read_bytes()


def test_table_without_rows_keeps_its_header(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.tsv", ("file", "reason"), [])
    assert list(read_table(tmp_path / "a.tsv").columns) == ["file", "reason"]


def test_missing_empty_or_short_table_is_named(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    with pytest.raises(FileFormatError, match="no such file"):
        read_table(path)
    path.write_text("")
    with pytest.raises(FileFormatError, match="not a table"):
        read_table(path)
    path.write_text("fold\nfixed\n")
    with pytest.raises(FileFormatError, match="no column role"):
        read_table(path, ("fold", "role"))


def test_module_starts_without_pandas() -> None:
    code = "import sys, lungaug.cohort; sys.exit('pandas' in sys.modules or 'numpy' in sys.modules)"
    path = str(Path(__file__).parent.parent / "workflow")
    assert subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": path}).returncode == 0
