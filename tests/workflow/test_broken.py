"""A disk that is full or read-only, and a source with a corrupt file: one line says what to do."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import yaml

from interrupted_runs import finish, going, jobs_of, make_holdable
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

CONFIG = "interrupted"
MODEL = "results/interrupted/fixed/segmentation/none/unet/seed0/model.pt"
INSERTED = "results/interrupted/fixed/inserted/gaussian.h5"
TABLE = "results/interrupted/tables/realism_main.tsv"
SIZE_MB = 24


class Disk:
    """A small disk at the place of the results."""

    def __init__(self, place: Path) -> None:
        self.place, self.filler = place, place / "filler"

    def mount(self, *options: str) -> bool:
        command = ["mount", "-t", "tmpfs", "-o", ",".join((f"size={SIZE_MB}m", *options))]
        done = subprocess.run([*command, "tmpfs", str(self.place)], capture_output=True)
        return done.returncode == 0

    def fill(self, left_kb: int = 0) -> None:
        """Take the room, but for some."""
        self.filler.unlink(missing_ok=True)
        free = shutil.disk_usage(self.place).free - left_kb * 1024
        with self.filler.open("wb") as file:
            file.write(b"\0" * free)

    @contextmanager
    def full(self) -> Iterator[None]:
        """Without any room, for a while."""
        self.fill()
        yield
        self.filler.unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be opened for writing, for a while; files that are open stay so."""
        results = str(self.place / CONFIG)
        subprocess.run(["mount", "--bind", results, results], check=True)
        subprocess.run(["mount", "-o", "remount,ro,bind", results], check=True)
        yield
        subprocess.run(["umount", "--lazy", results], check=True)


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    made = Copy.of_repository(tmp_path_factory.mktemp("broken") / "repository")
    make_holdable(made)
    return made


@pytest.fixture(scope="module")
def disk(copy: Copy) -> Iterator[Disk]:
    place = copy.root / "results"
    place.mkdir()
    made = Disk(place)
    if os.geteuid() != 0 or not made.mount():
        missing = "to mount a small disk needs the rights of root"
        if os.environ.get("LUNGAUG_REQUIRE_ALL") == "1":
            pytest.fail(missing)
        pytest.skip(missing)
    yield made
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def one_line(run: Run, *words: str) -> str:
    """The only line of a run's output that begins like an error of ours."""
    lines = {line.strip() for line in run.output.splitlines() if all(w in line for w in words)}
    assert len(lines) == 1, run.output
    return lines.pop()


def test_a_read_only_folder_is_told_before_anything_runs(copy: Copy, disk: Disk) -> None:
    assert disk.mount("remount", "ro")
    run = finish(copy, MODEL, config=CONFIG)
    assert disk.mount("remount", "rw")
    assert run.status != 0
    assert "Traceback" not in run.output
    line = one_line(run, "results/interrupted cannot be written to")
    assert "the file system is read-only; make it writable" in line
    assert not jobs_of(copy).started
    assert finish(copy, "--dry-run", MODEL, config=CONFIG).status == 0


def test_a_full_disk_at_ingest(copy: Copy, disk: Disk) -> None:
    assert finish(copy, "results/interrupted/cohort.tsv", config=CONFIG).status == 0
    disk.fill(left_kb=48)
    run = finish(copy, MODEL, config=CONFIG)
    assert run.status != 0
    assert "Traceback" not in run.output
    line = next(text for text in run.output.splitlines() if "lungaug ingest:" in text)
    assert "results/interrupted/ingest/b0" in line
    assert "no space left on the disk; free some, then run the same command again" in line
    assert jobs_of(copy).rules() - {"check_networks"} == {"ingest"}
    assert not [*disk.place.rglob("*.part"), *disk.place.rglob("*.h5")]


def test_a_full_disk_before_anything(copy: Copy, disk: Disk) -> None:
    disk.fill()
    run = finish(copy, MODEL, config=CONFIG)
    disk.filler.unlink()
    assert run.status != 0
    assert "no space left on the disk" in one_line(run, "results/interrupted cannot be written to")
    assert not jobs_of(copy).started


def broken_at(copy: Copy, rule: str, breaking: AbstractContextManager[None]) -> Run:
    """A run whose disk breaks when a job of a rule is about to rename a file."""
    target, file = PLACES[rule]
    with going(copy, *target, config=CONFIG, hold_at=file) as going_on:
        going_on.wait_for_hold()
        with breaking:
            going_on.let_go()
            run = going_on.end()
    jobs = jobs_of(copy)
    assert run.status != 0
    # On a read-only disk Snakemake itself shows one.
    assert "/workflow/lungaug/" not in run.output
    assert rule in {name for name, _ in jobs.started - jobs.finished}
    return run


# What is asked for, and the file that is to be renamed when the disk breaks.
PLACES = {
    "ingest": ((MODEL,), "ingest/b00.h5"),
    "train_segmenter": ((MODEL,), "checkpoints/fixed.none.unet.0.pt@2"),
    "insert": ((INSERTED,), "inserted/gaussian.h5"),
    "realism_tables": ((TABLE,), "tables/realism.tsv"),
}


def assert_told(run: Run, rule: str, words: str) -> None:
    """That the message of a job says what is wrong, of which file and what to do."""
    lines = [text for text in run.output.splitlines() if f"lungaug {rule}:" in text]
    assert lines
    for line in lines:
        assert f"lungaug {rule}: results/interrupted/" in line
        assert words in line
        assert "run the same command again: what is finished is kept" in line


@pytest.mark.parametrize("rule", ["ingest", "train_segmenter"])
def test_a_folder_that_becomes_read_only(copy: Copy, disk: Disk, rule: str) -> None:
    run = broken_at(copy, rule, disk.read_only())
    assert_told(run, rule, "the file system is read-only; make it writable")
    assert not (disk.place / "interrupted/ingest/b00.h5").exists() or rule != "ingest"


