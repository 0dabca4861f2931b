"""Whether the environments, the stages' imports and the lock file are in step."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import yaml

from conda import imports
from conda.environment import Package, locked, packages
from conda.names import conda_name, pypi_name

CHANNELS = ["conda-forge", "nodefaults"]
RUNNER = "workflow"
# Nothing imports these by statement.
NEEDED_ANYHOW = {
    RUNNER: {
        "pip": "installs what conda-forge lacks",
        "snakemake-logger-plugin-rich": "profiles/default names it as the logger",
        "pygments": "snakemake --report needs it",
    }
}


def problems(repository: Path) -> Iterator[str]:
    """What is not in step, each in a sentence."""
    stages = imports.stage_environments(repository)
    yield from (
        f"the rule of stage {stage} has no environment" for stage in stages if not stages[stage]
    )
    for path in sorted((repository / "envs").glob("*.yaml")):
        environment = path.stem
        if environment == RUNNER:
            imported = {"the Snakefile": imports.of_runner(repository)}
        else:
            own = sorted(stage for stage in stages if stages[stage] == environment)
            imported = {f"stage {stage}": imports.of_stage(repository, stage) for stage in own}
        listed = packages(path)
        yield from _channels(path)
        yield from _missing(path, listed, imported)
        yield from _superfluous(path, listed, imported)
        yield from _other_versions(path, listed, repository / "requirements.lock")


def _channels(path: Path) -> Iterator[str]:
    channels = yaml.safe_load(path.read_text(encoding="utf-8"))["channels"]
    if channels != CHANNELS:
        yield f"{path.name}: channels {channels} are not {CHANNELS}"


def _missing(
    path: Path, listed: list[Package], imported: dict[str, list[imports.Import]]
) -> Iterator[str]:
    names = {package.name for package in listed}
    for who, found in imported.items():
        for package in sorted({conda_name(one.full) for one in found} - names):
            yield f"{path.name} lacks {package}, which {who} imports"


def _superfluous(
    path: Path, listed: list[Package], imported: dict[str, list[imports.Import]]
) -> Iterator[str]:
    needed = {conda_name(one.full) for found in imported.values() for one in found}
    needed |= {"python", *NEEDED_ANYHOW.get(path.stem, {})}
    for package in listed:
        if package.name not in needed:
            yield f"{path.name} lists {package.name}, which none of its stages imports"


def _other_versions(path: Path, listed: list[Package], lock: Path) -> Iterator[str]:
    python, *others = listed
    versions = locked(lock, python.version)
    for package in others:
        if package.name == "pip":
            continue
        version = versions.get(pypi_name(package.name), "")
        if not version:
            yield f"{path.name}: {lock.name} has no {pypi_name(package.name)}"
        elif version.split(".")[:2] != package.version.split("."):
            has = package.version or "any"
            yield f"{path.name}: {package.name} {has} is not {version} as in {lock.name}"
