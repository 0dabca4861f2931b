"""The Makefile's commands, in a clone and with configurations whose names need quotes."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from workflow_runs import REPOSITORY

TOOL = '#!/bin/sh\nprintf "<%s>" "$@"; echo; echo "path=$PYTHONPATH"\n'

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone in an odd folder; its tools print what they were called with."""
    clone = tmp_path / """kl on 'q' $HOME;ü\""""
    tools = clone / ".venv/bin"
    tools.mkdir(parents=True)
    for name in ("python", "snakemake"):
        (tools / name).write_text(TOOL, encoding="utf-8")
        (tools / name).chmod(0o755)
    for name in ("Makefile", "requirements.lock"):
        shutil.copy2(REPOSITORY / name, clone)
    (clone / ".venv/.installed").touch()
    for name in ("a 'b$c;ü.yaml", "x.yaml", "y.yaml"):
        (clone / name).touch()
    return clone


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["status"], "<-m><lungaug.status>"),
        (["status", "CONFIG=a 'b$$c;ü.yaml"], "<-m><lungaug.status><--configfile><a 'b$c;ü.yaml>"),
        (["status", "CONFIG=x.yaml y.yaml"], "<-m><lungaug.status><--configfile><x.yaml><y.yaml>"),
        (["preview"], "<-m><lungaug.preview>"),
        (["preview", "CONFIG=x.yaml"], "<-m><lungaug.preview><--configfile><x.yaml>"),
        (["adopt", "CONFIG=x.yaml"], "<--configfile><x.yaml>"),
        (["run"], "<>"),
    ],
)
def test_names_reach_the_tools_as_they_are(clone: Path, arguments: list[str], words: str) -> None:
    environment = {name: os.environ[name] for name in ("PATH",)}
    done = subprocess.run(
        ["make", *arguments], cwd=clone, env=environment, capture_output=True, text=True, check=True
    )
    assert words in done.stdout.splitlines()
    assert f"path={clone}/workflow" in done.stdout.splitlines()