def test_a_full_disk_in_training(copy: Copy, disk: Disk) -> None:
    checkpoint = "checkpoints/fixed.none.unet.0.pt"
    run = broken_at(copy, "train_segmenter", disk.full())
    assert "Traceback" not in run.output
    line = next(text for text in run.output.splitlines() if "lungaug train_segmenter:" in text)
    assert f"{checkpoint}: no space left on the disk" in line
    assert not list(disk.place.rglob("*.part"))
    assert not {"scan", "phantom"} & jobs_of(copy).rules()
    assert finish(copy, MODEL, config=CONFIG).status == 0
    assert jobs_of(copy).rules() == {"train_segmenter"}
    log = disk.place / "interrupted/logs/fixed/segmentation/none/unet/seed0.log"
    # The room of each checkpoint is that of the one before it.
    assert re.search(r"goes on after step [2-5]", log.read_text(encoding="utf-8"))


def test_a_full_disk_at_insertion(copy: Copy, disk: Disk) -> None:
    run = broken_at(copy, "insert", disk.full())
    assert "Traceback" not in run.output
    assert_told(run, "insert", "no space left on the disk; free some")
    assert not list((disk.place / "interrupted/fixed/inserted").glob("*.h5"))
    assert not list(disk.place.rglob("*.part"))


def test_a_folder_that_becomes_read_only_at_insertion(copy: Copy, disk: Disk) -> None:
    run = broken_at(copy, "insert", disk.read_only())
    assert jobs_of(copy).rules() == {"insert"}
    assert_told(run, "insert", "the file system is read-only; make it writable")
    assert not list((disk.place / "interrupted/fixed/inserted").glob("*.h5"))
    assert finish(copy, INSERTED, config=CONFIG).status == 0
    assert jobs_of(copy).rules() == {"insert"}
    assert not list(disk.place.rglob("*.part"))


def test_a_full_disk_in_tables(copy: Copy, disk: Disk) -> None:
    broken_at(copy, "realism_tables", disk.full())
    assert "train_segmenter" not in jobs_of(copy).rules()
    assert not list((disk.place / "interrupted/tables").glob("*.*"))
    # There is no room for a log either: the next start is what tells.
    with disk.full():
        run = finish(copy, TABLE, config=CONFIG)
    assert "no space left on the disk" in one_line(run, "results/interrupted cannot be written to")


def test_a_folder_that_becomes_read_only_in_tables(copy: Copy, disk: Disk) -> None:
    run = broken_at(copy, "realism_tables", disk.read_only())
    assert jobs_of(copy).rules() == {"realism_tables"}
    assert_told(run, "realism_tables", "the file system is read-only; make it writable")
    assert finish(copy, TABLE, config=CONFIG).status == 0
    assert jobs_of(copy).rules() == {"realism_tables"}
    assert not list(disk.place.rglob("*.part"))


@pytest.fixture(scope="module")
def corrupt(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """Six patients' DICOM, one image of which is cut in its pixels."""
    made = Copy.of_repository(tmp_path_factory.mktemp("corrupt") / "repository")
    tiny = yaml.safe_load((made.root / "tests/config/tiny.yaml").read_text(encoding="utf-8"))
    settings = json.dumps(tiny.pop("phantom"))
    del tiny["key_file"]
    command = [sys.executable, "-m", "lungaug", "phantom", "--output", "source/sheet.tsv"]
    environment = {**os.environ, "PYTHONPATH": str(made.root / "workflow")}
    command += ["--settings", settings]
    subprocess.run(command, cwd=made.root, env=environment, check=True, capture_output=True)
    image = sorted((made.root / "source/dicom").rglob("*.dcm"))[2]
    image.write_bytes(image.read_bytes()[:-4000])
    tiny["source"] = {"kind": "dicom", "root": "source/dicom", "sheet": "source/sheet.tsv"}
    tiny["source"]["masks"] = "source/masks"
    for name, action in (("stopping", "stop"), ("skipping", "skip")):
        config = {**tiny, "cohort": "corrupt", "ingest": {"on_bad_input": action}}
        path = made.root / f"tests/config/{name}.yaml"
        path.write_text(yaml.safe_dump(config), encoding="utf-8")
    return made


def test_a_corrupt_image_stops_the_run_with_its_name(corrupt: Copy) -> None:
    run = finish(corrupt, config="stopping")
    assert run.status != 0
    line = next(text for text in run.output.splitlines() if "lungaug ingest: file f" in text)
    name = line.split("file ")[1].split(":")[0]
    paths = _table(corrupt.root / "private/corrupt/files.tsv")
    (path,) = (row["path"] for row in paths if row["file"] == name)
    assert (corrupt.root / "source/dicom" / path).is_file()
    assert "files.tsv of the private folder" in line


def test_a_corrupt_image_costs_its_patient(corrupt: Copy) -> None:
    run = finish(corrupt, config="skipping")
    assert run.status == 0, run.output
    results = corrupt.root / "results/corrupt"
    rejected = [row for path in results.glob("ingest/*.rejected.tsv") for row in _table(path)]
    (row,) = rejected
    assert row["reason"].startswith("unreadable pixels")
    assert "its patient is left out with " in row["reason"]
    cohort = {one["patient"] for one in _table(results / "cohort.tsv")}
    split = {one["patient"] for one in _table(results / "split.tsv")}
    assert cohort - split == {row["patient"]}
    assert row["patient"] in (results / "report.html").read_text(encoding="utf-8")
    assert (results / "tables/main.md").stat().st_size > 0


def _table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))
