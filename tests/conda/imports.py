"""What the stages of an environment import from outside, read off the code."""

from __future__ import annotations

import ast
import functools
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from lungaug.staleness import import_closure

STATEMENT = re.compile(r"^\s*(?:from [\w.]+ )?import .+$", re.MULTILINE)


class Import(NamedTuple):
    """One imported name, and the function or class that imports it when it is used."""

    module: str
    name: str
    inside: str

    @property
    def full(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


def stage_environments(repository: Path) -> dict[str, str]:
    """Stage name to environment, as the rules say; "" for a rule without one."""
    found = {}
    for path in (repository / "workflow" / "rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        for rule in re.split(r"\n(?=\s*(?:rule|checkpoint) )", text):
            stage = re.search(r"python -m lungaug (\w+)", rule)
            environment = re.search(r"envs/(\w+)\.yaml", rule)
            if stage:
                found[stage[1]] = environment[1] if environment else ""
    return found


def modules_of(repository: Path, stage: str) -> set[str]:
    """The project's modules that a stage imports, some of them only when they are used."""
    package = repository / "workflow" / "lungaug"
    closure = import_closure(package / "stages" / f"{stage}.py", package)
    return {_dotted(path, package) for path in closure}


def of_stage(repository: Path, stage: str) -> list[Import]:
    """What a stage imports from outside, with all that it imports of the project."""
    package = repository / "workflow" / "lungaug"
    return _outside(package, package / "stages" / f"{stage}.py")


def of_runner(repository: Path) -> list[Import]:
    """What the Snakefile and the rules import from outside, and what they import of the project."""
    package = repository / "workflow" / "lungaug"
    files = [repository / "Snakefile", *(repository / "workflow" / "rules").glob("*.smk")]
    found = []
    for path in files:
        for statement in STATEMENT.findall(path.read_text(encoding="utf-8")):
            for one in _imports(ast.parse(statement.strip())):
                ours = package.parent.joinpath(*one.full.split(".")).with_suffix(".py")
                found += _outside(package, ours) if ours.is_file() else [one]
    return [one for one in found if _is_outside(one)]


def _outside(package: Path, path: Path) -> list[Import]:
    closure = import_closure(path, package)
    imports = {module: _imports_of(module.read_text(encoding="utf-8")) for module in closure}
    used = {one.full for found in imports.values() for one in found}
    return [
        one
        for module, found in imports.items()
        for one in found
        if _is_outside(one) and _runs(one, module, package, used)
    ]


def _dotted(path: Path, package: Path) -> str:
    name = ".".join(path.relative_to(package.parent).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _is_outside(one: Import) -> bool:
    top = one.module.split(".")[0]
    return top != "lungaug" and top not in sys.stdlib_module_names


def _runs(one: Import, path: Path, package: Path, used: set[str]) -> bool:
    """An import inside a function counts where the function is imported, or used in its module."""
    if not one.inside:
        return True
    module = _dotted(path, package)
    if {module, f"{module}.{one.inside}"} & used:
        return True
    return one.inside in _names_beside(path.read_text(encoding="utf-8"), one.inside)


@functools.cache
def _imports_of(text: str) -> list[Import]:
    return list(_imports(ast.parse(text)))


@functools.cache
def _names_beside(text: str, definition: str) -> set[str]:
    """The names that a module uses outside of one of its functions or classes."""
    body = ast.parse(text).body
    others = [node for node in body if getattr(node, "name", "") != definition]
    return {n.id for other in others for n in ast.walk(other) if isinstance(n, ast.Name)}


def _imports(node: ast.AST, inside: str = "") -> Iterator[Import]:
    """Every import but those for type checkers only."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, "", inside) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            yield from (Import(child.module or "", a.name, inside) for a in child.names)
        elif not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)):
            defined = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            yield from _imports(child, inside or (child.name if defined else ""))
