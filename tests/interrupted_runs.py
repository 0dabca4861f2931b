"""Runs of the workflow, as people start them, that are stopped at a chosen file."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from workflow_runs import Copy, Run

TIMEOUT_S = 900.0
# Loaded by every Python of a job: stops at the n-th rename to a chosen name, until it is let go.
HOLD = """
import os, time

_replace, _seen = os.replace, []


def _held(source, target, **options):
    wanted, _, number = os.environ.get("HOLD_AT", "").partition("@")
    if wanted and str(target).endswith(wanted):
        _seen.append(target)
        if len(_seen) == int(number or 1):
            open(os.environ["HOLD_MARK"], "w").close()
            while os.path.exists(os.environ["HOLD_MARK"]):
                time.sleep(0.05)
    _replace(source, target, **options)


os.replace = _held
"""

_STARTED = re.compile(
    r"^(?:local)?(?:rule|checkpoint) (\w+):$.*?^    output: ([^,\n]+).*?^    jobid: (\d+)",
    re.MULTILINE | re.DOTALL,
)
_FINISHED = re.compile(r"^Finished jobid: (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Jobs:
    """What a run started and finished: rule and first output each."""

    started: set[tuple[str, str]]
    finished: set[tuple[str, str]]

    def rules(self) -> set[str]:
        return {rule for rule, _ in self.started}


@dataclass(frozen=True)
class Going:
    """A run that goes on in a process group of its own."""

    process: subprocess.Popen[bytes]
    mark: Path
    log: Path
    before: frozenset[Path]

    def wait_for_hold(self) -> None:
        """Until a job stands before the rename that was asked for."""
        end = time.monotonic() + TIMEOUT_S
        while not self.mark.exists():
            if self.process.poll() is not None or time.monotonic() > end:
                raise AssertionError(f"no job came to the file: {self.log.read_text()}")
            time.sleep(0.05)

    def jobs(self) -> Jobs:
        """Its jobs so far, whoever else has started since."""
        mine = next(log for log in _logs(self.log.parent) if log not in self.before)
        return _jobs(mine)

    def kill_all(self) -> None:
        """KILL to the run and all of its jobs."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(TIMEOUT_S)
        self.mark.unlink(missing_ok=True)

    def kill_alone(self) -> None:
        """KILL to Snakemake; its jobs go on."""
        self.process.kill()
        self.process.wait(TIMEOUT_S)

    def wait_for_jobs(self) -> None:
        """Until the jobs that it left behind have ended."""
        end = time.monotonic() + TIMEOUT_S
        while self._left():
            assert time.monotonic() < end, "a job goes on without end"
            time.sleep(0.05)

    def _left(self) -> bool:
        for process in psutil.process_iter(["status"]):
            with suppress(ProcessLookupError):
                mine = os.getpgid(process.pid) == self.process.pid
                if mine and process.info["status"] != psutil.STATUS_ZOMBIE:
                    return True
        return False

    def let_go(self) -> None:
        self.mark.unlink()

    def end(self) -> Run:
        """Wait until it has ended by itself."""
        status = self.process.wait(TIMEOUT_S)
        return Run(status, self.log.read_text(encoding="utf-8"))


def make_holdable(copy: Copy) -> None:
    """Outside the package, so that it makes nothing stale."""
    (copy.root / "workflow" / "sitecustomize.py").write_text(HOLD, encoding="utf-8")


@contextmanager
def going(copy: Copy, *arguments: str, config: str, hold_at: str = "") -> Iterator[Going]:
    """Start a run with the default profile; whatever is left of it at the end is killed.

    Args:
        copy: where.
        arguments: of snakemake.
        config: name of a file in ``tests/config``.
        hold_at: how the name of a file ends before which a job is to stop, ``@3`` for its third.
    """
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    command += ["--configfile", f"tests/config/{config}.yaml"]
    number = len(list(copy.root.glob("run*.log")))
    mark, log = copy.root / f"held{number}", copy.root / f"run{number}.log"
    environment = {**os.environ, "HOLD_AT": hold_at, "HOLD_MARK": str(mark), "COLUMNS": "300"}
    before = frozenset(_logs(copy.root))
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=copy.root,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    run = Going(process, mark, log, before)
    try:
        yield run
    finally:
        # Jobs may go on without their run.
        if process.poll() is None or run._left():
            run.kill_all()


def finish(copy: Copy, *arguments: str, config: str) -> Run:
    """A run to its end."""
    with going(copy, *arguments, config=config) as run:
        return run.end()


def jobs_of(copy: Copy) -> Jobs:
    """The jobs of the run that started last."""
    return _jobs(_logs(copy.root)[-1])


def _logs(root: Path) -> list[Path]:
    """Snakemake's own, in the order of the runs: their names are times."""
    return sorted((root / ".snakemake" / "log").glob("*.log"))


def _jobs(log: Path) -> Jobs:
    text = log.read_text(encoding="utf-8")
    started = {number: (rule, output) for rule, output, number in _STARTED.findall(text)}
    finished = {started[number] for number in _FINISHED.findall(text) if number in started}
    return Jobs(set(started.values()), finished)
