"""Break a module in a copy of the repository, and run the tests that should notice."""

from __future__ import annotations

import ast
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mutants.sites import Site, sites

PACKAGE = Path("workflow/lungaug")
PARTS = ("workflow", "tests", "Snakefile", "config.yaml", "pyproject.toml", "envs", "profiles")
MOST_FILES = 4
NONE_SELECTED = 5  # pytest's exit status
FIRST_FAILURE = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed (by a test), timeout, survived, or none tested."""

    result: str
    by: str
    seconds: float


def copied(repository: Path, root: Path) -> Path:
    """Copy what tests need, with bytecode, which else every run would make anew."""
    skipped = shutil.ignore_patterns("*.pyc.*", ".pytest_cache", ".hypothesis")
    for part in PARTS:
        source = repository / part
        if source.is_dir():
            shutil.copytree(source, root / part, ignore=skipped)
        elif source.exists():
            shutil.copy2(source, root / part)
    return root


def modules(root: Path, folder: str) -> list[Path]:
    """Return the modules of a folder of the package, or the one that is named."""
    place = root / PACKAGE / folder
    found = place.rglob("*.py") if place.is_dir() else [place.with_suffix(".py")]
    return sorted(path.relative_to(root) for path in found if path.name != "__init__.py")


def chosen(root: Path, paths: Iterable[Path], n: int, seed: int) -> list[tuple[Path, Site]]:
    """Return ``n`` changes drawn with ``seed``, one a line at most, in the order of the text."""
    every = [(path, site) for path in paths for site in sites((root / path).read_text("utf-8"))]
    random.Random(seed).shuffle(every)
    by_line = {(path, site.line): (path, site) for path, site in reversed(every)}
    drawn = [pair for pair in every if by_line[pair[0], pair[1].line] == pair]
    return sorted(drawn[:n])


def tests_of(root: Path, module: Path) -> list[Path]:
    """Return the test files to run: the module's mirror, then those that import it.

    Where there is neither, those that import a module which imports it. At most ``MOST_FILES``.
    The test of the schema comes last where a module has settings: it holds defaults and bounds.
    """
    tests = sorted((root / "tests").rglob("test_*.py"))
    inner = module.relative_to(PACKAGE)
    mirror = root / "tests" / inner.with_name(f"test_{inner.name}")
    name = ".".join(inner.with_suffix("").parts)
    users = [path for path in tests if name in _imports(path)]
    users.sort(key=lambda path: (path != mirror, path.parent != mirror.parent, path))
    if not users:
        others = (root / PACKAGE).rglob("*.py")
        through = {_dotted(root, path) for path in others if name in _imports(path)}
        users = [path for path in tests if through & _imports(path)]
    if mirror.exists() and mirror not in users:
        users.insert(0, mirror)
    found = [path.relative_to(root) for path in users[:MOST_FILES]]
    schema = Path("tests/stages/test_schema.py")
    has_settings = " = setting(" in (root / module).read_text("utf-8")
    return [*found, schema] if has_settings and schema not in found else found


def _dotted(root: Path, path: Path) -> str:
    return ".".join(path.relative_to(root / PACKAGE).with_suffix("").parts)


def _imports(path: Path) -> set[str]:
    """Return the package's modules that a file imports, dotted, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lungaug"):
            inner = (node.module or "")[len("lungaug.") :]
            found |= {inner, *(f"{inner}.{name.name}".lstrip(".") for name in node.names)}
        elif isinstance(node, ast.Import):
            found |= {name.name[len("lungaug.") :] for name in node.names}
    return found


def tested(root: Path, tests: Sequence[Path | str], limit_s: float) -> Outcome:
    """Run tests up to the first failure, in no more than ``limit_s`` seconds."""
    command = [sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "-rfE"]
    command += ["-m", "not slow", *map(str, tests)]
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment |= {"PYTHONPATH": str(root / "workflow"), "OMP_NUM_THREADS": "1"}
    start = time.monotonic()
    process = subprocess.Popen(
        command,
        cwd=root,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.communicate()
        return Outcome("timeout", "", time.monotonic() - start)
    seconds = time.monotonic() - start
    if process.returncode == 0:
        return Outcome("survived", "", seconds)
    if process.returncode == NONE_SELECTED:
        return Outcome("none", "", seconds)
    found = FIRST_FAILURE.search(output)
    if process.returncode not in (1, 2) or found is None:
        raise RuntimeError(f"pytest ended with {process.returncode}:\n{output[-2000:]}")
    return Outcome("killed", found[1], seconds)


def killed(
    root: Path, module: Path, changed: str, tests: Sequence[Path | str], limit_s: float
) -> Outcome:
    """Run tests with a module's text replaced by ``changed``, which is taken back afterwards."""
    path = root / module
    before = path.read_bytes()
    try:
        _write(path, changed.encode())
        return tested(root, tests, limit_s)
    finally:
        _write(path, before)


def _write(path: Path, content: bytes) -> None:
    """Write a module; its bytecode goes, since the time alone may not say that it is stale."""
    for compiled in path.parent.glob(f"__pycache__/{path.stem}.*.pyc"):
        compiled.unlink()
    path.write_bytes(content)


def outcomes(
    root: Path, drawn: Iterable[tuple[Path, Site]], limit_s: float
) -> Iterator[tuple[Path, Site, Outcome]]:
    """Yield what became of each mutant; a module's tests must pass before it is broken.

    Raises:
        RuntimeError: they do not.
    """
    sound: dict[Path, float] = {}
    for module, site in drawn:
        tests = tests_of(root, module)
        for test in tests:
            if test not in sound:
                sound[test] = _seconds(root, test, limit_s)
        if not any(sound[test] for test in tests):
            yield module, site, Outcome("survived", "no test imports it", 0)
            continue
        changed = site.applied((root / module).read_text("utf-8"))
        limit = 20 + 4 * sum(sound[test] for test in tests)
        yield module, site, killed(root, module, changed, tests, min(limit, limit_s))


def _seconds(root: Path, test: Path, limit_s: float) -> float:
    """How long a file's tests take on the sound package; 0 if all of them are slow ones."""
    outcome = tested(root, [test], limit_s)
    if outcome.result not in ("survived", "none"):
        raise RuntimeError(f"{test} fails as it is: {outcome.by or outcome.result}")
    return outcome.seconds if outcome.result == "survived" else 0
