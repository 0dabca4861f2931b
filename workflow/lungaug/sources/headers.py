"""A private index of what lies in a folder tree: headers of DICOM files, masks, annotations.

A file is opened again only when its size or modification time changed, so that one new patient does
not cost reading every header of the cohort. The index holds identifiers as they stand and is for
its owner only.
"""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import posixpath
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, BinaryIO, Literal

from lungaug.errors import InputError
from lungaug.sources import lidc
from lungaug.sources.dicom_header import Header, bare_header, looks_like_dicom, read_headers
from lungaug.sources.file_kinds import kind_of, png_size
from lungaug.sources.private import PrivateFile

INDEX_VERSION = f"headers 3 {','.join(field.name for field in dataclasses.fields(Header))}"
"""Change the number when an unchanged file would be described otherwise; fields are in it."""

EMPTY = "empty file"
DANGLING = "link to a file that does not exist"
NOT_DICOM = "not a DICOM file, in spite of its name"

Kind = Literal["image", "damaged", "mask", "annotations", "other"]

_SUFFIXES = frozenset({".dcm", ".dicom", ".ima"})
_COLUMNS = ("path", "size", "mtime_ns", "digest", "kind", "fault", "content")
_START = 2048
_XML_START = 1 << 18


@dataclass(frozen=True, slots=True)
class Entry:
    """One file of a tree.

    Attributes:
        path: relative to the tree, with slashes.
        size: bytes.
        mtime_ns: modification time.
        digest: hash of the bytes; '' where nothing uses the file.
        kind: what it is to us; ``damaged`` is what may have been an image, as its name or its
            preamble says, and cannot be read.
        fault: why it cannot be used; '' where it can.
        headers: the images of a DICOM file, one a frame; of a file with a fault its identifiers, as
            far as they are known; of a PNG its size.
        uids: of annotations: the series they were made on, then its slices.
    """

    path: str
    size: int
    mtime_ns: int
    digest: str
    kind: Kind
    fault: str = ""
    headers: tuple[Header, ...] = ()
    uids: tuple[str, ...] = ()

    @property
    def images(self) -> tuple[Header, ...]:
        """The images that can be used."""
        return self.headers if self.kind == "image" and not self.fault else ()


def update_index(root: Path, index: Path, include: tuple[str, ...] = ()) -> list[Entry]:
    """Bring the index of a tree up to date and return its files, sorted by path.

    Hidden files and folders are not read, but listed. Links are followed, each folder once.

    Args:
        root: the tree.
        index: the private file that keeps what is known between runs.
        include: patterns of paths below ``root``, such as ``scan_*``, each of which stands for
            everything below it; empty means everything.

    Raises:
        InputError: ``root`` is no folder, or a folder in it cannot be listed.
    """
    known = {entry.path: entry for entry in _read_index(index)}
    entries = []
    for found in _walk(root, include):
        entry = known.get(found.path)
        if found.fault:
            entry = found
        elif entry is None or (entry.size, entry.mtime_ns) != (found.size, found.mtime_ns):
            entry = _look_at(root, found.path, found.size, found.mtime_ns)
        entries.append(entry)
    if entries != list(known.values()):
        _write_index(index, entries)
    return entries


def _walk(root: Path, include: tuple[str, ...]) -> Iterator[Entry]:
    """Every file, sorted by path: size and time of those to read, the fault of the others."""
    if not root.is_dir():
        raise InputError(f"root: {root} is not a folder; accepted: a folder of DICOM files")
    found = []
    for folder, names in _folders(root):
        paths = ((folder / name).relative_to(root).as_posix() for name in names)
        found += [path for path in paths if _included(path, include)]
    for path in sorted(found):
        yield _listed(root, path)


