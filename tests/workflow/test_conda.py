"""``snakemake --sdm conda``: each stage in an environment of its own, the runner's own bare.

A stand-in for conda builds them from the lists in ``envs/``; docs/environments.md says what that
proves.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest

from conda import environment, imports, stand_in
from conda.check import RUNNER
from conda.names import MODULES, pypi_name
from workflow_runs import REPOSITORY, Copy, Run

pytestmark = pytest.mark.slow

ENVS = REPOSITORY / "envs"
STAGES = sorted({path.stem for path in ENVS.glob("*.yaml")} - {RUNNER})
WITHOUT = Path(stand_in.__file__).with_name("without.py")
GENERATOR = "results/tiny/fixed/generators/gaussian/patches.h5"
WITH_GENERATOR = ("--config", 'arms=["none","metalung","gaussian"]')

# A package that no other brings, and a file whose job needs it.
TAKEN_AWAY = {
    "ingest": ("pydicom =3.0", "pydicom", "results/tiny/source/sheet.tsv"),
    "imaging": ("py-opencv =5.0", "cv2", "results/tiny/preprocess/{batch}.h5"),
    "tables": ("hdf5plugin =7.1", "hdf5plugin", "results/tiny/split.tsv"),
    "generation": ("hdf5plugin =7.1", "hdf5plugin", GENERATOR),
    "segmentation": (
        "hdf5plugin =7.1",
        "hdf5plugin",
        "results/tiny/fixed/segmentation/none/unet/seed0/model.pt",
    ),
    "report": ("matplotlib-base =3.11", "matplotlib", "results/tiny/figures/main.png"),
}


@dataclass(frozen=True)
class Machine:
    """Where a runner that holds Snakemake only is on the path, and a conda."""

    root: Path

    @property
    def runner(self) -> Path:
        return self.root / "runner"

    @property
    def prefixes(self) -> Path:
        return self.root / "prefixes"

    @classmethod
    def made(cls, root: Path) -> Machine:
        stand_in.install(root / "conda")
        stand_in.create(ENVS / f"{RUNNER}.yaml", root / "runner")
        return cls(root)

    def environment(self, runner: Path) -> dict[str, str]:
        """This process's without what the tests' own Python put there."""
        ours = ("PYTHON", "VIRTUAL_ENV", "LUNGAUG", "SNAKEMAKE", "CONDA")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        here = str(Path(sys.executable).parent)
        others = [part for part in os.environ["PATH"].split(os.pathsep) if part != here]
        first = [str(runner / "bin"), str(self.root / "conda" / "bin")]
        # Wide, or else messages are broken into lines.
        return {**kept, "PATH": os.pathsep.join([*first, *others]), "COLUMNS": "500"}

    def call(self, *command: str, cwd: Path, runner: Path | None = None) -> Run:
        done = subprocess.run(
            command,
            cwd=cwd,
            env=self.environment(runner or self.runner),
            capture_output=True,
            text=True,
            timeout=1200,
            check=False,
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def snakemake(self, copy: Copy, *arguments: str) -> Run:
        """As in docs/environments.md, on the tiny cohort."""
        conda = ["--sdm", "conda", "--conda-prefix", str(self.prefixes)]
        small = ["--configfile", "tests/config/tiny.yaml", "--cores", "2"]
        return self.call("snakemake", *conda, *small, *arguments, cwd=copy.root)

    def python_of(self, name: str) -> Path:
        """The Python of the prefix that was made from a YAML."""
        text = (ENVS / f"{name}.yaml").read_text(encoding="utf-8")
        copies = self.prefixes.glob("*.yaml")
        (made,) = (path for path in copies if path.read_text(encoding="utf-8") == text)
        return made.with_suffix("") / "bin" / "python"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Machine:
    return Machine.made(tmp_path_factory.mktemp("machine"))


@pytest.fixture(scope="module")
def finished(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    copy = Copy.of_repository(tmp_path_factory.mktemp("finished") / "repository")
    run = machine.snakemake(copy)
    assert run.status == 0, run.output
    return copy


def logged(copy: Copy) -> Run:
    """What the last run of a copy wrote of its jobs; the terminal shows progress instead."""
    latest = max((copy.root / ".snakemake" / "log").glob("*.log"))
    return Run(0, latest.read_text(encoding="utf-8"))


def test_a_stages_yaml_reruns_the_rules_of_that_environment(
    machine: Machine, finished: Copy, tmp_path: Path
) -> None:
    copy = finished.clone(tmp_path / "repository")
    with (copy.root / "envs" / "report.yaml").open("a", encoding="utf-8") as file:
        file.write("# a thought\n")
    run = machine.snakemake(copy)
    assert run.status == 0, run.output
    assert logged(copy).jobs == Counter(figures=1, score_figures=1, report=1)
    assert "Nothing to be done" in machine.snakemake(copy).output


@pytest.fixture(scope="module")
def generated(machine: Machine, finished: Copy, tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The same with generated nodules, which the tiny workflow has none of."""
    copy = finished.clone(tmp_path_factory.mktemp("generated") / "repository")
    run = machine.snakemake(copy, GENERATOR, *WITH_GENERATOR)
    assert run.status == 0, run.output
    return copy


