"""How what a job would be run with differs from what it was run with, in words."""

from __future__ import annotations

import ast
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

SHOWN = 3
"""How many differences of one kind are named; of the others the number is told."""

UNSETTLED = "'<TBD>'"
"""Snakemake's parameter that is known once a checkpoint has run."""

_HASH = re.compile(r"'[0-9a-f]{16}'")
_BY_NAME = {
    "code": "its code changed",
    "text": "the report's texts changed",
    "tree": "the source folder changed: names, sizes or times of its files",
}


def settings(value: str) -> dict[str, Any] | None:
    """The settings in a recorded parameter, or none if it holds something else."""
    try:
        found = json.loads(ast.literal_eval(value))
    except (ValueError, SyntaxError, TypeError):
        return None
    return found if isinstance(found, dict) else None


def changed_parameters(old: Iterable[str], new: Mapping[str, str]) -> list[str]:
    """What is different in a job's parameters.

    Args:
        old: representations of the recorded values, whose names nobody recorded.
        new: representations of the values now, by name.
    """
    gone = list((Counter(old) - Counter(new.values())).elements())
    here = Counter(new.values()) - Counter(old)
    said = []
    for name, value in new.items():
        if value == UNSETTLED:
            gone.clear()
        elif here[value] > 0:
            here[value] -= 1
            said += _changed(name, _partner(value, gone), value)
    return said or ([f"had another parameter: {_short(gone[0])}"] if gone else [])


def differences(old: Any, new: Any, where: str = "", only_wanted: bool = False) -> list[str]:
    """Every setting that differs, as ``setting a.b: 1 -> 2``.

    Args:
        old: nested settings before.
        new: nested settings now.
        where: key of both.
        only_wanted: leave out what only ``old`` names.
    """
    if not (isinstance(old, Mapping) and isinstance(new, Mapping)):
        return [] if old == new else [f"setting {where}: {_short(old)} -> {_short(new)}"]
    said = []
    for name in dict.fromkeys([*new, *old]):
        key = f"{where}.{name}".lstrip(".")
        if name not in old:
            said.append(f"new setting {key}: {_short(new[name])}")
        elif name in new:
            said += differences(old[name], new[name], key, only_wanted)
        elif not only_wanted:
            said.append(f"setting {key} is used no more")
    return said


def changed_inputs(old: Sequence[str], new: Sequence[str]) -> list[str]:
    """Which inputs are new, and which are no more."""
    pairs = (("more", sorted(set(new) - set(old))), ("fewer", sorted(set(old) - set(new))))
    said = [f"{len(paths)} {kind}: {listed(paths)}" for kind, paths in pairs if paths]
    return [f"other inputs ({'; '.join(said)})"] if said else []


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - SHOWN
    return ", ".join(names[:SHOWN]) + (f" and {more} more" if more > 0 else "")


def _partner(value: str, gone: list[str]) -> str | None:
    """The recorded value that most likely had the same name: one of the same kind."""
    for other in gone:
        if _kind(other) == _kind(value):
            gone.remove(other)
            return other
    return None


def _kind(value: str) -> str:
    if _HASH.fullmatch(value):
        return "hash"
    return "settings" if settings(value) is not None else value[:1]


def _changed(name: str, old: str | None, new: str) -> list[str]:
    if name in _BY_NAME:
        return [_BY_NAME[name]]
    before, after = settings(old or ""), settings(new)
    if before is not None and after is not None:
        return differences(before, after)
    if name in ("digests", "parts") and old is not None:
        return [_patients(old, new)]
    return [f"{name}: {_short(old)} -> {_short(new)}"]


def _patients(old: str, new: str) -> str:
    """Rows are ``patient:value``; who they are is not told."""
    before, after = (
        dict(row.rsplit(":", 1) for row in ast.literal_eval(text)) for text in (old, new)
    )
    both = before.keys() & after.keys()
    counts = {
        "new": len(after.keys() - before.keys()),
        "gone": len(before.keys() - after.keys()),
        "with other files": sum(before[patient] != after[patient] for patient in both),
    }
    return "patients: " + ", ".join(f"{n} {what}" for what, n in counts.items() if n)


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else f"{text[:57]}..."
