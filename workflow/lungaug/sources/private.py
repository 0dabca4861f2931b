"""Files that hold identifiers: readable by their owner only."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TextIO


class PrivateFile:
    """A text file of mode 0600, written aside and renamed when the ``with`` block ends well.

    Names that are no valid UTF-8 pass through.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")

    def __enter__(self) -> TextIO:
        private_folder(self._path.parent)
        self._part.unlink(missing_ok=True)
        handle = os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self._file = os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape", newline="")
        return self._file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()
        if kind is None:
            os.replace(self._part, self._path)
        else:
            self._part.unlink(missing_ok=True)


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; one that exists keeps its mode."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
