"""One CT image in its file, and what is said of files that are not used."""

from __future__ import annotations

import functools
import posixpath
from dataclasses import dataclass

from lungaug.sources.dicom_header import Header


@dataclass(frozen=True, slots=True)
class Image:
    """One CT image in its file; ``digest`` is of the whole file."""

    path: str
    digest: str
    header: Header

    @property
    def folder(self) -> str:
        return _folder_of(self.path)


# Asked for several times for each of hundreds of thousands of images.
@functools.lru_cache(maxsize=1 << 20)
def _folder_of(path: str) -> str:
    return posixpath.dirname(path)


@dataclass(frozen=True)
class Rejection:
    """A file, or one of its images, that is not used."""

    path: str
    reason: str
