"""The ledger: where every patient ever seen was placed. Append-only, outside the results.

It is a small tab-separated file to be kept under version control. A row is written once; a patient
that leaves the cohort keeps its row and, on return, its place. Rows of different modes, and of
different numbers of folds, stand side by side.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from lungaug.cohort import ROLES, write_rows
from lungaug.division import CROSS_VALIDATION, FIXED
from lungaug.errors import FileFormatError


@dataclass(frozen=True)
class Entry:
    """A row of the ledger.

    Attributes:
        mode: ``fixed`` or ``cross_validation``.
        folds: number of parts; 0 with ``fixed``.
        patient: pseudonym.
        lung_rads: the class at the time of placing.
        place: a role with ``fixed``, otherwise the number of a part.
        seed: of the placing.
    """

    mode: str
    folds: int
    patient: str
    lung_rads: str
    place: str
    seed: int


_COLUMNS = tuple(field.name for field in fields(Entry))


class Ledger:
    """The ledger while it is locked. Use :func:`locked_ledger`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._entries = _read(path)

    def entries(self, mode: str, folds: int) -> dict[str, Entry]:
        """The rows of one mode and number of folds, by patient."""
        return {p: e for (m, k, p), e in self._entries.items() if (m, k) == (mode, folds)}

    def append(self, entries: Iterable[Entry]) -> None:
        """Add rows behind those that stand: written aside and renamed, or not at all."""
        merged = dict(self._entries)
        for entry in entries:
            merged.setdefault((entry.mode, entry.folds, entry.patient), entry)
        if len(merged) > len(self._entries):
            self._entries = merged
            write_rows(self.path, _COLUMNS, map(asdict, merged.values()))


class SeenLedger(Ledger):
    """The ledger as it is, neither locked nor written: for a division that nobody is bound by.

    Args:
        path: None where there is no ledger.
    """

    def __init__(self, path: Path | None) -> None:
        if path is None:
            self.path, self._entries = Path(), {}
        else:
            super().__init__(path)

    def append(self, entries: Iterable[Entry]) -> None:
        """Forget the rows."""


@contextlib.contextmanager
def locked_ledger(path: Path) -> Iterator[Ledger]:
    """The ledger, held against other runs until the block ends: no run overwrites another's rows.

    Raises:
        FileFormatError: a row is damaged, or two rows place one patient differently.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = _lock(path)
    try:
        yield Ledger(path)
    finally:
        if os.fstat(handle).st_size == 0 and path.stat().st_size == 0:
            path.unlink()
        os.close(handle)


def _lock(path: Path) -> int:
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(handle, fcntl.LOCK_EX)
        # Another run may have renamed a new file over the one that was waited for.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(handle), os.stat(path)):
                return handle
        os.close(handle)


def _read(path: Path) -> dict[tuple[str, int, str], Entry]:
    entries: dict[tuple[str, int, str], Entry] = {}
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t", restkey="more")
        for number, row in enumerate(reader, start=2):
            entry = _entry(path, number, row)
            first = entries.setdefault((entry.mode, entry.folds, entry.patient), entry)
            if first.place != entry.place:
                raise _fault(path, number, f"{entry.patient} has another place above")
    return entries


def _entry(path: Path, number: int, row: dict[str, str]) -> Entry:
    if set(row) != set(_COLUMNS) or None in row.values():
        raise _fault(path, number, f"accepted: the columns {', '.join(_COLUMNS)}")
    try:
        folds, seed = int(row["folds"]), int(row["seed"])
    except ValueError as error:
        raise _fault(path, number, "folds and seed are whole numbers") from error
    if row["mode"] not in (FIXED, CROSS_VALIDATION):
        raise _fault(path, number, f"mode '{row['mode']}'; accepted: {FIXED}, {CROSS_VALIDATION}")
    places = ROLES if row["mode"] == FIXED else tuple(map(str, range(folds)))
    if row["place"] not in places:
        raise _fault(path, number, f"place '{row['place']}'; accepted: {', '.join(places)}")
    return Entry(row["mode"], folds, row["patient"], row["lung_rads"], row["place"], seed)


def _fault(path: Path, number: int, what: str) -> FileFormatError:
    return FileFormatError(
        f"{path}, line {number}: {what}; restore the ledger from version control, since a new one "
        "may move patients between training and test"
    )
