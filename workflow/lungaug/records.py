"""What made each result, kept beside the results: ``results/<cohort>/records.jsonl``.

Snakemake remembers in ``.snakemake/`` what made every output. That memory stays behind when results
are copied, renamed or used from a fresh clone. Here it is kept with the results, together with the
identity of each file, so that :mod:`lungaug.status` can tell what is stale and bring it back.

One line is one job: what it was (rule, parameters, inputs, software), and its outputs. Paths are
relative to the results folder; those of files elsewhere start with ``./`` inside the working copy
and are a digest outside it. Standard library only, as the Snakefile calls this.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from lungaug import identity
from lungaug.aside import written_aside
from lungaug.errors import FileFormatError, StorageError

NAME = "records.jsonl"
VERSION = 1
MEMORY = Path(".snakemake")
REFUSED = "lungaug: "
"""How the only parameter of a record starts that was written to have its file made again."""

ELSEWHERE = ("./", "outside:")
"""How the paths in records start that are not below the results."""

_SAME_TIME = 1e-3
"""Seconds. Snakemake records an output's time when its job ends; later, somebody changed it."""

_NAMES = "surrogateescape"
"""How names that are no valid text are written: byte for byte."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Making:
    """A job, as Snakemake recorded it.

    Attributes:
        rule: its name.
        params: representations of its parameters, without their names.
        inputs: each input and its checksum, or none.
        command: digest of the rule's command.
        software: Snakemake's hash of the software environment.
        environment: digest of the environment's YAML, where one was used.
        format: version of Snakemake's records.
    """

    rule: str
    params: tuple[str, ...]
    inputs: tuple[tuple[str, str | None], ...]
    command: str
    software: str
    environment: str
    format: int


@dataclass(frozen=True)
class Kept:
    """An output: what made it, and which content it then had.

    Attributes:
        making: the job.
        started: seconds since the epoch, of the job.
        ended: modification time of the output when the job ended.
        time_ns: the same in nanoseconds.
        digest: of the content then; empty where it had changed before anybody looked.
        stamp: of the file on the machine where its content was last seen to be that.
        noted: modification time of Snakemake's own record when it was last read.
    """

    making: Making
    started: float
    ended: float
    time_ns: int
    digest: str
    stamp: str
    noted: int


def keep(results: str, memory: Path = MEMORY) -> None:
    """Bring what Snakemake recorded since the last time to the records beside the results.

    A folder that cannot be written is told of, and stops nothing; damaged records are made anew
    from what Snakemake remembers.
    """
    try:
        before = _whole(results)
        after = collected(results, before, memory)
        if after != before:
            write(results, after)
    except (OSError, StorageError) as error:
        _log.warning("records of what made the results cannot be kept: %s", error)


def collected(results: str, known: Mapping[str, Kept], memory: Path = MEMORY) -> dict[str, Kept]:
    """The known records, with what Snakemake recorded since in their place.

    Where a file is no more the one that Snakemake recorded here, but still the one of its known
    record, that record stays: results and records came together from elsewhere.

    Args:
        results: folder of one cohort, as the workflow names it.
        known: records by path below ``results``.
        memory: Snakemake's folder.
    """
    entries = dict(known)
    new = {}
    for name, file in _remembered(results, memory):
        noted = file.stat().st_mtime_ns
        before = known.get(name)
        if before is not None and before.noted == noted:
            continue
        record = _loaded(file)
        if record is not None and _is_of(record, before):
            entries[name] = replace(entries[name], noted=noted)
        elif record is not None and Path(results, name).exists():
            new[Path(results, name)] = {**record, "name": name, "noted": noted}
    untouched = {path for path, record in new.items() if _untouched(path, record)}
    read_anew = (p for p, record in new.items() if p in untouched or _digest(known, record))
    found = identity.digests(read_anew)
    for path, record in new.items():
        name, digest = record["name"], found.get(path, "")
        if path in untouched:
            entries[name] = _kept(results, path, record, digest)
        elif digest and digest == _digest(known, record):
            stamp = identity.stamp(path)
            entries[name] = replace(known[name], stamp=stamp, noted=record["noted"])
        else:
            entries[name] = _kept(results, path, record, "")
    return entries


def read(results: str) -> dict[str, Kept]:
    """Records by path below ``results``; empty without a file, or with one of another version.

    Raises:
        FileFormatError: the file is damaged.
    """
    path = Path(results, NAME)
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8", errors=_NAMES)
        # A name may hold what is a line break to str.splitlines.
        head, *lines = text.removesuffix("\n").split("\n")
        known = json.loads(head or "{}").get("version") == VERSION
        jobs = [json.loads(line) for line in lines] if known else []
        return {name: kept for job in jobs for name, kept in _outputs(job).items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FileFormatError(
            f"{path}: damaged ({error}); copy it again from where the results were made, or delete "
            "it: then all that Snakemake does not remember is made again"
        ) from error


def _outputs(job: dict[str, Any]) -> dict[str, Kept]:
    outputs = job.pop("outputs")
    making = Making(
        **{**job, "params": tuple(job["params"]), "inputs": tuple(job["inputs"].items())}
    )
    return {name: Kept(making, **values) for name, values in outputs.items()}


def write(results: str, entries: Mapping[str, Kept]) -> None:
    """Write the records aside and rename them: no half file is left."""
    path = Path(results, NAME)
    if not entries and not path.exists():
        return
    jobs: dict[Making, dict[str, Any]] = {}
    for name, kept in sorted(entries.items()):
        values = {field.name: getattr(kept, field.name) for field in fields(kept)}
        jobs.setdefault(values.pop("making"), {})[name] = values
    with written_aside(path) as part, part.open("w", encoding="utf-8", errors=_NAMES) as file:
        file.write(json.dumps({"version": VERSION}) + "\n")
        for making, outputs in jobs.items():
            line = {**asdict(making), "inputs": dict(making.inputs), "outputs": outputs}
            file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")


def portable(path: str, results: str) -> str:
    """A path as records hold it: below the results, ``./`` in the working copy, else a digest."""
    inside = f"{results}/"
    if path.startswith(inside):
        return path.removeprefix(inside)
    normal = os.path.normpath(path)
    if os.path.isabs(normal) or normal.startswith(".."):
        return f"outside:{hashlib.sha256(os.fsencode(path)).hexdigest()[:16]}"
    return f"./{path}"


def local(path: str, results: str, outside: Mapping[str, str]) -> str:
    """The inverse of :func:`portable`.

    Args:
        path: as records hold it.
        results: folder of one cohort, as the workflow names it.
        outside: paths that the workflow uses, by their portable form.
    """
    if path in outside:
        return outside[path]
    if path.startswith(ELSEWHERE):
        return path.removeprefix("./")
    return f"{results}/{path}"


def text_digest(text: str | None) -> str:
    """Digest of a command or an environment; empty for none."""
    return hashlib.sha256(os.fsencode(text)).hexdigest()[:16] if text else ""


def still(results: str, entries: Mapping[str, Kept]) -> tuple[dict[str, Kept], set[str]]:
    """The records with fresh stamps, and the names of those whose file is there but another.

    Only files whose stamp is not the recorded one are read.
    """
    unread = {}
    for name, kept in entries.items():
        path = Path(results, name)
        if path.exists() and identity.stamp(path) != kept.stamp:
            unread[path] = name
    found = identity.digests(path for path, name in unread.items() if entries[name].digest)
    same = {unread[path] for path, value in found.items() if entries[unread[path]].digest == value}
    stamped = dict(entries)
    for name in same:
        stamped[name] = replace(entries[name], stamp=identity.stamp(Path(results, name)))
    changed = set(unread.values()) - same
    return stamped, changed | {name for name in entries if not entries[name].digest} - same


def _whole(results: str) -> dict[str, Kept]:
    try:
        return read(results)
    except FileFormatError as error:
        _log.warning("%s", error)
        return {}


def _remembered(results: str, memory: Path) -> Iterator[tuple[str, Path]]:
    """Outputs below the results that Snakemake has a record of: name and the record's file.

    Snakemake names a record by its output's path in base 64; a long one fills several folders.
    """
    inside = f"{results}/"
    top = memory / "metadata"
    for folder, _, names in os.walk(top):
        parts = [] if Path(folder) == top else list(Path(folder).relative_to(top).parts)
        for name in names:
            encoded = "".join(part.removeprefix("@") for part in parts) + name
            try:
                path = os.fsdecode(base64.urlsafe_b64decode(encoded))
            except ValueError:
                continue
            if path.startswith(inside):
                yield path.removeprefix(inside), Path(folder, name)


def _loaded(file: Path) -> dict[str, Any] | None:
    """A record of Snakemake, or none where it is half written or says to make the file again."""
    try:
        record: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    whole = record.get("rule") and record.get("endtime") and not record.get("incomplete")
    refused = any(REFUSED in str(value) for value in record.get("params") or [])
    return record if whole and not refused else None


def _is_of(record: Mapping[str, Any], kept: Kept | None) -> bool:
    times = (record["starttime"], record["endtime"])
    return kept is not None and times == (kept.started, kept.ended)


def _digest(known: Mapping[str, Kept], record: Mapping[str, Any]) -> str:
    before = known.get(record["name"])
    return before.digest if before else ""


def _untouched(path: Path, record: Mapping[str, Any]) -> bool:
    seconds = identity.time_ns(path) / 1e9
    return abs(seconds - float(record["endtime"])) < _SAME_TIME


def _kept(results: str, path: Path, record: Mapping[str, Any], digest: str) -> Kept:
    checksums = record.get("input_checksums") or {}
    making = Making(
        rule=record["rule"],
        params=tuple(record.get("params") or []),
        inputs=tuple((portable(p, results), checksums.get(p)) for p in record.get("input") or []),
        command=text_digest(record.get("code")),
        software=record.get("software_stack_hash") or "",
        environment=text_digest(record.get("conda_env")),
        format=record.get("record_format_version", 0),
    )
    stamp = identity.stamp(path) if digest else ""
    time_ns = identity.time_ns(path) if digest else int(float(record["endtime"]) * 1e9)
    times = (record["starttime"], record["endtime"], time_ns)
    return Kept(making, *times, digest, stamp, record["noted"])
