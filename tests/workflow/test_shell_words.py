"""The shell command of every rule, where every value that may be odd is: run by a stand-in python.

The jobs are planned by Snakemake from tables written here; bash runs what it prints.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungaug.cohort import SPLIT_COLUMNS, write_rows
from lungaug.stages.scan import COLUMNS
from workflow_runs import REPOSITORY, Copy

ODD = """a "b" it's $(touch X)`touch X`;touch X&$HOME|*#\\ü"""
TEXT = f"{ODD}{{fold}}{{input}}<logs>"  # what is no path may hold what Snakemake fills
RESULTS = f"results {ODD}/-own"
RULE = re.compile(r"^ *(?:rule|checkpoint) (\w+):$", re.MULTILINE)
COMMAND = re.compile(r"^(?:Shell command: | +)(python -m lungaug .*)$", re.MULTILINE)
PYTHON = '#!/bin/bash\nprintf "%s\\0" "$@" > "$RECORD"\n'
NAME = "{name}"  # of weights, beside which a file of that name lies
CONFIG: dict[str, Any] = {
    "cohort": "-own",
    "source": {
        "kind": "dicom",
        "root": f"root {ODD}",
        "sheet": f"sheet {ODD}",
        "masks": f"masks {ODD}",
    },
    "results": f"results {ODD}",
    "private": f"private {ODD}",
    "key_file": f"key {ODD}",
    "ledger": f"ledger {ODD}/l.tsv",
    "checkpoints": f"checkpoints {ODD}",
    "published_scores": f"published {ODD}",
    "arms": ["none", "metalung", "gaussian"],
    "segmenters": ["unet"],
    "seeds": 1,
    "presence": True,
    "learning_curve": {"shares": [50], "ratios": [0.5], "arms": ["metalung"]},
    "select": {role: {"which": "all"} for role in ("train", "evaluate")},
    "scan": {"include": [TEXT], "mask_suffixes": [TEXT], "rescale_types": [TEXT]},
    "sample": {"lung_rads": TEXT},
    "realism": {"inception_weights": f"inception {ODD}"},
    "train_segmenter": {
        "network": {"encoder": TEXT, "weights": f"weights {ODD}.pt"},
        "per_segmenter": {"unet": {"network": {"encoder": f"own {TEXT}"}}},
    },
    "train_presence": {"network": {"encoder": TEXT, "weights": NAME}},
}
PHANTOM = {**CONFIG, "source": {"kind": "phantom"}}
ENVIRONMENT = {
    name: f"{name} {ODD}"
    for name in (
        "LUNGAUG_RESULTS", "LUNGAUG_CHECKPOINTS", "LUNGAUG_PRIVATE", "LUNGAUG_KEY",
        "LUNGAUG_LEDGER", "LUNGAUG_SOURCE", "LUNGAUG_SHEET", "LUNGAUG_MASKS", "LUNGAUG_DEVICE",
        "LUNGAUG_RUNNING", "LUNGAUG_TEXT",
    )
}  # fmt: skip


