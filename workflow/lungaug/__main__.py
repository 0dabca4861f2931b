import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from lungaug import runs
from lungaug.aside import told_of
from lungaug.cli import main

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

WORKING = Path(".snakemake")
told_late: list[str] = []


def hear(unraisable: "UnraisableHookArgs") -> None:
    """A disk's fault that HDF5 meets while it throws objects away is told in a line as others."""
    fault = unraisable.exc_value
    told = told_of(fault) if isinstance(fault, Exception) else None
    if told is None:
        sys.__unraisablehook__(unraisable)
    else:
        told_late.append(told)


# Whose run was killed is still at work: the next run has to know.
if WORKING.is_dir():
    runs.enter(WORKING, alone=False)
sys.unraisablehook = hear
status = main()
if told_late and not status:
    sys.stderr.write(f"lungaug: {told_late[0]}\n")
    status = 1
if status:
    sys.stderr.flush()
    # HDF5 crashes at an orderly exit after a write that the disk had no room for.
    os._exit(status)
