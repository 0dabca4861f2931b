"""``python -m lungaug.status``: what a run would do and why; with ``--adopt``, make it so.

Targets and the arguments of ``snakemake`` that say what the workflow is (``--configfile``,
``--config``, profiles, ``--sdm``) count; those that say what to run of it (``--forcerun``) do not.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from lungaug.errors import LungaugError
from lungaug.status import plan, telling
from lungaug.status.memory import Memory, recall

ADOPT = "--adopt"


def main(arguments: Sequence[str] | None = None) -> int:
    """Tell what a run would do; with ``--adopt``, bring Snakemake's memory in line with it."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    others = [argument for argument in given if argument != ADOPT]
    try:
        said = tell(others, adopting=ADOPT in given)
    except LungaugError as error:
        sys.stderr.write(f"lungaug status: {error}\n")
        return 1
    text = "\n".join([*said, ""])
    # A name may be no valid text.
    sys.stdout.write(text.encode("utf-8", "backslashreplace").decode("utf-8"))
    return 0


def tell(given: Sequence[str], adopting: bool) -> list[str]:
    """The lines to print, after Snakemake's memory was written anew where that is wanted."""
    with plan.workflow(given) as flow:
        memory = recall(flow.globals["RESULTS"], flow.globals["CONFIG"])
        recalled = plan.build_recalled(flow, memory, lock=adopting)
        jobs = plan.jobs(flow, memory)
        said = _told(flow, memory, jobs)
        wanted = plan.running(flow)
        if adopting:
            with flow.persistence.lock():
                recalled.restore()
    if adopting:
        said.append(telling.adopted(jobs))
    elif recalled.differs:
        said += telling.alone(_alone(given), wanted)
    return said


def _told(flow: plan.Workflow, memory: Memory, jobs: Sequence[plan.Job]) -> list[str]:
    checkpoints = [rule.name for rule in flow.rules if rule.is_checkpoint]
    said = telling.lines(jobs)
    said += telling.open_end(jobs, checkpoints)
    said += telling.absent(jobs, memory.results)
    said += telling.losses(jobs, flow.globals["PRIVATE"], memory.results)
    said += telling.contradicted(jobs, memory.results)
    if not memory.headers:
        said.append("the headers of slice files were not read: h5py is not installed here")
    return [*said, f"{memory.results}: {telling.total(jobs)}"]


def _alone(arguments: Sequence[str]) -> set[tuple[str, ...]]:
    """The jobs that Snakemake would run with the memory that it has."""
    with plan.workflow(arguments) as flow:
        plan.build(flow)
        return plan.running(flow)


if __name__ == "__main__":
    sys.exit(main())
