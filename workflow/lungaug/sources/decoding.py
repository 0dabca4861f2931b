"""Stored pixels of one DICOM image, compressed or not."""

from __future__ import annotations

import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import gdcm  # type: ignore[import-untyped]
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.pixels.utils import pixel_array

from lungaug.errors import InputError
from lungaug.sources.dicom_header import decoder_of, quiet
from lungaug.sources.dicom_values import READ_ERRORS


class UnreadablePixels(InputError):  # noqa: N818 - it is the outcome that callers name
    """The pixels of an image cannot be had; the message names neither the file nor its tags."""


def decode(path: Path, frame: int) -> NDArray[Any]:
    """The stored values of an image, (H, W).

    Lossless JPEG, JPEG-LS and JPEG 2000 are decoded by GDCM, RLE and native pixels by pydicom.

    Args:
        path: the DICOM file.
        frame: index of the frame, -1 for a file of one image.

    Raises:
        UnreadablePixels: they cannot be opened or decoded.
    """
    gdcm.Trace.WarningOff()
    gdcm.Trace.ErrorOff()
    try:
        with quiet():
            return _frame(path, frame) if frame >= 0 else _whole(path)
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
            self._pool = ProcessPoolExecutor(1, context, _without_core_dump)
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


def _without_core_dump() -> None:
    """Memory holds identifiers, and a crash must not write it to a file."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _whole(path: Path) -> NDArray[Any]:
    dataset = pydicom.dcmread(path, force=True)
    if "PixelData" not in dataset:
        raise UnreadablePixels("unreadable pixels (cut off)")
    meta = dataset.file_meta
    meta.setdefault("TransferSyntaxUID", pydicom.uid.ImplicitVRLittleEndian)
    return np.asarray(pixel_array(dataset, decoding_plugin=decoder_of(meta.TransferSyntaxUID)))


def _frame(path: Path, frame: int) -> NDArray[Any]:
    """From the path, so that one frame does not cost reading all."""
    head = pydicom.dcmread(path, specific_tags=["Rows"], stop_before_pixels=True)
    decoder = decoder_of(head.file_meta.TransferSyntaxUID)
    return np.asarray(pixel_array(path, index=frame, decoding_plugin=decoder))
