"""The names of arms: parts joined by ``+``. Standard library only, since the Snakefile reads them.

``none`` adds nothing; ``online`` is ordinary augmentation in the loader; ``metalung`` is the
default set of MetaLung operations; the name of an operation is that operation alone. So
``metalung+online`` and ``mirror+rotate_slice`` are arms too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lungaug.errors import SettingError


@dataclass(frozen=True)
class Arm:
    """What an arm trains with besides the real slices."""

    name: str
    operations: tuple[str, ...]
    online: bool


def parse_arm(name: str, operations: Sequence[str], default_operations: Sequence[str]) -> Arm:
    """Read an arm's name.

    Args:
        name: for example ``metalung+online``.
        operations: every known MetaLung operation.
        default_operations: what ``metalung`` stands for.

    Raises:
        SettingError: a part is unknown, repeated, or ``none`` is joined with another.
    """
    parts = name.split("+")
    known = ["none", "online", "metalung", *operations]
    wrong = [part for part in parts if part not in known]
    alone = "none" in parts and len(parts) > 1
    if wrong or alone or len(set(parts)) != len(parts):
        parts_text = ", ".join(known[1:])
        raise SettingError(
            f"arm '{name}': accepted: none, or different parts of {parts_text} joined by +"
        )
    chosen: list[str] = []
    for part in parts:
        chosen.extend(default_operations if part == "metalung" else [part])
    unique = dict.fromkeys(part for part in chosen if part in operations)
    return Arm(name, tuple(unique), "online" in parts)
