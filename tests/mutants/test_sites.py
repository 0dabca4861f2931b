"""Which changes are made to a module's text, and which are not."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mutants.sites import Site, sites
from workflow_runs import REPOSITORY

MODULES = sorted((REPOSITORY / "workflow/lungaug").rglob("*.py"))


def changes(text: str) -> set[tuple[str, str]]:
    return {(site.was, site.now) for site in sites(text)}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("x = a < b\n", {("a < b", "(a <= b)")}),
        ("x = a is not None\n", {("a is not None", "(a is None)")}),
        ("x = a in b\n", {("a in b", "(a not in b)")}),
        ("x = a < b == c\n", {("a < b == c", "(a <= b == c)"), ("a < b == c", "(a < b != c)")}),
        ("x = a and b\n", {("a and b", "(a or b)")}),
        ("x = not a\n", {("not a", "(a)")}),
        ("x = a + b\n", {("a + b", "(a - b)")}),
        ("x += a\n", {("x += a", "x -= a")}),
        ("x = a // b\n", {("a // b", "(a / b)")}),
        ("x = -0.5\n", {("-0.5", "(0.5)"), ("0.5", "1.5")}),
        ("x = True\n", {("True", "False")}),
        ("def f(a=3): pass\n", {("3", "4")}),
        ("x = a[b:c]\n", {("b:c", ":c"), ("b:c", "b:")}),
        ("x = a[::s]\n", {("::s", ":")}),
        ("x = min(a, b)\n", {("min(a, b)", "max(a, b)")}),
        ("x = np.ceil(a)\n", {("np.ceil(a)", "np.floor(a)")}),
        ("x = sorted(a)\n", {("sorted(a)", "list(a)")}),
        ("x = f(a, axis=0)\n", {("0", "1")}),
        ("f(a)\n", {("f(a)", "pass")}),
        ("raise E(1 + 1)\n", {("raise E(1 + 1)", "pass")}),
        ("if a: b()\n", {("a", "(not a)"), ("b()", "pass")}),
        ("for a in b: continue\n", {("continue", "break")}),
        ("x = [a for a in b if c]\n", {("c", "True")}),
    ],
)  # fmt: skip
def test_known_changes(text: str, wanted: set[tuple[str, str]]) -> None:
    assert changes(text) == wanted


@pytest.mark.parametrize(
    "text",
    [
        '"""Of 1 < 2."""\n',
        'def f():\n    """Return 1."""\n',
        "x: Literal[1]\n",
        "def f(a: int | None) -> Annotated[int, 1]: pass\n",
        "@dataclass(frozen=True)\nclass A: pass\n",
        'x = f"{a + 1} slices"\n',
        'x = "a" + b\n',
        'log.info("%d", a + 1)\n',
        'logger.warning("%d", 1)\n',
        '__all__ = ["a"][0:1]\n',
        "class A:\n    def __repr__(self): return str(1 + 1)\n",
        "assert a < b\n",
        "if TYPE_CHECKING:\n    x = 1\n",
        "import a.b as c\n",
        "x = None\n",
        'x = "text"\n',
    ],
)
def test_what_is_for_people_is_left_alone(text: str) -> None:
    assert changes(text) == set()


def test_a_change_is_made_at_its_place_whatever_stands_before_it() -> None:
    text = 'a = "ü…"  # ü\nx = ("é", a < b, a < b)\n'
    first, second = sites(text)
    assert (first.line, second.line) == (2, 2)
    assert first.applied(text) == text.replace("a < b", "(a <= b)", 1)
    assert second.applied(text) == 'a = "ü…"  # ü\nx = ("é", a < b, (a <= b))\n'
    with pytest.raises(ValueError, match="line 2 does not hold 'a < b'"):
        first.applied("b" + text)


def test_a_text_of_several_lines_stays_one() -> None:
    text = "x = f(\n    a\n    < b,\n)\n"
    (site,) = sites(text)
    assert site == Site(11, 20, 2, "comparison", "a\n    < b", "(a <= b)")
    assert site.applied(text) == "x = f(\n    (a <= b),\n)\n"


@pytest.mark.parametrize("path", MODULES[:: len(MODULES) // 8], ids=lambda path: path.stem)
def test_changes_of_real_modules_are_python_and_other_programs(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.dump(ast.parse(text))
    for site in sites(text)[::8]:
        assert ast.dump(ast.parse(site.applied(text))) != tree, site
