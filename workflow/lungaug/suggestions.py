"""Suggest the name that was meant. Standard library only, since the Snakefile asks too."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

_SHOWN = 3


def did_you_mean(given: object, known: Collection[object]) -> str:
    """Return `` (did you mean 'x'?)`` for the known name most like ``given``, or nothing."""
    names = [name for name in known if isinstance(name, str)]
    if not isinstance(given, str):
        return ""
    by_lower = {name.lower(): name for name in reversed(names)}
    close = difflib.get_close_matches(given.lower(), by_lower, n=1)
    return f" (did you mean '{by_lower[close[0]]}'?)" if close else ""


def setting_meant(given: object, known: Collection[str], schema: Mapping[str, Any]) -> str:
    """Return the same for an unknown setting, which may stand at the wrong depth.

    Args:
        given: the unknown key.
        known: the keys that are known where it stands.
        schema: of the whole configuration.
    """
    name = str(given).rpartition(".")[2]
    places = [place for place in _settings(schema, "") if place.rpartition(".")[2] == name]
    if not places:
        return did_you_mean(given, known)
    if "." in str(given) and str(given) in places:
        section, _, last = str(given).rpartition(".")
        return f" (did you mean {last}, indented below {section}?)"
    shown = ", ".join(f"'{place}'" for place in places[:_SHOWN])
    where = " at the top" if places == [name] else ""
    return f" (did you mean {shown}{where}?)"


def _settings(node: Mapping[str, Any], where: str) -> Iterator[str]:
    """Yield every setting of a schema by its dotted key, those at the top first."""
    inner = node.get("properties", {})
    names = {name: f"{where}.{name}" if where else name for name in inner}
    yield from names.values()
    for name, child in inner.items():
        yield from _settings(child, names[name])
