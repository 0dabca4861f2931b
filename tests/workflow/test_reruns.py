"""Only stale stages rerun: each row of the promise is a run of the workflow."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_runs import Copy

pytestmark = pytest.mark.slow

BEFORE = {"phantom", "scan", "ingest", "preprocess", "split", "select"}
TABLES = {"tables", "curves", "cost"}
AFTER = {
    "audit",
    "arm",
    "train_segmenter",
    "evaluate",
    *TABLES,
    "figures",
    "score_figures",
    "report",
}
OPERATIONS = 6
COHORT_FILES = ["results/tiny/fixed/audit.tsv", "results/tiny/fixed/arms/metalung.tsv"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("finished") / "repository")
    run = copy.snakemake()
    assert run.status == 0, run.output
    return copy


@pytest.fixture
def copy(finished: Copy, tmp_path: Path) -> Iterator[Copy]:
    copy = finished.clone(tmp_path / "repository")
    yield copy
    shutil.rmtree(copy.root)


def test_a_finished_run_left_its_products_and_has_nothing_to_do(copy: Copy) -> None:
    results = copy.root / "results" / "tiny"
    for name in ("tables/main.tsv", "tables/main.md", "report.html", "figures/main.png"):
        assert (results / name).stat().st_size > 0
    assert not list(results.rglob("checkpoint*.pt"))
    run = copy.snakemake()
    assert (run.status, run.jobs) == (0, Counter())
    assert "Nothing to be done" in run.output


def test_no_patient_is_named_from_the_source_to_the_report_and_the_logs(finished: Copy) -> None:
    results = finished.root / "results" / "tiny"
    source = results / "source"
    sheet = (source / "sheet.tsv").read_text("utf-8").splitlines()[1:]
    names = {line.split("\t")[0] for line in sheet}
    names |= {path.name for path in (source / "dicom").iterdir()}
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


def test_a_comment_reruns_nothing(copy: Copy) -> None:
    for file in ("store.py", "metalung/mirror.py", "stages/preprocess.py", "training/loop.py"):
        path = copy.root / "workflow" / "lungaug" / file
        path.write_text(path.read_text("utf-8") + "\n# a thought\n", encoding="utf-8")
    assert copy.snakemake("--dry-run").jobs == Counter()


def test_code_of_one_operation_reruns_metalung_and_what_follows(copy: Copy) -> None:
    path = copy.root / "workflow" / "lungaug" / "metalung" / "mirror.py"
    path.write_text(path.read_text("utf-8") + "\n_UNUSED = 1\n", encoding="utf-8")
    jobs = copy.snakemake("--dry-run").jobs
    assert jobs["metalung"] >= OPERATIONS
    assert jobs["metalung"] % OPERATIONS == 0
    assert set(jobs) == {"metalung", *AFTER}
    # Arm `none` holds no slice of an operation: it is neither made nor trained again.
    assert (jobs["arm"], jobs["train_segmenter"]) == (1, 1)


def test_a_setting_of_one_operation_reruns_that_operation_only(copy: Copy) -> None:
    everything = copy.snakemake("--dry-run", "--forcerun", "metalung").jobs["metalung"]
    config = "tests/config/tiny.yaml"
    copy.edit(config, "split:", "metalung:\n  noise_slice:\n    intensity: 11\nsplit:")
    jobs = copy.snakemake("--dry-run").jobs
    assert jobs["metalung"] == everything // OPERATIONS
    assert set(jobs) == {"metalung", *AFTER}
    assert (jobs["arm"], jobs["train_segmenter"]) == (1, 1)


def test_how_trainings_run_reruns_nothing(copy: Copy) -> None:
    running = "running: {workers: 1, cache_mb: 9, checkpoint_every: 3, tensorboard: true}"
    copy.edit("tests/config/tiny.yaml", "split:", f"{running}\nsplit:")
    run = copy.snakemake("--dry-run")
    assert (run.status, run.jobs) == (0, Counter()), run.output


def test_changed_ingest_reruns_what_follows_and_then_settles(copy: Copy) -> None:
    """Both checkpoints stand when the run starts, and one of them must be made again."""
    path = copy.root / "workflow" / "lungaug" / "stages" / "ingest.py"
    path.write_text(path.read_text("utf-8") + "\n_UNUSED = 1\n", encoding="utf-8")
    run = copy.snakemake(*COHORT_FILES)
    assert run.status == 0, run.output
    assert {"ingest", "preprocess", "split", "metalung", "audit"} <= set(run.jobs)
    assert not {"phantom", "scan"} & set(run.jobs)
    assert copy.snakemake(*COHORT_FILES).jobs == Counter()


def test_another_phantom_is_scanned_also_after_an_interrupted_run(copy: Copy) -> None:
    copy.edit("tests/config/tiny.yaml", "  slices: [5, 6]", "  slices: [5, 6]\n  subslices: 2")
    made = copy.snakemake("results/tiny/source/sheet.tsv")
    assert made.jobs == Counter({"phantom": 1}), made.output
    assert copy.snakemake("--dry-run").jobs["scan"] == 1


def test_a_new_patient_runs_its_batch_and_the_stages_of_the_cohort(
    copy: Copy, finished: Copy
) -> None:
    """The finished phantom's files as a hospital's folder: all patients but one, then all."""
    incoming = copy.root / "incoming"
    shutil.move(copy.root / "results" / "tiny" / "source", incoming)
    shutil.rmtree(copy.root / "results")
    shutil.rmtree(copy.root / ".snakemake")
    shutil.rmtree(copy.root / "ledgers")
    source = "source:\n  kind: dicom\n  root: incoming/dicom\n"
    source += "  masks: incoming/masks\n  sheet: incoming/sheet.tsv\n"
    copy.edit("tests/config/tiny.yaml", "split:", f"{source}split:")
    # The phantom's key is refused for patients of one's own.
    key = copy.root / "tests" / "config" / "own.key"
    key.write_text("5e" * 32 + "\n", encoding="utf-8")
    copy.edit("tests/config/tiny.yaml", "workflow/presets/phantom.key", "tests/config/own.key")
    patients = sorted((incoming / "dicom").iterdir())
    late = patients[-1].rename(copy.root / "late")
    first = copy.snakemake(*COHORT_FILES)
    assert first.status == 0, first.output
    before = {p: p.stat().st_mtime_ns for p in (copy.root / "results").rglob("*.h5")}
    roles = dict(_roles(copy))

    late.rename(patients[-1])
    second = copy.snakemake(*COHORT_FILES)
    assert second.status == 0, second.output
    assert second.jobs["scan"] == 1
    assert second.jobs["ingest"] == 1
    assert second.jobs["preprocess"] == 1
    assert second.jobs["split"] == 1
    assert second.jobs["metalung"] in (0, OPERATIONS)
    kept = {p for p, time in before.items() if p.stat().st_mtime_ns == time}
    assert {p.parent.name for p in set(before) - kept} <= {"ingest", "preprocess", *_operations()}
    after = dict(_roles(copy))
    assert len(after) == len(roles) + 1
    assert {patient: after[patient] for patient in roles} == roles


def _operations() -> set[str]:
    return {"mirror", "replace", "rotate_slice", "rotate_nodule", "noise_slice", "noise_nodule"}


def _roles(copy: Copy) -> Iterator[tuple[str, str]]:
    lines = (copy.root / "results" / "tiny" / "split.tsv").read_text("utf-8").splitlines()
    names = lines[0].split("\t")
    for line in lines[1:]:
        row = dict(zip(names, line.split("\t"), strict=True))
        yield row["patient"], row["role"]


def test_one_core_and_two_give_the_same_bytes(finished: Copy, tmp_path: Path) -> None:
    other = Copy.of_repository(tmp_path / "repository")
    run = other.snakemake(*COHORT_FILES, cores=1)
    assert run.status == 0, run.output
    files = sorted(p.relative_to(other.root) for p in (other.root / "results").rglob("*.h5"))
    assert {p.parts[2] for p in files} == {"ingest", "preprocess", "metalung"}
    differing = [
        str(p) for p in files if (other.root / p).read_bytes() != (finished.root / p).read_bytes()
    ]
    assert not differing
