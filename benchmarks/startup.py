"""How long a data stage takes to start: a process that imports it and ends."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec

from benchmarks.harness import Row

LIMITS_S = {
    "preprocess": 0.7,
    "metalung": 0.7,
    "scan": 1.5,
    "ingest": 1.5,
    "split": 1.5,
    "select": 1.5,
    "audit": 1.5,
    "arm": 1.5,
    "evaluate": 1.5,
    "tables": 1.5,
}
PEER = "import torch"


def startup(repeats: int) -> Iterator[Row]:
    """Wall time of the whole process, the least disturbed start, beside one that imports torch."""
    peer = min(_seconds([PEER], repeats)[PEER])
    stages = [stage for stage in LIMITS_S if find_spec(f"lungaug.stages.{stage}")]
    commands = {f"import lungaug.stages.{stage}": stage for stage in stages}
    for command, seconds in _seconds(list(commands), repeats).items():
        stage, fastest = commands[command], min(seconds)
        yield Row(
            f"start of stage {stage} / {PEER}",
            f"{fastest:.2f} s",
            f"{peer:.2f} s",
            f"{peer / fastest:.1f}",
            f"<= {LIMITS_S[stage]} s",
            fastest <= LIMITS_S[stage],
        )


def _seconds(commands: list[str], repeats: int) -> dict[str, list[float]]:
    """Interleaved; a first round, which fills the disk cache and writes bytecode, is dropped."""
    times: dict[str, list[float]] = {command: [] for command in commands}
    for _ in range(repeats + 1):
        for command in commands:
            start = time.perf_counter()
            subprocess.run([sys.executable, "-c", command], check=True)
            times[command].append(time.perf_counter() - start)
    return {command: seconds[1:] for command, seconds in times.items()}
