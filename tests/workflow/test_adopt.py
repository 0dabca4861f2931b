"""Results from elsewhere are told the truth about, and brought in."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py
import pytest

from lungaug import identity, records
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

CONFIG = "tests/config/tiny.yaml"
TARGETS = ("results/tiny/fixed/audit.tsv", "results/tiny/fixed/arms/metalung.tsv")
NOISE = Path("results", "tiny", "metalung", "noise_slice")
FRESH = "nothing will run"
ADOPT = "run make adopt"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("finished") / "repository")
    run = copy.snakemake(*TARGETS)
    assert run.status == 0, run.output
    return copy


@pytest.fixture
def fresh(finished: Copy, tmp_path: Path) -> Iterator[Copy]:
    """A fresh clone over the results, which were copied without their times, the last first."""
    copy = Copy.of_repository(tmp_path / "fresh")
    shutil.copytree(finished.root / "results", copy.root / "results")
    files = sorted(path for path in (copy.root / "results").rglob("*") if path.is_file())
    for age, path in enumerate(sorted(files, key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (2e9 - age, 2e9 - age))
    yield copy
    shutil.rmtree(copy.root)


def status(copy: Copy, *arguments: str, targets: tuple[str, ...] = TARGETS) -> list[str]:
    """The lines that ``make status`` prints, with targets."""
    command = [sys.executable, "-m", "lungaug.status", *targets, *arguments]
    return _lines(copy, command)


def _lines(copy: Copy, command: list[str]) -> list[str]:
    command += ["--workflow-profile", "none", "--configfile", CONFIG]
    environment = {**os.environ, "PYTHONPATH": str(copy.root / "workflow")}
    done = subprocess.run(
        command, cwd=copy.root, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def rules(lines: list[str]) -> set[str]:
    """The rules that have a line of their own."""
    return {line.split()[0].rstrip(":") for line in lines if "results/" not in line.split()[0]}


def dry_run(copy: Copy, *targets: str) -> Run:
    run = copy.snakemake("--dry-run", "--rerun-incomplete", *(targets or TARGETS))
    assert run.status == 0, run.output
    return run


def change_a_setting_and_a_module(copy: Copy) -> None:
    copy.edit(CONFIG, "split:", "metalung:\n  noise_slice:\n    intensity: 11\nsplit:")
    path = copy.root / "workflow" / "lungaug" / "stages" / "audit.py"
    path.write_text(path.read_text("utf-8") + "\n_UNUSED = 1\n", encoding="utf-8")


def rewrite_at_the_same_time(path: Path) -> None:
    times = path.stat()
    path.write_bytes(path.read_bytes()[:-2] + b"9\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_a_finished_run_is_fresh_and_snakemake_says_so_too(copy: Copy) -> None:
    lines = status(copy)
    assert len(lines) == 1
    assert FRESH in lines[0]
    assert dry_run(copy).jobs == Counter()

    gone = sorted((copy.root / "results" / "tiny" / "preprocess").glob("*.h5"))[0]
    gone.unlink()
    lines = status(copy)
    assert lines[0].startswith(f"not there, and not needed: preprocess/{gone.name} (")
    assert FRESH in lines[1]
    assert dry_run(copy).jobs == Counter()


def test_a_fresh_clone_over_unchanged_results_runs_nothing_once_adopted(fresh: Copy) -> None:
    lines = status(fresh)
    assert rules(lines) <= {"Snakemake"}
    assert FRESH in lines[0]
    # Alone, Snakemake goes by the times, which say the contrary of what was.
    assert dry_run(fresh).jobs
    assert ADOPT in lines[-1]
    assert not (fresh.root / ".snakemake" / "metadata").exists() or not list(
        (fresh.root / ".snakemake" / "metadata").iterdir()
    )

    status(fresh, "--adopt")
    run = fresh.snakemake(*TARGETS)
    assert (run.status, run.jobs) == (0, Counter()), run.output


def test_a_fresh_clone_with_a_setting_and_a_module_changed_reruns_these(
    copy: Copy, fresh: Copy
) -> None:
    change_a_setting_and_a_module(copy)
    change_a_setting_and_a_module(fresh)
    told = status(copy)
    run = copy.snakemake(*TARGETS)
    assert run.status == 0, run.output
    expected = run.jobs
    assert ADOPT not in told[-1]
    batches = len(list((copy.root / NOISE).glob("*.h5")))
    assert expected == Counter(metalung=batches, audit=1, arm=1)
    assert told[0].startswith("metalung noise_slice ")
    assert told[0].endswith("setting noise_slice.intensity: 20 -> 11")
    assert told[1].startswith("audit: its code changed; follows from metalung")
    assert told[2] == "arm: follows from metalung"
    assert f"{batches + 2} jobs will run" in told[3]

    assert status(fresh, "--adopt")[:4] == told
    run = fresh.snakemake(*TARGETS)
    assert (run.status, run.jobs) == (0, expected), run.output
    made = [p.relative_to(copy.root) for p in (copy.root / "results" / "tiny").rglob("*")]
    made = [p for p in made if p.suffix in (".h5", ".tsv") and "benchmarks" not in p.parts]
    differing = [p for p in made if (copy.root / p).read_bytes() != (fresh.root / p).read_bytes()]
    assert len(made) > 20
    assert not differing


def test_a_renamed_results_folder_is_adopted(copy: Copy) -> None:
    (copy.root / "elsewhere").mkdir()
    shutil.move(copy.root / "results" / "tiny", copy.root / "elsewhere" / "other")
    copy.edit(CONFIG, "cohort: tiny", "cohort: other\nresults: elsewhere")
    targets = tuple(path.replace("results/tiny", "elsewhere/other") for path in TARGETS)
    lines = status(copy, targets=targets)
    assert FRESH in lines[0]
    status(copy, "--adopt", targets=targets)
    path = copy.root / "workflow" / "lungaug" / "stages" / "audit.py"
    path.write_text(path.read_text("utf-8") + "\n_UNUSED = 1\n", encoding="utf-8")
    assert dry_run(copy, *targets).jobs == Counter(audit=1)


def test_a_file_replaced_by_hand_is_told_and_made_again(copy: Copy) -> None:
    table = copy.root / "results" / "tiny" / "fixed" / "slices.tsv"
    right = table.read_bytes()
    rewrite_at_the_same_time(table)
    assert table.read_bytes() != right
    assert dry_run(copy).jobs == Counter()
    lines = status(copy)
    assert lines[0] == "select: changed by hand since it was made"
    assert rules(lines) == {"select", "audit", "arm", "Snakemake"}
    assert ADOPT in lines[-1]
    assert "nothing is to be done" in lines[-1]
    status(copy, "--adopt")
    run = copy.snakemake(*TARGETS)
    assert (run.status, run.jobs) == (0, Counter(select=1, audit=1, arm=1)), run.output
    assert table.read_bytes() == right


def test_without_records_every_file_is_of_an_unknown_run(fresh: Copy) -> None:
    (fresh.root / "results" / "tiny" / records.NAME).unlink()
    # The environment of the runner has none of the libraries.
    blind = "import sys; sys.modules['h5py'] = None\n"
    blind += "from lungaug.status.__main__ import main; sys.exit(main(sys.argv[1:]))"
    lines = _lines(fresh, [sys.executable, "-c", blind, *TARGETS])
    assert lines[0].startswith("phantom: ")
    assert "not in the records" in lines[0]
    assert {"phantom", "scan", "select", "audit"} <= rules(lines)
    assert lines[-3] == "the headers of slice files were not read: h5py is not installed here"
    assert "alone it would" in lines[-1]


def test_a_header_that_disagrees_with_the_records_counts(copy: Copy) -> None:
    """Somebody brought records and files of different runs together."""
    results = str(copy.root / "results" / "tiny")
    path = sorted((copy.root / NOISE).glob("*.h5"))[0]
    with h5py.File(path, "r+") as file:
        settings = json.loads(str(file.attrs["settings"]))
        settings["noise_slice"]["intensity"] = 12
        file.attrs["settings"] = json.dumps(settings)
    entries = records.read(results)
    name = path.relative_to(results).as_posix()
    entries[name] = replace(entries[name], digest=identity.digest(path), stamp=identity.stamp(path))
    records.write(results, entries)
    said = "its own header says: setting noise_slice.intensity: 12 -> 20"
    assert said in status(copy)[0]


def test_what_a_killed_run_made_is_in_the_records_after_the_next(copy: Copy) -> None:
    results = copy.root / "results" / "tiny"
    copy.edit(CONFIG, "split:", "metalung:\n  noise_slice:\n    intensity: 11\nsplit:")
    before = (results / records.NAME).read_bytes()
    started = time.time_ns()
    command = [sys.executable, "-m", "snakemake", "--cores", "1", "--nolock", *TARGETS]
    run = subprocess.Popen(
        [*command, "--workflow-profile", "none", "--configfile", CONFIG],
        cwd=copy.root,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while run.poll() is None and not _made_since(started, copy):
        time.sleep(0.1)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    assert (results / records.NAME).read_bytes() == before
    finish = copy.snakemake(*TARGETS, "--rerun-incomplete")
    assert finish.status == 0, finish.output
    assert finish.jobs["metalung"] < len(list((copy.root / NOISE).glob("*.h5")))
    shutil.rmtree(copy.root / ".snakemake")
    assert FRESH in status(copy)[0]


def _made_since(started: int, copy: Copy) -> bool:
    """Whether Snakemake has recorded a file of the operation since."""
    memory = copy.root / ".snakemake" / "metadata"
    found = [path for path in memory.iterdir() if path.stat().st_mtime_ns > started]
    return any(path.read_text("utf-8").endswith("}") for path in found)
