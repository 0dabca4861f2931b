"""Runs know of each other by a lock of the kernel's, which ends with the process that holds it.

Snakemake's own locks are files, and those of a killed run stay: the next run would be refused.
Whoever finds no other process at work in a folder may therefore remove them. Two runs at once
are still for Snakemake to refuse, by those files.
"""

from __future__ import annotations

import fcntl
import os
import platform
import tempfile
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import TextIO

from lungaug.aside import told_of
from lungaug.errors import StorageError

_held: dict[Path, TextIO] = {}


def enter(folder: Path, alone: bool) -> str:
    """Be present in a working folder until this process ends.

    Args:
        folder: Snakemake's, ``.snakemake``.
        alone: look for others, and clean up after the dead if there are none; not for a job
            of a run, which has its run beside it.

    Returns:
        Who else is at work here, as a sentence; '' for nobody, or where it cannot be known.
    """
    place = folder.resolve()
    if place in _held:
        return ""
    try:
        folder.mkdir(exist_ok=True)
        file = (folder / "lungaug.runs").open("a+", encoding="utf-8")
    except OSError:  # Snakemake says so itself
        return ""
    _held[place] = file
    try:
        others = _clean_up(file, folder) if alone else ""
        fcntl.flock(file, fcntl.LOCK_SH)
    except OSError:  # a file system without locks, or somebody else's: Snakemake's remain
        with suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_UN)
        return ""
    return others


def sign(folder: Path) -> None:
    """Leave word of who works here, for a run that comes to wait."""
    file = _held.get(folder.resolve())
    if file is not None:
        _write(file, f"process {os.getpid()} on {platform.node()}, since {datetime.now():%F %R}")


def check_writable(folders: list[Path]) -> None:
    """Try whether folders, or those in which they are to be made, can be written to.

    Raises:
        StorageError: one cannot.
    """
    for folder in folders:
        made = next(one for one in (folder, *folder.absolute().parents) if one.is_dir())
        try:
            with tempfile.TemporaryFile(dir=made) as file:
                file.write(b"room for this")
        except OSError as error:
            told = told_of(error) or error.strerror
            raise StorageError(f"{folder} cannot be written to: {told}") from error


def _clean_up(file: TextIO, folder: Path) -> str:
    locks = sorted((folder / "locks").glob("*.lock"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if not locks:
            return ""
        file.seek(0)
        who = file.read().strip() or "of which nothing is known yet"
        return (
            f"another run is at work in this folder ({who}), or jobs that it left behind: "
            "wait for it, or stop it, and run the same command again"
        )
    if locks and (elsewhere := _elsewhere(file)):
        return (
            f"the last run in this folder was on another machine ({elsewhere}), and no lock of the "
            "kernel's tells from here whether it still is at work: once it is not, clear its "
            "locks with snakemake --unlock"
        )
    _write(file, "")
    for lock in locks:
        lock.unlink(missing_ok=True)
    return ""


def _elsewhere(file: TextIO) -> str:
    """Who signed, if that was on another machine: some file systems lock on each one for itself."""
    file.seek(0)
    who = file.read().strip()
    return who if who and f" on {platform.node()}," not in who else ""


def _write(file: TextIO, text: str) -> None:
    file.seek(0)
    file.truncate()
    file.write(text)
    file.flush()
