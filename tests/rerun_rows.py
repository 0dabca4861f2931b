"""Rows of the promise "only stale stages rerun": a change, and the jobs that must follow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from workflow_runs import Copy, Run

RERUNS = "tests/config/reruns.yaml"
HOSPITAL = "tests/config/hospital.yaml"
SUMMARIES = ("tables", "curves", "cost", "figures", "score_figures", "report")
EARLIER = (
    "scan", "ingest", "preprocess", "split", "check_cohort", "select", "metalung", "audit", "arm",
)  # fmt: skip
ORDER = (*EARLIER, "train_segmenter", "evaluate", *SUMMARIES)


@dataclass(frozen=True)
class Row:
    """A change, and how often each rule must then run.

    Attributes:
        name: the change in words, as in ``docs/staleness.md``.
        change: makes it in a working copy.
        jobs: number of jobs by rule; a rule that is not named must not run.
    """

    name: str
    change: Callable[[Copy], None]
    jobs: Mapping[str, int]

    def told(self) -> str:
        """The row as a line of the documentation's table."""
        counts = [(rule, self.jobs[rule]) for rule in sorted(self.jobs, key=ORDER.index)]
        jobs = ", ".join(f"{rule} {n}" if n > 1 else rule for rule, n in counts)
        return f"| {self.name} | {jobs or 'nothing'} |"


def check(row: Row, copy: Copy, run: Callable[[Copy], Run]) -> None:
    """Make the change and run to the end: exactly the row's jobs must have run.

    Rows follow each other in one working copy. What a row left undone would run with the next
    one, so each also shows that the run before it had settled.
    """
    row.change(copy)
    done = run(copy)
    assert done.status == 0, done.output
    assert done.jobs == Counter(row.jobs), done.output


def jobs(*rules: str, **counts: int) -> dict[str, int]:
    """One job of each rule, or as many as are named."""
    return {**counts, **dict.fromkeys(rules, 1)}


def appended(text: str, *files: str) -> Callable[[Copy], None]:
    """A change: text at the end of files, by their paths in the repository."""

    def change(copy: Copy) -> None:
        for file in files:
            with (copy.root / file).open("a", encoding="utf-8") as end:
                end.write(text)

    return change


def code_of(*modules: str) -> Callable[[Copy], None]:
    """A change: one more statement in modules of the package."""
    return appended("\n_UNUSED = 1\n", *(f"workflow/lungaug/{module}" for module in modules))


def setting(text: str, config: str = RERUNS) -> Callable[[Copy], None]:
    """A change: more lines of a configuration."""
    return appended(f"\n{text}\n", config)


def replaced(old: str, new: str, config: str = RERUNS) -> Callable[[Copy], None]:
    """A change: other words in a configuration."""
    return lambda copy: copy.edit(config, old, new)


def removed(file: str) -> Callable[[Copy], None]:
    """A change: a file is deleted."""
    return lambda copy: (copy.root / file).unlink()


def touched(file: str) -> Callable[[Copy], None]:
    """A change: a file has a new time and the same content."""
    return lambda copy: Path(copy.root, file).touch()
