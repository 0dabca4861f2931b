"""Values of DICOM tags as plain text and numbers; one that does not parse counts as absent."""

from __future__ import annotations

import math
import struct
import zlib
from typing import Any

from pydicom.dataset import Dataset
from pydicom.errors import BytesLengthException, InvalidDicomError

READ_ERRORS = (
    BytesLengthException,
    InvalidDicomError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    NotImplementedError,
    OverflowError,
    RecursionError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What pydicom and its decoders raise on damaged data."""


def text_of(dataset: Dataset, name: str) -> str:
    """The first value of a tag, without outer blanks; '' if it is absent."""
    texts = texts_of(dataset, name)
    return texts[0] if texts else ""


def texts_of(dataset: Dataset, name: str) -> list[str]:
    """All values of a tag."""
    try:
        value = dataset.get(name)
    except READ_ERRORS:
        return []
    if value is None:
        return []
    values = [value] if isinstance(value, (str, bytes)) or not hasattr(value, "__iter__") else value
    return [str(v).strip(" \0") for v in values]


def identifier_of(dataset: Dataset, name: str) -> str:
    """Return the whole text of an identifying tag; '' if it is absent.

    A backslash separates values in DICOM, yet people type it into identifiers (``WARD7\\001``): all
    values count, or several persons would become one. Bytes that the declared character set cannot
    decode are read as Latin-1 for the same reason.
    """
    raw = _raw_bytes(dataset, name)
    text = "\\".join(texts_of(dataset, name))
    if "\ufffd" in text and raw is not None:
        return raw.decode("latin-1").strip(" \0")
    return text.strip(" \0")


def _raw_bytes(dataset: Dataset, name: str) -> bytes | None:
    """The bytes of a tag that has not been converted yet."""
    try:
        value = dataset.get_item(name).value
    except READ_ERRORS:
        return None
    return value if isinstance(value, bytes) else None


def numbers_of(dataset: Dataset, name: str, n: int) -> tuple[float, ...] | None:
    """The values of a tag if they are ``n`` finite numbers."""
    try:
        numbers = tuple(float(text) for text in texts_of(dataset, name))
    except ValueError:
        return None
    return numbers if len(numbers) == n and all(map(math.isfinite, numbers)) else None


def integer_of(dataset: Dataset, name: str, default: int | None = None) -> Any:
    """The only value of a tag as an integer."""
    numbers = numbers_of(dataset, name, 1)
    return int(numbers[0]) if numbers else default
