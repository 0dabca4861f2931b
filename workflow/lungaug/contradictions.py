"""Where published tables contradict the division of patients as it is now.

A ledger or a ``split.tsv`` that was edited makes no table stale once somebody has touched the
results: a patient who trains today may stand in a table of test scores. Standard library only.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lungaug.division import CROSS_VALIDATION, FIXED, roles_of_fold
from lungaug.ledger import SeenLedger

TESTED = ("metrics.tsv", "presence.tsv")
"""Names of tables whose rows have the columns fold, patient and role."""
_ACTS = {"train": "trains", "validation": "validates", "test": "tests"}
_SHOWN = 20

Roles = Mapping[str, Mapping[str, str]]
"""Role by fold and patient."""


@dataclass
class _Claims:
    """The tables by fold, patient and the role that they give."""

    tables: dict[tuple[str, str, str], list[str]] = field(default_factory=dict)

    def add(self, fold: str, patient: str, role: str, table: str) -> None:
        named = self.tables.setdefault((fold, patient, role), [])
        if table not in named:
            named.append(table)


def contradictions(
    results: Path, tables: Iterable[Path], splits: Iterable[Path], ledger: Path | None
) -> list[str]:
    """Return a line for every patient to whom a table gives another role than the division does.

    Args:
        results: folder that tables are named from.
        tables: ``metrics.tsv`` and ``presence.tsv`` of trainings, ``arms/<arm>.tsv``; those that
            are not there say nothing.
        splits: tables of roles, of which each fold is in one.
        ledger: None, or a file that is not there: it is not compared.

    Raises:
        FileFormatError: the ledger is damaged.
    """
    claims = _Claims()
    for path in sorted(set(tables)):
        for fold, patient, role in _roles_in(path):
            claims.add(fold, patient, role, path.relative_to(results).as_posix())
    today = _roles_of_splits(splits)
    divisions = [("split.tsv", today)]
    if ledger is not None and ledger.is_file():
        folds = {fold for fold, _, _ in claims.tables}
        divisions.append((f"the ledger {ledger.name}", _roles_of_ledger(ledger, folds, today)))
    return list(_lines(claims, divisions))


def first(lines: list[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], f"and {more} more"] if more > 0 else lines


def _lines(claims: _Claims, divisions: Sequence[tuple[str, Roles]]) -> Iterator[str]:
    for (fold, patient, role), tables in sorted(claims.tables.items()):
        for name, roles in divisions:
            now = roles.get(fold, {}).get(patient, "")
            if now != role:
                more = f" and {len(tables) - 1} more" if len(tables) > 1 else ""
                has = _ACTS.get(now, "has no role")
                said = f"{patient} {_ACTS.get(role, role)} in {tables[0]}{more}"
                yield f"fold {fold}: {said}, but {has} by {name}"


def _roles_in(path: Path) -> set[tuple[str, str, str]]:
    """Fold, patient and role of everybody whose pixels a table is about."""
    if not path.is_file():
        return set()
    if path.name in TESTED:
        return {(row["fold"], row["patient"], row["role"]) for row in _rows(path)}
    fold = path.parents[1].name
    owners = {row["patient"] for row in _rows(path)}
    keys = (row[name] for row in _rows(path) for name in ("host", "donor"))
    owners |= {key.split("/", 1)[0] for key in keys if key}
    return {(fold, patient, "train") for patient in owners}


def _roles_of_splits(splits: Iterable[Path]) -> dict[str, dict[str, str]]:
    roles: dict[str, dict[str, str]] = {}
    for path in splits:
        for row in _rows(path):
            roles.setdefault(row["fold"], {})[row["patient"]] = row["role"]
    return roles


def _roles_of_ledger(ledger: Path, folds: Iterable[str], today: Roles) -> dict[str, dict[str, str]]:
    """Roles by the ledger; who trains in a part of a fold's patients trains in the fold."""
    book = SeenLedger(ledger)
    n_parts = sum(fold.startswith("cv") and "_" not in fold for fold in today)
    found: dict[str, dict[str, str]] = {}
    for fold in folds:
        whole = fold.partition("_")[0]
        if whole == FIXED:
            entries = book.entries(FIXED, 0)
            found[fold] = {patient: entry.place for patient, entry in entries.items()}
        else:
            entries = book.entries(CROSS_VALIDATION, n_parts)
            parts = {patient: int(entry.place) for patient, entry in entries.items()}
            found[fold] = roles_of_fold(parts, int(whole.removeprefix("cv")), n_parts)
    return found


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))
