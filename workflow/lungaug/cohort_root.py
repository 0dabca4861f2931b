"""Remember which source folder a cohort was read from, so that no other takes its name.

The tables, the key and the ledger of a cohort go by its name. A folder that moved is the same
cohort; two folders that both exist are two. Standard library only, as the Snakefile calls this.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from lungaug.aside import written_aside
from lungaug.errors import SettingError

NAME = "source.json"
_NAMES = "surrogateescape"


def check(private: Path, cohort: str, root: str, made: Sequence[Path]) -> None:
    """Check that a cohort was not read from another source folder that still exists.

    Args:
        private: the private folder of the cohort, where its source folder is recorded.
        cohort: its name.
        root: the source folder of the configuration.
        made: files that another cohort would replace; as long as there is none, any folder will
            do.

    Raises:
        SettingError: it was.
    """
    before = _recorded(private)
    if before is None or _same(before, root) or not os.path.isdir(before):
        return
    if not any(path.exists() for path in made):
        return
    raise SettingError(
        f"cohort: {cohort!r} was read from {before!r}, which still exists, and source.root is "
        f"{root!r}; for other patients choose another cohort name: tables, key and ledger go by "
        f"it; if these are the same patients, delete {str(private / NAME)!r} and run again"
    )


def claim(private: Path, cohort: str, root: str, made: Sequence[Path]) -> None:
    """Check as :func:`check` does, and record the source folder, one run after the other.

    Raises:
        SettingError: the cohort was read from another folder that still exists.
        StorageError: the record cannot be written.
    """
    private.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _alone(private):
        check(private, cohort, root, made)
        wanted = _portable(root)
        if _recorded(private) != wanted:
            with written_aside(private / NAME) as part:
                handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                with open(handle, "w", encoding="utf-8", errors=_NAMES) as file:
                    json.dump({"root": wanted}, file, ensure_ascii=False)


def _recorded(private: Path) -> str | None:
    """The recorded folder; none where there is no record, or none that can be read."""
    try:
        text = (private / NAME).read_text(encoding="utf-8", errors=_NAMES)
        found = json.loads(text)["root"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return found if isinstance(found, str) else None


def _same(before: str, root: str) -> bool:
    with suppress(OSError):
        return os.path.samefile(before, root)
    return before == _portable(root)


def _portable(root: str) -> str:
    """The folder without links; relative inside the working copy, which may be copied whole."""
    real, here = os.path.realpath(root), os.path.realpath(os.curdir)
    inside = os.path.commonpath([real, here]) == here
    return os.path.relpath(real, here) if inside else real


@contextmanager
def _alone(private: Path) -> Iterator[None]:
    """Keep other runs waiting; where the file system has no locks, none waits."""
    with open(private / f".{NAME}.lock", "a", encoding="utf-8") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
