"""Explain what the schema refuses: the key, the value, what is accepted, and what was meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jsonschema

from lungaug.configfiles import Fault
from lungaug.suggestions import did_you_mean, setting_meant

# YAML's 2.0 is no integer here: what counts things must be one.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
_TYPES = {"object": "settings, indented below it", "array": "a list, as in [a, b]"}
_BOUNDS = {
    "minimum": "at least {}",
    "maximum": "at most {}",
    "exclusiveMinimum": "above {}",
    "exclusiveMaximum": "below {}",
    "minItems": "at least {} values",
    "maxItems": "at most {} values",
}


def taken_out(config: dict[str, Any], schema: Mapping[str, Any]) -> list[Fault]:
    """Take out of ``config``, in place, what the schema refuses; and return the faults."""
    errors = list(_Validator(dict(schema)).iter_errors(config))
    found = [fault for error in errors for fault in explained(_innermost(error), schema)]
    for error in errors:
        _take_out(config, _innermost(error))
    return found


def explained(error: jsonschema.ValidationError, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what an error of the schema says, a fault for each key that it is about.

    Args:
        error: of the validator.
        schema: of the whole configuration.
    """
    where = key_of(error.absolute_path)
    wanted: Any = error.validator_value
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        inner: Mapping[str, Any] = error.schema.get("properties", {})  # type: ignore[union-attr]
        for name in instance:
            if name not in inner:
                meant = setting_meant(name, inner, schema)
                listed = ", ".join(inner)
                yield Fault(_joined(where, name), f"unknown setting{meant}; accepted: {listed}")
    elif error.validator == "required":
        for name in wanted:
            if name not in instance:
                yield Fault(_joined(where, name), f"missing; {_accepted_there(error, name)}")
    else:
        yield Fault(where, f"got {instance!r}{_meant(error)}; accepted: {_accepted(error)}")


def key_of(path: Iterable[Any]) -> str:
    """Return a path of keys and numbers as a dotted key."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _innermost(error: jsonschema.ValidationError) -> jsonschema.ValidationError:
    while error.context:
        error = max(error.context, key=lambda inner: len(inner.absolute_path))
    return error


def _joined(where: str, name: object) -> str:
    return f"{where}.{name}" if where else str(name)


def _accepted_there(error: jsonschema.ValidationError, name: str) -> str:
    """What a missing setting may be, as far as one line can say."""
    node: Mapping[str, Any] = error.schema["properties"][name]  # type: ignore[index]
    if "enum" in node:
        return f"accepted: {', '.join(str(value) for value in node['enum'])}"
    inner = node.get("required", ())
    if inner:
        kinds = node["properties"][inner[0]].get("enum", ())
        return f"accepted: {name} with {inner[0]}: {', '.join(map(str, kinds))}"
    return f"it has no default: {node.get('description', name)}"


def _meant(error: jsonschema.ValidationError) -> str:
    value: Any = error.instance
    wanted: Any = error.validator_value
    if error.validator == "enum":
        return did_you_mean(value, wanted)
    if error.validator == "type" and isinstance(value, str) and _is_number(value):
        return f" (a text; the number is written {float(value)!r})"
    return ""


def _is_number(text: str) -> bool:
    """Whether a text was meant as a number: YAML takes 1e-3 for a text."""
    try:
        return float(text) == float(text)
    except ValueError:
        return False


def _accepted(error: jsonschema.ValidationError) -> str:
    wanted: Any = error.validator_value
    kind = str(error.validator)
    if kind in _BOUNDS:
        return _BOUNDS[kind].format(wanted)
    if kind == "enum":
        return ", ".join(str(value) for value in wanted)
    if kind == "type":
        return _TYPES.get(wanted, str(wanted))
    if kind == "pattern":
        return str(error.schema.get("description", wanted))  # type: ignore[union-attr]
    return str(error.message)


def _take_out(config: dict[str, Any], error: jsonschema.ValidationError) -> None:
    """Remove the faulty value; of a list's item the whole list, so that numbers stay true."""
    path = list(error.absolute_path)
    if error.validator == "additionalProperties":
        known = error.schema.get("properties", {})  # type: ignore[union-attr]
        holder = _at(config, path)
        for name in [name for name in holder if name not in known]:
            del holder[name]
        return
    first_number = next((i for i, part in enumerate(path) if isinstance(part, int)), len(path))
    path = path[:first_number]
    if path:
        holder = _at(config, path[:-1])
        if isinstance(holder, dict):
            holder.pop(path[-1], None)


def _at(config: Any, path: Iterable[Any]) -> Any:
    for part in path:
        inside = isinstance(config, list) or (isinstance(config, dict) and part in config)
        config = config[part] if inside else {}
    return config
