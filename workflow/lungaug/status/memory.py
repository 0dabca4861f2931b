"""Snakemake's memory of the results as it ought to be: from the records that lie beside them."""

from __future__ import annotations

import functools
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snakemake.io import Mtime
from snakemake.persistence import MetadataRecord

from lungaug import identity, records
from lungaug.records import Kept
from lungaug.status import witness, words

CHANGED = "changed by hand since it was made"
UNKNOWN = "not in the records: made by an unknown run"
_NO_SOFTWARE = "d41d8cd98f00b204e9800998ecf8427e"
"""Snakemake's hash of the software environment of a job that ran in none of its own."""
_NO_OUTPUTS = {"logs", "benchmarks", "checkpoints", "tensorboard"}


@dataclass(frozen=True)
class Memory:
    """What is known of the results.

    Attributes:
        results: folder of one cohort, as the workflow names it.
        entries: records by path below it.
        refused: why a file is not what its record says, by path below ``results``.
        headers: whether the headers of slice files could be read.
        outside: texts in the settings, paths elsewhere among them, by the form that records hold.
    """

    results: str
    entries: Mapping[str, Kept]
    refused: Mapping[str, str]
    headers: bool
    outside: Mapping[str, str]

    def name(self, path: str) -> str | None:
        """The path below the results, or none for a file elsewhere."""
        inside = f"{self.results}/"
        return path.removeprefix(inside) if path.startswith(inside) else None

    def refusal(self, path: str) -> str | None:
        """Why the file of this output is not taken for what a run would make, if it is there."""
        name = self.name(path)
        if name is None:
            return None
        if name not in self.entries and Path(path).exists():
            return UNKNOWN
        return self.refused.get(name)


def recall(results: str, settings: Mapping[str, Any]) -> Memory:
    """Read the records, bring what Snakemake knows to them, and look at every file.

    Args:
        results: folder of one cohort, as the workflow names it.
        settings: the configuration, which names the inputs that lie elsewhere.
    """
    known = records.collected(results, records.read(results))
    entries, changed = records.still(results, known)
    refused = dict.fromkeys(changed, CHANGED)
    sound = {name: kept for name, kept in entries.items() if name not in refused}
    refused.update(witness.disagreements(results, sound))
    named = {records.portable(text, results): text for text in _strings(settings)}
    outside = {held: text for held, text in named.items() if held.startswith(records.ELSEWHERE)}
    for name, why in _of_other_inputs(sound, outside).items():
        refused.setdefault(name, why)
    return Memory(results, entries, refused, witness.can_read(), outside)


