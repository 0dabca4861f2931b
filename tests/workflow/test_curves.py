"""A whole run with shares of the patients, ratios of added slices, a grid and classifiers."""

from __future__ import annotations

import csv
import re
from collections import Counter
from pathlib import Path

import pytest

from lungaug.listing import claim_of, patient_of
from lungaug.store import SliceFile
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

Rows = list[dict[str, str]]

ARMS = ("none", "metalung", "copypaste")
ADDING = ("metalung", "copypaste")
WITHOUT_FOLD = {"check_cohort", "learning_curve_tables", "cost", "score_figures", "report"}
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):\n((?: {4}.*\n)+)", re.MULTILINE)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("curves") / "repository")
    run = snakemake(copy)
    assert run.status == 0, run.output
    return copy


@pytest.fixture(scope="module")
def results(finished: Copy) -> Path:
    return finished.root / "results/curves"


def snakemake(copy: Copy, *arguments: str) -> Run:
    return copy.snakemake(*arguments, config="curves")


def rows(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def patients(results: Path, fold: str, role: str) -> set[str]:
    """Those with a role, by the fold's own table where it is a share."""
    own = results / fold / "split.tsv"
    table = rows(own if own.is_file() else results / "split.tsv")
    return {row["patient"] for row in table if (row["fold"], row["role"]) == (fold, role)}


def told(table: Rows, role: str) -> set[str]:
    """Everybody whose pixels are in the slices of a role."""
    keys = [row[name] for row in table if row["role"] == role for name in ("key", "host", "donor")]
    own = {row["patient"] for row in table if row["role"] == role}
    return own | {patient_of(key) for key in keys if key}


def held(path: Path) -> set[str]:
    """Everybody whose pixels a file of slices or crops says that it holds."""
    found: set[str] = set()
    with SliceFile(path) as file:
        for group in file.groups:
            for row, fields in enumerate(file.slices(group)):
                found |= claim_of((path.name, group, row), fields).patients
    return found


def nodules(table: Rows) -> int:
    """Real training slices with a nodule."""
    real = (row for row in table if (row["role"], row["origin"]) == ("train", "real"))
    return sum(int(row["n_nodule_px"]) > 0 for row in real)


def test_a_finished_run_left_everything_and_has_nothing_to_do(copy: Copy) -> None:
    results = copy.root / "results/curves"
    tables = [f"{name}.{kind}" for name in ("presence", "learning_curve") for kind in ("tsv", "md")]
    names = [f"tables/{name}" for name in (*tables, "presence_effect.tsv", "roc.tsv")]
    for name in (*names, "figures/roc.png", "figures/learning_curve.png", "report.html"):
        assert (results / name).stat().st_size > 0
    assert {row["arm"] for row in rows(results / "tables/presence.tsv")} == set(ARMS)
    assert snakemake(copy, "--dry-run").jobs == Counter()


def test_every_point_of_the_curves_is_measured(results: Path) -> None:
    table = rows(results / "tables/learning_curve.tsv")
    pooled = [row for row in table if (row["metric"], row["group"]) == ("dice", "pooled")]
    points = Counter((row["arm"], row["share_percent"], row["asked_ratio"]) for row in pooled)
    shares = {(arm, share, "") for arm in ARMS for share in ("40", "100")}
    assert points == Counter(shares | {(arm, "100", "0.5") for arm in ADDING})
    assert {row["segmenter"] for row in pooled} == {"unet"}


def test_every_training_has_its_cost(results: Path) -> None:
    found = {(row["segmenter"], row["arm"]) for row in rows(results / "tables/cost.tsv")}
    curve = {("unet", arm) for arm in (*ARMS, *(f"{arm}@0.5" for arm in ADDING))}
    assert found >= curve | {("deeplabv3", "none")}


def test_a_share_is_tested_on_the_same_patients(results: Path) -> None:
    for role in ("validation", "test"):
        full = patients(results, "fixed", role)
        assert full
        assert patients(results, "fixed_40", role) == full
        assert told(rows(results / "fixed_40/slices.tsv"), role) == full
    assert patients(results, "fixed_40", "train") < patients(results, "fixed", "train")


def test_nothing_of_a_share_holds_pixels_of_others(results: Path) -> None:
    kept, fold = patients(results, "fixed_40", "train"), results / "fixed_40"
    assert told(rows(fold / "slices.tsv"), "train") == kept
    tables = [fold / "arms" / f"{arm}.tsv" for arm in ARMS]
    assert {path.name: told(rows(path), "train") - kept for path in tables} == {
        path.name: set() for path in tables
    }
    names = ["rois.h5", "generators/copypaste/patches.h5"]
    names += ["inserted/copypaste.h5", "inserted/copypaste.published.h5"]
    for name in names:
        assert held(fold / name), name
        assert held(fold / name) <= kept, name
    # The full fold holds somebody else's: the check can fail.
    assert not held(results / "fixed/rois.h5") <= kept


@pytest.mark.parametrize("arm", ADDING)
def test_a_ratio_of_one_half_adds_half_as_many_slices(results: Path, arm: str) -> None:
    table = rows(results / "fixed/arms" / f"{arm}@0.5.tsv")
    added = sum(row["origin"] != "real" for row in table)
    assert nodules(table) > 1
    assert added == round(0.5 * nodules(table))


def test_another_share_reruns_nothing_of_the_others(copy: Copy) -> None:
    copy.edit("tests/config/curves.yaml", "shares: [40]", "shares: [40, 60]")
    run = snakemake(copy, "--dry-run")
    assert run.status == 0, run.output
    folds: dict[str, set[str]] = {}
    for name, body in JOB.findall(run.output):
        fold = re.search(r"wildcards: .*?fold=(\w+)", body)
        folds.setdefault(fold[1] if fold else "", set()).add(name)
    assert set(folds) == {"", "fixed_60"}
    assert {"share", "arm", "train_segmenter"} <= folds["fixed_60"]
    assert folds[""] - {"all"} == WITHOUT_FOLD
