"""The workflow through profiles/slurm, on a real SLURM of one node."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from slurm.slurm_node import Job, Killer, devices_seen, jobs, one_node, through_slurm
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

RESULTS = "results/cluster"
TRAINING = f"{RESULTS}/fixed/segmentation/none/unet/seed0"
ON_GPU = {"train_generator", "sample", "train_segmenter"}
KILLED = "train_segmenter_wildcards_fixed_none_unet_0"
# The first attempt asks for less than any job uses.
SCANT = ("--set-resources", "realism:mem_mb=50 * 80 ** (attempt - 1)")
SUBMITTED = {
    **dict.fromkeys(["check_networks", "phantom", "scan", "split", "check_cohort", "select"], 1),
    **dict.fromkeys(["rois", "audit"], 1),
    **dict.fromkeys(["train_generator", "sample", "insert"], 1),
    **dict.fromkeys(["figures", "generated_figures", "reader_sheet", "report"], 1),
    "arm": 2,
    "train_segmenter": 3,  # of two arms, one of them killed
    "realism": 2,  # with too little memory, and with enough
    # Groups.
    "data_ingest_preprocess": 1,
    "evaluate_evaluate": 1,
    # Of the tables, those that follow each other go together.
    "tables_cost": 1,
    "tables_curves_score_figures": 1,
    "tables_realism_tables": 1,
    "tables_tables": 1,
}


@dataclass(frozen=True)
class Ran:
    """A whole run in which one training was killed, and one job had too little memory."""

    copy: Copy
    run: Run
    jobs: list[Job]
    devices: dict[str, str]
    killed: list[str]

    def of(self, rule: str) -> list[Job]:
        """The jobs of a rule or group, in the order of their submission."""
        return [job for job in self.jobs if job.name == rule]


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ran]:
    with one_node():
        copy = Copy.of_repository(tmp_path_factory.mktemp("slurm"))
        checkpoint = copy.root / RESULTS / "checkpoints/fixed.none.unet.0.pt"
        with Killer(checkpoint, KILLED) as killer:
            run = through_slurm(copy, *SCANT, config="cluster")
        listed = jobs()
        lines = [f"{job}\n" for job in listed]
        (copy.root / "jobs.txt").write_text("".join(lines), encoding="utf-8")
        yield Ran(copy, run, listed, devices_seen(), killer.killed)


def test_the_results_are_there(ran: Ran) -> None:
    assert ran.run.status == 0, ran.run.output[-4000:]
    for file in ("report.html", "tables/main.md", "tables/realism.tsv"):
        assert (ran.copy.root / RESULTS / file).is_file()


def test_every_job_went_through_slurm_and_short_ones_together(ran: Ran) -> None:
    numbers = re.findall(r"has been submitted with SLURM jobid (\d+)", ran.run.output)
    assert sorted(numbers) == sorted(job.number for job in ran.jobs)
    # In the log of a job that failed, which is shown, the node's own Snakemake speaks of its job.
    local = r"^local(?:rule|checkpoint) (\w+):(?:\n    .*)*?\n    reason: (?!Forced execution)"
    assert re.findall(local, ran.run.output, re.MULTILINE) == ["all"]
    assert Counter(job.name for job in ran.jobs) == SUBMITTED


def test_jobs_ask_for_what_their_rules_say(ran: Ran) -> None:
    asked = {job.name: (job.cpus, job.mb, job.limit) for job in ran.jobs if job.name != "realism"}
    assert asked["train_generator"] == (1, 6000, 720)
    # Side by side in one job; along a chain.
    assert asked["evaluate_evaluate"] == (2, 2000, 30)
    assert asked["data_ingest_preprocess"] == (1, 1500, 120)


def test_networks_get_a_gpu_and_nothing_else_asks_for_one(ran: Ran) -> None:
    for job in ran.jobs:
        wants = job.name in ON_GPU
        assert job.gpus == int(wants), job
        assert ran.devices[job.number] in (("0", "1") if wants else ("none",)), job


def test_a_killed_training_goes_on_with_more_memory(ran: Ran) -> None:
    first, second = (job for job in ran.jobs if job.rule == KILLED)
    assert [first.number] == ran.killed
    assert (first.state, second.state) == ("CANCELLED", "COMPLETED")
    assert (first.mb, second.mb) == (6000, 12000)
    log = ran.copy.root / RESULTS / "logs/fixed/segmentation/none/unet/seed0.log"
    resumed = re.search(r"goes on after step (\d+)", log.read_text(encoding="utf-8"))
    assert resumed is not None
    assert 0 < int(resumed[1]) < 200


def test_a_job_that_runs_out_of_memory_gets_more(ran: Ran) -> None:
    first, second = ran.of("realism")
    assert (first.state, second.state) == ("FAILED", "COMPLETED")
    assert (first.mb, second.mb) == (50, 4000)
    logs = ran.copy.root / ".snakemake/slurm_logs/rule_realism"
    (kept,) = logs.rglob(f"{first.number}.log")
    assert "exceeded memory limit" in kept.read_text(encoding="utf-8")


def test_a_second_run_has_nothing_to_do(ran: Ran) -> None:
    again = through_slurm(ran.copy, config="cluster")
    assert again.status == 0
    assert "Nothing to be done" in again.output
    assert len(jobs()) == len(ran.jobs)


def test_the_killed_training_is_the_uninterrupted_one(ran: Ran, tmp_path: Path) -> None:
    alone = ran.copy.clone(tmp_path / "alone")
    shutil.rmtree(alone.root / TRAINING)
    assert alone.snakemake(f"{TRAINING}/model.pt", config="cluster").status == 0
    for file in ("model.pt", "history.tsv", "predictions.h5"):
        killed, whole = (place.root / TRAINING / file for place in (ran.copy, alone))
        assert killed.read_bytes() == whole.read_bytes(), file
