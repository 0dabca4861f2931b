"""An operation's own code decides what it does: the workflow leaves out that of the others."""

from __future__ import annotations

import ast

import pytest

from lungaug import staleness

FOLDER = staleness.ROOT / "metalung"
REGISTRY = ast.parse((FOLDER / "operations.py").read_text(encoding="utf-8"))
# The registry takes constants from operations' modules, such as MIRROR.
MODULES = sorted(
    node.module.rsplit(".", 1)[1]
    for node in REGISTRY.body
    if isinstance(node, ast.ImportFrom)
    and node.module
    and node.module.startswith("lungaug.metalung.")
    and all(alias.name.isupper() for alias in node.names)
)


def test_all_operations_are_found() -> None:
    assert {"mirror", "noise", "replace", "blur"} <= set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_no_operation_imports_another(module: str) -> None:
    closure = {path.stem for path in staleness.import_closure(FOLDER / f"{module}.py")}
    assert closure & set(MODULES) == {module}
