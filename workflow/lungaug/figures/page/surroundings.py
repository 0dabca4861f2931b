"""Where and with what the report's page was made: versions, and the commit of the code."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import platform
import subprocess
from pathlib import Path

from lungaug import __version__
from lungaug.staleness import ROOT

PACKAGES = ("jinja2", "pandas", "numpy", "h5py", "hdf5plugin", "pyyaml")
_SECONDS = 20

logger = logging.getLogger(__name__)


def surroundings(code: str) -> list[tuple[str, str]]:
    """Name and value of each: none of it makes the page stale, so it is as of when it was made.

    Args:
        code: hash of the report stage's code.
    """
    return [
        ("lungaug", __version__),
        ("code of this stage", code or "unknown"),
        ("git commit", commit()),
        ("Python", f"{platform.python_version()} ({platform.python_implementation()})"),
        ("platform", platform.platform()),
        *[(name, version) for name, version in _versions()],
    ]


def commit(root: Path = ROOT) -> str:
    """The commit of the working copy that holds the code, and whether it was changed since.

    A repository around the code that does not track it is another project's.
    """
    try:
        if not _git(root, "ls-files", "__init__.py"):
            return "none: the code is in no git repository"
        head = _git(root, "rev-parse", "HEAD")
        changed = _git(root, "status", "--porcelain", "--untracked-files=all", "--", str(root))
    except (OSError, subprocess.SubprocessError) as error:
        logger.info("no commit: %s", error)
        return "none: the code is in no git repository, or there is no git"
    return f"{head}, with changes in workflow/lungaug" if changed else head


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=_SECONDS,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
    )
    return done.stdout.strip()


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in PACKAGES:
        try:
            found.append((name, importlib.metadata.version(name)))
        except importlib.metadata.PackageNotFoundError:
            logger.info("no version of %s", name)
    return found
