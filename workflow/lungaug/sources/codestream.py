"""Decode one compressed frame with GDCM, and trust nothing that it says.

GDCM goes on after most faults of a stream, with a line on stderr, and returns pixels that look
like an image. Here a decoder that says anything has failed. A second decoder, where one is
installed, must return the same bytes. A stream that announces another size than the headers is
not decoded at all, so that its size costs no memory.

References:
    DICOM PS3.5 2024e, A.4; ITU-T T.81 (JPEG), B.2.2; T.87 (JPEG-LS), C.2.2; T.800 (JPEG 2000),
    A.5.1.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any

import gdcm  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders import gdcm as by_gdcm
from pydicom.pixels.decoders import pyjpegls, pylibjpeg
from pydicom.pixels.decoders.base import DecodeRunner
from pydicom.uid import (
    UID,
    JPEG2000TransferSyntaxes,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSTransferSyntaxes,
)

_JPEG_FRAME_MARKERS = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_END = b"\xff\xd9"
_TILE = b"\xff\x90\x00\x0a"
_PADDED_END = 1024  # bytes, padding by zeros included
_SECOND = {
    JPEGLossless: (pylibjpeg,),
    JPEGLosslessSV1: (pylibjpeg,),
    **{syntax: (pyjpegls, pylibjpeg) for syntax in JPEGLSTransferSyntaxes},
}
"""Independent decoders by syntax. Those of JPEG 2000 are all OpenJPEG, as GDCM's."""


@dataclass(frozen=True)
class StreamHeader:
    """What a compressed frame says of itself: size, bits of a sample, and whether it has signs."""

    rows: int
    columns: int
    precision: int
    signed: bool


def read_stream_header(stream: bytes, syntax: UID) -> StreamHeader | None:
    """Read the size and precision of a JPEG, JPEG-LS or JPEG 2000 frame; None if it has none."""
    if syntax in JPEG2000TransferSyntaxes:
        return _jpeg_2000(stream)
    return _jpeg(stream)


def decode_frame(stream: bytes, options: Mapping[str, Any]) -> tuple[NDArray[Any], StreamHeader]:
    """Decode one frame to unsigned integers (H, W), as wide as its samples need.

    Args:
        stream: the frame.
        options: what the headers say of its pixels, by pydicom's names.

    Raises:
        ValueError: the stream is damaged, or does not have the announced size.
        NotImplementedError: GDCM does not decode the syntax.
    """
    syntax = options["transfer_syntax_uid"]
    if not by_gdcm.is_available(syntax):
        raise NotImplementedError("a transfer syntax that GDCM does not decode")
    header = read_stream_header(stream, syntax)
    if header is None:
        raise ValueError("a compressed frame without a header")
    if not _is_whole(stream, syntax):
        raise ValueError("a compressed frame that is cut off")
    if (header.rows, header.columns) != (options["rows"], options["columns"]):
        raise ValueError("a compressed frame of another size than announced")
    pixels = _by(by_gdcm, stream, options, header)
    for module in _SECOND.get(syntax, ()):
        if module.is_available(syntax):
            if not np.array_equal(_by(module, stream, options, header), pixels):
                raise ValueError("two decoders disagree on a frame")
            break
    return pixels, header


def _by(
    module: Any, stream: bytes, options: Mapping[str, Any], header: StreamHeader
) -> NDArray[np.unsignedinteger]:
    runner = DecodeRunner(options["transfer_syntax_uid"])
    runner.set_options(**options)
    # Else GDCM drops bits of a stream that has more of them than the headers say.
    runner.set_option("bits_stored", header.precision)
    runner.set_option("j2k_precision", header.precision)
    runner.set_option("jls_precision", header.precision)
    with _silent_decoder():
        frame = module._decode_frame(stream, runner)
    pixels = np.frombuffer(frame, f"<u{runner.bits_allocated // 8}")
    return pixels.reshape(header.rows, header.columns)


@contextmanager
def _silent_decoder() -> Iterator[None]:
    """Take what a decoder writes to stderr for its failure.

    Decoders in C write to the descriptor itself. Their words may quote the file: they are dropped.
    """
    gdcm.Trace.WarningOn()
    gdcm.Trace.ErrorOn()
    sys.stderr.flush()
    with tempfile.TemporaryFile() as words:
        kept = os.dup(2)
        os.dup2(words.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            gdcm.Trace.WarningOff()
            gdcm.Trace.ErrorOff()
        if _said(words):
            raise ValueError("the decoder warned of a damaged frame")


def _said(words: IO[bytes]) -> bool:
    words.seek(0, os.SEEK_END)
    return words.tell() > 0


def _jpeg(stream: bytes) -> StreamHeader | None:
    """Walk the segments up to the frame header."""
    at = 2
    while stream[:2] == b"\xff\xd8" and at + 9 < len(stream):
        if stream[at] != 0xFF:
            return None
        marker = stream[at + 1]
        if marker == 0xFF:  # a fill byte
            at += 1
            continue
        if marker in _JPEG_FRAME_MARKERS:
            rows, columns = (_number(stream, at + i) for i in (5, 7))
            return StreamHeader(rows, columns, stream[at + 4], False)
        at += 2 + _number(stream, at + 2)
    return None


def _jpeg_2000(stream: bytes) -> StreamHeader | None:
    """The SIZ segment, which a JP2 file holds after its boxes."""
    at = stream[:4096].find(b"\xff\x4f\xff\x51")
    if at < 0 or len(stream) < at + 43:
        return None
    right, bottom, left, top = (_number(stream, at + i, 4) for i in (8, 12, 16, 20))
    depth = stream[at + 42]
    return StreamHeader(bottom - top, right - left, (depth & 0x7F) + 1, bool(depth & 0x80))


def _is_whole(stream: bytes, syntax: UID) -> bool:
    """Whether a frame ends as it should; some writers of JPEG 2000 leave the end marker out."""
    if syntax not in JPEG2000TransferSyntaxes:
        return stream[-_PADDED_END:].rstrip(b"\0").endswith(_END)
    at = stream.find(_TILE)
    while stream[at : at + 4] == _TILE:  # a tile-part, with its length
        length = _number(stream, at + 6, 4)
        if length < 14:
            return length == 0  # up to the end
        at += length
    return 0 <= at <= len(stream)


def _number(stream: bytes, at: int, n: int = 2) -> int:
    return int.from_bytes(stream[at : at + n], "big")
