"""Files that were meant to be images and cannot be read, by the folder in which they lie.

Of such a file nothing says whose it is but the images beside it.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence

from lungaug.sources.headers import Entry
from lungaug.sources.plan import DamagedFile, PlannedFile

_NUMBERS = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
"""Runs of decimal or hexadecimal digits."""
_LIKE_THE_OTHERS = "not a DICOM file, though named like the images beside it"


def damaged_files(entries: Sequence[Entry]) -> dict[str, list[DamagedFile]]:
    """The damaged images of a tree by folder.

    They are those that the index calls damaged, and files that are nothing known to us but whose
    names differ from an image's in the same folder in numbers only: images without a suffix.
    """
    suspects = [entry for entry in entries if entry.kind in ("damaged", "other")]
    folders = {posixpath.dirname(entry.path) for entry in suspects}
    images = (e.path for e in entries if e.headers and posixpath.dirname(e.path) in folders)
    shapes = {_shape(path) for path in images}
    found: dict[str, list[DamagedFile]] = defaultdict(list)
    for entry in suspects:
        if entry.kind == "damaged" or _shape(entry.path) in shapes:
            file = PlannedFile(entry.path, entry.digest)
            found[posixpath.dirname(entry.path)].append(
                DamagedFile(file, entry.fault or _LIKE_THE_OTHERS)
            )
    return found


def _shape(path: str) -> tuple[str, str]:
    """Folder, and name without its numbers."""
    folder, name = posixpath.split(path)
    return folder, _NUMBERS.sub("#", name.lower())
