"""Tables as spreadsheet programs save them: their encoding, their separator, their headers.

Excel saves "Unicode text" as UTF-16 with tabs, "CSV" in the code page of Windows, and, where a
comma is the decimal mark, with semicolons.
"""

from __future__ import annotations

import codecs
import csv
import io
import logging
import os
import re
import unicodedata
from collections.abc import Collection, Iterator
from pathlib import Path

from lungaug.errors import InputError

_LARGEST = 64 << 20  # bytes; a row of a slice takes a hundred
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
_SEPARATORS = ",;\t|"
_CURE = "save it as CSV in UTF-8"

log = logging.getLogger(__name__)


def alike(name: str) -> str:
    """Return a name as it is compared: in one normal form, as file systems keep several.

    Some systems keep "ü" as a letter and an accent, and old archives in the code page of Windows.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in name):
        name = os.fsencode(name).decode("cp1252", "replace")
    return unicodedata.normalize("NFC", name)


def read_rows(path: Path, columns: Collection[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """Return line and values by column of each row; the first row names the columns.

    A column is found in any spelling that differs by case, blanks, `_` and `-`; others keep their
    name.

    Raises:
        InputError: no such file, a workbook, no text, or two columns of one meaning.
    """
    lines = list(io.StringIO(_text(path), newline=""))
    separator, skipped = _separator(lines, path.suffix.lower(), columns)
    reader = csv.reader(lines[skipped:], delimiter=separator)
    try:
        names = _names(next(reader, []), columns)
        yield 1, dict.fromkeys(names, "")
        for values in reader:
            if any(values[len(names) :]):
                raise InputError(
                    f"sheet: line {reader.line_num + skipped} has more cells than the header; put "
                    "texts that hold the separator in quotes"
                )
            if values:
                row = dict.fromkeys(names, "")
                row.update(zip(names, (alike(value.strip()) for value in values), strict=False))
                yield reader.line_num + skipped, row
    except csv.Error as error:
        raise InputError(f"sheet: not a table ({type(error).__name__}); {_CURE}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_LARGEST + 1)
    except FileNotFoundError:
        raise InputError(f"sheet: {path}: no such file") from None
    except OSError as error:
        raise InputError(f"sheet: cannot be opened ({type(error).__name__})") from None
    if len(data) > _LARGEST:
        raise InputError(f"sheet: more than {_LARGEST >> 20} MiB")
    if data.startswith(_WORKBOOKS):
        raise InputError(f"sheet: a workbook of a spreadsheet program; {_CURE}")
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "")
    for name in [encoding] if encoding else _guesses(data):
        try:
            text = data.decode(name)
        except UnicodeDecodeError:
            continue
        if "\0" in text:
            continue
        if name == "cp1252":
            log.warning("sheet: not in UTF-8, read as Windows-1252; if names do not fit, %s", _CURE)
        return text
    raise InputError(f"sheet: not a table in UTF-8, UTF-16 or Windows-1252; {_CURE}")


def _guesses(data: bytes) -> list[str]:
    """Encodings to try without a byte order mark: half the bytes of UTF-16 are 0."""
    start = data[:1000]
    if start.count(0) > len(start) // 4:
        return ["utf-16-le" if start[1::2].count(0) > start[::2].count(0) else "utf-16-be"]
    return ["utf-8", "cp1252"]


def _separator(lines: list[str], suffix: str, columns: Collection[str]) -> tuple[str, int]:
    """The separator, and how many lines to skip: Excel may write ``sep=;`` first."""
    first = lines[0].strip().strip('"') if lines else ""
    if first.lower().startswith("sep=") and len(first) == 5:
        return first[4], 1
    usual = "," if suffix == ".csv" else "\t"
    header = lines[0] if lines else ""

    def n_known(separator: str) -> int:
        names = next(csv.reader([header], delimiter=separator), [])
        return len({_plain(name) for name in names} & {_plain(name) for name in columns})

    found = max([usual, *_SEPARATORS], key=n_known)
    return found, 0


def _plain(name: str) -> str:
    return re.sub(r"[\s_\-]+", "", name.strip(" \t\r\n\ufeff\"'")).lower()


def _names(header: list[str], columns: Collection[str]) -> list[str]:
    known = {_plain(name): name for name in columns}
    names = [known.get(_plain(name), name.strip()) for name in header]
    for name in columns:
        if names.count(name) > 1:
            raise InputError(f"sheet: two columns mean {name}; remove one of them")
    return names
