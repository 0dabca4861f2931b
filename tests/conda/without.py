"""Which packages modules cannot be imported without: ``python without.py MODULES PACKAGES``.

PACKAGES are PyPI's names, each with the module that is imported for it, as in ``torch:torch``.
Runs in the environment in question. All is imported once; then, for each package, a fork forgets
the project's modules and imports them again with that package blocked, so that what is slow to
start is started once. The answer is JSON: package to the module that was missed, or "".
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
from collections.abc import Sequence


class Blocked:
    """A finder that finds nothing, at once."""

    def __init__(self, tops: set[str]) -> None:
        self.tops = tops

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] in self.tops:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def missed(modules: Sequence[str], module: str, tops: set[str]) -> str:
    """The module that is missed when those top-level modules are not there."""
    for name in list(sys.modules):
        if any(name == one or name.startswith(f"{one}.") for one in ("lungaug", module, *tops)):
            del sys.modules[name]
    sys.meta_path.insert(0, Blocked(tops))
    try:
        for one in modules:
            importlib.import_module(one)
    except ModuleNotFoundError as error:
        return error.name or ""
    return ""


def in_fork(modules: Sequence[str], module: str, tops: set[str]) -> str:
    """As of :func:`missed`, leaving this process as it is.

    Raises:
        RuntimeError: the import fails otherwise than by a missing module.
    """
    reading, writing = os.pipe()
    if os.fork() == 0:
        status = 1
        try:
            os.write(writing, missed(modules, module, tops).encode())
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with open(reading, encoding="utf-8") as answer:
        text = answer.read()
    if os.wait()[1]:
        raise RuntimeError(f"without {module} another error than a missing module comes")
    return text


def main(modules: Sequence[str], packages: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    owners = importlib.metadata.packages_distributions()
    answer = {}
    for package, module in (pair.split(":") for pair in packages):
        own = {top for top in owners if package in map(normalised, owners[top])}
        answer[package] = in_fork(modules, module, own)
    sys.stdout.write(f"{json.dumps(answer)}\n")


def normalised(name: str) -> str:
    return name.lower().replace("_", "-")


if __name__ == "__main__":
    main(sys.argv[1].split(), sys.argv[2].split())
