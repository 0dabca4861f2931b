"""Every stage's environment names what the stage imports, and the data stages have no torch."""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml

from lungaug.staleness import ROOT, import_closure

REPOSITORY = Path(__file__).resolve().parent.parent
CONDA_NAMES = {
    "cv2": "opencv",
    "gdcm": "python-gdcm",
    "lightning_fabric": "lightning-fabric",
    "matplotlib": "matplotlib-base",
    "PIL": "pillow",
    "segmentation_models_pytorch": "segmentation-models-pytorch",
    "skimage": "scikit-image",
    "torch": "pytorch",
    "yaml": "pyyaml",
}
BY_HAND = {"schema", "score_reader"}  # commands that no rule runs


def stage_environments() -> dict[str, str]:
    """Stage name to environment, as the rules say."""
    found = {}
    for path in (REPOSITORY / "workflow" / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        for rule in re.split(r"\n(?=\s*(?:rule|checkpoint) )", text):
            stage = re.search(r"python -m lungaug (\w+)", rule)
            environment = re.search(r"envs/(\w+)\.yaml", rule)
            if stage and environment:
                found[stage[1]] = environment[1]
    return found


def named_packages(environment: str) -> set[str]:
    values = yaml.safe_load((REPOSITORY / "envs" / f"{environment}.yaml").read_text("utf-8"))
    return {entry.split()[0] for entry in values["dependencies"]}


def third_party_imports(stage: str) -> set[str]:
    names: set[str] = set()
    for path in import_closure(ROOT / "stages" / f"{stage}.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names.update(alias.name.split(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return {n for n in names if n not in sys.stdlib_module_names and n != "lungaug"}


def test_every_rule_with_a_stage_has_an_environment() -> None:
    stages = {p.stem for p in (ROOT / "stages").glob("*.py")} - {"__init__", *BY_HAND}
    assert set(stage_environments()) == stages


@pytest.mark.parametrize("stage", sorted(stage_environments()))
def test_an_environment_names_what_its_stage_imports(stage: str) -> None:
    named = named_packages(stage_environments()[stage])
    imported = third_party_imports(stage)
    missing = {name for name in imported if CONDA_NAMES.get(name, name) not in named}
    assert not missing, f"envs/{stage_environments()[stage]}.yaml lacks {missing}"


@pytest.mark.parametrize("environment", ["ingest", "imaging", "tables", "report", "workflow"])
def test_only_the_learning_environments_hold_torch(environment: str) -> None:
    assert "pytorch" not in named_packages(environment)
