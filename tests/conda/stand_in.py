"""A ``conda`` for machines without one: prefixes are built from PyPI, by uv or by pip.

It answers what Snakemake 9.27 asks with ``--sdm conda``. The packages are those of the YAML itself,
at its versions; within them, and for what they depend on, the lock file decides, so that tests
of one commit always see the same packages.
"""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
LOCK = TESTS.parent / "requirements.lock"
ACTIVATE = """\
export CONDA_PREFIX="$1"
export PATH="$1/bin:$PATH"
"""
ANSWERS = {
    "--version": "conda 25.1.0",
    "config --get channel_priority --json": '{"get": {"channel_priority": "strict"}}',
    "clean -y --tarballs": "",
}


def install(root: Path) -> Path:
    """Write ``bin/conda`` and ``bin/activate`` below ``root``, and return the folder ``bin``.

    Like the real one it runs on a Python of its own: that of the tests.
    """
    folder = root / "bin"
    folder.mkdir(parents=True)
    (folder / "activate").write_text(ACTIVATE, encoding="utf-8")
    words = shlex.join([sys.executable, "-m", "conda.stand_in", str(root)])
    conda = folder / "conda"
    conda.write_text(
        f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(TESTS))} exec {words} "$@"\n', "utf-8"
    )
    conda.chmod(0o755)
    return folder


def create(file: Path, prefix: Path) -> None:
    """Build an environment from a YAML.

    Raises:
        subprocess.CalledProcessError: packages that do not exist or do not fit each other.
    """
    # Only here: Snakemake asks for the version and the like before every run.
    from conda.environment import locked, packages

    python, *others = packages(file)
    requirements = [package.requirement for package in others if package.name != "pip"]
    interpreter, exact = _interpreter(python.version)
    pins = locked(LOCK, python.version) if exact else {}
    with tempfile.TemporaryDirectory() as folder:
        constraints = Path(folder, "constraints.txt")
        lines = "".join(f"{name}=={version}\n" for name, version in pins.items())
        constraints.write_text(lines, encoding="utf-8")
        for command in _commands(interpreter, prefix, [*requirements, "-c", str(constraints)]):
            subprocess.run(command, check=True)


def _interpreter(version: str) -> tuple[str, bool]:
    """The Python of that minor version, or else the one that runs; whether it is the one."""
    found = shutil.which(f"python{version}")
    for candidate in filter(None, (sys.executable, found)):
        code = f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"
        if subprocess.run([candidate, "-c", code], check=False, stderr=-3).returncode == 0:
            return candidate, True
    sys.stderr.write(f"no Python {version} here: {sys.executable} takes its place\n")
    return sys.executable, False


def _commands(interpreter: str, prefix: Path, arguments: Sequence[str]) -> list[list[str]]:
    python = str(prefix / "bin" / "python")
    uv = shutil.which("uv")
    if uv:
        return [
            [uv, "venv", "--quiet", "--python", interpreter, str(prefix)],
            [uv, "pip", "install", "--quiet", "--python", python, *arguments],
        ]
    return [
        [interpreter, "-m", "venv", str(prefix)],
        [python, "-m", "pip", "install", "--quiet", *arguments],
    ]


def main(root: str, *words: str) -> int:
    """Answer one call of ``conda``."""
    if words[:2] == ("env", "create"):
        parser = argparse.ArgumentParser(prog="conda env create")
        for name in ("--quiet", "--no-default-packages"):
            parser.add_argument(name, action="store_true")
        parser.add_argument("--file", type=Path, required=True)
        parser.add_argument("--prefix", type=Path, required=True)
        options = parser.parse_args(words[2:])
        create(options.file, options.prefix)
        return 0
    info = json.dumps({"conda_prefix": root, "platform": "linux-64"})
    answers = {**ANSWERS, "info --json": info}
    asked = " ".join(words)
    if asked not in answers:
        sys.stderr.write(f"this stand-in of conda has no answer to: conda {asked}\n")
        return 2
    sys.stdout.write(f"{answers[asked]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
