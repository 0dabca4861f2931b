"""What a PNG marks: a label for each pixel, 0 where it is background, or a refusal.

Programs say "nothing here" in different ways: black, transparent, or the first colour of a
palette. A picture in which these contradict each other is refused, since a guess would turn a
nodule into background or a whole slice into a nodule.

References:
    PNG specification, third edition (W3C 2025), 5, 11.2, 11.3.1.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGB_ALPHA: 4}
_KEPT = (b"IHDR", b"PLTE", b"IDAT", b"IEND")
_OTHER_BYTES = 16 << 20  # of texts, profiles and the like
_CURE = "save it as grey, 0 where no nodule is"


@dataclass(frozen=True)
class _Png:
    """A PNG's parts; chunks that change how colours look are left out."""

    width: int
    height: int
    depth: int
    kind: int
    interlaced: bool
    chunks: list[tuple[bytes, bytes]]

    def first(self, name: bytes) -> bytes:
        return next((data for kind, data in self.chunks if kind == name), b"")


def read_labels(path: Path, shape: tuple[int, int]) -> NDArray[np.int64]:
    """Return a number for each pixel, (H, W): 0 background, else 1 to k, one for each value.

    Transparent pixels are background. Where none is, or all are, black is; and of a palette the
    entries' colours decide. Numbers follow the order of grey values, or of colours.

    Args:
        path: the PNG.
        shape: (H, W) that it must have; a file that announces another is not decoded.

    Raises:
        InputError: the file is no whole PNG, of another size, or does not say what it marks.
    """
    png = _parsed(_bytes(path, shape))
    if (png.height, png.width) != shape:
        found = f"{png.height}x{png.width}"
        raise InputError(f"mask of {found} pixels; accepted: {shape[0]}x{shape[1]}")
    _check_data(png)
    colours, opaque = _picture(png)
    return _labels(colours, opaque, png.kind == _PALETTE)


def _bytes(path: Path, shape: tuple[int, int]) -> bytes:
    """The file, unless it is larger than any picture of its size."""
    try:
        with path.open("rb") as file:
            data = file.read(16 * shape[0] * shape[1] + _OTHER_BYTES)
            if file.read(1):
                raise InputError("mask is larger than any picture of its size")
            return data
    except OSError as error:
        raise InputError(f"mask cannot be opened ({type(error).__name__})") from None


def _parsed(data: bytes) -> _Png:
    """Chunks up to the end, each with the right checksum."""
    if not data.startswith(_SIGNATURE):
        raise InputError("mask is no PNG")
    at = len(_SIGNATURE)
    chunks: list[tuple[bytes, bytes]] = []
    while not chunks or chunks[-1][0] != b"IEND":
        n = int.from_bytes(data[at : at + 4], "big")
        name, body = data[at + 4 : at + 8], data[at + 8 : at + 8 + n]
        if data[at + 8 + n : at + 12 + n] != zlib.crc32(name + body).to_bytes(4, "big"):
            raise InputError("mask is a damaged PNG")
        chunks.append((name, body))
        at += 12 + n
    name, head = chunks[0]
    if name != b"IHDR" or len(head) != 13 or head[9] not in _SAMPLES:
        raise InputError("mask is a damaged PNG")
    width, height = (int.from_bytes(head[i : i + 4], "big") for i in (0, 4))
    return _Png(width, height, head[8], head[9], head[12] != 0, chunks)