class Recalled:
    """Stands in for Snakemake's reading of its own records, and answers from :class:`Memory`."""

    def __init__(self, workflow: Any, memory: Memory) -> None:
        self.memory = memory
        self.differs = False
        self._answers: dict[str, MetadataRecord | None] = {}
        self._workflow = workflow
        self._persistence = workflow.persistence
        self._own = self._persistence._read_record
        self._software_changed = self._persistence._software_stack_changed

    def install(self) -> None:
        """Have Snakemake ask here, and see the times at which files were made."""
        self._persistence._read_record = self.read
        self._persistence._software_stack_changed = self.software_changed
        times = self._workflow.iocache.mtime
        for name, kept in self._trusted():
            path = Path(self.memory.results, name)
            if path.exists() and not path.is_symlink():
                times[str(path)] = Mtime(local=kept.time_ns / 1e9)
                self.differs |= identity.time_ns(path) != kept.time_ns

    def read(self, path: str) -> MetadataRecord | None:
        """Snakemake's own record where it holds, else the one that lies beside the results."""
        if path not in self._answers:
            self._answers[path] = self._answer(path)
            self.differs |= self._answers[path] is not self._own(path)
        return self._answers[path]

    def _answer(self, path: str) -> MetadataRecord | None:
        own: MetadataRecord | None = self._own(path)
        name = self.memory.name(path)
        if name is None:
            return own
        why = self.memory.refusal(path)
        if why is not None:
            return refusal(why)
        kept = self.memory.entries.get(name)
        if kept is None or _is_of(own, kept):
            return own
        return self.restored(kept)

    def restored(self, kept: Kept) -> MetadataRecord:
        """A record as Snakemake would have written it here and now."""
        making = kept.making
        inputs = {
            records.local(path, self.memory.results, self.memory.outside): checksum
            for path, checksum in making.inputs
        }
        return MetadataRecord(
            rule=making.rule,
            input=sorted(inputs),
            params=list(making.params),
            code=self._command(making),
            record_format_version=making.format,
            software_stack_hash=making.software,
            starttime=kept.started,
            endtime=kept.ended,
            incomplete=False,
            input_checksums={path: value for path, value in inputs.items() if value},
        )

    def software_changed(self, job: Any, file: Any = None) -> bool:
        """As Snakemake, whose hash holds where an environment lies, but for the same YAML."""
        if not self._software_changed(job, file=file):
            return False
        kept = self.memory.entries.get(self.memory.name(str(file)) or "")
        own = self._own(str(file))
        if kept is None or _is_of(own, kept):
            return True
        hashes = {kept.making.software, self._persistence._software_stack_hash(job)}
        same = kept.making.environment == records.text_digest(self._persistence._conda_env(job))
        return not same or _NO_SOFTWARE in hashes

    def restore(self) -> None:
        """Write to Snakemake's memory what is answered here, and give files their times back."""
        outputs = {str(file): (job, file) for job in self._workflow.dag.jobs for file in job.output}
        known = {f"{self.memory.results}/{name}" for name in self.memory.entries}
        for path in sorted(known | set(outputs)):
            record = self.read(path)
            if record is None or record == self._own(path):
                continue
            job, file = outputs.get(path, (None, None))
            if job and record.rule and not self.software_changed(job, file):
                record.software_stack_hash = self._persistence._software_stack_hash(job)
            self._persistence._write_record(path, record)
        for path in self._unrecorded():
            self._persistence._write_record(path, refusal(UNKNOWN))
        records.write(self.memory.results, self._timed())

    def _unrecorded(self) -> list[str]:
        """Files that no record names and that a job of a later graph might take for its own."""
        if not any(job.is_checkpoint for job in self._workflow.dag.needrun_jobs()):
            return []
        outputs = [file for job in self._workflow.dag.jobs for file in job.output]
        folders = {str(file) for file in outputs if file.is_directory}
        return unrecorded(self.memory, folders)

    def _timed(self) -> dict[str, Kept]:
        """The records after every file got the time at which it was made."""
        entries = dict(self.memory.entries)
        for name, kept in self._trusted():
            path = Path(self.memory.results, name)
            if path.exists() and not path.is_symlink() and identity.time_ns(path) != kept.time_ns:
                identity.set_time_ns(path, kept.time_ns)
                entries[name] = replace(kept, stamp=identity.stamp(path))
        return entries

    def _trusted(self) -> Iterator[tuple[str, Kept]]:
        refused = self.memory.refused
        return ((name, kept) for name, kept in self.memory.entries.items() if name not in refused)

    def _command(self, making: records.Making) -> str:
        rule = making.rule
        known = self._workflow.get_rule(rule).shellcmd if self._workflow.is_rule(rule) else None
        same = records.text_digest(known) == making.command
        return str(known) if same and known else f"sha256:{making.command}"


def refusal(why: str) -> MetadataRecord:
    """A record that makes Snakemake run the job again, and say why."""
    return MetadataRecord(
        rule="", params=[f"{records.REFUSED}{why}"], input=None, record_format_version=6
    )


def _is_of(own: MetadataRecord | None, kept: Kept) -> bool:
    return own is not None and (own.starttime, own.endtime) == (kept.started, kept.ended)


def unrecorded(memory: Memory, folders: set[str]) -> list[str]:
    """Files below the results that no record names.

    Args:
        memory: what is known.
        folders: paths of outputs that are folders.
    """
    found = []
    for folder, inner, names in os.walk(memory.results):
        top = Path(folder) == Path(memory.results)
        inner[:] = [
            name
            for name in inner
            if not (top and name in _NO_OUTPUTS)
            and os.path.join(folder, name) not in folders
            and memory.name(os.path.join(folder, name)) not in memory.entries
        ]
        paths = (os.path.join(folder, name) for name in names if not name.startswith("."))
        found += [p for p in paths if p != f"{memory.results}/{records.NAME}"]
    return sorted(path for path in found if memory.name(path) not in memory.entries)


def _of_other_inputs(entries: Mapping[str, Kept], outside: Mapping[str, str]) -> dict[str, str]:
    """Which outputs were made from another file than now lies at a path of the settings."""
    checksum = functools.cache(_checksum)
    found = {}
    for name, kept in entries.items():
        others = [
            outside[path]
            for path, recorded in kept.making.inputs
            if recorded and path in outside and checksum(outside[path], recorded) != recorded
        ]
        if others:
            found[name] = f"made from another {words.listed(others)} than is there now"
    return found


def _checksum(path: str, recorded: str) -> str:
    """A file's checksum in the form of a recorded one, which is given back for no file."""
    algorithm, _, _ = recorded.rpartition(":")
    if not Path(path).is_file():
        return recorded
    with Path(path).open("rb") as file:
        value = hashlib.file_digest(file, algorithm or "sha256").hexdigest()
    return f"{algorithm}:{value}" if algorithm else value


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (text for inner in value.values() for text in _strings(inner))
    elif isinstance(value, list):
        yield from (text for inner in value for text in _strings(inner))
