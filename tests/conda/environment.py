"""What an environment's YAML lists, and what the lock pins."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from packaging.markers import Marker

from conda.names import pypi_name

LOCKED = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)\s*(?:;\s*([^\\]*?))?\s*\\?$")


class Package(NamedTuple):
    """A package with its minor version, such as 2.4, or none; those of ``pip:`` too."""

    name: str
    version: str

    @property
    def requirement(self) -> str:
        """As pip reads it."""
        pinned = f"=={self.version}.*" if self.version else ""
        return f"{pypi_name(self.name)}{pinned}"


def packages(path: Path) -> list[Package]:
    """The packages that a YAML lists, Python first.

    Raises:
        ValueError: an entry is none that the environments here have.
    """
    entries = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    found = [_conda(entry) for entry in entries if isinstance(entry, str)]
    found += [_pip(entry) for group in entries if isinstance(group, dict) for entry in group["pip"]]
    if found[0].name != "python":
        raise ValueError(f"{path}: the first package must be python")
    return found


def _conda(entry: str) -> Package:
    return _matched(r"([a-z0-9_.-]+)(?: =(\d+\.\d+))?", entry)


def _pip(entry: str) -> Package:
    return _matched(r"([a-z0-9_.-]+) ==(\d+\.\d+)\.\*", entry)


def _matched(pattern: str, entry: str) -> Package:
    match = re.fullmatch(pattern, entry)
    if match is None:
        raise ValueError(f"{entry!r} is neither 'name =1.2' nor, below pip, 'name ==1.2.*'")
    return Package(match[1], match[2] or "")


def locked(path: Path, python: str) -> dict[str, str]:
    """The versions that a lock file has for a Python on Linux, by PyPI's name."""
    system: dict[str, Any] = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_system": "Linux",
        "platform_machine": "x86_64",
    }
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = LOCKED.match(line)
        if match and (not match[3] or Marker(match[3]).evaluate(system)):
            found[match[1].lower()] = match[2]
    return found