def _check_data(png: _Png) -> None:
    """Raise InputError if the picture is cut off, which decoders fill up with black."""
    inflater = zlib.decompressobj()
    bits = png.width * png.depth * _SAMPLES[png.kind]
    expected = png.height * (1 + (bits + 7) // 8)
    try:
        size = len(inflater.decompress(_data(png), 2 * expected + 64 * png.height + 1024))
    except zlib.error:
        raise InputError("mask is a damaged PNG") from None
    if not inflater.eof or (size != expected and not png.interlaced):
        raise InputError("mask is a damaged PNG")


def _data(png: _Png) -> bytes:
    return b"".join(body for name, body in png.chunks if name == b"IDAT")


def _picture(png: _Png) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Colours (H, W, 3) and which pixels are not transparent (H, W)."""
    transparent = png.first(b"tRNS")
    if png.kind == _PALETTE:
        return _of_palette(png, transparent)
    values = _decoded(png, png.chunks)
    if png.kind in (_GREY_ALPHA, _RGB_ALPHA):
        if values.ndim != 3 or values.shape[2] != 4:
            raise InputError("mask is a damaged PNG")
        return values[..., 2::-1], values[..., 3] > 0
    colours = values[..., ::-1] if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)
    n = 3 if png.kind == _RGB else 1
    if len(transparent) < 2 * n:
        return colours, np.ones(colours.shape[:2], bool)
    key = np.array([int.from_bytes(transparent[2 * i : 2 * i + 2], "big") for i in range(n)])
    if png.depth < 8:
        key *= 255 // ((1 << png.depth) - 1)
    return colours, (colours != key).any(axis=2)


def _of_palette(png: _Png, transparent: bytes) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    entries = np.frombuffer(png.first(b"PLTE"), np.uint8)
    entries = entries[: len(entries) // 3 * 3].reshape(-1, 3).astype(np.int64)
    alpha = np.full(len(entries), 255, np.int64)
    given = np.frombuffer(transparent[: len(entries)], np.uint8)
    alpha[: len(given)] = given
    grey = bytes(i for i in range(256) for _ in range(3))
    plain = [(n, grey if n == b"PLTE" else b) for n, b in png.chunks if n != b"tRNS"]
    decoded = _decoded(png, plain)
    indices = decoded[..., 0] if decoded.ndim == 3 else decoded
    used = np.unique(indices)
    if not len(entries) or used[-1] >= len(entries):
        raise InputError("mask is a damaged PNG")
    looks = np.column_stack([entries, alpha > 0])
    distinct = len(np.unique(looks[used], axis=0))
    if distinct < len(used) or (len(entries) > 1 and len(np.unique(looks, axis=0)) == 1):
        raise InputError(f"mask whose palette has one colour for two indices; {_CURE}")
    return np.asarray(entries[indices], np.int64), alpha[indices] > 0


def _decoded(png: _Png, chunks: list[tuple[bytes, bytes]]) -> NDArray[np.int64]:
    body = [
        len(data).to_bytes(4, "big") + name + data + zlib.crc32(name + data).to_bytes(4, "big")
        for name, data in chunks
        if name in _KEPT
    ]
    stream = np.frombuffer(_SIGNATURE + b"".join(body), np.uint8)
    picture = cv2.imdecode(stream, cv2.IMREAD_UNCHANGED)
    if picture is None or picture.shape[:2] != (png.height, png.width):
        raise InputError("mask is a damaged PNG")
    return np.asarray(picture, np.int64)


def _labels(
    colours: NDArray[np.int64], opaque: NDArray[np.bool_], palette: bool
) -> NDArray[np.int64]:
    red, green, blue = (colours[..., i] for i in range(3))
    values = red
    if ((red != green) | (red != blue)).any():
        values = (red << 32) | (green << 16) | blue
        if opaque.all() and not palette:
            raise InputError(f"mask is a colour picture; accepted: grey; {_CURE}")
    if opaque.all():
        return _numbered(values, values != 0)
    if not opaque.any():
        if values.min() != values.max():
            raise InputError(f"mask that is wholly transparent, yet drawn on; {_CURE}")
        return np.zeros(values.shape, np.int64)
    seen = values[opaque]
    if seen.min() == 0 < seen.max():
        raise InputError(f"mask with both transparent and black pixels besides others; {_CURE}")
    return _numbered(values, opaque)


def _numbered(values: NDArray[np.int64], marked: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels = np.zeros(values.shape, np.int64)
    labels[marked] = np.unique(values[marked], return_inverse=True)[1] + 1
    return labels
