"""The ledger: rows are only added, faults are named, runs at once lose nothing."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lungaug.errors import FileFormatError
from lungaug.ledger import Entry, locked_ledger

HEADER = "mode\tfolds\tpatient\tlung_rads\tplace\tseed\n"


def entry(patient: str, place: str = "train", mode: str = "fixed", folds: int = 0) -> Entry:
    return Entry(mode, folds, patient, "LR2", place, 0)


def add(path: Path, *entries: Entry) -> None:
    with locked_ledger(path) as ledger:
        ledger.append(entries)


def test_rows_are_added_behind_the_others(tmp_path: Path) -> None:
    path = tmp_path / "ledgers" / "a.tsv"
    add(path, entry("p2"))
    first = path.read_text()
    add(path, entry("p1", "test"))
    assert path.read_text().startswith(first)
    with locked_ledger(path) as ledger:
        assert {p: e.place for p, e in ledger.entries("fixed", 0).items()} == {
            "p2": "train",
            "p1": "test",
        }
    assert [p.name for p in path.parent.iterdir()] == ["a.tsv"]


def test_a_row_that_stands_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    add(path, entry("p1", "test"))
    before = path.read_text()
    add(path, entry("p1", "train"))
    assert path.read_text() == before


def test_a_row_that_stands_is_kept_among_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    add(path, entry("p1", "test"))
    add(path, entry("p1", "train"), entry("p2"), entry("p2", "test"))
    with locked_ledger(path) as ledger:
        places = {patient: one.place for patient, one in ledger.entries("fixed", 0).items()}
    assert places == {"p1": "test", "p2": "train"}


def test_a_file_without_news_is_not_written_again(tmp_path: Path) -> None:
    """Version control and who else reads it see no change."""
    path = tmp_path / "a.tsv"
    add(path, entry("p1"))
    before = path.stat()
    add(path, entry("p1"))
    after = path.stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_modes_stand_side_by_side(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    add(path, entry("p1"), entry("p1", "2", "cross_validation", 3))
    with locked_ledger(path) as ledger:
        assert ledger.entries("cross_validation", 3)["p1"].place == "2"
        assert ledger.entries("cross_validation", 5) == {}


def test_nothing_placed_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    with pytest.raises(RuntimeError), locked_ledger(path):
        raise RuntimeError
    assert not path.exists()


def test_runs_at_once_lose_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: add(path, entry(f"p{i:02d}")), range(40)))
    with locked_ledger(path) as ledger:
        assert len(ledger.entries("fixed", 0)) == 40


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("patient\nx\n", "line 2: accepted: the columns"),
        (HEADER + "<<<<<<< ours\n", "line 2: accepted: the columns"),
        (HEADER + "fixed\t0\tp1\tLR2\tboth\t0\n", "place 'both'; accepted: train"),
        (HEADER + "fixed\tx\tp1\tLR2\ttrain\t0\n", "whole numbers"),
        (HEADER + "other\t0\tp1\tLR2\ttrain\t0\n", "mode 'other'; accepted: fixed"),
        (HEADER + "cross_validation\t3\tp1\tLR2\t3\t0\n", "accepted: 0, 1, 2"),
        (
            HEADER + "fixed\t0\tp1\tLR2\ttrain\t0\nfixed\t0\tp1\tLR2\ttest\t0\n",
            "line 3: p1 has another place above",
        ),
    ],
)
def test_damaged_ledger_is_named_and_kept(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(text)
    with pytest.raises(FileFormatError, match=message), locked_ledger(path):
        pass
    assert path.read_text() == text