def _listed(root: Path, path: str) -> Entry:
    """A file as the system lists it; a fault without reading it where it cannot be an image."""
    name = posixpath.basename(path)
    try:
        status = (root / path).stat()
    except FileNotFoundError:
        return Entry(path, 0, 0, "", _kind_by_name(name), DANGLING)
    entry = Entry(path, status.st_size, status.st_mtime_ns, "", "other")
    if name.startswith("."):
        return replace(entry, fault="hidden: not read")
    return entry if stat.S_ISREG(status.st_mode) else replace(entry, fault="no regular file")


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    """Folders with the names in them that are no folders, or hidden ones."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, files in os.walk(root, onerror=_refuse, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        hidden = [name for name in folders if name.startswith(".")]
        folders[:] = sorted(set(folders) - set(hidden))
        yield Path(folder), [*files, *hidden]


def _refuse(error: OSError) -> None:
    reason = type(error).__name__
    raise InputError(f"root: a folder below it cannot be listed ({reason})") from None


def _included(path: str, include: tuple[str, ...]) -> bool:
    return not include or any(fnmatch(path, p) or fnmatch(path, f"{p}/*") for p in include)


def _suffix(path: str) -> str:
    return posixpath.splitext(path)[1].lower()


def _kind_by_name(path: str) -> Kind:
    """What a file was meant to be whose content says nothing."""
    suffix = _suffix(path)
    meant: dict[str, Kind] = {".png": "mask", ".xml": "annotations"}
    return "damaged" if suffix in _SUFFIXES else meant.get(suffix, "other")


def _look_at(root: Path, path: str, size: int, mtime_ns: int) -> Entry:
    suffix = _suffix(path)
    kind = _kind_by_name(path)
    if size == 0:
        return Entry(path, size, mtime_ns, "", kind, EMPTY)
    try:
        return _open(root / path, Entry(path, size, mtime_ns, "", "other"), suffix)
    except OSError as error:
        # Not a property of the bytes: the modification time 0 makes the next run look again.
        fault = f"cannot be opened ({type(error).__name__})"
        return Entry(path, size, 0, "", kind, fault)


def _open(path: Path, blank: Entry, suffix: str) -> Entry:
    with path.open("rb") as file:
        start = file.read(_START)
        entry = _recognised(path, file, start, blank, suffix)
        if entry.kind == "other":
            return replace(entry, fault=entry.fault or kind_of(blank.path, start))
        file.seek(0)
        return replace(entry, digest=hashlib.file_digest(file, "sha256").hexdigest()[:32])


def _recognised(path: Path, file: BinaryIO, start: bytes, blank: Entry, suffix: str) -> Entry:
    named = suffix in _SUFFIXES
    meant = named or start[128:132] == b"DICM"
    if looks_like_dicom(start):
        try:
            fault, headers = read_headers(file, blank.size)
        except InputError as error:
            return replace(blank, kind="damaged" if meant else "other", fault=str(error))
        if fault or headers:
            return replace(blank, kind="image", fault=fault, headers=tuple(headers))
        if meant and path.name.upper() != "DICOMDIR":
            return replace(blank, kind="damaged", fault="headers end early (nothing of an image)")
        return blank
    if suffix == ".png":
        size = png_size(start)
        return replace(blank, kind="mask", headers=(bare_header(*size),) if size else ())
    if suffix == ".xml" and _is_lidc(file):
        fault, uids = _annotated(path)
        return replace(blank, kind="annotations", fault=fault, uids=tuple(uids))
    if named:
        return replace(blank, kind="damaged", fault=NOT_DICOM)
    return blank


def _is_lidc(file: BinaryIO) -> bool:
    """Whether an XML file names the root element of LIDC, in any encoding, near its start."""
    file.seek(0)
    start = file.read(_XML_START)
    return any(lidc.ROOT.encode(name) in start for name in ("utf-8", "utf-16-le", "utf-16-be"))


def _annotated(path: Path) -> tuple[str, list[str]]:
    try:
        found = lidc.read_annotations(path)
    except InputError as error:
        return str(error), []
    slices = {
        contour.sop_uid
        for reading in found.readings
        for nodule in reading.nodules
        for contour in nodule.contours
    }
    return "", [found.series_uid, *sorted(slices)]


def _read_index(index: Path) -> Iterator[Entry]:
    """The entries of an index of this version; none of any other, which is then made anew."""
    try:
        with index.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, delimiter="\t")
            if next(rows, None) == [*_COLUMNS, INDEX_VERSION]:
                yield from (_entry(row) for row in rows)
    except FileNotFoundError:
        return


def _entry(row: list[str]) -> Entry:
    path, size, mtime_ns, digest, kind, fault, content = row
    headers, uids = json.loads(content) if content else ([], [])
    images = tuple(Header.from_list(values) for values in headers)
    return Entry(path, int(size), int(mtime_ns), digest, kind, fault, images, tuple(uids))  # type: ignore[arg-type]


def _write_index(index: Path, entries: Iterable[Entry]) -> None:
    with PrivateFile(index) as file:
        rows = csv.writer(file, delimiter="\t", lineterminator="\n")
        rows.writerow([*_COLUMNS, INDEX_VERSION])
        rows.writerows(_row(entry) for entry in entries)


def _row(entry: Entry) -> list[Any]:
    headers = [header.as_list() for header in entry.headers]
    content = json.dumps([headers, entry.uids]) if headers or entry.uids else ""
    return [
        entry.path, entry.size, entry.mtime_ns, entry.digest, entry.kind, entry.fault, content
    ]  # fmt: skip
