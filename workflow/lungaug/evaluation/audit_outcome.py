"""What the leakage audit decided: read by every stage that trains something."""

from __future__ import annotations

from pathlib import Path

from lungaug.cohort import read_table
from lungaug.errors import LeakageError

PASSED = ("passed", "note")


def check_audit(audit: Path) -> None:
    """Nothing, where every check of the audit passed.

    Raises:
        LeakageError: one did not, or none was made.
    """
    rows = read_table(audit, ("check", "subject", "outcome", "detail"))
    failed = rows[~rows["outcome"].isin(PASSED)]
    if rows.empty:
        raise LeakageError(f"{audit}: no check was made; accepted: an audit whose checks passed")
    if len(failed):
        first = failed.iloc[0]
        raise LeakageError(
            f"{audit}: {len(failed)} checks did not pass; the first: {first['check']}, "
            f"{first['subject']}: {first['outcome']} {first['detail']}"
        )
