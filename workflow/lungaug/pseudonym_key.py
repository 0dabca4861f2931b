"""The key of the pseudonyms as a file holds it, and whether it is the demo's, which is public.

Standard library only: the Snakefile calls this in an environment that holds nothing but Snakemake.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

KEY_BYTES = 32
_PUBLIC = "10160f877b4d4d99301f9b2aa9d99de699caded15ae14c5797230fc48350a2ec"
"""SHA-256 of the bytes of ``workflow/presets/phantom.key``."""


def key_in(path: Path) -> bytes:
    """Return the key that a file holds; blanks, line ends and case do not count.

    Args:
        path: a text file of hexadecimal digits.

    Returns:
        ``KEY_BYTES`` bytes, or none where the file holds something else.

    Raises:
        OSError: the file cannot be read.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace")
    try:
        key = bytes.fromhex(text)
    except ValueError:
        return b""
    return key if len(key) == KEY_BYTES else b""


def is_public(key: bytes) -> bool:
    """Return whether a key is the demo's, with which anybody can test a guessed identifier."""
    return hmac.compare_digest(hashlib.sha256(key).hexdigest(), _PUBLIC)
