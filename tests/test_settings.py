"""Settings refuse what they do not know, by name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest

from lungaug.errors import SettingError
from lungaug.settings import as_mapping, from_mapping, schema_of, setting


@dataclass(frozen=True)
class Inner:
    width: float = setting(2.0, "mm", exclusiveMinimum=0)
    kind: Literal["a", "b"] = setting("a", "which")


@dataclass(frozen=True)
class Outer:
    seed: int = setting(0, "seed", minimum=0)
    name: str | None = setting(None, "a name or none")
    span: tuple[float, float] = setting((0.0, 1.0), "from, to")
    names: tuple[str, ...] = setting((), "any number")
    inner: Inner = setting(Inner, "nested")


def test_values_survive_the_way_through_plain_mappings() -> None:
    given = Outer(seed=3, span=(1.0, 2.5), names=("x",), inner=Inner(kind="b"))
    assert from_mapping(Outer, as_mapping(given)) == given


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sed": 1}, ["sed", "unknown", "seed"]),
        ({"seed": "1"}, ["seed", "'1'", "integer"]),
        ({"seed": True}, ["seed", "True", "integer"]),
        ({"seed": -1}, ["seed", "-1", "at least 0"]),
        ({"span": [1]}, ["span", "accepted: 2"]),
        ({"names": "x"}, ["names", "a list"]),
        ({"inner": {"width": 0}}, ["inner.width", "above 0"]),
        ({"inner": {"kind": "c"}}, ["inner.kind", "'c'", "a, b"]),
        ({"inner": 3}, ["inner", "3", "a mapping"]),
    ],
)
def test_a_fault_names_key_value_and_what_is_accepted(
    values: dict[str, object], words: list[str]
) -> None:
    with pytest.raises(SettingError) as caught:
        from_mapping(Outer, values)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_whole_numbers_are_accepted_where_a_float_is_wanted() -> None:
    assert from_mapping(Inner, {"width": 3}).width == 3.0


def test_schema_holds_defaults_bounds_and_refuses_unknown_keys() -> None:
    schema = schema_of(Outer)
    assert schema["additionalProperties"] is False
    assert schema["properties"]["seed"] == {
        "type": "integer",
        "minimum": 0,
        "description": "seed",
        "default": 0,
    }
    assert schema["properties"]["inner"]["properties"]["kind"]["enum"] == ["a", "b"]
    assert schema["properties"]["name"]["anyOf"][1] == {"type": "null"}