def test_the_runner_holds_snakemake_and_nothing_that_a_stage_imports(machine: Machine) -> None:
    for module in ("numpy", "h5py", "pandas", "torch", "cv2", "pydicom"):
        run = machine.call("python", "-c", f"import {module}", cwd=machine.root)
        assert f"No module named '{module}'" in run.output
    run = machine.call("python", "-c", "import snakemake", cwd=machine.root)
    assert run.status == 0, run.output


def test_a_run_leaves_its_products_and_a_second_one_has_nothing_to_do(
    machine: Machine, finished: Copy
) -> None:
    results = finished.root / "results" / "tiny"
    for name in ("tables/main.tsv", "report.html", "figures/main.png"):
        assert (results / name).stat().st_size > 0
    run = machine.snakemake(finished)
    assert run.status == 0, run.output
    assert "Nothing to be done" in run.output
    assert "installing remote packages" not in run.output


def test_the_prefixes_hold_no_torch_but_those_of_learning(
    machine: Machine, generated: Copy
) -> None:
    code = "import importlib.util as u, sys; sys.exit(u.find_spec('torch') is not None)"
    holding = {
        name
        for name in STAGES
        if machine.call(str(machine.python_of(name)), "-c", code, cwd=machine.root).status
    }
    assert holding == {"generation", "segmentation"}


@pytest.mark.parametrize("name", STAGES)
def test_every_package_of_an_environment_is_needed(
    machine: Machine, generated: Copy, name: str
) -> None:
    of_rules = imports.stage_environments(REPOSITORY)
    stages = sorted(stage for stage in of_rules if of_rules[stage] == name)
    ours = set[str]().union(*(imports.modules_of(REPOSITORY, stage) for stage in stages))
    late = {
        one.module for stage in stages for one in imports.of_stage(REPOSITORY, stage) if one.inside
    }
    modules = [*sorted(ours), *sorted(late)]
    listed = environment.packages(ENVS / f"{name}.yaml")[1:]
    named = {pypi_name(one.name): MODULES.get(one.name, one.name) for one in listed}
    pairs = " ".join(f"{package}:{module}" for package, module in named.items())
    code = [str(machine.python_of(name)), str(WITHOUT), " ".join(modules), pairs]
    run = machine.call("env", f"PYTHONPATH={REPOSITORY / 'workflow'}", *code, cwd=machine.root)
    assert run.status == 0, run.output
    missed = json.loads(next(line for line in run.output.splitlines() if line.startswith("{")))
    assert set(missed) == set(named)
    assert all(missed.values()), missed


@pytest.mark.parametrize("name", STAGES)
def test_a_job_fails_where_its_environment_lacks_a_package(
    machine: Machine, finished: Copy, generated: Copy, tmp_path: Path, name: str
) -> None:
    entry, module, target = TAKEN_AWAY[name]
    copy = (generated if name == "generation" else finished).clone(tmp_path / "repository")
    copy.edit(f"envs/{name}.yaml", f"  - {entry}\n", "")
    batch = min((copy.root / "results/tiny/preprocess").glob("*.h5")).stem
    more = WITH_GENERATOR if name == "generation" else ()
    run = machine.snakemake(copy, target.format(batch=batch), *more)
    assert run.status != 0
    assert f"No module named '{module}'" in run.output


@pytest.mark.parametrize(
    "module", ["snakemake", "yaml", "jsonschema", "snakemake_logger_plugin_rich", "pygments"]
)
def test_the_runner_fails_without_one_of_its_packages(
    machine: Machine, finished: Copy, tmp_path: Path, module: str
) -> None:
    """Blocked rather than left out, since some come along with others."""
    shutil.copy2(WITHOUT, tmp_path)
    start = f"import sys, without\nsys.meta_path.insert(0, without.Blocked({{{module!r}}}))\n"
    (tmp_path / "sitecustomize.py").write_text(start, encoding="utf-8")
    small = ("--dry-run", "--configfile", "tests/config/tiny.yaml")
    blocked = ("env", f"PYTHONPATH={tmp_path}", "snakemake", *small)
    run = machine.call(*blocked, cwd=finished.root)
    assert run.status != 0
    assert f"No module named '{module}" in run.output


def test_a_runner_built_without_its_logger_does_not_start(
    machine: Machine, finished: Copy, tmp_path: Path
) -> None:
    text = (ENVS / f"{RUNNER}.yaml").read_text(encoding="utf-8")
    poorer = tmp_path / f"{RUNNER}.yaml"
    poorer.write_text(re.sub(r".*logger-plugin-rich.*\n", "", text), encoding="utf-8")
    stand_in.create(poorer, tmp_path / "runner")
    small = ("--dry-run", "--configfile", "tests/config/tiny.yaml")
    run = machine.call("snakemake", *small, cwd=finished.root, runner=tmp_path / "runner")
    assert run.status != 0
    assert "rich" in run.output
