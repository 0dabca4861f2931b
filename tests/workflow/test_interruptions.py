"""A run that is killed, stopped or joined by another: the next one finishes, by itself."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import pytest

from interrupted_runs import Jobs, finish, going, jobs_of, make_holdable
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

CONFIG = "interrupted"
STAGES = ("ingest", "insert", "training", "tables")
HELD_AT = {
    "ingest": "ingest/b00.h5",
    "insert": "fixed/inserted/gaussian.h5",
    "training": "checkpoints/fixed.gaussian.unet.0.pt@4",
    "tables": "tables/main.tsv",
}


@dataclass
class Story:
    """What was seen of runs that follow each other in one folder, by the stage they ended in."""

    copy: Copy
    jobs: dict[str, Jobs] = field(default_factory=dict)
    files: dict[str, list[Path]] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.copy.root / "results" / CONFIG

    def note(self, stage: str, jobs: Jobs) -> None:
        self.jobs[stage] = jobs
        self.files[stage] = [path for path in self.results.rglob("*") if path.is_file()]


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    copy = Copy.of_repository(tmp_path_factory.mktemp("interrupted") / "repository")
    make_holdable(copy)
    told = Story(copy)
    for stage in STAGES:
        with going(copy, config=CONFIG, hold_at=HELD_AT[stage]) as run:
            run.wait_for_hold()
            if stage == "ingest":
                told.runs["dry"] = finish(copy, "--dry-run", config=CONFIG)
                told.runs["second"] = finish(copy, config=CONFIG)
            if stage == "insert":
                os.kill(run.process.pid, signal.SIGTERM)
                run.let_go()
                told.runs["stopped"] = run.end()
            else:
                run.kill_all()
        told.note(stage, run.jobs())
    told.runs["last"] = finish(copy, config=CONFIG)
    told.note("last", jobs_of(copy))
    return told


def test_the_last_run_finishes_without_help(story: Story) -> None:
    last = story.runs["last"]
    assert last.status == 0, last.output
    assert (story.results / "report.html").stat().st_size > 0
    again = finish(story.copy, "--dry-run", config=CONFIG)
    assert "Nothing to be done" in again.output


def test_every_run_was_stopped_where_it_was_to_be(story: Story) -> None:
    rules = {"ingest": "ingest", "insert": "insert", "training": "train_segmenter"}
    for stage, rule in (rules | {"tables": "tables"}).items():
        jobs = story.jobs[stage]
        unfinished = {name for name, _ in jobs.started - jobs.finished}
        assert (rule in unfinished) == (stage != "insert"), stage


def test_nothing_finished_is_done_again(story: Story) -> None:
    done: set[tuple[str, str]] = set()
    for stage, jobs in story.jobs.items():
        assert not done & jobs.started, stage
        done |= jobs.finished
    assert {"ingest", "insert", "train_segmenter", "tables", "report"} <= {r for r, _ in done}


def test_what_was_under_way_is_done_in_the_next_run(story: Story) -> None:
    order = list(story.jobs.values())
    for jobs, following in pairwise(order):
        assert jobs.started - jobs.finished <= following.started


def test_no_half_file_has_a_name_and_none_stays(story: Story) -> None:
    for stage, name in (("ingest", "b00.h5"), ("tables", "main.tsv")):
        names = {path.name for path in story.files[stage]}
        assert name not in names
        assert any(other.startswith(f".{name}.") for other in names), stage
    for stage in ("insert", "last"):
        assert not [p for p in story.files[stage] if p.name.endswith(".part")], stage
    assert not list((story.results / "checkpoints").glob("*"))


def test_training_goes_on_from_its_checkpoint(story: Story) -> None:
    log = story.results / "logs/fixed/segmentation/gaussian/unet/seed0.log"
    assert "goes on after step 3" in log.read_text(encoding="utf-8")


def test_term_lets_the_job_finish_and_starts_no_other(story: Story) -> None:
    assert story.runs["stopped"].status != 0
    jobs = story.jobs["insert"]
    assert jobs.started == jobs.finished


def test_two_runs_at_once_are_refused_with_what_to_do(story: Story) -> None:
    second = story.runs["second"]
    assert second.status != 0
    words = " ".join(second.output.split())
    assert "another run is at work in this folder (process " in words
    assert "wait for it, or stop it, and run the same command again" in words
    assert story.runs["dry"].status == 0
