"""Run one stage in this process and print its peak memory in MB on the last line.

The peak is ``VmHWM`` where Linux gives it: ``ru_maxrss`` of a child starts at what its parent held
when it was forked.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path

from lungaug.cli import main


def peak_mb() -> float:
    """Largest resident memory of this process so far, MB (10^6 bytes)."""
    status = Path("/proc/self/status")
    if status.exists():
        lines = status.read_text().splitlines()
        return next(int(x.split()[1]) for x in lines if x.startswith("VmHWM")) * 1024 / 1e6
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


if __name__ == "__main__":
    failed = main(sys.argv[1:])
    print(peak_mb())
    sys.exit(failed)
