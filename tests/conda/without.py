"""Which packages modules cannot be imported without: ``python without.py MODULES DISTRIBUTIONS``.

Runs in the environment in question. All is imported once; then, for each package, a fork forgets
the modules in question and imports them again with that package blocked, so that what is slow to
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


def missed(modules: Sequence[str], tops: set[str]) -> str:
    """The module that is missed when those top-level modules are not there."""
    tried = {*modules, "lungaug", *tops}
    for name in list(sys.modules):
        if any(name == one or name.startswith(f"{one}.") for one in tried):
            del sys.modules[name]
    sys.meta_path.insert(0, Blocked(tops))
    try:
        for module in modules:
            importlib.import_module(module)
    except ModuleNotFoundError as error:
        return error.name or ""
    return ""


def in_fork(modules: Sequence[str], tops: set[str]) -> str:
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writing, missed(modules, tops).encode())
        os._exit(0)
    os.close(writing)
    with open(reading, encoding="utf-8") as answer:
        text = answer.read()
    os.waitpid(child, 0)
    return text


def main(modules: Sequence[str], packages: Sequence[str]) -> None:
    for module in modules:
        importlib.import_module(module)
    tops: dict[str, set[str]] = {package: set() for package in packages}
    for top, owners in importlib.metadata.packages_distributions().items():
        for owner in owners:
            tops.get(owner.lower().replace("_", "-"), set()).add(top)
    answer = {package: in_fork(modules, found) for package, found in tops.items()}
    sys.stdout.write(f"{json.dumps(answer)}\n")


if __name__ == "__main__":
    main(sys.argv[1].split(), sys.argv[2].split())
