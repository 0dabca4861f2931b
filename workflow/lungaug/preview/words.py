"""Names of patients and files as a page can show them, and messages in words of its reader."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

# Also marks that turn the direction of text, behind which a name could hide.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_PSEUDONYM = re.compile(r"\b[pf][0-9a-f]{12}\b")


def shown(text: str) -> str:
    r"""Return a name without what cannot be shown: bytes that are no UTF-8 become ``\xff``."""
    return _UNSEEN.sub(_escaped, text)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:
        code -= 0xDC00  # as Python keeps a byte that is no UTF-8
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"


def worded(text: str, names: Mapping[str, str], private: Path) -> str:
    """Return a message of a stage with names in place of pseudonyms and of temporary folders.

    Args:
        text: the message.
        names: PatientIDs and paths of files, by pseudonym.
        private: the temporary private folder.
    """
    text = text.replace(f"{private}/", "")
    return shown(_PSEUDONYM.sub(lambda match: names.get(match[0], match[0]), text))


def counted(n: int, one: str, more: str = "") -> str:
    """Return a number with its noun: 1 slice, 2 slices."""
    return f"{n:,} {one if n == 1 else more or f'{one}s'}"
