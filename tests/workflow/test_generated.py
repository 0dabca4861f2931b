"""Whole runs with generated nodules, and what reruns when a part of them changes."""

from __future__ import annotations

from collections import Counter

import pytest

from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

OF_ONE = {"train_generator": 1, "sample": 1, "insert": 1, "realism": 1}
OF_BOTH = {name: 2 for name in OF_ONE}


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("generated") / "repository")
    run = snakemake(copy)
    assert run.status == 0, run.output
    return copy


def snakemake(copy: Copy, *arguments: str) -> Run:
    return copy.snakemake(*arguments, config="generated")


def would_run(copy: Copy) -> Counter[str]:
    run = snakemake(copy, "--dry-run")
    assert run.status == 0, run.output
    return run.jobs


def test_a_finished_run_left_everything_and_has_nothing_to_do(copy: Copy) -> None:
    results = copy.root / "results" / "generated"
    names = [
        "tables/realism_main.md",
        "figures/inserted.png",
        "fixed/reader/sheet.html",
        "fixed/generators/gaussian/sheets/final.png",
        "fixed/inserted/copypaste.published.h5",
    ]
    for name in names:
        assert (results / name).stat().st_size > 0
    assert 'id="figure-realism"' in (results / "report.html").read_text(encoding="utf-8")
    assert not list((results / "checkpoints").glob("*"))
    arm = (results / "fixed/arms/gaussian+mirror.tsv").read_text(encoding="utf-8")
    assert {"inserted:gaussian", "metalung:mirror"} <= set(arm.split("\t"))
    assert would_run(copy) == Counter()


def test_no_patient_is_named(finished: Copy) -> None:
    results = finished.root / "results" / "generated"
    sheet = (results / "source/sheet.tsv").read_text("utf-8").splitlines()[1:]
    names = {line.split("\t")[0].encode() for line in sheet}
    written = [p for p in results.rglob("*") if p.is_file() and results / "source" not in p.parents]
    assert {"sheet.html", "key.tsv", "patches.h5"} <= {path.name for path in written}
    told = [path.name for path in written if any(name in path.read_bytes() for name in names)]
    assert names
    assert not told


def test_code_of_one_generator_reruns_it_alone(copy: Copy) -> None:
    path = copy.root / "workflow" / "lungaug" / "generators" / "gaussian.py"
    path.write_text(path.read_text("utf-8") + "\n_UNUSED = 1\n", encoding="utf-8")
    jobs = would_run(copy)
    assert {name: jobs[name] for name in OF_ONE} == OF_ONE
    assert (jobs["arm"], jobs["train_segmenter"]) == (1, 1)
    assert not {"rois", "audit", "metalung"} & set(jobs)


def test_a_setting_of_one_generator_reruns_it_alone(copy: Copy) -> None:
    copy.edit(
        "tests/config/generated.yaml",
        "insert:",
        "train_generator: {gaussian: {edge_mm: 0.8}}\ninsert:",
    )
    jobs = would_run(copy)
    assert {name: jobs[name] for name in OF_ONE} == OF_ONE
    assert (jobs["arm"], jobs["train_segmenter"]) == (1, 1)


def test_a_setting_of_the_insertion_trains_no_generator(copy: Copy) -> None:
    copy.edit("tests/config/generated.yaml", "insert:", "insert:\n  ratio: 0.5")
    jobs = would_run(copy)
    assert not {"train_generator", "sample"} & set(jobs)
    assert (jobs["insert"], jobs["realism"]) == (2, 2)
    # Arm `none` has no inserted slice.
    assert (jobs["arm"], jobs["train_segmenter"]) == (2, 2)


def test_other_crops_rerun_all_generators(copy: Copy) -> None:
    copy.edit("tests/config/generated.yaml", "insert:", "rois: {crop: {fov_mm: 40}}\ninsert:")
    jobs = would_run(copy)
    assert {name: jobs[name] for name in OF_BOTH} == OF_BOTH
    assert (jobs["rois"], jobs["audit"]) == (1, 1)
