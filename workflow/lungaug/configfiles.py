"""Read configuration files again, for what Snakemake does not say: where each setting stands.

Snakemake keeps the last of two equal keys and says nothing of lines. The values are Snakemake's,
which lays several files and ``--config`` over each other; from here come places and faults.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from lungaug.errors import SettingError

COMMAND_LINE = "--config"


class Place(NamedTuple):
    """Where a setting stands: sorts by file, in their order, and line."""

    order: int
    line: int
    file: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}" if self.line else self.file


class Fault(NamedTuple):
    """What is wrong with a configuration.

    Attributes:
        key: of the setting, dotted, as in ``grid[0].arms``.
        text: what is wrong and what is accepted.
        place: where, if that is not where the key stands.
    """

    key: str
    text: str
    place: Place | None = None


@dataclass(frozen=True)
class Written:
    """What the files say of themselves.

    Attributes:
        places: of each setting, by its dotted key.
        faults: keys that are given twice.
    """

    places: Mapping[str, Place] = field(default_factory=dict)
    faults: Sequence[Fault] = ()

    def place(self, fault: Fault) -> Place | None:
        """Return where the faulty setting stands, or the section that lacks it."""
        if fault.place is not None:
            return fault.place
        key = fault.key
        while key and key not in self.places:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.places.get(key)

    def lines(self, faults: Iterable[Fault]) -> list[str]:
        """Return one line a fault, each once, sorted by place."""
        last = Place(len(self.places) + 1, 0, "")
        placed = [(self.place(fault), fault) for fault in dict.fromkeys(faults)]
        placed.sort(key=lambda found: found[0] or last)
        return list(dict.fromkeys(_line(place, fault) for place, fault in placed))


def read(files: Iterable[Path], overrides: Mapping[str, Any] | None = None) -> Written:
    """Read where every setting stands, in files of which the later overrule the earlier.

    Args:
        files: the configuration files, in Snakemake's order.
        overrides: what ``--config`` sets.

    Raises:
        SettingError: a file cannot be read, or is no YAML; with the line.
    """
    places: dict[str, Place] = {}
    faults: list[Fault] = []
    for order, file in enumerate(files):
        root = _composed(file)
        if root is not None:
            for key, place, first in _keys(root, "", _name(file), order, set()):
                if first is not None:
                    faults.append(
                        Fault(key, f"given twice, first in line {first}; keep one", place)
                    )
                places[key] = place
    end = len(places) + 1
    for key in _flat(overrides or {}, ""):
        places[key] = Place(end, 0, COMMAND_LINE)
    return Written(places, faults)


def _line(place: Place | None, fault: Fault) -> str:
    where = f"{fault.key}: " if fault.key else ""
    return f"{where}{fault.text}{f' ({place})' if place else ''}"


def _name(file: Path) -> str:
    """The file as a person would call it from here."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)


def _composed(file: Path) -> yaml.Node | None:
    name = _name(file)
    try:
        text = file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        byte = hex(error.object[error.start])
        raise SettingError(
            f"{name}, line {line}: no UTF-8 (byte {byte}); save the file as UTF-8"
        ) from error
    except OSError as error:
        raise SettingError(f"{name}: cannot be read ({error.strerror})") from error
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        if _is_json(text):
            return None
        raise SettingError(f"{name}, {_explained(error, text)}") from error
    if not isinstance(root, yaml.MappingNode | None):
        raise SettingError(
            f"{name}, line 1: no settings; accepted: keys with values, as in seeds: 2"
        )
    return root


def _is_json(text: str) -> bool:
    """Whether it is JSON that is no YAML, for example for its tabs."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def _explained(error: yaml.YAMLError, text: str) -> str:
    """The line, what is wrong and what to do."""
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    before = text[: getattr(error, "position", None) or 0]
    line = mark.line + 1 if mark else before.count("\n") + 1
    parts = [getattr(error, name, None) for name in ("context", "problem")]
    said = ", ".join(part for part in parts if part) or (str(error).splitlines() or [""])[0]
    cure = "; indent with blanks, not with tabs" if "'\\t'" in said else ""
    return f"line {line}: no YAML: {said}{cure}"


Found = tuple[str, Place, int | None]
"""A dotted key, its place, and the line where the same key was given before."""


def _keys(node: yaml.Node, where: str, file: str, order: int, seen: set[int]) -> Iterator[Found]:
    """Yield every key below ``node``; what an alias repeats is looked at once."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            key = f"{where}[{number}]"
            yield key, Place(order, item.start_mark.line + 1, file), None
            yield from _keys(item, key, file, order, seen)
    elif isinstance(node, yaml.MappingNode):
        before: dict[str, int] = {}
        for name, value in node.value:
            text = str(name.value)
            line = name.start_mark.line + 1
            key = f"{where}.{text}".lstrip(".")
            yield key, Place(order, line, file), before.get(text)
            before.setdefault(text, line)
            yield from _keys(value, key, file, order, seen)


def _flat(values: Mapping[str, Any], where: str) -> Iterator[str]:
    for name, value in values.items():
        key = f"{where}.{name}".lstrip(".")
        yield key
        if isinstance(value, Mapping):
            yield from _flat(value, key)
