"""Who is in which batch, and who trains: what rules ask of ``cohort.tsv`` and ``split.tsv``.

Standard library only, as for all that the Snakefile imports. Snakemake asks these for every job and
every pass over the DAG: each table is read and sorted into batches and folds once a version.
"""

from __future__ import annotations

import csv
import functools
import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

Row = Mapping[str, str]


def rows(path: Path) -> Sequence[Row]:
    """The rows of a tab-separated file, read once a version."""
    return _rows(str(path), os.stat(path).st_mtime_ns)


def batches(cohort: Path) -> list[str]:
    """The batches that have patients, in order."""
    return sorted(_batches(str(cohort), os.stat(cohort).st_mtime_ns))


def digests(cohort: Path, batch: str) -> list[str]:
    """What a batch's files hold, by patient: changes when a file of theirs does."""
    members = _batches(str(cohort), os.stat(cohort).st_mtime_ns).get(batch, ())
    return sorted(f"{row['patient']}:{row['digest']}" for row in members)


def published_parts(cohort: Path) -> list[str]:
    """Who is published as a training or test patient: changes when that does."""
    return sorted(f"{row['patient']}:{row['part']}" for row in rows(cohort) if row.get("part", ""))


def training_patients(cohort: Path, split: Path, batch: str, fold: str | None) -> list[str]:
    """Patients of a batch that train, in order.

    Args:
        cohort: path of the table of patients and batches.
        split: path of the table of roles.
        batch: its name.
        fold: a full fold; None for those that train in any.
    """
    versions = os.stat(cohort).st_mtime_ns, os.stat(split).st_mtime_ns
    return list(_training(str(cohort), str(split), versions, fold).get(batch, ()))


def training_batches(cohort: Path, split: Path, fold: str) -> list[str]:
    """The batches with patients that train in a full fold, in order."""
    versions = os.stat(cohort).st_mtime_ns, os.stat(split).st_mtime_ns
    return sorted(_training(str(cohort), str(split), versions, fold))


@functools.lru_cache(maxsize=8)
def _rows(path: str, mtime_ns: int) -> Sequence[Row]:
    with open(path, newline="", encoding="utf-8") as file:
        return tuple(csv.DictReader(file, delimiter="\t"))


@functools.lru_cache(maxsize=2)
def _batches(cohort: str, mtime_ns: int) -> Mapping[str, Sequence[Row]]:
    """Rows of every batch, sorted by patient."""
    return _grouped(_rows(cohort, mtime_ns))


@functools.lru_cache(maxsize=2)
def _roles(split: str, mtime_ns: int) -> Mapping[str, frozenset[str]]:
    """Who trains in every fold."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for row in _rows(split, mtime_ns):
        if row["role"] == "train":
            found[row["fold"]].add(row["patient"])
    return {fold: frozenset(patients) for fold, patients in found.items()}


# A fold each, and all folds together.
@functools.lru_cache(maxsize=64)
def _training(
    cohort: str, split: str, versions: tuple[int, int], fold: str | None
) -> Mapping[str, Sequence[str]]:
    """Who trains in every batch that has such patients."""
    roles = _roles(split, versions[1])
    train = frozenset().union(*roles.values()) if fold is None else roles.get(fold, frozenset())
    members = _batches(cohort, versions[0]).items()
    found = {
        batch: [row["patient"] for row in of_batch if row["patient"] in train]
        for batch, of_batch in members
    }
    return {batch: patients for batch, patients in found.items() if patients}


def _grouped(table: Iterable[Row]) -> Mapping[str, Sequence[Row]]:
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in sorted(table, key=lambda row: row["patient"]):
        groups[row["batch"]].append(row)
    return groups
