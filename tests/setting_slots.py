"""Every place of a configuration that takes a value, as the schema says."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
Node = Mapping[str, Any]
ITEM = 0
"""In a slot's path: the first item of a list."""
A_MEMBER = {"train_segmenter.per_segmenter": "unet"}
"""Mappings whose keys are names: one of them."""


@dataclass(frozen=True)
class Slot:
    """A place that takes one value: names of sections, and ``ITEM`` in lists."""

    path: Path

    @property
    def key(self) -> str:
        """Dotted, as messages name it."""
        return _dotted(self.path)

    @property
    def name(self) -> str:
        """Dotted, with ``[]`` for any item of a list."""
        return self.key.replace("[0]", "[]")


def slots(schema: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield every slot; of a pair or a list the first item."""
    for path, node in _nodes(schema, ()):
        if not any(True for _ in _below(node, path)):
            yield Slot(path)


def sections(schema: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the path of every mapping, the whole configuration's first."""
    for path, node in _nodes(schema, ()):
        kinds = [node, *node.get("anyOf", ())]
        if any("properties" in kind or _of_names(kind) for kind in kinds):
            yield path


def attacked(base: Mapping[str, Any], taken: Iterable[Slot], value: str) -> dict[str, Any]:
    """Return ``base`` with a value in every slot of ``taken``."""
    config: dict[str, Any] = copy.deepcopy(dict(base))
    for slot in taken:
        _put(config, slot.path, value)
    return config


def value_of(config: Any, slot: Slot) -> Any:
    """Return what a slot of a checked configuration holds."""
    for part in slot.path:
        config = config[part]
    return config


def _put(holder: Any, path: Path, value: str) -> None:
    for part, following in zip(path, (*path[1:], None), strict=True):
        if following is None:
            if part == ITEM:
                holder[:] = [value]
            else:
                holder[part] = value
        elif part == ITEM:
            if not holder:
                holder.append({})
            holder = holder[0]
        else:
            new: Any = [] if following == ITEM else {}
            holder = holder.setdefault(part, new)


def _nodes(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """Yield a node of the schema and every one below it, with their paths."""
    yield path, node
    for inner_path, inner in _below(node, path):
        yield from _nodes(inner, inner_path)


def _below(node: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    for kind in [node, *node.get("anyOf", ())]:
        for name, inner in kind.get("properties", {}).items():
            yield (*path, name), inner
        if _of_names(kind):
            yield (*path, A_MEMBER[_dotted(path)]), kind["additionalProperties"]
        items = _items(kind)
        if items:
            yield (*path, ITEM), items


def _of_names(node: Node) -> bool:
    """Whether it is a mapping whose keys are names, as of segmenters."""
    return isinstance(node.get("additionalProperties"), Mapping)


def _items(node: Node) -> Node | None:
    if "prefixItems" in node:
        first: Node = node["prefixItems"][0]
        return first
    items = node.get("items")
    return items if isinstance(items, Mapping) else None


def _dotted(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")
