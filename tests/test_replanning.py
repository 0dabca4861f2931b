"""What must run is decided without what was decided before; a toy workflow shows why."""

from __future__ import annotations

import base64
import subprocess
import sys
from pathlib import Path

from workflow_runs import REPOSITORY, Run

# As here: a training reads the checkpoint's table, a table of scores reads the training only.
TOY = """
import sys
sys.path.insert(0, {library!r})
from snakemake.dag import DAG
from lungaug import replanning
DAG.update_needrun = replanning.afresh(DAG.update_needrun)

rule all:
    input: "scores"

checkpoint scan:
    output: "cohort"
    params: tree=open("tree").read()
    shell: "cut -c 1 tree > {{output}}"

rule train:
    input: lambda wildcards: checkpoints.scan.get().output
    output: "model"
    shell: "cp {{input}} {{output}}"

rule evaluate:
    input: "model"
    output: "scores"
    shell: "cp {{input}} {{output}}"
"""


def run(folder: Path, tree: str, *options: str) -> Run:
    (folder / "tree").write_text(tree, encoding="utf-8")
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--workflow-profile", "none"]
    command += options
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    return Run(done.returncode, done.stdout + done.stderr)


def test_a_checkpoint_that_changes_nothing_reruns_nothing_else(tmp_path: Path) -> None:
    text = TOY.format(library=str(REPOSITORY / "workflow"))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    runs = [run(tmp_path, tree) for tree in ("1 a", "1 b", "2 b", "2 b")]
    assert [done.status for done in runs] == [0, 0, 0, 0], runs
    everything = {"scan": 1, "train": 1, "evaluate": 1}
    assert [done.jobs for done in runs] == [everything, {"scan": 1}, everything, {}]
    assert (tmp_path / "scores").read_text(encoding="utf-8") == "2\n"


def test_what_a_killed_run_left_behind_a_checkpoint_is_made_again(tmp_path: Path) -> None:
    """The file is there and whole, but nothing is known of what made it."""
    text = TOY.format(library=str(REPOSITORY / "workflow"))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    assert run(tmp_path, "1 a").status == 0
    name = base64.urlsafe_b64encode(b"model").decode()
    mark = tmp_path / ".snakemake" / "incomplete" / name
    mark.parent.mkdir(exist_ok=True)
    mark.touch()
    (tmp_path / ".snakemake" / "metadata" / name).unlink()
    # The scan runs again, so that the training's job is known only after it.
    refused = run(tmp_path, "1 b")
    assert refused.status != 0
    assert "IncompleteFilesException" in refused.output
    done = run(tmp_path, "1 c", "--rerun-incomplete")
    assert done.status == 0, done.output
    assert done.jobs["train"] == 1
    assert run(tmp_path, "1 c").jobs == {}


# A training waits for a check and reads a table; both can be stale at once.
WAITING = """
import sys
sys.path.insert(0, {library!r})
from snakemake.dag import DAG
from lungaug import replanning
DAG.update_needrun = replanning.afresh(DAG.update_needrun)

rule all:
    input: "scores"

rule check:
    output: "checked"
    params: tree=open("tree").read()
    shell: "cut -c 1 tree > {{output}}"

rule train:
    input: checked=ancient("checked")
    output: "model"
    params: tree=open("tree").read()[2]
    shell: "cut -c 3 tree > {{output}}"

rule evaluate:
    input: "model"
    output: "scores"
    shell: "cp {{input}} {{output}}"
"""


def test_a_job_that_only_waits_runs_for_its_own_reason(tmp_path: Path) -> None:
    """Snakemake alone runs the check, forgets the training, and has it run by the next call."""
    text = WAITING.format(library=str(REPOSITORY / "workflow"))
    (tmp_path / "Snakefile").write_text(text, encoding="utf-8")
    runs = [run(tmp_path, tree) for tree in ("1 a", "2 b", "3 b", "3 b")]
    assert [done.status for done in runs] == [0] * 4, runs
    everything = {"check": 1, "train": 1, "evaluate": 1}
    assert [done.jobs for done in runs] == [everything, everything, {"check": 1}, {}]
