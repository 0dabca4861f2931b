"""What a configuration's keys stand for: arms by their names, settings laid over others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from lungaug.arms import Arm, Parts, parse_arm
from lungaug.grid import ratio_names


def arms(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Arm]:
    """Return the arms of the key ``arms``, in its order."""
    known = parts(config, schema)
    return [parse_arm(name, known) for name in config["arms"]]


def all_arms(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Arm]:
    """Return every arm that is trained: of ``arms``, ``grid`` and the ratios of the curves."""
    first = arms(config, schema)
    names = [arm.name for arm in first]
    names += [name for block in config["grid"] for name in block["arms"]]
    names += ratio_names(config, first)
    known = parts(config, schema)
    return [parse_arm(name, known) for name in dict.fromkeys(names)]


def parts(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Parts:
    """Return what the names of arms may be made of."""
    return Parts(
        schema["x-operations"],
        schema["x-default-operations"],
        schema["x-generators"],
        config["mixed_generators"],
    )


def named_arms(config: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield every arm that ``arms`` and ``grid`` name, with the dotted key where it stands."""
    for number, name in enumerate(config["arms"]):
        yield f"arms[{number}]", name
    for block_number, block in enumerate(config["grid"]):
        for number, name in enumerate(block["arms"]):
            yield f"grid[{block_number}].arms[{number}]", name


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``values`` with those of ``overrides`` in their place, at every depth."""
    out = dict(values)
    for name, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if nested else value
    return out
