"""Arm names are sums of parts."""

from __future__ import annotations

import pytest

from lungaug.arms import Parts, parse_arm
from lungaug.errors import SettingError

KNOWN = Parts(
    ("mirror", "replace", "blur"), ("mirror", "replace"), ("gan", "vae", "old"), ("gan", "vae")
)


@pytest.mark.parametrize(
    ("name", "operations", "generators", "online"),
    [
        ("none", (), (), False),
        ("online", (), (), True),
        ("metalung", ("mirror", "replace"), (), False),
        ("metalung+online", ("mirror", "replace"), (), True),
        ("blur+mirror", ("blur", "mirror"), (), False),
        ("metalung+mirror", ("mirror", "replace"), (), False),
        ("gan", (), ("gan",), False),
        ("old+mirror", ("mirror",), ("old",), False),
        ("mixed", ("mirror", "replace"), ("gan", "vae"), False),
        ("mixed+old+online", ("mirror", "replace"), ("gan", "vae", "old"), True),
    ],
)
def test_parts_add_up(
    name: str, operations: tuple[str, ...], generators: tuple[str, ...], online: bool
) -> None:
    arm = parse_arm(name, KNOWN)
    assert (arm.operations, arm.generators, arm.online) == (operations, generators, online)


def test_origins_are_those_of_the_slices_that_are_added() -> None:
    assert parse_arm("mirror+gan", KNOWN).origins == ("metalung:mirror", "inserted:gan")


@pytest.mark.parametrize("name", ["", "mirorr", "none+mirror", "mirror+mirror", "+"])
def test_what_is_no_arm_says_what_is(name: str) -> None:
    with pytest.raises(SettingError, match="accepted: none, or different parts of online"):
        parse_arm(name, KNOWN)


def test_a_ratio_says_how_much_is_added() -> None:
    assert parse_arm("mirror+gan@0.5", KNOWN).ratio == 0.5
    assert parse_arm("mirror", KNOWN).ratio is None


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mirror@", "a positive number"),
        ("mirror@0", "a positive number"),
        ("mirror@0.0", "a positive number"),
        ("mirror@-1", "a positive number"),
        ("mirror@0.50", "a positive number"),
        ("mirror@.5", "a positive number"),
        ("mirror@1@2", "a positive number"),
        ("none@1", "adds no slices; accepted: none"),
        ("online@1", "adds no slices; accepted: online"),
    ],
)
def test_a_ratio_is_a_number_of_an_arm_that_adds_slices(name: str, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        parse_arm(name, KNOWN)
