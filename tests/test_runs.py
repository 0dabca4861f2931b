"""Runs in one folder: locks of the dead are removed, those of the living are not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lungaug import runs
from lungaug.errors import StorageError

WORKER = """
import sys
from pathlib import Path
from lungaug import runs
print(runs.enter(Path("work"), alone={alone}), flush=True)
if {alone}:
    runs.sign(Path("work"))
print("in", flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(folder: Path, alone: bool) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Another process at work in ``folder/work``, and what it was told."""
    code = WORKER.format(alone=alone)
    environment = {"PYTHONPATH": str(Path(runs.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stdout is not None
        told = process.stdout.readline().strip()
        assert process.stdout.readline() == "in\n"
        yield process, told
        process.kill()


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    path = tmp_path / "work" / "locks" / "0.output.lock"
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_locks_of_a_killed_run_are_removed(tmp_path: Path, lock: Path) -> None:
    with worker(tmp_path, alone=True) as (_, told):
        assert told == ""
        assert not lock.exists()


@pytest.mark.parametrize("is_run", [True, False])
def test_whoever_is_at_work_keeps_the_locks(tmp_path: Path, lock: Path, is_run: bool) -> None:
    """A run, or a job that outlived its run; a second kill frees the folder."""
    with worker(tmp_path, alone=is_run) as (first, _):
        lock.touch()
        with worker(tmp_path, alone=True) as (_, told):
            assert told.startswith("another run is at work in this folder (")
            assert (f"process {first.pid} on " in told) == is_run
            assert lock.exists()
    with worker(tmp_path, alone=True) as (_, told):
        assert told == ""
        assert not lock.exists()


def test_locks_of_another_machine_are_left(tmp_path: Path, lock: Path) -> None:
    """Where a file system locks on each machine for itself, nothing is known of that one."""
    (tmp_path / "work" / "lungaug.runs").write_text("process 7 on elsewhere, since yesterday")
    with worker(tmp_path, alone=True) as (_, told):
        assert told.startswith("the last run in this folder was on another machine (process 7 on")
        assert lock.exists()
    lock.unlink()
    with worker(tmp_path, alone=True) as (_, told):
        assert told == ""


def test_a_lock_that_cannot_be_removed_holds_nobody_up(tmp_path: Path, lock: Path) -> None:
    lock.unlink()
    lock.mkdir()  # nobody can unlink a folder
    with worker(tmp_path, alone=True) as (_, told):
        assert told == ""
        with worker(tmp_path, alone=False) as (_, told):
            assert told == ""


def test_jobs_stand_beside_their_run(tmp_path: Path, lock: Path) -> None:
    with worker(tmp_path, alone=True):
        lock.touch()
        with worker(tmp_path, alone=False) as (_, told):
            assert told == ""
            assert lock.exists()


def test_who_only_looks_is_no_reason_to_wait(tmp_path: Path) -> None:
    with worker(tmp_path, alone=True), worker(tmp_path, alone=True) as (_, told):
        assert told == ""


def test_a_folder_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs.check_writable([tmp_path, tmp_path / "to" / "be made"])
    assert not list(tmp_path.iterdir())

    def refuse(**_: object) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(StorageError, match="made cannot be written to: the file system is read-on"):
        runs.check_writable([tmp_path / "to" / "be made"])
