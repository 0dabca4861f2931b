"""Working copies share the first stages and fitted generators through ``snakemake --cache``."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

CONFIG = "tests/config/shared.yaml"
RESULTS = "results/shared"
FOLD = f"{RESULTS}/fixed"
INGEST, PREPROCESS = f"{RESULTS}/ingest/b00.h5", f"{RESULTS}/preprocess/b00.h5"
ROIS, MODEL = f"{FOLD}/rois.h5", f"{FOLD}/generators/copypaste/model.pt"
# Rules that take from the cache, by the log that their command writes.
LOGS = {
    "ingest": "ingest/b00.log",
    "preprocess": "preprocess/b00.log",
    "rois": "fixed/rois.log",
    "train_generator": "fixed/generators/copypaste/train.log",
}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A working copy with nothing but the phantom's files."""
    copy = Copy.of_repository(tmp_path_factory.mktemp("source") / "repository")
    made = copy.snakemake(f"{RESULTS}/source/sheet.tsv", config="shared")
    assert made.status == 0, made.output
    return copy


@pytest.fixture(scope="module")
def first(source: Copy, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The working copy that fills the cache."""
    copy = source.clone(tmp_path_factory.mktemp("first") / "repository")
    made = run(copy, cache, MODEL)
    assert made.status == 0, made.output
    assert commands(copy) == set(LOGS)
    return copy


def run(copy: Copy, cache: Path, *targets: str) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(cache))
        # The option takes names of rules, so targets come before it.
        return copy.snakemake(*targets, "--cache", config="shared")


def commands(copy: Copy) -> set[str]:
    """The rules whose command ran: where results come from the cache, the log stays empty."""
    logs = {rule: copy.root / RESULTS / "logs" / log for rule, log in LOGS.items()}
    return {rule for rule, log in logs.items() if log.is_file() and log.stat().st_size}


def contents(folder: Path) -> Mapping[str, bytes]:
    """What the files of a folder hold, by path."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_second_copy_takes_everything_from_the_cache(
    first: Copy, source: Copy, cache: Path, tmp_path: Path
) -> None:
    held = contents(cache)
    second = source.clone(tmp_path / "repository")
    done = run(second, cache, MODEL)
    assert done.status == 0, done.output
    assert {"scan", "split", "select", "audit"} <= set(done.jobs)
    assert commands(second) == set()
    # Also what each copy made by itself, through links to the parents of slice files.
    for name in (INGEST, PREPROCESS, ROIS, MODEL, f"{FOLD}/audit.tsv", f"{FOLD}/slices.tsv"):
        assert (second.root / name).read_bytes() == (first.root / name).read_bytes(), name
    sheets = f"{FOLD}/generators/copypaste/sheets"
    assert {"real.png", "final.png"} <= set(contents(second.root / sheets))
    again = run(second, cache, MODEL)
    assert "Nothing to be done" in again.output, again.output

    # A stale result is made anew beside the cache, not through the link into it.
    second.edit(CONFIG, "split:", "preprocess: {obstacles: {low_hu: -480}}\nsplit:")
    changed = run(second, cache, ROIS)
    assert changed.status == 0, changed.output
    assert commands(second) == {"preprocess", "rois"}
    assert (second.root / PREPROCESS).read_bytes() != (first.root / PREPROCESS).read_bytes()
    after = contents(cache)
    assert {name: after[name] for name in held} == held
    assert len(after) > len(held)


def test_other_roles_have_crops_of_their_own(
    first: Copy, source: Copy, cache: Path, tmp_path: Path
) -> None:
    """The roles stand in a ledger, which no setting shows: crops must not cross from one side."""
    other = source.clone(tmp_path / "repository")
    places = {"train": "test", "test": "train"}
    book = (first.root / "ledgers/shared.tsv").read_text(encoding="utf-8").splitlines()
    lines = [[places.get(word, word) for word in line.split("\t")] for line in book]
    (other.root / "ledgers").mkdir()
    text = "".join("\t".join(words) + "\n" for words in lines)
    (other.root / "ledgers/shared.tsv").write_text(text, encoding="utf-8")
    done = run(other, cache, ROIS)
    assert done.status == 0, done.output
    assert commands(other) == {"rois"}
    assert (other.root / ROIS).read_bytes() != (first.root / ROIS).read_bytes()


def test_another_key_shares_nothing(first: Copy, source: Copy, cache: Path, tmp_path: Path) -> None:
    other = source.clone(tmp_path / "repository")
    (other.root / "tests/config/own.key").write_text("5e" * 32, encoding="ascii")
    other.edit(CONFIG, "workflow/presets/phantom.key", "tests/config/own.key")
    done = run(other, cache, PREPROCESS)
    assert done.status == 0, done.output
    assert commands(other) == {"ingest", "preprocess"}
    names = [line.split("\t")[0] for line in table(first)[1:]]
    told = (other.root / RESULTS / "ingest/b00.nodules.tsv").read_text(encoding="utf-8")
    assert names
    assert not [name for name in names if name in told]


def test_without_the_option_nothing_is_linked(source: Copy, cache: Path, tmp_path: Path) -> None:
    plain = source.clone(tmp_path / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SNAKEMAKE_OUTPUT_CACHE", str(cache))
        done = plain.snakemake(INGEST, config="shared")
    assert done.status == 0, done.output
    assert commands(plain) == {"ingest"}
    assert not os.path.islink(plain.root / INGEST)
    assert (plain.root / RESULTS / "benchmarks/ingest/b00.tsv").is_file()
    assert "eligible for caching" not in done.output


def table(copy: Copy) -> list[str]:
    """The lines of the cohort's table."""
    return (copy.root / RESULTS / "cohort.tsv").read_text(encoding="utf-8").splitlines()
