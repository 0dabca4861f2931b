"""What docs/extending.md adds, works: its changes are made to a copy, and its commands are run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
PAGE = (REPOSITORY / "docs" / "extending.md").read_text(encoding="utf-8")
NAMED = re.compile(r"`([\w/.]+\.py)`(?:, new)?:$", re.MULTILINE)
BLOCK = re.compile(r"```(python|diff|sh)\n(.*?)```", re.DOTALL)


def sections() -> dict[str, str]:
    """Text by title; that on stages tells where things go, without an example."""
    parts = re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]
    found = {part.partition("\n")[0]: part for part in parts}
    return {title: text for title, text in found.items() if title != "A stage"}


def steps(section: str) -> Iterator[tuple[str, str, str]]:
    """(kind, file, text) of each block; a file is named by the last line that ends in its name."""
    for block in BLOCK.finditer(section):
        named = NAMED.findall(section[: block.start()])
        yield block[1], named[-1] if named else "", block[2]


def changed(text: str, diff: str) -> str:
    """A text after a diff without line numbers, whose place must be the only one."""
    lines = diff.splitlines(keepends=True)
    old = "".join(line[1:] for line in lines if line[0] in " -")
    new = "".join(line[1:] for line in lines if line[0] in " +")
    assert text.count(old) == 1, f"{text.count(old)} places for:\n{old}"
    return text.replace(old, new)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("workflow", "tests"):
        shutil.copytree(REPOSITORY / name, tmp_path / name, ignore=ignored)
    shutil.copy2(REPOSITORY / "pyproject.toml", tmp_path)
    return tmp_path


def test_every_section_has_changes_and_a_command() -> None:
    assert len(sections()) == 4
    for section in sections().values():
        assert {"python", "sh"} <= {kind for kind, _, _ in steps(section)}


@pytest.mark.parametrize("title", sections())
def test_a_section_works_as_it_stands(copy: Path, title: str) -> None:
    environment = {**os.environ, "PYTHONPATH": str(copy / "workflow")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"

    def run(command: str) -> str:
        done = subprocess.run(
            command, shell=True, cwd=copy, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    for kind, file, text in steps(sections()[title]):
        path = copy / file
        if kind == "python":
            path.write_text(text, encoding="utf-8")
        elif kind == "diff":
            path.write_text(changed(path.read_text("utf-8"), text), encoding="utf-8")
        else:
            told = run(f"{text.strip()} -p no:cacheprovider")
            assert "passed" in told or "[100%]" in told
    files = " ".join({file for _, file, _ in steps(sections()[title])})
    run(f"ruff check {files} && ruff format --check {files}")
    schema = "workflow/schemas/config.schema.yaml"
    before = (copy / schema).read_text("utf-8")
    run(f"python -m lungaug schema --output {schema}")
    assert (copy / schema).read_text("utf-8") != before
