"""Settings as frozen dataclasses: default, bounds and meaning beside the field.

The JSON schema of ``config.yaml`` is generated from these classes, so that what the workflow
refuses before it starts is what the stages would refuse. Standard library only: every module
may own settings without paying for imports.
"""

from __future__ import annotations

import dataclasses
import operator
import types
import typing
from collections.abc import Callable, Mapping
from typing import Any, Literal, TypeVar, Union

from lungaug.errors import SettingError
from lungaug.suggestions import did_you_mean

T = TypeVar("T")

_BOUNDS: dict[str, tuple[Callable[[Any, Any], bool], str]] = {
    "minimum": (operator.ge, "at least"),
    "maximum": (operator.le, "at most"),
    "exclusiveMinimum": (operator.gt, "above"),
    "exclusiveMaximum": (operator.lt, "below"),
}
_JSON_TYPES: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string"}


def setting(default: Any, doc: str, **constraints: Any) -> Any:
    """A dataclass field with its meaning and JSON-schema constraints.

    Args:
        default: the default value, or a zero-argument callable for mutable or nested ones.
        doc: one line, with the unit; it becomes the schema's description.
        constraints: JSON-schema keywords such as ``minimum``, ``maximum``, ``exclusiveMinimum``.
    """
    metadata = {"doc": doc, "constraints": constraints}
    if callable(default):
        return dataclasses.field(default_factory=default, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def required(doc: str, **constraints: Any) -> Any:
    """A dataclass field without default, otherwise as :func:`setting`."""
    return dataclasses.field(metadata={"doc": doc, "constraints": constraints})


def from_mapping(cls: type[T], values: Mapping[str, Any], where: str = "") -> T:
    """Build the frozen settings ``cls`` from plain values (JSON or YAML).

    Raises:
        SettingError: an unknown key, a wrong type or a value out of bounds, with its dotted key.
    """
    if not isinstance(values, Mapping):
        raise SettingError(f"{where or cls.__name__}: got {values!r}; accepted: a mapping")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for key in values:
        if key not in fields:
            meant = did_you_mean(key, fields)
            raise SettingError(
                f"{_join(where, key)}: unknown setting{meant}; accepted: {', '.join(fields)}"
            )
    arguments = {}
    for key, value in values.items():
        arguments[key] = _converted(hints[key], value, _join(where, key))
        _check_bounds(fields[key].metadata.get("constraints", {}), value, _join(where, key))
    return cls(**arguments)


def as_mapping(settings: Any) -> dict[str, Any]:
    """The plain values of a settings dataclass, tuples as lists: ready for JSON."""
    return {f.name: _plain(getattr(settings, f.name)) for f in dataclasses.fields(settings)}


def schema_of(cls: type) -> dict[str, Any]:
    """JSON schema of a settings dataclass: unknown keys refused, defaults included."""
    hints = typing.get_type_hints(cls)
    properties = {}
    required = []
    for field in dataclasses.fields(cls):
        node = _type_schema(hints[field.name])
        node.update(field.metadata.get("constraints", {}))
        if field.metadata.get("doc"):
            node["description"] = field.metadata["doc"]
        if field.default is not dataclasses.MISSING:
            node["default"] = _plain(field.default)
        elif field.default_factory is not dataclasses.MISSING:
            node["default"] = _plain(field.default_factory())
        else:
            required.append(field.name)
        properties[field.name] = node
    schema: dict[str, Any] = {
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }
    if required:
        schema["required"] = required
    return schema


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else str(key)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return as_mapping(value)
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(v) for v in value]
    return value


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (Union, types.UnionType)


def _converted(hint: Any, value: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        if value is None and type(None) in args:
            return None
        return _converted(next(a for a in args if a is not type(None)), value, where)
    if origin is Literal:
        if value not in args:
            meant = did_you_mean(value, args)
            raise SettingError(
                f"{where}: got {value!r}{meant}; accepted: {', '.join(str(a) for a in args)}"
            )
        return value
    if dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple(args, value, where)
    if origin is dict:
        if not isinstance(value, Mapping):
            raise SettingError(f"{where}: got {value!r}; accepted: a mapping")
        return {k: _converted(args[1], v, _join(where, k)) for k, v in value.items()}
    return _scalar(hint, value, where)


def _tuple(args: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    if not isinstance(value, (list, tuple)):
        raise SettingError(f"{where}: got {value!r}; accepted: a list")
    if len(args) == 2 and args[1] is Ellipsis:
        return tuple(_converted(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if len(value) != len(args):
        raise SettingError(f"{where}: got {len(value)} values; accepted: {len(args)}")
    pairs = zip(args, value, strict=True)
    return tuple(_converted(a, v, f"{where}[{i}]") for i, (a, v) in enumerate(pairs))


def _scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is Any:
        return value
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise SettingError(f"{where}: got {value!r}; accepted: {_JSON_TYPES[hint]}")
    return value


def _check_bounds(constraints: Mapping[str, Any], value: Any, where: str) -> None:
    for name, bound in constraints.items():
        if name in _BOUNDS and value is not None:
            holds, words = _BOUNDS[name]
            if not holds(value, bound):
                raise SettingError(f"{where}: got {value!r}; accepted: {words} {bound}")


def _type_schema(hint: Any) -> dict[str, Any]:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if _is_union(hint):
        node = _type_schema(next(a for a in args if a is not type(None)))
        return {"anyOf": [node, {"type": "null"}]} if type(None) in args else node
    if origin is Literal:
        return {"enum": list(args)}
    if dataclasses.is_dataclass(hint):
        return schema_of(hint)  # type: ignore[arg-type]
    if origin is tuple:
        return _tuple_schema(args)
    if origin is dict:
        return {"type": "object", "additionalProperties": _type_schema(args[1])}
    return {} if hint is Any else {"type": _JSON_TYPES[hint]}


def _tuple_schema(args: tuple[Any, ...]) -> dict[str, Any]:
    if len(args) == 2 and args[1] is Ellipsis:
        return {"type": "array", "items": _type_schema(args[0])}
    items = [_type_schema(a) for a in args]
    return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
