"""Stored pixels of one DICOM image, compressed or not."""

from __future__ import annotations

import multiprocessing
import re
import resource
import warnings
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import get_frame
from pydicom.pixels.utils import as_pixel_options, pixel_array

from lungaug.errors import InputError
from lungaug.sources.codestream import StreamHeader, decode_frame
from lungaug.sources.deflated import inflated
from lungaug.sources.dicom_header import MAX_SIDE, decoder_of, quiet
from lungaug.sources.dicom_values import READ_ERRORS, integer_of
from lungaug.sources.stored import Bits, to_values

_TAGS = [
    "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "NumberOfFrames",
    "ExtendedOffsetTable", "ExtendedOffsetTableLengths",
]  # fmt: skip
_OVERLAYS = [group << 16 | 0x0102 for group in range(0x6000, 0x6020, 2)]  # OverlayBitPosition
_ITEMS_AFTER_TAG = 12  # bytes of tag, VR and length of encapsulated pixels
_PADDING_BYTES = 2  # that may follow a segment of RLE
_SURPLUS = re.compile(r"RLE segment .* (\d+) vs\. (\d+) bytes")
_AS_STORED: dict[str, Any] = {"raw": True, "correct_unused_bits": False}
_MAX_PIXEL_BYTES = 4 * MAX_SIDE**2
_LONGEST = 1.25  # bytes stored for a byte of pixels; RLE of noise needs 129 for 128
_AFTER_PIXELS = 1 << 20  # bytes that may follow, such as signatures
_MEMORY = 4 << 30  # bytes, of the process that decodes; a CT image takes a hundredth


class UnreadablePixels(InputError):  # noqa: N818 - it is the outcome that callers name
    """The pixels of an image cannot be had; the message names neither the file nor its tags."""


def decode(path: Path, frame: int) -> NDArray[Any]:
    """The stored values of an image, (H, W), without unused bits and with their sign.

    Lossless JPEG, JPEG-LS and JPEG 2000 are decoded by GDCM, RLE and native pixels by pydicom.

    Args:
        path: the DICOM file.
        frame: index of the frame, -1 for a file of one image.

    Raises:
        UnreadablePixels: they cannot be opened or decoded, or their values cannot be known.
    """
    try:
        with quiet(), path.open("rb") as raw:
            plain, _ = inflated(raw, path.stat().st_size, _MAX_PIXEL_BYTES)
            return _values(plain, frame)
    except UnreadablePixels:
        raise
    except InputError as error:
        raise UnreadablePixels(f"unreadable pixels ({error})") from error
    except ValueError as error:
        raise UnreadablePixels(f"unreadable pixels ({_ours(error)})") from error
    except (*READ_ERRORS, OSError, MemoryError) as error:
        raise UnreadablePixels(f"unreadable pixels ({type(error).__name__})") from error


class IsolatedDecoder:
    """:func:`decode` in a process of its own, started when it is first needed.

    On some damaged streams GDCM ends the process that it runs in.
    """

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    def __call__(self, path: Path, frame: int) -> NDArray[Any]:
        if self._pool is None:
            # Not a fork: an open HDF5 file and threads must not come along.
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(1, context, _limited)
        try:
            return self._pool.submit(decode, path, frame).result()
        except BrokenProcessPool:
            self.close()
            raise UnreadablePixels("unreadable pixels (the decoder crashed)") from None

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _limited() -> None:
    """Memory is bounded, and as it holds identifiers, a crash must not write it to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, most = resource.getrlimit(resource.RLIMIT_DATA)
    if most == resource.RLIM_INFINITY or most > _MEMORY:
        resource.setrlimit(resource.RLIMIT_DATA, (_MEMORY, most))


def _ours(error: ValueError) -> str:
    """Words of this package only: others quote the file."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    name = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    return str(error) if str(name).startswith("lungaug.") else type(error).__name__


