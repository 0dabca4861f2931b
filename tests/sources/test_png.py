"""What PNGs of every kind mark: as a grey one does, or a refusal; never another thing."""

from __future__ import annotations

import struct
import tempfile
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.sources.masks import read_mask
from lungaug.sources.png import read_labels

SHAPE = (10, 13)
MASK = np.zeros(SHAPE, int)
MASK[2:5, 3:8] = 1
NOTHING = np.zeros(SHAPE, int)

Rows = Callable[[NDArray[np.int_]], NDArray[np.generic]]


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(depth: int, kind: int, rows: NDArray[np.generic], extra: bytes = b"") -> bytes:
    """A PNG from its packed rows, (H, n) of any type in big endian."""
    body = b"".join(b"\0" + bytes(row.tobytes()) for row in rows)
    head = struct.pack(">IIBBBBB", SHAPE[1], SHAPE[0], depth, kind, 0, 0, 0)
    parts = [chunk(b"IHDR", head), extra, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def wide(mask: NDArray[np.int_], *samples: tuple[int, int], dtype: str = "u1") -> NDArray[np.int_]:
    """Pixels of several samples, each (background, nodule)."""
    stacked = np.stack([np.where(mask > 0, inner, outer) for outer, inner in samples], axis=-1)
    return stacked.reshape(len(mask), -1).astype(dtype)


def palette(*colours: tuple[int, int, int]) -> bytes:
    return chunk(b"PLTE", bytes(value for colour in colours for value in colour))


def marked(tmp_path: Path, data: bytes, values: str = "components") -> NDArray[np.uint8]:
    (tmp_path / "m.png").write_bytes(data)
    return read_mask(tmp_path / "m.png", SHAPE, values)  # type: ignore[arg-type]


FULL = (0, 255)
TRANSPARENT = chunk(b"tRNS", bytes([0, 255]))
RIGHT: dict[str, Callable[[NDArray[np.int_]], bytes]] = {
    "grey": lambda m: png(8, 0, wide(m, FULL)),
    "grey of 1": lambda m: png(8, 0, wide(m, (0, 1))),
    "1 bit": lambda m: png(1, 0, np.packbits(m, axis=1)),
    "16 bits": lambda m: png(16, 0, wide(m, (0, 300), dtype=">u2")),
    "16 bits, low": lambda m: png(16, 0, wide(m, (0, 1), dtype=">u2")),
    "grey and alpha": lambda m: png(8, 4, wide(m, FULL, (255, 255))),
    "white and alpha": lambda m: png(8, 4, wide(m, (255, 255), FULL)),
    "16 bits and alpha": lambda m: png(16, 4, wide(m, (9, 9), (0, 1), dtype=">u2")),
    "rgb": lambda m: png(8, 2, wide(m, FULL, FULL, FULL)),
    "rgb of 16 bits, low": lambda m: png(16, 2, wide(m, (0, 1), (0, 1), (0, 1), dtype=">u2")),
    "rgb and a transparent colour": lambda m: png(
        8, 2, wide(m, (9, 255), (8, 255), (7, 255)), chunk(b"tRNS", bytes([0, 9, 0, 8, 0, 7]))
    ),
    "white, alpha": lambda m: png(8, 6, wide(m, (255, 255), (255, 255), (255, 255), FULL)),
    "black, alpha": lambda m: png(8, 6, wide(m, (0, 0), (0, 0), (0, 0), FULL)),
    "red, faint": lambda m: png(8, 6, wide(m, (0, 255), (0, 0), (0, 0), (0, 90))),
    "opaque rgba": lambda m: png(8, 6, wide(m, FULL, FULL, FULL, (255, 255))),
    "grey, black transparent": lambda m: png(8, 0, wide(m, FULL), chunk(b"tRNS", b"\0\0")),
    "1 bit, white transparent": lambda m: png(
        1, 0, np.packbits(1 - m, axis=1), chunk(b"tRNS", b"\0\1")
    ),
    "palette": lambda m: png(8, 3, wide(m, (0, 1)), palette((0, 0, 0), (255, 255, 255))),
    "palette of 1 bit": lambda m: png(
        1, 3, np.packbits(m, axis=1), palette((0, 0, 0), (255, 255, 255))
    ),
    "palette of a colour": lambda m: png(8, 3, wide(m, (0, 1)), palette((0, 0, 0), (128, 0, 0))),
    "palette, other order": lambda m: png(8, 3, wide(m, (1, 0)), palette((9, 9, 9), (0, 0, 0))),
    "palette and alpha": lambda m: png(
        8, 3, wide(m, (0, 1)), palette((0, 0, 0), (255, 255, 255)) + TRANSPARENT
    ),
    "palette, white twice": lambda m: png(
        8, 3, wide(m, (0, 1)), palette((255, 255, 255), (255, 255, 255)) + TRANSPARENT
    ),
}  # fmt: skip
REFUSED: dict[str, tuple[str, Callable[[NDArray[np.int_]], bytes]]] = {
    "inverted": ("% of the slice", lambda m: png(8, 0, wide(m, (255, 0)))),
    "background of 8": ("100 % of the slice", lambda m: png(8, 0, wide(m, (8, 200)))),
    "palette with a white background": (
        "% of the slice", lambda m: png(8, 3, wide(m, (0, 1)), palette((255, 255, 255), (0, 0, 0)))
    ),
    "palette with a grey background": (
        "% of the slice", lambda m: png(8, 3, wide(m, (0, 1)), palette((8, 8, 8), (200, 200, 200)))
    ),
    "palette of black only": (
        "one colour", lambda m: png(8, 3, wide(m, (0, 1)), palette((0, 0, 0), (0, 0, 0)))
    ),
    "index beyond the palette": (
        "damaged", lambda m: png(8, 3, wide(m, (0, 5)), palette((0, 0, 0)))
    ),
    "colours": ("colour picture", lambda m: png(8, 2, wide(m, (10, 255), (0, 0), (9, 0)))),
    "damaged": ("damaged", lambda m: png(8, 0, wide(m, FULL)).replace(b"IDAT", b"IDAU")),
    "checksum": ("damaged", lambda m: png(8, 0, wide(m, FULL))[:-16] + bytes(16)),
    "no picture": ("damaged", lambda m: b"\x89PNG\r\n\x1a\n" + chunk(b"IEND", b"")),
    "rows are missing": ("damaged", lambda m: png(8, 0, wide(m, FULL)[:-2])),
}  # fmt: skip


@pytest.mark.parametrize("values", ["components", "labels"])
@pytest.mark.parametrize("kind", RIGHT)
def test_every_kind_reads_as_grey_does(tmp_path: Path, kind: str, values: str) -> None:
    np.testing.assert_array_equal(marked(tmp_path, RIGHT[kind](MASK), values), MASK)
    assert not marked(tmp_path, RIGHT[kind](NOTHING), values).any()


@pytest.mark.parametrize("kind", REFUSED)
def test_what_contradicts_itself_is_refused(tmp_path: Path, kind: str) -> None:
    message, make = REFUSED[kind]
    with pytest.raises(InputError, match=message):
        marked(tmp_path, make(MASK))


def test_transparency_that_contradicts_colours(tmp_path: Path) -> None:
    samples = [(0, 0)] * 3 + [FULL]
    picture = wide(MASK, *samples).reshape(*SHAPE, 4)
    picture[3, 4, :3] = 200
    with pytest.raises(InputError, match="transparent and black"):
        marked(tmp_path, png(8, 6, picture.reshape(SHAPE[0], -1)))
    with pytest.raises(InputError, match="wholly transparent"):
        marked(tmp_path, png(8, 4, wide(MASK, FULL, (0, 0))))


def test_labels_of_colours(tmp_path: Path) -> None:
    indices = MASK.copy()
    indices[7:9, 10:12] = 2
    colours = palette((0, 0, 0), (0, 128, 0), (128, 0, 0))
    found = marked(tmp_path, png(8, 3, indices.astype("u1"), colours), "labels")
    assert (found == indices).all()


def test_chunks_that_change_the_looks_do_not_matter(tmp_path: Path) -> None:
    extra = chunk(b"gAMA", struct.pack(">I", 10)) + chunk(b"tEXt", b"Title\0SMITH")
    np.testing.assert_array_equal(marked(tmp_path, png(8, 0, wide(MASK, (0, 3)), extra)), MASK)


@given(st.integers(0, 2**32 - 1), st.integers(0, 255))
def test_noise_is_refused_or_read(seed: int, byte: int) -> None:
    """A changed byte is never another mask: checksums cover all that is decoded."""
    data = bytearray(png(8, 0, wide(MASK, FULL)))
    at = int(np.random.default_rng(seed).integers(0, len(data)))
    data[at] = byte
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.png"
        path.write_bytes(data)
        try:
            labels = read_labels(path, SHAPE)
        except InputError:
            return
    np.testing.assert_array_equal(labels, MASK)


def test_the_size_is_checked_before_anything_is_decoded(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    head = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    parts = [chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(bytes(1 << 20)))]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts) + chunk(b"IEND", b""))
    longer = png(8, 0, np.zeros((200_000, 100), np.uint8))
    tracemalloc.start()
    with pytest.raises(InputError, match="60000x60000 pixels; accepted: 10x13"):
        read_labels(path, SHAPE)
    path.write_bytes(longer)
    with pytest.raises(InputError, match="damaged"):
        read_labels(path, SHAPE)
    assert tracemalloc.get_traced_memory()[1] < 20 << 20
    tracemalloc.stop()


def test_files_larger_than_any_picture(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(png(8, 0, wide(MASK, FULL)))
    with path.open("r+b") as file:
        file.truncate(1 << 30)
    with pytest.raises(InputError, match="larger than any picture"):
        read_labels(path, SHAPE)


def test_interlaced(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    path = tmp_path / "m.png"
    picture = (MASK * 255).astype(np.uint8)
    image.fromarray(picture).save(path, interlace=True)
    np.testing.assert_array_equal(read_labels(path, SHAPE), MASK)
    path.write_bytes(bytes(cv2.imencode(".png", picture)[1]))
    np.testing.assert_array_equal(read_labels(path, SHAPE), MASK)
