"""What a stage's result depends on besides its inputs: the code it imports, and its settings.

Standard library only: the Snakefile calls this while it is parsed, in an environment that holds
nothing but Snakemake.
"""

from __future__ import annotations

import ast
import atexit
import contextlib
import errno
import functools
import hashlib
import json
import os
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

PACKAGE = "lungaug"
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
Checksum = Callable[..., Coroutine[Any, Any, str | None]]
ROOT = Path(__file__).resolve().parent
# No name holds it.
_SEPARATOR = "\0"
_MODULES_KEPT = 2000
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}


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
        digest.update(os.fsencode(path.relative_to(root)))
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
        digest.update(os.fsencode(path.relative_to(folder)) + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def fingerprint(root: Path) -> str:
    """Digest of a tree from outside: every file's relative path, size and modification time.

    A quarter of a million slices are looked at whenever the workflow starts: hence plain strings.
    """
    digest = hashlib.sha256()
    for name, size, mtime_ns in sorted(_files_below(root)):
        # Names that are no valid text count by their bytes.
        line = f"{name.replace(_SEPARATOR, '/')}\0{size}\0{mtime_ns}\0"
        digest.update(os.fsencode(line))
    return digest.hexdigest()[:16]


def hashed_once(checksum: Checksum) -> Checksum:
    """Snakemake's checksum of a file, which looks at the file again only when that has changed.

    After a job Snakemake hashes all inputs once for each output, and again after the next job that
    has them: for trainings on a cohort of 100 GB half a terabyte each.

    Args:
        checksum: the method of its class of files.

    Returns:
        The method to put in its place: the same answers while size, time and inode are the same.
    """
    known: dict[Any, str | None] = {}

    @functools.wraps(checksum)
    async def answer(file: Any, *args: Any, **options: Any) -> str | None:
        try:
            status = None if file.is_storage else os.stat(file)
        except OSError:
            status = None
        if status is None:
            return await checksum(file, *args, **options)
        version = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
        key = (version, args, tuple(sorted(options.items())))
        if key not in known:
            known[key] = await checksum(file, *args, **options)
        return known[key]

    return answer


def _files_below(root: Path) -> Iterator[tuple[str, int, int]]:
    """Name, size and time of every file that is not hidden; of ``root`` itself if it is a file.

    Links to folders are followed, each folder once. Names are below the root, with a separator that
    sorts before any character: folder by folder.
    """
    if root.is_file():
        alone = root.stat()
        yield ".", alone.st_size, alone.st_mtime_ns
    seen: set[tuple[int, int]] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        itself = os.stat(folder)
        if (itself.st_dev, itself.st_ino) in seen:
            folders.clear()
            continue
        seen.add((itself.st_dev, itself.st_ino))
        folders[:] = [name for name in folders if not name.startswith(".")]
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below.replace("/", _SEPARATOR) + _SEPARATOR
        for name in names:
            status = None if name.startswith(".") else _file_status(f"{folder}/{name}")
            if status:
                yield prefix + name, status.st_size, status.st_mtime_ns


def _file_status(path: str) -> os.stat_result | None:
    """None for what is no file, such as a link that leads nowhere."""
    try:
        status = os.stat(path)
    except OSError as error:
        if error.errno in _NOWHERE:
            return None
        raise
    return status if stat.S_ISREG(status.st_mode) else None


class Parsed(NamedTuple):
    """What is known of a module from its text alone."""

    fingerprint: str
    imports: tuple[str, ...]


_remembered: dict[str, Parsed] = {}
_parsed: dict[str, Parsed] = {}


def remember(file: Path) -> None:
    """Take over what earlier processes read out of modules, and leave word for later ones at exit.

    To parse all modules takes a second or two, each time that Snakemake starts; a module is known
    by the digest of its text. A file that cannot be read or written costs that time, nothing else.
    """
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError):
        found = json.loads(file.read_text(encoding="utf-8"))
        _remembered.update(
            {key: Parsed(text, tuple(names)) for key, (text, names) in found.items()}
        )
    atexit.register(_leave_word, file)


def _leave_word(file: Path) -> None:
    if _parsed.keys() <= _remembered.keys():
        return
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    # Of modules as they were before, some are kept: several working copies come and go.
    latest = [*_remembered.items(), *_parsed.items()][-_MODULES_KEPT:]
    with contextlib.suppress(OSError):
        part.write_text(json.dumps(dict(latest)), encoding="utf-8")
        os.replace(part, file)


@functools.cache
def _module(path: Path, mtime_ns: int) -> Parsed:
    text = path.read_bytes()
    key = f"{hashlib.sha256(text).hexdigest()}-{_reader()}"
    _parsed[key] = _remembered.get(key) or _parse(text, path)
    return _parsed[key]


@functools.cache
def _reader() -> str:
    """What reads modules: this file, and a version of Python, whose syntax trees differ."""
    itself = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:16]
    return f"{itself}-{sys.version_info.major}.{sys.version_info.minor}"


def _parse(text: bytes, path: Path) -> Parsed:
    tree = ast.parse(text, filename=str(path))
    names = tuple(sorted(_imported_names(tree)))
    return Parsed(hashlib.sha256(ast.dump(_bare(tree)).encode()).hexdigest(), names)


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
