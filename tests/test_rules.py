"""The shell text of every rule: what Snakemake puts in is quoted, whatever a path holds."""

from __future__ import annotations

import ast
import re
import shlex
from pathlib import Path

import pytest

from workflow_runs import REPOSITORY

RULES = sorted((REPOSITORY / "workflow/rules").glob("*.smk"))
SHELL = re.compile(r"^( *)shell:\n((?:\1 +\S.*\n|\n)+)", re.MULTILINE)
FIELD = re.compile(r"\{[^{}]*\}")
ODD = "a b'c\"d$(touch y);&`e`ü"


def commands(text: str) -> list[str]:
    """The shell commands of a file of rules, as Snakemake gets them."""
    return [ast.literal_eval(f"({found[1]})") for found in SHELL.findall(text)]


def unquoted(command: str) -> list[str]:
    """What is put into a command as it is."""
    return [field for field in FIELD.findall(command) if not field.endswith(":q}")]


def quoted_twice(command: str) -> list[str]:
    """What is put between quotes of the command's own, where :q would not protect it."""
    filled = FIELD.sub(lambda field: shlex.quote(ODD), command)
    try:
        words = shlex.split(filled.replace("$LUNGAUG", "_LUNGAUG"))
    except ValueError:
        return [command]
    n_odd = sum(word.count(ODD) for word in words)
    return [] if n_odd == len(FIELD.findall(command)) else [command]


@pytest.mark.parametrize("path", RULES, ids=lambda path: path.name)
def test_everything_that_is_put_into_shell_text_is_quoted(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    found = commands(text)
    assert len(found) == len(re.findall(r"^ *shell:", text, re.MULTILINE))
    assert len(found) >= len(re.findall(r"^ *(?:rule|checkpoint) \w+:$", text, re.MULTILINE))
    assert [field for command in found for field in unquoted(command)] == []
    assert [command for command in found for command in quoted_twice(command)] == []


@pytest.mark.parametrize(
    "command",
    [
        "tool {input}",
        "tool {input.slices:q} > {log}",
        "tool --fold {wildcards.fold}",
        "tool {params.code}",
        "tool {output[0]}",
    ],
)
def test_an_unquoted_field_is_found(command: str) -> None:
    assert unquoted(command)


def test_a_field_between_quotes_is_found() -> None:
    assert quoted_twice('tool "{input.rois:q}"')
    assert not quoted_twice('tool "$LUNGAUG_RESULTS"/{wildcards.fold:q}.pt')


def test_every_rule_is_looked_at() -> None:
    found = [command for path in RULES for command in commands(path.read_text(encoding="utf-8"))]
    assert len(found) > 25
    assert all(command.startswith("python -m lungaug ") for command in found)
