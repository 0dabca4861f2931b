"""Only stale stages rerun: each row of the promise is a whole run, on a phantom cohort."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from code_rows import CODE_ROWS
from rerun_rows import SUMMARIES, Row, check, code_of, jobs
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow


def snakemake(copy: Copy, *arguments: str) -> Run:
    return copy.snakemake(*arguments, config="reruns")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("finished") / "repository")
    run = snakemake(copy)
    assert run.status == 0, run.output
    return copy


def test_a_finished_run_left_its_products_and_has_nothing_to_do(finished: Copy) -> None:
    results = finished.root / "results/reruns"
    for name in ("tables/main.tsv", "tables/main.md", "report.html", "figures/main.png"):
        assert (results / name).stat().st_size > 0
    assert not list(results.rglob("checkpoint*.pt"))
    run = snakemake(finished)
    assert (run.status, run.jobs) == (0, Counter())
    assert "Nothing to be done" in run.output


def test_no_patient_is_named_from_the_source_to_the_report_and_the_logs(finished: Copy) -> None:
    results = finished.root / "results/reruns"
    source = results / "source"
    sheet = (source / "sheet.tsv").read_text("utf-8").splitlines()[1:]
    names = {line.split("\t")[0] for line in sheet}
    names |= {path.name for path in (source / "dicom").iterdir() if path.is_dir()}
    names |= {path.stem for path in (source / "masks").rglob("*.png")}
    written = [p for p in results.rglob("*") if p.is_file() and source not in p.parents]
    written += [p for p in (finished.root / ".snakemake").rglob("*") if p.is_file()]
    assert {"report.html", "model.pt", "report.log"} <= {path.name for path in written}
    found = {
        (path.name, name)
        for path in written
        for name in names
        if name.encode() in path.read_bytes()
    }
    assert len(names) > len(sheet)
    assert not found


@pytest.mark.parametrize("row", CODE_ROWS, ids=lambda row: row.name)
def test_a_change_reruns(row: Row, worked_on: Copy) -> None:
    check(row, worked_on, snakemake)


def test_code_of_one_operation_reruns_that_operation_only(finished: Copy, tmp_path: Path) -> None:
    """As its settings do, which is a row; so this is a dry run."""
    copy = finished.clone(tmp_path / "repository")
    code_of("metalung/noise.py")(copy)
    following = jobs("audit", "arm", "train_segmenter", "evaluate", *SUMMARIES)
    assert snakemake(copy, "--dry-run").jobs == Counter({"metalung": 2, **following})


def test_another_phantom_is_scanned_also_after_an_interrupted_run(
    finished: Copy, tmp_path: Path
) -> None:
    copy = finished.clone(tmp_path / "repository")
    copy.edit("tests/config/reruns.yaml", "  slices: [5, 6]", "  slices: [5, 6]\n  subslices: 2")
    made = snakemake(copy, "results/reruns/source/sheet.tsv")
    assert made.jobs == Counter({"phantom": 1}), made.output
    assert snakemake(copy, "--dry-run").jobs["scan"] == 1
