"""What the leakage audit decided and saw: compared by every stage before it trains something."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from lungaug.cohort import SPLIT_COLUMNS, read_table
from lungaug.errors import LeakageError
from lungaug.evaluation.seen import (
    SEEN,
    SLICES,
    SPLIT,
    TABLE,
    file_digest,
    record_differences,
    slice_file_digests,
    split_digest,
)

if TYPE_CHECKING:
    import pandas as pd

CHECKS = ("split", "roles", "table", "lineage", "pixels", "fingerprint")
COPIES = "copies"
"""Check of a fold alone: slices of two patients that are changed copies of one."""
PASSED = ("passed", "note")
_SHOWN = 5


def check_audit(
    audit: Path, fold: str, seen: Mapping[str, str], checks: Sequence[str] = (*CHECKS, COPIES)
) -> None:
    """Raise LeakageError unless every check of the audit passed on what is there now.

    Args:
        audit: ``audit.tsv`` of the fold, or that of an arm in it.
        fold: the fold that trains.
        seen: digests of what the training reads, by subject; see :mod:`lungaug.evaluation.seen`.
        checks: that it must have made; as they are, those of a fold.

    Raises:
        LeakageError: a check failed or is missing, the audit is of another fold, or it saw
            something else than is there now.
    """
    rows = read_table(audit, ("check", "subject", "outcome", "detail"))
    failed = rows[~rows["outcome"].isin(PASSED)]
    if len(failed):
        first = failed.iloc[0]
        raise LeakageError(
            f"{audit}: {len(failed)} checks did not pass; the first: {first['check']}, "
            f"{first['subject']}: {first['outcome']} {first['detail']}"
        )
    made = set(rows.loc[rows["subject"] == fold, "check"])
    missing = [check for check in checks if check not in made]
    if missing:
        raise LeakageError(
            f"{audit}: not a whole audit of fold '{fold}', which lacks the checks "
            f"{', '.join(missing)}; {_remedy(audit)}"
        )
    _compare(audit, rows[rows["check"] == SEEN], seen)


@dataclass(frozen=True)
class Audits:
    """What has to agree with the tables of a training on an arm before it begins.

    Attributes:
        fold: outcome of the fold's audit.
        arm: outcome of the arm's audit.
        split: table of roles that holds the fold.
    """

    fold: Path
    arm: Path
    split: Path


def check_audited(rows: pd.DataFrame, arm: Path, slices: Path, audits: Audits, root: Path) -> None:
    """Raise LeakageError unless a training reads what its audits saw: tables, records, bytes.

    Args:
        rows: all rows that train, validate or test, with the columns ``SLICE_COLUMNS``.
        arm, slices: the tables that they are from, the latter in the folder of its fold.
        audits: what was audited.
        root: folder that the tables' paths are relative to.

    Raises:
        LeakageError: an audit is not whole, is of another fold, split or table, or a slice file
            has changed since.
        FileFormatError: a slice file is missing or damaged.
    """
    fold = slices.parent.name
    division = read_table(audits.split, SPLIT_COLUMNS)
    both = {SPLIT: split_digest(division, fold), SLICES: file_digest(slices)}
    check_audit(audits.fold, fold, both)
    check_audit(audits.arm, fold, {**both, TABLE: file_digest(arm)}, CHECKS)
    _refuse(audits.arm, list(record_differences(rows, root)))
    check_audit(audits.arm, fold, slice_file_digests(rows["file"], root), CHECKS)


def _refuse(audit: Path, differences: Sequence[str]) -> None:
    if differences:
        lines = list(differences[:_SHOWN])
        if len(differences) > _SHOWN:
            lines.append(f"and {len(differences) - _SHOWN} more")
        raise LeakageError(
            "\n  ".join([f"{audit}: the audit saw something else; {_remedy(audit)}", *lines])
        )


def _remedy(audit: Path) -> str:
    """Return what to do about an audit that does not belong to what is there."""
    target = shlex.quote(str(audit))
    return (
        "restore what was changed by hand, or have it audited again: "
        f"snakemake --force {target} (and the --configfile of the run)"
    )


def _compare(audit: Path, rows: pd.DataFrame, seen: Mapping[str, str]) -> None:
    audited = dict(zip(rows["subject"], rows["detail"], strict=True))
    differences = []
    for subject, digest in seen.items():
        if subject not in audited:
            differences.append(f"{subject}: not among what was audited")
        elif audited[subject] != digest:
            was, now = audited[subject][:12], digest[:12]
            differences.append(f"{subject}: changed since its audit (digest {was}, now {now})")
    _refuse(audit, differences)
