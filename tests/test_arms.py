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
