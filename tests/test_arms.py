"""Arm names are sums of parts."""

from __future__ import annotations

import pytest

from lungaug.arms import parse_arm
from lungaug.errors import SettingError

OPERATIONS = ("mirror", "replace", "blur")
DEFAULT = ("mirror", "replace")


@pytest.mark.parametrize(
    ("name", "operations", "online"),
    [
        ("none", (), False),
        ("online", (), True),
        ("metalung", ("mirror", "replace"), False),
        ("metalung+online", ("mirror", "replace"), True),
        ("blur+mirror", ("blur", "mirror"), False),
        ("metalung+mirror", ("mirror", "replace"), False),
    ],
)
def test_parts_add_up(name: str, operations: tuple[str, ...], online: bool) -> None:
    arm = parse_arm(name, OPERATIONS, DEFAULT)
    assert (arm.operations, arm.online) == (operations, online)


@pytest.mark.parametrize("name", ["", "mirorr", "none+mirror", "mirror+mirror", "+"])
def test_what_is_no_arm_says_what_is(name: str) -> None:
    with pytest.raises(SettingError, match="accepted: none, or different parts of online"):
        parse_arm(name, OPERATIONS, DEFAULT)
