"""Lock file, environments and the stages' imports are in step; ``make lint`` runs this too."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from conda import environment, imports
from conda.check import RUNNER, problems
from conda.names import TABLE

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "requirements.lock", "envs", "workflow/rules", "workflow/lungaug")
BY_HAND = {"schema", "score_reader"}  # commands that no rule runs
ENVIRONMENTS = sorted(path.stem for path in (REPOSITORY / "envs").glob("*.yaml"))


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the check reads, to be broken and mended."""
    tmp_path = tmp_path_factory.mktemp("copy")
    ignore = shutil.ignore_patterns("__pycache__")
    for part in PARTS:
        (tmp_path / part).parent.mkdir(parents=True, exist_ok=True)
        if (REPOSITORY / part).is_dir():
            shutil.copytree(REPOSITORY / part, tmp_path / part, ignore=ignore)
        else:
            shutil.copy2(REPOSITORY / part, tmp_path / part)
    return tmp_path


def test_lock_environments_and_imports_are_in_step() -> None:
    assert list(problems(REPOSITORY)) == []


def test_every_stage_has_a_rule_and_every_environment_a_stage() -> None:
    stages = {path.stem for path in (REPOSITORY / "workflow/lungaug/stages").glob("*.py")}
    of_rules = imports.stage_environments(REPOSITORY)
    assert set(of_rules) == stages - {"__init__"} - BY_HAND
    assert {*of_rules.values(), RUNNER} == set(ENVIRONMENTS)


@pytest.mark.parametrize("name", sorted({*ENVIRONMENTS} - {"generation", "segmentation"}))
def test_only_the_learning_environments_hold_torch(name: str) -> None:
    named = {package.name for package in environment.packages(REPOSITORY / f"envs/{name}.yaml")}
    assert not named & {"pytorch", "torchvision", "pytorch-lightning", "timm"}


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("envs/tables.yaml", "  - pandas =3.1\n", "", "tables.yaml lacks pandas, which stage"),
        ("envs/ingest.yaml", "  - gdcm =3.2\n", "", "ingest.yaml lacks gdcm, which stage"),
        (
            "envs/segmentation.yaml",
            "  - tensorboard =2.21\n",
            "",
            "segmentation.yaml lacks tensorboard, which stage",
        ),
        (
            "envs/tables.yaml",
            "dependencies:\n  - python =3.11\n",
            "dependencies:\n  - python =3.11\n  - timm =1.0\n",
            "tables.yaml lists timm, which none of its stages imports",
        ),
        (
            "envs/workflow.yaml",
            "  - jsonschema =4.26\n",
            "",
            "workflow.yaml lacks jsonschema, which the Snakefile imports",
        ),
        ("envs/imaging.yaml", "h5py =3.16", "h5py =3.15", "imaging.yaml: h5py 3.15 is not 3.16."),
        ("envs/imaging.yaml", "h5py =3.16", "h5py", "imaging.yaml: h5py any is not 3.16."),
        ("envs/report.yaml", "  - nodefaults", "  - bioconda", "report.yaml: channels"),
        ("requirements.lock", "jinja2==3.1.", "jinja2==3.2.", "report.yaml: jinja2 3.1 is not 3.2"),
        (
            "workflow/lungaug/store.py",
            "import h5py\n",
            "import h5py\nimport zarr\n",
            "tables.yaml lacks zarr, which stage",
        ),
        (
            "workflow/lungaug/stages/scan.py",
            "from lungaug.cohort import ",
            "from lungaug.cohort import read_table, ",
            "ingest.yaml lacks pandas, which stage scan imports",
        ),
        (
            "workflow/lungaug/configuration.py",
            "import yaml\n",
            "import yaml\nimport numpy\n",
            "workflow.yaml lacks numpy, which the Snakefile imports",
        ),
        (
            "workflow/rules/split.smk",
            '    conda:\n        "../../envs/tables.yaml"\n',
            "",
            "the rule of stage split has no environment",
        ),
    ],
)
def test_what_is_out_of_step_is_told(
    copy: Path, file: str, old: str, new: str, message: str
) -> None:
    path = copy / file
    whole = path.read_text(encoding="utf-8")
    assert old in whole
    path.write_text(whole.replace(old, new, 1), encoding="utf-8")
    told = list(problems(copy))
    path.write_text(whole, encoding="utf-8")
    assert any(problem.startswith(message) for problem in told)


def test_the_lock_is_read_for_the_python_of_the_environments(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:aa\n"
        "numpy==2.5.5 ; python_full_version >= '3.12' \\\n    --hash=sha256:bb\n"
        "pyreadline3==3.5.6 ; sys_platform == 'win32' \\\n    --hash=sha256:cc\n",
        encoding="utf-8",
    )
    assert environment.locked(lock, "3.11") == {"numpy": "2.4.6"}
    assert environment.locked(lock, "3.12") == {"numpy": "2.5.5"}


def test_the_table_of_names_holds_no_name_that_is_used_nowhere() -> None:
    listed = {
        package.name
        for name in ENVIRONMENTS
        for package in environment.packages(REPOSITORY / f"envs/{name}.yaml")
    }
    assert {names.conda for names in TABLE} <= listed


def test_every_environment_has_one_python() -> None:
    pythons = {
        environment.packages(REPOSITORY / f"envs/{name}.yaml")[0].version for name in ENVIRONMENTS
    }
    assert len(pythons) == 1
    lowest = tuple(int(part) for part in pythons.pop().split("."))
    assert lowest <= sys.version_info[:2]