@pytest.fixture(scope="module")
def commands(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A shell command of every rule, as Snakemake would run it."""
    copy = Copy.of_repository(tmp_path_factory.mktemp("words") / "repository")
    for name in ("root", "masks"):
        Path(copy.root, f"{name} {ODD}").mkdir()
    for name in ("sheet", "key", "published", "inception"):
        Path(copy.root, f"{name} {ODD}").write_text("table\n", encoding="utf-8")
    Path(copy.root, f"weights {ODD}.pt").touch()
    Path(copy.root, NAME).touch()
    found = planned(copy, PHANTOM)
    results = copy.root / RESULTS
    patients = {"p0": "train", "p1": "validation", "p2": "test"}
    cohort = [dict.fromkeys(COLUMNS, "") | {"patient": p, "batch": "b0"} for p in patients]
    write_rows(results / "cohort.tsv", COLUMNS, cohort)
    (results / "scan.rejected.tsv").touch()
    found |= planned(copy, CONFIG)
    for name in ("ingest", "preprocess"):
        (results / name).mkdir()
        for end in ("h5", "rejected.tsv", "skipped.tsv", "nodules.tsv"):
            (results / name / f"b0.{end}").touch()
    split = [
        dict.fromkeys(SPLIT_COLUMNS, "") | {"fold": "fixed", "patient": p, "role": role}
        for p, role in patients.items()
    ]
    write_rows(results / "split.tsv", SPLIT_COLUMNS, split)
    (results / "split.left_out.tsv").touch()
    return found | planned(copy, CONFIG)


def planned(copy: Copy, config: dict[str, Any]) -> dict[str, str]:
    """The commands of a dry run, one a rule."""
    (copy.root / "odd.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
    arguments = ("--printshellcmds", "--rerun-triggers", "mtime", "--dry-run")
    run = copy.snakemake(*arguments, configs=("odd.yaml",))
    assert run.status == 0, run.output
    found = COMMAND.findall(run.output)
    return {command.split()[3]: command for command in found}


def test_every_rule_has_a_command(commands: dict[str, str]) -> None:
    files = sorted((REPOSITORY / "workflow/rules").glob("*.smk"))
    rules = {name for file in files for name in RULE.findall(file.read_text(encoding="utf-8"))}
    assert rules == set(commands)


def test_bash_hands_every_value_on_as_one_word(commands: dict[str, str], tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "python").write_text(PYTHON, encoding="utf-8")
    (tools / "python").chmod(0o755)
    work = tmp_path / "work"
    for rule, command in commands.items():
        words = literal(command)
        arguments, log = redirected(words[1:])
        (work / log).parent.mkdir(parents=True, exist_ok=True)
        environment = {
            **ENVIRONMENT,
            "PATH": f"{tools}:{os.environ['PATH']}",
            "RECORD": str(tmp_path / rule),
            "HOME": "/nowhere",
        }
        subprocess.run(["bash", "-c", command], cwd=work, env=environment, check=True)
        got = (tmp_path / rule).read_text(encoding="utf-8").split("\0")[:-1]
        assert got == arguments, rule
        assert not list(work.rglob("X")), rule


def literal(command: str) -> list[str]:
    """The words of a command where nothing is run: only the rules' own variables are filled in."""
    assert not set(re.findall(r'"\$(\w+)', command)) - set(ENVIRONMENT)
    words = shlex.split(command)
    return [re.sub(r"\$(LUNGAUG_\w+)", lambda name: ENVIRONMENT[name[1]], word) for word in words]


def redirected(words: list[str]) -> tuple[list[str], str]:
    """The arguments, and the log that ``> log 2>&1`` or ``2>&1 | tee log`` names."""
    if "tee" in words:
        return words[: words.index("2>&1")], words[-1]
    end = words.index(">")
    return words[:end], words[end + 1]


def test_odd_values_are_in_the_commands(commands: dict[str, str]) -> None:
    """Or nothing is shown."""
    of_words = {rule: "\n".join(shlex.split(command)) for rule, command in commands.items()}
    odd = {rule for rule, words in of_words.items() if f"results {ODD}" in words}
    assert odd == set(commands)
    for rule, text in {
        "scan": TEXT,
        "sample": TEXT,
        "check_networks": f"own {TEXT}",
        "train_segmenter": f"own {TEXT}",
        "train_presence": TEXT,
        "report": TEXT,
        "realism": f"inception {ODD}",
    }.items():
        assert text in texts(given(commands[rule], "--settings", "--asked")), rule
    assert f"published {ODD}" in of_words["published"]


def given(command: str, *options: str) -> list[Any]:
    """What a command gives as JSON."""
    words = shlex.split(command)
    pairs = itertools.pairwise(words)
    return [json.loads(value) for option, value in pairs if option in options]


def texts(value: Any) -> set[str]:
    """Every text at any depth."""
    inner = value.values() if isinstance(value, dict) else value
    if isinstance(value, dict | list):
        return set().union(*map(texts, inner))
    return {value} if isinstance(value, str) else set()
