"""The published experiment on frames of the published structure: planned whole, run shrunken."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
import yaml

from lungaug import configuration, grid
from mendeley_files import write_published_frames
from workflow_runs import Copy, Run

PRESET = "workflow/presets/thesis.yaml"
SHRUNKEN = "tests/config/thesis.yaml"
TABLES = ("table5", "table7", "table8")
ARMS = {
    "none",
    "online",
    "mirror",
    "rotate_slice",
    "rotate_nodule",
    "noise_slice",
    "noise_nodule",
    "blur",
    "vqvae",
    "dcgan",
    "mixed",
}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("thesis") / "repository")
    write_published_frames(copy.root / "pickles")
    # The same pseudonyms every time: they decide the order of the crops, and with so few steps that
    # decides whether a generator draws nodules.
    (copy.root / "pickles/key").write_text("5" * 64, encoding="ascii")
    return copy


def snakemake(copy: Copy, *arguments: str, files: tuple[str, ...] = (PRESET,)) -> Run:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LUNGAUG_MENDELEY", str(copy.root / "pickles"))
        return copy.snakemake(*arguments, configs=files)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_preset_expands_to_all_of_tables_5_7_and_8(copy: Copy) -> None:
    run = snakemake(copy, "--dry-run")
    assert run.status == 0, run.output
    # Ten arms of Table 5 and online; MetaLung too; three arms of two more networks.
    assert run.jobs["train_segmenter"] == 10 + 1 + 1 + 2 * 3
    assert run.jobs["train_generator"] == 2
    assert run.jobs["published"] == 1
    for name in TABLES:
        assert f"tables/{name}.tex" in run.output


def test_the_trainings_are_those_of_the_tables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("LUNGAUG_MENDELEY", str(tmp_path))
    monkeypatch.chdir(Path(__file__).parents[2])
    schema = configuration.load_schema()
    config = configuration.checked(yaml.safe_load(Path(PRESET).read_text("utf-8")), schema)
    found = grid.trainings(config, configuration.arms(config, schema))
    pairs = {(training.arm, training.segmenter) for training in found}
    networks = ("unet", "deeplabv3", "maskrcnn")
    comparison = {(arm, name) for arm in ("none", "online", "metalung") for name in networks}
    assert pairs == {(arm, "unet") for arm in ARMS} | comparison


@pytest.mark.slow
def test_a_shrunken_run_ends_with_the_three_tables(copy: Copy) -> None:
    run = snakemake(copy, files=(PRESET, SHRUNKEN))
    assert run.status == 0, run.output
    tables = copy.root / "results/thesis/tables"
    for name in TABLES:
        for kind in ("tsv", "md", "tex"):
            assert (tables / f"{name}.{kind}").stat().st_size > 0
    fifth = rows(tables / "table5.tsv")
    # Behind a name may stand the letter of a note.
    assert {row["arm"].split(" ")[0] for row in fifth} == ARMS
    for name in ("table7", "table8"):
        assert {row["segmenter"] for row in rows(tables / f"{name}.tsv")} == {
            "unet",
            "deeplabv3",
            "maskrcnn",
        }
    report = (copy.root / "results/thesis/report.html").read_text(encoding="utf-8")
    assert 'id="published"' in report
    # Published division: the test patients are those of the second pickle, and nobody else.
    split = rows(copy.root / "results/thesis/split.tsv")
    parts = {row["patient"]: row["part"] for row in rows(copy.root / "results/thesis/cohort.tsv")}
    assert {parts[row["patient"]] for row in split if row["role"] == "test"} == {"test"}
    assert {parts[row["patient"]] for row in split if row["role"] != "test"} == {"train"}
    again = snakemake(copy, "--dry-run", files=(PRESET, SHRUNKEN))
    assert not again.jobs
