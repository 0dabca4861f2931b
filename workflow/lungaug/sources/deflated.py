"""Deflated DICOM files, inflated in bounded memory.

Deflating shrinks zeros a thousand times, so that a small file may hold more than there is memory.

References:
    DICOM PS3.5 2024e, A.5; PS3.10, 7.1 (the meta information is never deflated).
"""

from __future__ import annotations

import io
import zlib
from typing import BinaryIO

from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRLittleEndian

from lungaug.errors import InputError

MAX_HEADERS = 64 << 20
"""Bytes before the pixels; those of an enhanced CT of 2,000 frames are a sixth of it."""

MAX_ITEMS = 300_000
"""Items of sequences: 16 for each frame of a file of 2,000 frames are a tenth of it."""

_ITEMS = (b"\xfe\xff\x00\xe0", b"\xff\xfe\xe0\x00")  # in little and big endian
_BLOCK = 16 << 20
_LONG = frozenset({b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT"})
_GROUP, _LENGTH, _SYNTAX = b"\x02\x00", b"\x02\x00\x00\x00", b"\x02\x00\x10\x00"
_ENDLESS = 1 << 62
_MAX_META = 1 << 20


def inflated(file: BinaryIO, size: int, n_pixel_bytes: int = 0) -> tuple[BinaryIO, int]:
    """Return a file and its size: itself, or a deflated one undeflated in memory.

    Args:
        file: an open DICOM file.
        size: its bytes.
        n_pixel_bytes: what its pixels may take at most; 0 to read headers only, for which an
            undeflated file may end early, and its size is then taken for endless.

    Raises:
        InputError: a deflated file holds more than it may.
        zlib.error: it is damaged.
    """
    file.seek(128)
    deflated, meta, end = _meta(file.read(_MAX_META))
    file.seek(0)
    if not deflated:
        return file, size
    file.seek(128 + end)
    most = MAX_HEADERS + n_pixel_bytes
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    body = inflater.decompress(file.read(min(size, most)), most)
    if n_pixel_bytes and len(body) == most:
        raise InputError(f"deflated data of {most >> 20} MiB or more")
    plain = b"".join([b"\0" * 128, b"DICM", _plain_syntax(), meta, body])
    return io.BytesIO(plain), _ENDLESS if len(body) == most else len(plain)


def _meta(start: bytes) -> tuple[bool, bytes, int]:
    """Whether a file is deflated, its meta information without length and syntax, and its end."""
    deflated, kept, at = False, [], 4
    while start[:4] == b"DICM" and start[at : at + 2] == _GROUP and at + 12 <= len(start):
        long = start[at + 4 : at + 6] in _LONG
        value = at + (12 if long else 8)
        length = int.from_bytes(start[at + (8 if long else 6) : value], "little")
        tag, text = start[at : at + 4], start[value : value + length].strip(b" \0")
        if tag == _SYNTAX:
            deflated = text == str(DeflatedExplicitVRLittleEndian).encode()
        elif tag != _LENGTH:
            kept.append(start[at : value + length])
        at = value + length
    return deflated, b"".join(kept), at


def _plain_syntax() -> bytes:
    uid = str(ExplicitVRLittleEndian).encode()
    uid += b"\0" * (len(uid) % 2)
    return _SYNTAX + b"UI" + len(uid).to_bytes(2, "little") + uid


def check_items(file: BinaryIO) -> None:
    """Raise InputError if a file has more items of sequences than headers of any CT.

    An item of eight bytes becomes an object of a kilobyte. Fragments of pixels are items too.
    """
    file.seek(0)
    count = 0
    while block := file.read(_BLOCK):
        count += sum(block.count(item) for item in _ITEMS)
    file.seek(0)
    if count > MAX_ITEMS:
        raise InputError(f"more than {MAX_ITEMS} items in sequences")
