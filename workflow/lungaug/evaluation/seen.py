"""Digests of what an audit saw, by which a training knows that it reads the same.

The digests are of bytes: the one that a slice file holds of its own content stays as it was where
pixels are changed in place.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Hashable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.errors import InputError
from lungaug.store import SliceFile, slice_key

if TYPE_CHECKING:
    import pandas as pd

SEEN = "seen"
"""Name of these rows in ``audit.tsv``: a subject, and its digest as the detail."""
SPLIT, TABLE, SLICES = "split", "table", "slices"
"""Subjects besides the names of files: roles of the fold, the arm's table, the fold's table."""


def split_digest(split: pd.DataFrame, fold: str) -> str:
    """Return a digest of who has which role in a fold, whoever else is in other folds.

    Args:
        split: columns of ``SPLIT_COLUMNS``.
        fold: the fold.
    """
    rows = split[split["fold"] == fold]
    roles = sorted(zip(rows["patient"].tolist(), rows["role"].tolist(), strict=True))
    return hashlib.sha256(json.dumps([fold, roles]).encode()).hexdigest()


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file's bytes.

    Raises:
        InputError: there is no such file.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file; accepted: a file that a stage made") from error


def slice_file_digests(names: Iterable[str], root: Path) -> dict[str, str]:
    """Return the digest of every slice file, and of those whose images it refers to, by name.

    Args:
        names: of slice files, relative to ``root``.
        root: the cohort's results.

    Raises:
        FileFormatError: a file is missing, damaged or of another version.
    """
    found: dict[str, str] = {}
    waiting = sorted(set(names))
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        with SliceFile(root / name) as file:
            parent = str(file.attributes.get("parent", ""))
        found[name] = file_digest(root / name)
        if parent:
            waiting.append(os.path.normpath(os.path.join(os.path.dirname(name), parent)))
    return dict(sorted(found.items()))


def record_differences(table: pd.DataFrame, root: Path) -> Iterator[str]:
    """Yield where a row of a table says other things of a slice than the slice file does.

    Args:
        table: columns of ``SLICE_COLUMNS``.
        root: folder that the column ``file`` is relative to.

    Raises:
        FileFormatError: a file is missing or damaged.
    """
    for name, rows in table.sort_values(["group", "row"]).groupby("file", sort=True):
        with SliceFile(root / str(name)) as file:
            for row in rows.to_dict("records"):
                group, number = str(row["group"]), int(row["row"])
                where = f"{name}, {group}, row {number}"
                if group not in file.groups or not 0 <= number < len(file.slices(group)):
                    yield f"{where}: no such slice"
                    continue
                fields = file.slices(group)[number]
                held = {"key": slice_key(fields)}
                held |= {n: fields[n].decode() for n in ("patient", "origin", "host", "donor")}
                yield from _differing(where, row, held)


def _differing(where: str, row: Mapping[Hashable, Any], held: Mapping[str, str]) -> Iterator[str]:
    for column, value in held.items():
        if row[column] != value:
            yield f"{where}: {column} '{value}'; the table says '{row[column]}'"
