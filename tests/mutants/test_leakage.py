"""Each line of the leakage path, broken, fails the test that is there for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mutants import runs
from mutants.leakage import LEAKS, Break
from workflow_runs import REPOSITORY

LIMIT_S = 120


@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: f"{leak.module}: {leak.was[:30]}")
def test_the_text_is_there_once_and_its_test_too(leak: Break) -> None:
    text = (REPOSITORY / runs.PACKAGE / leak.module).read_text(encoding="utf-8")
    assert text.count(leak.was) == 1, "the line was rewritten: write a new replacement for it"
    assert leak.now != leak.was
    file, _, name = leak.test.partition("::")
    assert f"def {name}" in (REPOSITORY / "tests" / file).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return runs.copied(REPOSITORY, tmp_path_factory.mktemp("leaks"))


@pytest.mark.slow
def test_the_tests_pass_on_the_sound_package(root: Path) -> None:
    tests = dict.fromkeys(f"tests/{leak.test}" for leak in LEAKS)
    assert runs.tested(root, list(tests), 2 * LIMIT_S).result == "survived"


@pytest.mark.slow
@pytest.mark.parametrize("leak", LEAKS, ids=lambda leak: f"{leak.module}: {leak.was[:30]}")
def test_a_leak_is_noticed(root: Path, leak: Break) -> None:
    module = runs.PACKAGE / leak.module
    changed = (root / module).read_text(encoding="utf-8").replace(leak.was, leak.now)
    outcome = runs.killed(root, module, changed, [f"tests/{leak.test}"], LIMIT_S)
    assert outcome.result == "killed"
