"""What a stage's result depends on besides its inputs: the code it imports, and its settings.

Standard library only: the Snakefile calls this while it is parsed, in an environment that holds
nothing but Snakemake.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGE = "lungaug"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
ROOT = Path(__file__).resolve().parent


def code_hash(stage: str, root: Path = ROOT, unused: Sequence[str] = ()) -> str:
    """Hash of the code that ``stage`` runs: every project module it imports, directly or not.

    Comments, docstrings and formatting do not count, since the syntax tree is hashed. Imports are
    found statically, also inside functions; a module that is imported by a computed name is not
    seen, so registries import their members by statement.

    Args:
        stage: name of a module in ``stages``.
        root: the package's folder.
        unused: modules, such as ``metalung.operations``, that a certain job of the stage never
            runs: neither they nor what only they import counts.

    Raises:
        FileNotFoundError: there is no such stage.
    """
    digest = hashlib.sha256()
    for path in import_closure(root / "stages" / f"{stage}.py", root, unused):
        digest.update(path.relative_to(root).as_posix().encode())
        digest.update(_module(path, path.stat().st_mtime_ns).fingerprint.encode())
    return digest.hexdigest()[:16]


def import_closure(path: Path, root: Path = ROOT, unused: Sequence[str] = ()) -> list[Path]:
    """The project's modules that ``path`` imports, transitively, itself included; sorted.

    Args:
        path: of the module.
        root: the package's folder.
        unused: modules, without the package's name, that are not followed.
    """
    skipped = {root.joinpath(*name.split(".")).with_suffix(".py") for name in unused}
    found: set[Path] = set()
    waiting = [path]
    while waiting:
        current = waiting.pop()
        if current in found or current in skipped:
            continue
        found.add(current)
        names = _module(current, current.stat().st_mtime_ns).imports
        waiting.extend(p for name in names for p in _files_of(name, root))
    return sorted(found)


def text_hash(folder: Path) -> str:
    """Hash of every file below ``folder``: templates and captions, which no import shows."""
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def fingerprint(root: Path) -> str:
    """Digest of a tree from outside: every file's relative path, size and modification time."""
    digest = hashlib.sha256()
    for path in [root] if root.is_file() else sorted(_files_below(root)):
        stat = path.stat()
        name = path.relative_to(root).as_posix()
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
    return digest.hexdigest()[:16]


def _files_below(root: Path) -> Iterator[Path]:
    """Every file that is not hidden; links to folders are followed, each folder once."""
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in seen:
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = (Path(folder, name) for name in names if not name.startswith("."))
        yield from (path for path in paths if path.is_file())


class _Module:
    def __init__(self, path: Path) -> None:
        tree = ast.parse(path.read_text(encoding="utf-8"), filename=str(path))
        self.imports = frozenset(_imported_names(tree))
        self.fingerprint = hashlib.sha256(ast.dump(_bare(tree)).encode()).hexdigest()


@functools.cache
def _module(path: Path, mtime_ns: int) -> _Module:
    return _Module(path)


def _imported_names(tree: ast.AST) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                raise SyntaxError(f"relative import in line {node.lineno}; use '{PACKAGE}.…'")
            names.add(node.module or "")
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return {name for name in names if name.split(".")[0] == PACKAGE}


def _files_of(name: str, root: Path) -> list[Path]:
    """The module's file and the ``__init__`` files that importing it runs."""
    parts = name.split(".")[1:]
    files = [root.joinpath(*parts[:i], "__init__.py") for i in range(len(parts) + 1)]
    files.append(root.joinpath(*parts).with_suffix(".py") if parts else root / "__init__.py")
    return [file for file in files if file.is_file()]


def _bare(tree: ast.Module) -> ast.Module:
    """The tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return tree
