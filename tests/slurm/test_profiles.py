"""What the profiles say: groups of short jobs, GPUs that are asked for where there are some."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow_runs import REPOSITORY, Copy

RULE = re.compile(
    r"^ *(rule|checkpoint) (\w+):\n(.*?)(?=^ *(?:rule|checkpoint|if) |\Z)", re.M | re.S
)
# They exist only once the checkpoints have run, so that these cannot change their groups.
AFTER_CHECKPOINTS = {"ingest", "preprocess", "metalung"}


def profile(name: str) -> dict[str, Any]:
    text = (REPOSITORY / "profiles" / name / "profile.yaml").read_text(encoding="utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded


def rules() -> dict[str, tuple[str, str]]:
    """Kind and text of every rule, by its name."""
    files = (REPOSITORY / "workflow/rules").glob("*.smk")
    found = [match for file in files for match in RULE.findall(file.read_text(encoding="utf-8"))]
    return {name: (kind, text) for kind, name, text in found}


def test_groups_hold_short_jobs_that_no_checkpoint_decides() -> None:
    known, slurm = rules(), profile("slurm")
    assert set(slurm["group-components"]) <= set(slurm["groups"].values())
    for name in slurm["groups"]:
        kind, text = known[name]
        assert kind == "rule"
        assert "runtime=720" not in text, f"{name}: a training is done again whole"
        assert "of_batches" not in text or name in AFTER_CHECKPOINTS, name


@pytest.mark.slow
@pytest.mark.parametrize(("driver", "wanted"), [(True, {"1"}), (False, set())])
def test_a_workstation_asks_for_a_gpu_where_it_has_one(
    driver: bool, wanted: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = Copy.of_repository(tmp_path / "copy")
    tools = tmp_path / "bin"
    tools.mkdir()
    if driver:
        (tools / "nvidia-smi").touch(mode=0o755)
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    planned = copy.snakemake("--dry-run", config="cluster")
    assert planned.status == 0, planned.output
    jobs = planned.output.split("\nrule ")
    asked = [re.search(r"gpu=(\d+)", job) for job in jobs if job.startswith("train_")]
    assert len(asked) == 3
    assert {found[1] for found in asked if found and found[1] != "0"} == wanted
