"""What slice files say of themselves: the code and settings in their own headers."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lungaug.errors import FileFormatError
from lungaug.records import Kept
from lungaug.status import words

SUFFIX = ".h5"


def can_read() -> bool:
    """Whether the libraries that open slice files are installed here."""
    return all(find_spec(name) for name in ("h5py", "hdf5plugin", "numpy"))


def disagreements(results: str, entries: Mapping[str, Kept]) -> dict[str, str]:
    """Why a slice file is not what its record says, by path below the results."""
    if not can_read():
        return {}
    paths = {name: Path(results, name) for name in entries if name.endswith(SUFFIX)}
    found = {
        name: told(path, entries[name].making.params)
        for name, path in paths.items()
        if path.is_file()
    }
    return {name: f"its own header says: {'; '.join(said)}" for name, said in found.items() if said}


def testimony(path: Path, params: Iterable[str]) -> str:
    """What the header of a slice file without a record says of it, as the end of a sentence."""
    said = told(path, params)
    if not said:
        return ", by its own header with this code and these settings"
    return f", by its own header with: {'; '.join(said)}"


def told(path: Path, params: Iterable[str]) -> list[str]:
    """How a slice file's header differs from parameters, in words; nothing where it agrees."""
    header = _header(path)
    if header is None:
        return ["it is damaged"]
    values = list(params)
    said = []
    if header["code"] and repr(header["code"]) not in values:
        said.append("other code")
    wanted = next((found for found in map(words.settings, values) if found is not None), None)
    if wanted is not None:
        said += words.differences(header["settings"], wanted, only_wanted=True)
    return said


def _header(path: Path) -> dict[str, Any] | None:
    """Code and settings of a slice file; none where it cannot be opened."""
    from lungaug.store import SliceFile

    try:
        with SliceFile(path) as file:
            attributes = file.attributes
    except FileFormatError:
        return None
    settings = str(attributes.get("settings", "{}")) or "{}"
    return {"code": str(attributes.get("code", "")), "settings": json.loads(settings)}
