"""The jobs that will run and why, as lines for a person."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from lungaug.contradictions import TESTED, contradictions, first
from lungaug.status import words
from lungaug.status.plan import Job

NAMED = 3
"""Up to so many jobs of a line are named one by one."""


def lines(jobs: Sequence[Job]) -> list[str]:
    """One line a rule and reason, in the order of the data."""
    totals = Counter(job.rule for job in jobs)
    groups: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        if job.runs:
            groups.setdefault((job.rule, _why(job)), []).append(job)
    of_rule = {name: [job for job in jobs if job.rule == name] for name in totals}
    return [f"{_who(group, of_rule[rule])}: {why}" for (rule, why), group in groups.items()]


def total(jobs: Sequence[Job]) -> str:
    """How many jobs will run, and how many files are fresh."""
    fresh = [path for job in jobs if not job.runs for path in job.outputs if Path(path).exists()]
    number = sum(job.runs for job in jobs)
    files = sum(len(job.outputs) for job in jobs)
    if number:
        return f"{_jobs(number)} will run; {len(fresh)} of {files} files are fresh"
    which = f"all {files}" if len(fresh) == files else f"{len(fresh)} of {files}"
    return f"nothing will run: {which} files are fresh"


def absent(jobs: Sequence[Job], results: str) -> list[str]:
    """Files that are not there and that no run of these jobs makes again."""
    gone = [
        path.removeprefix(f"{results}/")
        for job in jobs
        if not job.runs
        for path in job.outputs
        if not Path(path).exists()
    ]
    if not gone:
        return []
    names = words.listed(gone)
    return [
        f"not there, and not needed: {names} (made again, with all that follows it, once one of "
        "its readers is stale)"
    ]


def open_end(jobs: Sequence[Job], checkpoints: Iterable[str]) -> list[str]:
    """That a checkpoint decides what comes after it, where one will run."""
    will = [name for name in checkpoints if any(job.rule == name and job.runs for job in jobs)]
    return [f"what follows {name} is known once it has run" for name in will]


def losses(jobs: Sequence[Job], private: str, results: str) -> list[str]:
    """What is lost for good if these jobs run without what lies outside the results."""
    will = {job.rule for job in jobs if job.runs}
    key, ledger = Path(os.environ["LUNGAUG_KEY"]), Path(os.environ["LUNGAUG_LEDGER"])
    said = []
    if Path(results, "cohort.tsv").exists() and "scan" in will and not key.is_file():
        said.append(
            f"careful: {key} is missing; scan will draw another key, and every patient gets "
            "another pseudonym: bring the file from where the results were made"
        )
    if "ingest" in will and "scan" not in will and not Path(private).is_dir():
        said.append(
            f"careful: {private} is missing, without which ingest cannot find the files: bring the "
            "folder from where the results were made, or force scan"
        )
    if Path(results, "split.tsv").exists() and "split" in will and not ledger.is_file():
        said.append(
            f"careful: {ledger} is missing; split will draw every patient's role anew: bring the "
            "file from where the results were made"
        )
    return said


def contradicted(jobs: Sequence[Job], results: str) -> list[str]:
    """Return whom tables that no job makes again give another role than split and ledger do."""
    kept = [Path(path) for job in jobs if not job.runs for path in job.outputs]
    tables = [path for path in kept if path.name in TESTED or _is_arm(path)]
    splits = [path for path in kept if path.name == "split.tsv" and path.is_file()]
    if not splits:
        return []
    ledger = Path(os.environ["LUNGAUG_LEDGER"])
    said = first(contradictions(Path(results), tables, splits, ledger))
    advice = "a ledger or split.tsv was edited: restore it, or run: snakemake --forcerun split"
    return [*(f"contradiction: {line}" for line in said), *([advice] if said else [])]


def _is_arm(path: Path) -> bool:
    return path.parent.name == "arms" and not path.name.endswith(".audit.tsv")


def alone(run: set[tuple[str, ...]], wanted: set[tuple[str, ...]]) -> list[str]:
    """That Snakemake, with the memory that it has, would run something else."""
    if run == wanted:
        return []
    would = f"would run {_jobs(len(run))}" if run else "would say that nothing is to be done"
    return [f"Snakemake does not know all this, and alone it {would}: run make adopt"]


def adopted(jobs: Sequence[Job]) -> str:
    """What Snakemake knows now."""
    number = sum(len(job.outputs) for job in jobs if not job.runs)
    return f"Snakemake now knows {number} files as fresh; the next run makes the others again"


def _why(job: Job) -> str:
    said = list(job.own)
    if job.follows:
        said.append(f"follows from {', '.join(job.follows)}")
    return "; ".join(said) or "Snakemake asks for it"


def _who(group: Sequence[Job], every: Sequence[Job]) -> str:
    rule = group[0].rule
    if len(every) == 1:
        return rule
    if len(group) == len(every):
        return f"{rule} (all {len(every)} jobs)"
    return f"{rule}{_which(group, every)} ({len(group)} of {len(every)} jobs)"


def _which(group: Sequence[Job], every: Sequence[Job]) -> str:
    """What sets a group apart from the rule's other jobs: wildcards that only it has."""
    telling = [
        name for name in group[0].wildcards if len({job.wildcards[name] for job in every}) > 1
    ]
    shared = [name for name in telling if len({job.wildcards[name] for job in group}) == 1]
    if len(group) <= NAMED:
        named = ["/".join(job.wildcards[name] for name in telling) for job in group]
        return f" {', '.join(named)}"
    return "".join(f" {group[0].wildcards[name]}" for name in shared)


def _jobs(number: int) -> str:
    return f"{number} job{'s' if number > 1 else ''}"
