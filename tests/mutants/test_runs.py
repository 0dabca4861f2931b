"""Mutants of a tiny package: killed, survived, without end; and which tests are run."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants import __main__ as command
from mutants import runs
from mutants.sites import sites

MODULE = runs.PACKAGE / "tiny/count.py"
CODE = '''"""Count."""


def larger(a, b):
    return a > b


def unused(a):
    return a + 2


def down(n):
    while n > 0:
        n -= 1
    return n
'''
TESTS = """from lungaug.tiny.count import down, larger


def test_larger():
    assert larger(2, 1) and not larger(1, 1)


def test_down():
    assert down(3) == 0
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for path, text in {
        "workflow/lungaug/__init__.py": "",
        "workflow/lungaug/tiny/__init__.py": "",
        str(MODULE): CODE,
        "workflow/lungaug/tiny/user.py": "from lungaug.tiny.count import larger\n",
        "workflow/lungaug/tiny/far.py": "import lungaug.tiny.user\n",
        "tests/tiny/test_count.py": TESTS,
        "tests/test_all.py": "from lungaug.tiny import count\n\n\ndef test_it(): assert count\n",
        "tests/tiny/test_user.py": "from lungaug.tiny.user import larger\n",
        "pyproject.toml": "[tool.pytest.ini_options]\naddopts = '-q --import-mode=importlib'\n",
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    return tmp_path


def test_each_mutant_has_its_outcome(root: Path) -> None:
    drawn = [(MODULE, site) for site in sites(CODE) if site.was in ("a > b", "a + 2", "n > 0")]
    table = {
        (site.was, site.now): (outcome.result, outcome.by)
        for _, site, outcome in runs.outcomes(root, drawn, limit_s=60)
    }
    larger, down = (f"tests/tiny/test_count.py::test_{name}" for name in ("larger", "down"))
    assert table == {
        ("a > b", "(a >= b)"): ("killed", larger),
        ("a + 2", "(a - 2)"): ("survived", ""),
        ("n > 0", "(n >= 0)"): ("killed", down),
    }
    assert (root / MODULE).read_text(encoding="utf-8") == CODE


def test_what_never_ends_is_stopped(root: Path) -> None:
    changed = CODE.replace("n -= 1", "n += 1")
    outcome = runs.killed(root, MODULE, changed, ["tests/tiny/test_count.py"], limit_s=4)
    assert outcome.result == "timeout"
    assert (root / MODULE).read_text(encoding="utf-8") == CODE


def test_tests_that_fail_anyway_are_an_error(root: Path) -> None:
    (root / "tests/test_all.py").write_text(
        "import lungaug.tiny.count\n\n\ndef test_it():\n    1 / 0\n"
    )
    with pytest.raises(RuntimeError, match=r"tests/test_all.py.* fails as it is"):
        list(runs.outcomes(root, [(MODULE, sites(CODE)[0])], limit_s=60))


def test_the_mirror_comes_first_then_who_imports_the_module(root: Path) -> None:
    assert [str(path) for path in runs.tests_of(root, MODULE)] == [
        "tests/tiny/test_count.py",
        "tests/test_all.py",
    ]
    of_user = runs.tests_of(root, MODULE.with_name("user.py"))
    assert [path.name for path in of_user] == ["test_user.py"]
    assert runs.tests_of(root, MODULE.with_name("far.py")) == []
    (root / "tests/tiny/test_user.py").unlink()
    (root / "tests/test_all.py").write_text("import lungaug.tiny.far\n", encoding="utf-8")
    of_user = runs.tests_of(root, MODULE.with_name("user.py"))
    assert [path.name for path in of_user] == ["test_all.py"]


def test_defaults_and_bounds_are_held_by_the_schema(root: Path) -> None:
    (root / MODULE).write_text("from lungaug.settings import setting\n\nn: int = setting(1)\n")
    assert [path.name for path in runs.tests_of(root, MODULE)][-1] == "test_schema.py"


def test_a_draw_depends_on_the_seed_alone_and_takes_a_line_once(root: Path) -> None:
    paths = runs.modules(root, "tiny")
    assert MODULE in paths
    assert runs.modules(root, "tiny/count") == [MODULE]
    drawn = runs.chosen(root, paths, 3, seed=1)
    assert drawn == runs.chosen(root, paths, 3, seed=1)
    every = runs.chosen(root, paths, 100, seed=1)
    assert len({site.line for _, site in every}) == len(every) == 4
    seeds = [runs.chosen(root, paths, 2, seed) for seed in range(8)]
    assert any(one != seeds[0] for one in seeds)


def test_every_equivalent_mutant_is_one_that_is_made() -> None:
    """A line that was rewritten leaves the list."""
    for (module, line, now), reason in command.equivalent().items():
        text = (command.REPOSITORY / runs.PACKAGE / module).read_text(encoding="utf-8")
        lines = text.splitlines()
        made = {(lines[site.line - 1].strip(), site.now) for site in sites(text)}
        assert (line, now) in made, module
        assert len(reason.split()) > 3
