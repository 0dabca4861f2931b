"""Files that are written aside and renamed: no half file keeps its name, and none stays behind."""

from __future__ import annotations

import errno
import glob
import os
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from lungaug.errors import StorageError

AGAIN = "then run the same command again: what is finished is kept"
_FAULTS = {
    errno.ENOSPC: f"no space left on the disk; free some, {AGAIN}",
    errno.EDQUOT: f"your quota of the disk is used up; free some of it, {AGAIN}",
    errno.EROFS: f"the file system is read-only; make it writable or choose another, {AGAIN}",
    errno.EACCES: f"permission denied; make it accessible, {AGAIN}",
    errno.EPERM: f"operation not permitted; make it accessible, {AGAIN}",
    errno.EIO: f"the disk has a fault (input/output error); look at it, {AGAIN}",
}
# HDF5 tells of the system's error in the middle of a long text, as OSError or RuntimeError.
_ERRNO = re.compile(r"errno = (\d+)|\[Errno (\d+)\]")


def part_of(path: Path) -> Path:
    """The name under which ``path`` is written first, each time another."""
    return path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")


def remove_parts(path: Path) -> None:
    """Remove what processes left that were killed while they wrote ``path``.

    No two jobs write one file at the same time, so that whatever lies there is dead.
    """
    for part in path.parent.glob(f".{glob.escape(path.name)}.*.part"):
        part.unlink(missing_ok=True)


@contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """The name to write ``path`` under; it is renamed when the ``with`` block ends well.

    Raises:
        StorageError: the disk is full, read-only or closed to the user.
    """
    part = part_of(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_parts(path)
        yield part
        os.replace(part, path)
    except (OSError, RuntimeError) as error:
        told = told_of(error)
        if told is None:
            raise
        # What else is opened meanwhile, an input for example, has a name of its own.
        other = getattr(error, "filename", None)
        of_part = other is None or str(other) == str(part)
        raise StorageError(f"{path if of_part else other}: {told}") from error
    finally:
        _discard(part)


def told_of(error: Exception) -> str | None:
    """What is wrong with the disk and what to do about it; None if it is something else."""
    found = _ERRNO.search(str(error))
    number = getattr(error, "errno", None) or (int(found[1] or found[2]) if found else 0)
    return _FAULTS.get(number)


def _discard(part: Path) -> None:
    """Remove a part, its blocks first: whoever holds it open would keep a full disk full."""
    with suppress(OSError):
        os.truncate(part, 0)
    with suppress(OSError):
        part.unlink(missing_ok=True)
