"""What must run is decided anew whenever a checkpoint has run.

Snakemake plans before a checkpoint runs, for the worst case: all that depends on it. Once it has
run, Snakemake takes back only what reads the checkpoint's file itself; jobs further down keep the
reason they were planned for, although what it named does not happen. A source file that was merely
touched would fit every generator again.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

Decide = Callable[..., Awaitable[None]]


def afresh(decide: Decide) -> Decide:
    """Snakemake's decision (``DAG.update_needrun``), without reasons left from the one before.

    Args:
        decide: takes the DAG.

    Returns:
        The same; what has run, or is running, keeps its reason.
    """

    async def decided(dag: Any, *arguments: Any, **options: Any) -> None:
        for job in dag.jobs:
            if not dag.finished(job) and not dag.is_running(job):
                dag.reason(job).clear()
        await decide(dag, *arguments, **options)
        # Snakemake looks for what a killed run left unfinished only once, before it knows the jobs
        # behind a checkpoint.
        forced = set(dag.forcefiles)
        await dag.check_incomplete()
        if forced != set(dag.forcefiles):
            await decide(dag, *arguments, **options)

    return decided
