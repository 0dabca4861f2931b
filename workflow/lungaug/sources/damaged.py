"""Files that were meant to be images and cannot be read, by the folder in which they lie.

Of such a file nothing says whose it is but the images in the same folder.
"""

from __future__ import annotations

import posixpath
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from lungaug.sources.headers import DANGLING, EMPTY, NOT_DICOM, Entry
from lungaug.sources.plan import DamagedFile, PlannedFile

_NUMBERS = re.compile(r"[0-9a-f]*[0-9][0-9a-f]*")
"""Runs of decimal or hexadecimal digits."""
_LIKE_THE_OTHERS = "not a DICOM file, though named like the images in its folder"


@dataclass(frozen=True)
class Suspect:
    """A file that may have been an image.

    Attributes:
        damaged: the file and what is wrong with it.
        has_content: it begins like a DICOM file. One that does not (an empty or a foreign file with
            the suffix of an image) was an image only if something else says so.
    """

    damaged: DamagedFile
    has_content: bool


def suspects(entries: Sequence[Entry]) -> dict[str, list[Suspect]]:
    """Return the damaged images of a tree by folder.

    They are those that the index calls damaged, and files that are nothing known to us but whose
    names differ from an image's in the same folder in numbers only: images without a suffix.
    """
    possible = [entry for entry in entries if entry.kind in ("damaged", "other")]
    folders = {posixpath.dirname(entry.path) for entry in possible}
    images = (e.path for e in entries if e.images and posixpath.dirname(e.path) in folders)
    shapes = {_shape(path) for path in images}
    found: dict[str, list[Suspect]] = defaultdict(list)
    for entry in possible:
        if entry.kind == "damaged" or _shape(entry.path) in shapes:
            reason = entry.fault if entry.kind == "damaged" or not entry.size else _LIKE_THE_OTHERS
            file = DamagedFile(PlannedFile(entry.path, entry.digest), reason)
            has_content = reason not in (EMPTY, DANGLING, NOT_DICOM, _LIKE_THE_OTHERS)
            found[posixpath.dirname(entry.path)].append(Suspect(file, has_content))
    return found


def _shape(path: str) -> tuple[str, str]:
    """Folder, and name without its numbers."""
    folder, name = posixpath.split(path)
    return folder, _NUMBERS.sub("#", name.lower())
