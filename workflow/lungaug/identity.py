"""Whether a file is still the one that was seen: its content, and what the system says of it.

Standard library only: the Snakefile calls this in an environment that holds nothing but Snakemake.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BLOCK = 64 * 1024
SAMPLED_BLOCKS = 256
WHOLE = SAMPLED_BLOCKS * BLOCK
"""Up to this size (16 MiB) every byte counts; above, the size and so many bytes of it do."""

_TIMESTAMP = ".snakemake_timestamp"


def digest(path: Path) -> str:
    """Digest of a file's content, or of all that a folder holds.

    Of a file above 16 MiB the size and 256 blocks of 64 KiB count, the first and last among them:
    the header of a slice file, which holds the digest of its content, always does.
    """
    found = hashlib.sha256()
    if not path.is_dir():
        _add_file(found, path)
        return found.hexdigest()[:32]
    for file in _files_below(path):
        found.update(os.fsencode(file.relative_to(path)) + b"\0")
        _add_file(found, file)
    return found.hexdigest()[:32]


def digests(paths: Iterable[Path]) -> dict[Path, str]:
    """The digest of every path, several files at a time."""
    wanted = list(paths)
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return dict(zip(wanted, pool.map(digest, wanted), strict=True))


def stamp(path: Path) -> str:
    """What changes with every write, rename or change of times: cheap, and of this machine only.

    The time of the last change (ctime) is among it, which no command sets.
    """
    status = os.stat(path)
    if not path.is_dir():
        return _stamp(status)
    found = hashlib.sha256()
    for file in _files_below(path):
        line = f"{file.relative_to(path).as_posix()}\0{_stamp(os.stat(file))}\0"
        found.update(os.fsencode(line))
    return found.hexdigest()[:32]


def time_ns(path: Path) -> int:
    """The modification time by which Snakemake judges ``path``, in nanoseconds."""
    return os.lstat(_timed(path)).st_mtime_ns


def set_time_ns(path: Path, value: int) -> None:
    """Give ``path`` the modification time by which Snakemake judges it."""
    os.utime(_timed(path), ns=(value, value), follow_symlinks=False)


def _timed(path: Path) -> Path:
    """Snakemake keeps the time of a folder in a file inside."""
    inside = path / _TIMESTAMP
    return inside if path.is_dir() and inside.exists() else path


def _stamp(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def _add_file(found: hashlib._Hash, path: Path) -> None:
    size = path.stat().st_size
    found.update(f"{size}\0".encode())
    with path.open("rb") as file:
        if size <= WHOLE:
            while block := file.read(1024 * 1024):
                found.update(block)
            return
        last = size - BLOCK
        for number in range(SAMPLED_BLOCKS):
            file.seek(last * number // (SAMPLED_BLOCKS - 1))
            found.update(file.read(BLOCK))


def _files_below(folder: Path) -> Iterator[Path]:
    found = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != _TIMESTAMP)
    yield from found
