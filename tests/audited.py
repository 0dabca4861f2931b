"""Outcomes of audits as the stages write them, for trainings whose audit is not what is tested."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lungaug.cohort import SPLIT_COLUMNS, read_table, write_rows
from lungaug.evaluation.audit_outcome import CHECKS, COPIES
from lungaug.evaluation.seen import (
    SEEN,
    SLICES,
    SPLIT,
    TABLE,
    file_digest,
    slice_file_digests,
    split_digest,
)

COLUMNS = ("check", "subject", "outcome", "detail")


def write_audit(path: Path, fold: str, seen: Mapping[str, str]) -> None:
    """Write an audit of a fold all of whose checks passed, and what it saw."""
    checks = [(check, fold, "passed", "") for check in (*CHECKS, COPIES)]
    rows = [*checks, *((SEEN, subject, "passed", digest) for subject, digest in seen.items())]
    write_rows(path, COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])


def write_audits(
    *, fold_audit: Path, arm_audit: Path, arm: Path, slices: Path, split: Path
) -> None:
    """Write the audits of a fold and an arm in it: of what lies there now."""
    fold, root = slices.parent.name, slices.parent
    both = {SPLIT: split_digest(read_table(split, SPLIT_COLUMNS), fold)}
    both[SLICES] = file_digest(slices)
    write_audit(fold_audit, fold, both)
    names = {*read_table(arm)["file"], *read_table(slices)["file"]}
    files = slice_file_digests([n for n in names if (root / n).is_file()], root)
    write_audit(arm_audit, fold, {**both, TABLE: file_digest(arm), **files})
