"""Snakemake's command line, whose executor looks at its jobs every second or two.

The SLURM executor waits ten seconds more after each look at which no job has ended, and no setting
bounds that: jobs that last seconds would mostly wait to be seen.
"""

from __future__ import annotations

import sys
from typing import Any

from snakemake.cli import main
from snakemake_interface_executor_plugins.executors.remote import RemoteExecutor

SECONDS = 2

_unbounded: Any = RemoteExecutor.next_seconds_between_status_checks


def _bounded(executor: RemoteExecutor) -> int:
    wanted: int = _unbounded.fget(executor)
    return min(wanted, SECONDS)


if __name__ == "__main__":
    RemoteExecutor.next_seconds_between_status_checks = property(_bounded, _unbounded.fset)
    sys.exit(main(sys.argv[1:]))
