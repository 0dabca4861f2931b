"""What the README says can be done, can be done."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from lungaug import configuration

REPOSITORY = Path(__file__).resolve().parent.parent
README = (REPOSITORY / "README.md").read_text(encoding="utf-8")
MAKEFILE = (REPOSITORY / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("target", sorted(set(re.findall(r"`make ([a-z-]+)`", README))))
def test_every_target_that_is_named_exists(target: str) -> None:
    assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("picture", re.findall(r"!\[[^\]]+\]\(([^)]+)\)", README))
def test_every_picture_is_there(picture: str) -> None:
    assert (REPOSITORY / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "path", sorted(set(re.findall(r"`((?:workflow|tests|envs)/[^`<*]+)`", README)))
)
def test_every_path_that_is_named_exists(path: str) -> None:
    assert (REPOSITORY / path).exists()


def test_the_example_configuration_is_accepted(tmp_path: Path) -> None:
    example, grids = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    values = yaml.safe_load(example)
    sheet = tmp_path / "sheet.tsv"
    sheet.touch()
    values["source"].update(root=str(tmp_path), sheet=str(sheet), masks=str(tmp_path))
    full = configuration.checked(values, configuration.load_schema())
    assert full["arms"] == ["none", "online", "metalung", "copypaste", "dcgan", "mixed+online"]
    full = configuration.checked(yaml.safe_load(grids), configuration.load_schema())
    assert full["presence"]
    assert full["learning_curve"]["shares"] == [10, 25, 50]


def test_the_scoring_command_runs_as_it_stands() -> None:
    (line,) = re.findall(r"^(.*lungaug score_reader) .*", README, re.MULTILINE)
    (options,) = re.findall(r"lungaug score_reader (.*)", README)
    environment = {"PATH": str(Path(sys.executable).parent)}
    done = subprocess.run(
        f"{line} --help",
        shell=True,
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert set(re.findall(r"--\w+", options)) <= set(re.findall(r"--\w+", done.stdout))


def test_the_continuous_check_runs_the_commands_of_the_readme() -> None:
    script = (REPOSITORY / ".ci" / "run").read_text(encoding="utf-8")
    for command in ("make", "make test", "make lint"):
        assert f"\n{command}\n" in script
        assert f"`{command}`" in README or f"\n{command} " in README
