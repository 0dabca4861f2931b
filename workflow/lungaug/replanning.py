"""What must run is decided anew whenever a checkpoint has run.

Snakemake plans before a checkpoint runs, for the worst case: all that depends on it. Once it has
run, Snakemake takes back only what reads the checkpoint's file itself; jobs further down keep the
reason they were planned for, although what it named does not happen. A source file that was merely
touched would fit every generator again.

And Snakemake asks no job for a reason of its own that follows one which runs, since that is reason
enough, except where all files between the two are ancient: then it forgets the job, until the next
run. Such a job is asked here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
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
        with asking_who_waits(dag):
            await decide(dag, *arguments, **options)
        # Snakemake looks for what a killed run left unfinished only once, before it knows the jobs
        # behind a checkpoint.
        forced = set(dag.forcefiles)
        await dag.check_incomplete()
        if forced != set(dag.forcefiles):
            with asking_who_waits(dag):
                await decide(dag, *arguments, **options)

    return decided


@contextmanager
def asking_who_waits(dag: Any) -> Iterator[None]:
    """Let walks to the jobs that follow end where these only wait: at files that are ancient.

    Snakemake takes the jobs of such a walk for those that have reason enough to run.
    """
    walk = dag.bfs

    def bfs(direction: Any, *jobs: Any, **options: Any) -> Iterator[Any]:
        if direction is not dag.depending:
            yield from walk(direction, *jobs, **options)
            return
        queue, seen = deque(jobs), set(jobs)
        while queue:
            job = queue.popleft()
            yield job
            for follower, files in direction[job].items():
                if follower not in seen and not all(file.is_ancient for file in files):
                    seen.add(follower)
                    queue.append(follower)

    # The decision is wrapped once for each time that a process reads the Snakefile.
    before = vars(dag).get("bfs")
    dag.bfs = bfs
    try:
        yield
    finally:
        if before is None:
            del dag.bfs
        else:
            dag.bfs = before
