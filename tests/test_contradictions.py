"""Tables that were made under another division than the one of today."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from lungaug.cohort import write_rows
from lungaug.contradictions import contradictions, first
from lungaug.division import CROSS_VALIDATION, FIXED
from lungaug.ledger import Entry, locked_ledger
from lungaug.status import telling
from lungaug.status.plan import Job

ROLES = {"p1": "train", "p2": "validation", "p3": "test", "p4": "train"}
TABLE = "segmentation/none/unet/seed0/metrics.tsv"


class Results:
    """A fold with one training, its arm and its split."""

    def __init__(self, folder: Path, fold: str = "fixed") -> None:
        self.root, self.fold, self.ledger = folder / "c", fold, folder / "ledger.tsv"
        self.tables = [self.root / fold / TABLE, self.root / f"{fold}/arms/none.tsv"]
        held_out = [(p, r) for p, r in ROLES.items() if r != "train"]
        rows = [{"fold": fold, "patient": p, "role": r} for p, r in held_out for _ in range(2)]
        write_rows(self.tables[0], ("fold", "patient", "role"), rows)
        self.train([("p1", "", ""), ("p1", "p4/s/1", "")])
        self.split(ROLES)

    def train(self, rows: Sequence[tuple[str, str, str]]) -> None:
        columns = ("patient", "host", "donor")
        write_rows(self.tables[1], columns, [dict(zip(columns, r, strict=True)) for r in rows])

    def split(self, roles: dict[str, str]) -> None:
        rows = [{"fold": self.fold, "patient": p, "role": r} for p, r in roles.items()]
        write_rows(self.root / "split.tsv", ("fold", "patient", "role"), rows)

    def enter(self, places: dict[str, str], mode: str = FIXED, folds: int = 0) -> None:
        self.ledger.unlink(missing_ok=True)
        with locked_ledger(self.ledger) as book:
            book.append(Entry(mode, folds, p, "LR2", place, 0) for p, place in places.items())

    def said(self, ledger: bool = True) -> list[str]:
        splits = [self.root / "split.tsv"]
        return contradictions(self.root, self.tables, splits, self.ledger if ledger else None)


def test_nothing_is_said_where_all_agree(tmp_path: Path) -> None:
    results = Results(tmp_path)
    assert results.said() == []
    results.enter(ROLES)
    assert results.said() == results.said(ledger=False) == []


def test_a_tested_patient_who_trains_by_the_ledger_is_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.enter({**ROLES, "p3": "train"})
    assert results.said() == [
        f"fold fixed: p3 tests in fixed/{TABLE}, but trains by the ledger ledger.tsv"
    ]
    assert results.said(ledger=False) == []


def test_a_tested_patient_who_trains_by_the_split_is_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.split({**ROLES, "p3": "train"})
    (line,) = results.said()
    assert line.endswith("but trains by split.tsv")


def test_a_table_of_presence_counts_too(tmp_path: Path) -> None:
    results = Results(tmp_path)
    path = results.root / "fixed/presence/none/seed0/presence.tsv"
    rows = [{"fold": "fixed", "patient": "p1", "role": "test"}]
    write_rows(path, ("fold", "patient", "role"), rows)
    results.tables.append(path)
    assert results.said() == [
        "fold fixed: p1 tests in fixed/presence/none/seed0/presence.tsv, but trains by split.tsv"
    ]


@pytest.mark.parametrize("row", [("p3", "", ""), ("p1", "p3/s/1", ""), ("p1", "", "p3/s/1")])
def test_whoever_lent_pixels_to_training_is_named(
    tmp_path: Path, row: tuple[str, str, str]
) -> None:
    results = Results(tmp_path)
    results.train([row])
    assert results.said() == [
        "fold fixed: p3 trains in fixed/arms/none.tsv, but tests by split.tsv"
    ]


def test_who_has_no_role_any_more_is_named(tmp_path: Path) -> None:
    results = Results(tmp_path)
    results.split({p: r for p, r in ROLES.items() if p != "p2"})
    (line,) = results.said()
    assert "p2 validates in" in line
    assert line.endswith("but has no role by split.tsv")


def test_the_parts_of_a_cross_validation(tmp_path: Path) -> None:
    """Fold 1 of three tests part 1 and validates part 2."""
    results = Results(tmp_path, "cv1")
    more = [f"cv{i}\tp9\ttrain" for i in (0, 2)]
    split = results.root / "split.tsv"
    split.write_text(split.read_text() + "\n".join(more) + "\n")
    parts = {"p1": "0", "p2": "2", "p3": "1", "p4": "0"}
    results.enter(parts, CROSS_VALIDATION, 3)
    assert results.said() == []
    results.enter({**parts, "p3": "0"}, CROSS_VALIDATION, 3)
    (line,) = results.said()
    assert "p3 tests in" in line
    assert "but trains by the ledger" in line


def test_a_share_of_the_training_patients(tmp_path: Path) -> None:
    results = Results(tmp_path, "fixed_50")
    results.enter(ROLES)
    assert results.said() == []
    results.enter({**ROLES, "p3": "train"})
    assert len(results.said()) == 1


def test_many_tables_of_one_patient_are_one_line(tmp_path: Path) -> None:
    results = Results(tmp_path)
    for seed in (1, 2):
        path = results.root / f"fixed/segmentation/none/unet/seed{seed}/metrics.tsv"
        path.parent.mkdir(parents=True)
        path.write_bytes(results.tables[0].read_bytes())
        results.tables.append(path)
    results.split({**ROLES, "p3": "train"})
    (line,) = results.said()
    assert f"in fixed/{TABLE} and 2 more, but" in line


def test_the_first_lines_and_the_number_of_the_others() -> None:
    assert first(["a", "b"]) == ["a", "b"]
    assert first(["x"] * 25)[19:] == ["x", "and 5 more"]


def test_status_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where somebody has touched the results, so that nothing would run."""
    results = Results(tmp_path)
    monkeypatch.setenv("LUNGAUG_LEDGER", str(results.ledger))
    results.enter({**ROLES, "p3": "train"})
    outputs = (*results.tables, results.root / "split.tsv", tmp_path / "c/fixed/arms/x.audit.tsv")
    kept = Job("tables", {}, tuple(map(str, outputs)), False, (), ())
    said = telling.contradicted([kept], str(results.root))
    assert said[0].startswith("contradiction: fold fixed: p3 tests in ")
    assert "restore it" in said[1]
    assert len(said) == 2
    results.enter(ROLES)
    assert telling.contradicted([kept], str(results.root)) == []


def test_tables_that_are_made_again_contradict_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results(tmp_path)
    monkeypatch.setenv("LUNGAUG_LEDGER", str(results.ledger))
    results.enter({**ROLES, "p3": "train"})
    tables = Job("tables", {}, tuple(map(str, results.tables)), True, (), ())
    split = Job("split", {}, (str(results.root / "split.tsv"),), False, (), ())
    assert telling.contradicted([tables, split], str(results.root)) == []
