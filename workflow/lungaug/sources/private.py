"""Files that hold identifiers: readable by their owner only."""

from __future__ import annotations

import os
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TextIO

from lungaug.aside import written_aside


class PrivateFile:
    """A text file of mode 0600, written aside and renamed when the ``with`` block ends well.

    Names that are no valid UTF-8 pass through.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> TextIO:
        private_folder(self._path.parent)
        with ExitStack() as stack:
            part = stack.enter_context(written_aside(self._path))
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            text = open(handle, "w", encoding="utf-8", errors="surrogateescape", newline="")
            file = stack.enter_context(text)
            self._finish = stack.pop_all()
        return file

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish.__exit__(kind, error, trace)


def private_folder(path: Path) -> None:
    """Make a folder that only its owner can enter; one that exists keeps its mode."""
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700, exist_ok=True)
