"""Written aside and renamed: half files leave nothing, and a full disk is one line."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from lungaug.aside import told_of, written_aside
from lungaug.cli import main
from lungaug.errors import StorageError

IN_HDF5 = "Unable to flush raw data (file write failed: errno = 28, error message = 'No space …')"


def test_the_file_is_there_when_the_block_has_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    with written_aside(path) as part:
        part.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_the_former_file_survives_a_fault(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("former")

    def fail() -> None:
        with written_aside(path) as part:
            part.write_text("ha")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert [one.read_text() for one in tmp_path.iterdir()] == ["former"]


def test_what_a_killed_process_left_goes_with_the_next_attempt(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.4711.0f0f0f0f.part").write_text("half")
    other = tmp_path / ".b.txt.4711.0f0f0f0f.part"
    other.write_text("of another file")
    with written_aside(tmp_path / "a.txt") as part:
        part.write_text("whole")
    assert sorted(tmp_path.iterdir()) == [other, tmp_path / "a.txt"]


@pytest.mark.parametrize(
    "error",
    [
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
        OSError(f"Driver write request failed: {IN_HDF5}"),
        RuntimeError(IN_HDF5),
    ],
)
def test_a_full_disk_is_told_with_the_file(tmp_path: Path, error: Exception) -> None:
    def fail() -> None:
        with written_aside(tmp_path / "a.h5"):
            raise error

    with pytest.raises(StorageError, match=r"a\.h5: no space left on the disk; free some, then"):
        fail()
    assert not list(tmp_path.iterdir())


def test_a_fault_of_an_input_names_the_input(tmp_path: Path) -> None:
    fault = PermissionError(errno.EACCES, "Permission denied", "source/image.dcm")
    with (
        pytest.raises(StorageError, match=r"^source/image.dcm: permission denied"),
        written_aside(tmp_path / "b00.h5"),
    ):
        raise fault


def test_other_faults_pass(tmp_path: Path) -> None:
    def fail() -> None:
        with written_aside(tmp_path / "a.h5"):
            raise RuntimeError("a mistake in the code")

    with pytest.raises(RuntimeError, match="a mistake"):
        fail()
    assert told_of(FileNotFoundError(errno.ENOENT, "no such file")) is None


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.EROFS, "read-only"), (errno.EACCES, "permission denied"), (errno.EDQUOT, "quota")],
)
def test_the_command_line_tells_it_in_one_line(
    number: int, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*, output: Path) -> None:
        raise OSError(number, os.strerror(number), str(output))

    monkeypatch.setattr("lungaug.stages.schema.run", fail)
    assert main(["schema", "--output", "some/file"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("lungaug schema: some/file: ")
    assert words in said
    assert said.count("\n") == 1
