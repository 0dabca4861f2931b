"""A run that is killed, stopped or joined by another: the next one finishes, by itself."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from interrupted_runs import Going, Jobs, finish, going, jobs_of, make_holdable
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

CONFIG = "interrupted"
COHORT = "results/interrupted/cohort.tsv"
HELD_AT = {
    "scan": "interrupted/cohort.tsv",
    "ingest": "ingest/b00.h5",
    "insert": "fixed/inserted/gaussian.h5",
    "train_segmenter": "checkpoints/fixed.gaussian.unet.0.pt",
    "tables": "tables/main.tsv",
}
# The rule, how the run ends there, and at which rename of the file: each goes on from the last.
STEPS = (
    ("scan", "alone", 1),
    ("ingest", "kill", 1),
    ("ingest", "term", 1),
    ("insert", "kill", 1),
    ("insert", "term", 1),
    ("train_segmenter", "kill", 4),
    ("train_segmenter", "term", 2),
    ("tables", "kill", 1),
    ("tables", "term", 1),
)
KILLED = [(rule, how) for rule, how, _ in STEPS if how == "kill"]
STOPPED = [(rule, how) for rule, how, _ in STEPS if how == "term"]
LAST = ("all", "end")


@dataclass
class Story:
    """What was seen of runs that follow each other in one folder, by rule and end."""

    copy: Copy
    jobs: dict[tuple[str, str], Jobs] = field(default_factory=dict)
    files: dict[tuple[str, str], list[Path]] = field(default_factory=dict)
    runs: dict[tuple[str, str], Run] = field(default_factory=dict)

    @property
    def results(self) -> Path:
        return self.copy.root / "results" / CONFIG

    def note(self, rule: str, how: str, jobs: Jobs) -> None:
        self.jobs[rule, how] = jobs
        self.files[rule, how] = [path for path in self.results.rglob("*") if path.is_file()]

    def meanwhile(self, rule: str, *arguments: str) -> None:
        """Start a second run while the first is at work."""
        self.runs[rule, " ".join(["second", *arguments])] = finish(
            self.copy, *arguments, config=CONFIG
        )

    def end(self, run: Going, rule: str, how: str) -> None:
        """Bring a run that is held to the end that it is to have."""
        if how == "kill":
            run.kill_all()
        elif how == "term":
            os.kill(run.process.pid, signal.SIGTERM)
            run.let_go()
            self.runs[rule, how] = run.end()
        else:
            run.kill_alone()
            self.runs[rule, how] = finish(self.copy, COHORT, config=CONFIG)
            run.let_go()
            run.wait_for_jobs()


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    copy = Copy.of_repository(tmp_path_factory.mktemp("interrupted") / "repository")
    make_holdable(copy)
    told = Story(copy)
    for rule, how, number in STEPS:
        with going(copy, config=CONFIG, hold_at=f"{HELD_AT[rule]}@{number}") as run:
            run.wait_for_hold()
            if (rule, how) in (("ingest", "kill"), ("train_segmenter", "kill")):
                told.meanwhile(rule, "all")
            if (rule, how) == ("ingest", "kill"):
                told.meanwhile(rule, "--dry-run")
            told.end(run, rule, how)
        told.note(rule, how, run.jobs())
    told.runs[LAST] = finish(copy, config=CONFIG)
    told.note(*LAST, jobs_of(copy))
    return told


def test_the_last_run_finishes_without_help(story: Story) -> None:
    last = story.runs[LAST]
    assert last.status == 0, last.output
    assert (story.results / "report.html").stat().st_size > 0
    again = finish(story.copy, "--dry-run", config=CONFIG)
    assert "Nothing to be done" in again.output


def test_every_run_was_stopped_where_it_was_to_be(story: Story) -> None:
    for rule, how, _ in STEPS:
        jobs = story.jobs[rule, how]
        assert rule in jobs.rules(), (rule, how)
        unfinished = {name for name, _ in jobs.started - jobs.finished}
        assert (rule in unfinished) == (how != "term"), (rule, how)


def test_nothing_finished_is_done_again(story: Story) -> None:
    done: set[tuple[str, str]] = set()
    for step, jobs in story.jobs.items():
        assert not done & jobs.started, step
        done |= jobs.finished
    assert {*HELD_AT, "report"} <= {rule for rule, _ in done}


def test_what_was_under_way_is_done_in_a_later_run(story: Story) -> None:
    order = list(story.jobs.values())
    for number, jobs in enumerate(order):
        later = {job for following in order[number + 1 :] for job in following.finished}
        assert jobs.started - jobs.finished <= later
    for rule, how in KILLED:
        (mine,) = {job for job in story.jobs[rule, "term"].finished if held(rule, job)}
        assert mine in story.jobs[rule, how].started


def test_no_half_file_has_a_name_and_none_stays(story: Story) -> None:
    for rule, how in KILLED:
        name = story.results / HELD_AT[rule]
        files = story.files[rule, how]
        assert name not in files or rule == "train_segmenter"
        assert [path for path in files if is_part(path, name)], rule
    for rule, how in STOPPED:
        name = story.results / HELD_AT[rule]
        assert not [path for path in story.files[rule, how] if is_part(path, name)], rule
    assert not [path for path in story.files[LAST] if path.name.endswith(".part")]
    assert not list((story.results / "checkpoints").glob("*"))


def test_training_goes_on_from_its_checkpoint(story: Story) -> None:
    log = story.results / "logs/fixed/segmentation/gaussian/unet/seed0.log"
    assert "goes on after step 3" in log.read_text(encoding="utf-8")


def test_term_lets_the_job_finish_and_starts_no_other(story: Story) -> None:
    for step in STOPPED:
        assert story.runs[step].status != 0, step
        assert story.jobs[step].started == story.jobs[step].finished, step


@pytest.mark.parametrize("rule", ["ingest", "train_segmenter"])
def test_two_runs_at_once_are_refused_with_what_to_do(story: Story, rule: str) -> None:
    assert_refused(story.runs[rule, "second all"])
    assert story.runs["ingest", "second --dry-run"].status == 0


def test_jobs_that_a_killed_run_left_behind_are_waited_for(story: Story) -> None:
    refused = story.runs["scan", "alone"]
    assert_refused(refused)
    assert "or jobs that it left behind" in " ".join(refused.output.split())
    assert story.copy.root / COHORT in story.files["scan", "alone"]
    assert "scan" in story.jobs["ingest", "kill"].rules()


def assert_refused(run: Run) -> None:
    assert run.status != 0
    words = " ".join(run.output.split())
    assert "another run is at work in this folder (process " in words
    assert "wait for it, or stop it, and run the same command again" in words


def held(rule: str, job: tuple[str, str]) -> bool:
    """Whether a job is the one that was held, by its first output."""
    marks = {"ingest": "b00", "insert": "gaussian", "train_segmenter": "gaussian", "tables": ""}
    return job[0] == rule and marks[rule] in job[1]


def is_part(path: Path, name: Path) -> bool:
    """Whether a file is what is written of another, under a name of its own."""
    return path.parent == name.parent and path.name.startswith(f".{name.name}.")
