"""A SLURM of one node (``tests/slurm/cluster``): what it ran, and the workflow run through it."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from workflow_runs import Copy, Run

SCRIPT = Path(__file__).with_name("cluster")
LOOKING_OFTEN = Path(__file__).with_name("looking_often.py")
LOCK = Path(tempfile.gettempdir()) / "lungaug-slurm.lock"
DEVICES = Path(os.environ.get("LUNGAUG_SLURM_STATE", "/run/lungaug-slurm")) / "devices.txt"
# What a test's cluster needs and a user's does not: it has no accounting database, and jobs that
# last seconds are looked at often.
FOR_TESTS = (
    "--slurm-status-command=squeue",
    "--slurm-init-seconds-before-status-checks=1",
)


@dataclass(frozen=True)
class Job:
    """A SLURM job as ``squeue`` knows it."""

    number: str
    rule: str  # with wildcards; a group's name and rules
    cpus: int
    mb: int
    gpus: int
    limit: int  # minutes
    state: str
    seconds: int

    @property
    def name(self) -> str:
        """Of the rule or group alone."""
        return self.rule.split("_wildcards_")[0]

    @classmethod
    def of_line(cls, line: str) -> Job:
        number, rule, cpus, memory, devices, limit, state, duration = line.rstrip("|").split("|")
        asked = re.search(r"gpu:(\d+)", devices)
        return cls(
            number,
            rule.removeprefix("rule_"),
            int(cpus),
            _mb(memory),
            int(asked[1]) if asked else 0,
            _seconds(limit) // 60,
            state,
            _seconds(duration),
        )


def _mb(memory: str) -> int:
    """Of SLURM's notation."""
    factor = {"M": 1, "G": 1024}[memory[-1]]
    return round(float(memory[:-1]) * factor)


def _seconds(duration: str) -> int:
    """Of minutes and seconds, with hours and days where there are any."""
    days, _, rest = duration.rpartition("-")
    seconds = 0
    for part in rest.split(":"):
        seconds = 60 * seconds + int(part)
    return 86400 * int(days or 0) + seconds


@contextmanager
def one_node() -> Iterator[None]:
    """Within: a SLURM, for one test process at a time.

    Without its packages the test is skipped, or fails under LUNGAUG_REQUIRE_ALL=1.
    """
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        started = cluster("up")
        if started.returncode:
            reason = started.stderr.strip()
            if os.environ.get("LUNGAUG_REQUIRE_ALL") == "1":
                pytest.fail(reason)
            pytest.skip(reason)
        try:
            yield
        finally:
            cluster("down")


def cluster(action: str) -> subprocess.CompletedProcess[str]:
    """Call the script."""
    return subprocess.run([SCRIPT, action], capture_output=True, text=True, timeout=90, check=False)


def jobs() -> list[Job]:
    """All jobs since the cluster is up, in the order of their submission."""
    lines = cluster("jobs").stdout.splitlines()
    return sorted((Job.of_line(line) for line in lines), key=lambda job: int(job.number))


def devices_seen() -> dict[str, str]:
    """CUDA_VISIBLE_DEVICES as each job's processes saw it, by the job's number."""
    lines = DEVICES.read_text(encoding="utf-8").splitlines()
    return dict(line.split(maxsplit=1) for line in lines)


def through_slurm(copy: Copy, *arguments: str, config: str) -> Run:
    """Run the workflow as docs/clusters.md says, with ``tests/config/<config>.yaml``."""
    command = [sys.executable, str(LOOKING_OFTEN), "--workflow-profile", "profiles/slurm"]
    command += [*FOR_TESTS, *arguments, "--configfile", f"tests/config/{config}.yaml"]
    done = subprocess.run(
        command, cwd=copy.root, capture_output=True, text=True, timeout=2400, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


@dataclass
class Killer:
    """Cancels the first job of a rule as soon as its training has left a checkpoint."""

    checkpoint: Path
    rule: str
    killed: list[str] = field(default_factory=list)  # the job's number
    _stop: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Killer:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.is_set() and not self.killed:
            if self.checkpoint.is_file():
                self._kill()
            time.sleep(0.05)

    def _kill(self) -> None:
        for job in jobs():
            if job.rule == self.rule and job.state == "RUNNING":
                subprocess.run(["scancel", job.number], check=True, timeout=30)
                self.killed.append(job.number)
