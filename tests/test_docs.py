"""What README and docs say can be done, can be done: commands, configurations, links, paths."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lungaug import configuration
from workflow_runs import Copy

REPOSITORY = Path(__file__).resolve().parent.parent
PAGES = {
    path.relative_to(REPOSITORY).as_posix(): path.read_text(encoding="utf-8")
    for path in [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
}
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
FOREIGN = {"export", "mkdir", "mv", "pytest", "tests/slurm/cluster"}
"""Commands that are not run here: of the system, and those that `make test-slow` runs."""


def blocks(kind: str) -> list[tuple[str, str]]:
    """(page, text) of every block of a kind."""
    found = re.compile(rf"^( *)```{kind}\n(.*?)^\1```", re.DOTALL | re.MULTILINE)
    return [
        (page, re.sub(rf"^{block[1]}", "", block[2], flags=re.MULTILINE))
        for page, text in PAGES.items()
        for block in found.finditer(text)
    ]


def commands() -> list[tuple[str, str]]:
    """(page, command) of every line in blocks of shell, without comments."""
    lines = [
        (page, line.partition("  #")[0].strip())
        for page, text in blocks("sh")
        for line in text.replace("\\\n", " ").splitlines()
    ]
    return [(page, line) for page, line in lines if line and not line.startswith("#")]


def words_of(command: str) -> tuple[dict[str, str], list[str]]:
    """Variables set before a command, and its words."""
    words = shlex.split(command)
    variables = {}
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        name, _, value = words.pop(0).partition("=")
        variables[name] = value
    return variables, words


def first(command: str) -> str:
    return words_of(command)[1][0]


@pytest.mark.parametrize("page", PAGES)
def test_links_pictures_and_paths_lead_somewhere(page: str) -> None:
    folder = (REPOSITORY / page).parent
    text = PAGES[page]
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
        if "://" not in target:
            assert (folder / target).is_file(), target
    for picture in re.findall(r"!\[[^\]]+\]\(([^)]+)\)", text):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")
    named = re.findall(r"`((?:workflow|tests|envs|profiles|benchmarks)/[^`<*…\s]+)`", text)
    new = set(re.findall(r"`([\w/.]+)`, new:", text))
    for path in set(named) - new:
        assert (REPOSITORY / path).exists(), path


def test_the_readme_fits_three_screens_and_leads_to_every_page() -> None:
    assert len(PAGES["README.md"].splitlines()) <= 100
    linked = {f"docs/{name}" for name in re.findall(r"\(docs/([\w-]+\.md)\)", PAGES["README.md"])}
    assert linked == set(PAGES) - {"README.md"}


def test_every_target_of_make_exists() -> None:
    named = {n for text in PAGES.values() for n in re.findall(r"`make ([a-z-]+)[^`]*`", text)}
    for _, command in commands():
        _, words = words_of(command)
        if words[0] == "make":
            named |= {word for word in words[1:] if "=" not in word}
    assert {"test", "lint", "preview", "status", "adopt"} <= named
    for target in named:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


@pytest.mark.parametrize(("page", "text"), blocks("yaml"))
def test_every_configuration_is_accepted(page: str, text: str, tmp_path: Path) -> None:
    values = yaml.safe_load(text)
    schema = configuration.load_schema()
    if not set(values) <= set(schema["properties"]):
        pytest.skip("a profile or another file, not a configuration")
    # A part of a configuration goes with a source.
    values.setdefault("source", {"kind": "phantom"})
    if values["source"]["kind"] != "phantom":
        (tmp_path / "sheet.tsv").touch()
        stands_for = {"root": tmp_path, "masks": tmp_path, "sheet": tmp_path / "sheet.tsv"}
        for name in stands_for.keys() & values["source"].keys():
            values["source"][name] = str(stands_for[name])
    full = configuration.checked(values, schema)
    for name in ("arms", "segmenters", "seeds", "cohort"):
        if name in values:
            assert full[name] == values[name]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A working copy with the configurations that the pages call by name."""
    copy = Copy.of_repository(tmp_path_factory.mktemp("docs") / "repository")
    (copy.root / "incoming").mkdir()
    for name in ("mine", "lidc"):
        values = {"cohort": name, "source": {"kind": "dicom", "root": "incoming"}}
        (copy.root / f"{name}.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    return copy


def run(copy: Copy, command: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(copy.root / "workflow")}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["SNAKEMAKE_OUTPUT_CACHE"] = str(copy.root / "incoming")
    environment["LUNGAUG_REAL_DATA"] = str(copy.root / "incoming")
    done = subprocess.run(
        command, shell=True, cwd=copy.root, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("command", sorted({c for _, c in commands() if first(c) == "snakemake"}))
def test_snakemake_takes_the_command(copy: Copy, command: str) -> None:
    if {"--sdm", "--default-storage-provider"} & set(words_of(command)[1]):
        pytest.skip("run by the tests of environments and of object storage")
    told = run(copy, f"{command} --dry-run")
    assert "scan" in told or "Nothing to be done" in told


@pytest.mark.parametrize("command", sorted({c for _, c in commands() if first(c) == "python"}))
def test_python_takes_the_options(copy: Copy, command: str) -> None:
    _, words = words_of(command)
    if words[:3] == ["python", "-m", "pytest"]:
        pytest.skip("run by test_extending")
    if words[2].startswith("benchmarks."):
        pytest.skip("run by hand: it takes minutes to hours")
    command = " ".join(words[: 4 if words[2] == "lungaug" else 3])
    told = run(copy, f"{command} --help")
    options = {word for word in words if word.startswith("--")}
    assert options <= set(re.findall(r"--[\w-]+", told))


def test_every_other_command_is_known() -> None:
    known = {"make", "snakemake", "python", *FOREIGN}
    unknown = {(page, command) for page, command in commands() if first(command) not in known}
    assert not unknown


def test_the_continuous_check_runs_the_commands_of_the_readme() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("make", "make test", "make lint", "make test-slow"):
        assert f"\n{command}\n" in script
        assert f"`{command}`" in PAGES["README.md"] or f"\n{command} " in PAGES["README.md"]
