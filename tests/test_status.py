"""What is said of the jobs that will run, line by line."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from lungaug import identity, records
from lungaug.status import telling
from lungaug.status.memory import recall
from lungaug.status.plan import Job


def job(rule: str, runs: bool = True, own: str = "", follows: str = "", **wildcards: str) -> Job:
    output = "/".join(["results", rule, *wildcards.values()])
    return Job(
        rule,
        wildcards,
        (output,),
        runs,
        tuple(filter(None, [own])),
        tuple(filter(None, [follows])),
    )


def test_jobs_of_a_rule_with_one_reason_share_a_line() -> None:
    batches = [f"b{number}" for number in range(6)]
    jobs = [
        job("metalung", operation == "noise", "its code changed", operation=operation, batch=batch)
        for operation in ("mirror", "noise")
        for batch in batches
    ]
    assert telling.lines(jobs) == ["metalung noise (6 of 12 jobs): its code changed"]


def test_few_jobs_are_named_and_a_job_alone_needs_no_name() -> None:
    jobs = [
        job("select", own="not made yet", fold="fixed"),
        job("arm", follows="select", fold="fixed", arm="none"),
        job("arm", False, fold="fixed", arm="mixed"),
    ]
    assert telling.lines(jobs) == [
        "select: not made yet",
        "arm none (1 of 2 jobs): follows from select",
    ]


def test_a_cause_of_its_own_is_told_beside_what_it_follows_from() -> None:
    one = job("tables", own="setting tables.level: 0.9 -> 0.95", follows="evaluate")
    assert telling.lines([one]) == [
        "tables: setting tables.level: 0.9 -> 0.95; follows from evaluate"
    ]


def test_the_last_line_counts_jobs_and_fresh_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/scan").touch()
    assert telling.total([job("scan", False)]) == "nothing will run: all 1 files are fresh"
    gone = [job("scan", False), job("ingest", False)]
    assert telling.total(gone) == "nothing will run: 1 of 2 files are fresh"
    jobs = [job("scan", False), job("split", own="not made yet")]
    assert telling.total(jobs) == "1 job will run; 1 of 2 files are fresh"


def test_a_file_that_is_gone_and_that_no_run_makes_again_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("results").mkdir()
    Path("results/scan").touch()
    jobs = [job("scan", False), job("preprocess", False, batch="b01"), job("arm", own="missing")]
    assert telling.absent(jobs, "results") == [
        "not there, and not needed: preprocess/b01 (made again, with all that follows it, once one "
        "of its readers is stale)"
    ]
    Path("results/preprocess").mkdir()
    Path("results/preprocess/b01").touch()
    assert not telling.absent(jobs, "results")


@pytest.mark.parametrize("place", ["weights.pt", "/outside"], ids=["inside", "outside"])
def test_other_weights_with_an_old_time_make_what_was_made_from_others_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    monkeypatch.chdir(copy)
    weights = Path(place) if place == "weights.pt" else tmp_path / "weights.pt"
    weights.write_text("one", encoding="utf-8")
    model = Path("results/c/model.pt")
    model.parent.mkdir(parents=True)
    model.touch()
    one = f"sha256:{hashlib.sha256(b'one').hexdigest()}"
    inputs = ((records.portable(str(weights), "results/c"), one),)
    making = records.Making("train_segmenter", (), inputs, "", "", "", 6)
    kept = records.Kept(making, 1.0, 2.0, 2, identity.digest(model), identity.stamp(model), noted=0)
    records.write("results/c", {"model.pt": kept})

    def why() -> str | None:
        settings = {"train_segmenter": {"network": {"weights": str(weights)}}}
        return recall("results/c", settings).refusal(str(model))

    assert why() is None
    weights.write_text("two", encoding="utf-8")
    os.utime(weights, (1, 1))
    assert why() == f"made from another {weights} than is there now"
    weights.unlink()
    assert why() is None


@pytest.mark.parametrize(
    ("rule", "missing"), [("scan", "key"), ("split", "ledger.tsv"), ("ingest", "private")]
)
def test_what_would_be_lost_for_good_is_told_before_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: str, missing: str
) -> None:
    monkeypatch.setenv("LUNGAUG_KEY", str(tmp_path / "key"))
    monkeypatch.setenv("LUNGAUG_LEDGER", str(tmp_path / "ledger.tsv"))
    for name in ("cohort.tsv", "split.tsv"):
        (tmp_path / name).touch()
    private = tmp_path / "private"

    def said() -> list[str]:
        return telling.losses([job(rule)], str(private), str(tmp_path))

    assert len(said()) == 1
    assert str(tmp_path / missing) in said()[0]
    (tmp_path / "key").touch()
    (tmp_path / "ledger.tsv").touch()
    private.mkdir()
    assert not said()


def test_snakemake_alone_is_told_only_where_it_would_do_otherwise() -> None:
    run = {("results/a",)}
    assert not telling.alone(run, run)
    assert "nothing is to be done" in telling.alone(set(), run)[0]
    assert "would run 1 job" in telling.alone(run, set())[0]