def _values(file: BinaryIO, frame: int) -> NDArray[Any]:
    file.seek(0)
    tags: list[Any] = [*_TAGS, *_OVERLAYS]
    head = pydicom.dcmread(file, force=True, stop_before_pixels=True, specific_tags=tags)
    head.file_meta.setdefault("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
    _check_size(head)
    if frame < 0:
        _check_length(file, head)
    decoder = decoder_of(head.file_meta.TransferSyntaxUID)
    if decoder == "gdcm":
        pixels, stream = _compressed(file, head, max(frame, 0))
        return to_values(pixels, _bits(head), stream)
    read = _whole if frame < 0 else _native_frame
    with _strict_rle():
        pixels = read(file, frame, decoder)
    return to_values(pixels, _bits(head))


def _check_size(head: Dataset) -> None:
    rows, columns = (integer_of(head, name, 0) for name in ("Rows", "Columns"))
    if not (0 < rows <= MAX_SIDE and 0 < columns <= MAX_SIDE):
        raise ValueError(f"rows or columns beyond 1 to {MAX_SIDE}")
    if integer_of(head, "SamplesPerPixel", 1) != 1:
        raise ValueError("more than one sample per pixel")


def _check_length(file: BinaryIO, head: Dataset) -> None:
    """Raise ValueError if the pixels of one image take more bytes than they can.

    A byte of RLE may stand for 64 of pixels, more than the image has.
    """
    at = file.tell()
    left = file.seek(0, 2) - at
    file.seek(at)
    n_pixels = integer_of(head, "Rows", 0) * integer_of(head, "Columns", 0)
    expected = n_pixels * -(-integer_of(head, "BitsAllocated", 16) // 8)
    if left > _LONGEST * expected + _AFTER_PIXELS:
        raise ValueError("more data than the image has pixels")


def _bits(head: Dataset) -> Bits:
    allocated = integer_of(head, "BitsAllocated", 16)
    stored = integer_of(head, "BitsStored", allocated)
    high = integer_of(head, "HighBit", stored - 1)
    signed = integer_of(head, "PixelRepresentation", 0) == 1
    overlays = tuple(int(head[tag].value or 0) for tag in _OVERLAYS if tag in head)
    return Bits(allocated, stored, high, signed, overlays)


def _compressed(
    file: BinaryIO, head: Dataset, index: int
) -> tuple[NDArray[Any], StreamHeader | None]:
    """One frame, without reading the others."""
    options = as_pixel_options(head, transfer_syntax_uid=head.file_meta.TransferSyntaxUID)
    file.seek(_ITEMS_AFTER_TAG, 1)
    offsets = options.pop("extended_offsets", None)
    n_frames = options["number_of_frames"]
    stream = get_frame(file, index, extended_offsets=offsets, number_of_frames=n_frames)
    return decode_frame(stream, options)


def _whole(file: BinaryIO, frame: int, decoder: str) -> NDArray[Any]:
    file.seek(0)
    dataset = pydicom.dcmread(file, force=True, specific_tags=[*_TAGS, "PixelData"])
    if "PixelData" not in dataset:
        raise ValueError("cut off")
    dataset.file_meta.setdefault("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
    return np.asarray(pixel_array(dataset, decoding_plugin=decoder, **_AS_STORED))


def _native_frame(file: BinaryIO, frame: int, decoder: str) -> NDArray[Any]:
    """From the file, so that one frame does not cost reading all."""
    return np.asarray(pixel_array(file, index=frame, decoding_plugin=decoder, **_AS_STORED))


@contextmanager
def _strict_rle() -> Iterator[None]:
    """Raise ValueError if a segment of RLE holds more than its pixels, which pydicom warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for warning in caught:
        found = _SURPLUS.search(str(warning.message))
        if found and int(found[1]) - int(found[2]) > _PADDING_BYTES:
            raise ValueError("the decoder warned of a damaged frame")
