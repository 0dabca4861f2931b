"""The jobs that Snakemake would run, and why: its own graph, with a memory of one's choice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snakemake.api import SnakemakeApi
from snakemake.cli import parse_args, parse_config
from snakemake.exceptions import WorkflowError
from snakemake.settings.enums import Quietness
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    DeploymentSettings,
    OutputSettings,
    ResourceSettings,
    WorkflowSettings,
)

from lungaug import configfiles
from lungaug.status import witness, words
from lungaug.status.memory import UNKNOWN, Memory, Recalled

Workflow = Any
"""Snakemake's, which has no types."""


@dataclass(frozen=True)
class Job:
    """A job of the graph.

    Attributes:
        rule: its name.
        wildcards: their values by name.
        outputs: paths.
        runs: whether a run would run it.
        own: reasons of its own, in words.
        follows: rules whose jobs run before and change its inputs.
    """

    rule: str
    wildcards: dict[str, str]
    outputs: tuple[str, ...]
    runs: bool
    own: tuple[str, ...]
    follows: tuple[str, ...]


@contextmanager
def workflow(arguments: Sequence[str]) -> Iterator[Workflow]:
    """The workflow that ``snakemake`` with these arguments would run, read and checked.

    What is not handed on below (``--forcerun``, ``--until``, storage) changes nothing.

    Raises:
        SystemExit: Snakemake refuses it; it has said why.
    """
    _, given = parse_args(list(arguments))
    # Snakemake would name neither file nor line of what is no YAML.
    configfiles.read(given.configfile or ())
    output = OutputSettings(quiet={Quietness.ALL}, enable_file_logging=False)
    with SnakemakeApi(output) as api:
        try:
            loaded = api.workflow(
                resource_settings=ResourceSettings(cores=1),
                config_settings=ConfigSettings(
                    config=parse_config(given.config), configfiles=given.configfile
                ),
                workflow_settings=WorkflowSettings(
                    persistence_backend=given.persistence_backend,
                    persistence_backend_db_url=given.persistence_backend_db_url,
                ),
                deployment_settings=DeploymentSettings(
                    deployment_method=given.software_deployment_method,
                    conda_prefix=given.conda_prefix,
                ),
                snakefile=given.snakefile,
                workdir=given.directory,
            )
            loaded.dag(
                DAGSettings(
                    targets=given.targets,
                    force_incomplete=True,
                    rerun_triggers=given.rerun_triggers,
                    max_checksum_file_size=given.max_checksum_file_size,
                )
            )
            yield loaded._workflow
        except WorkflowError as error:
            api.print_exception(error)
            raise SystemExit(1) from error


def build(flow: Workflow, lock: bool = False) -> None:
    """Build the graph of jobs with Snakemake's own memory.

    Args:
        flow: as :func:`workflow` gives it.
        lock: the folder is to be locked by who uses the graph.
    """
    _prepare(flow, lock)
    flow._build_dag()


def build_recalled(flow: Workflow, memory: Memory, lock: bool = False) -> Recalled:
    """Build the graph of jobs with ``memory`` in the place of Snakemake's own."""
    _prepare(flow, lock)
    recalled = Recalled(flow, memory)
    recalled.install()
    flow._build_dag()
    return recalled


def _prepare(flow: Workflow, lock: bool) -> None:
    flow._prepare_dag(
        forceall=False, ignore_incomplete=False, lock_warn_only=False, nolock=not lock
    )


def running(flow: Workflow) -> set[tuple[str, ...]]:
    """The jobs that would run, by their outputs."""
    return {tuple(job.output) for job in flow.dag.needrun_jobs() if job.output}


def jobs(flow: Workflow, memory: Memory) -> list[Job]:
    """Every job of the graph that makes files, in the order of the data."""
    order = {rule.name: number for number, rule in enumerate(flow.rules)}
    made = [job for job in flow.dag.jobs if job.output]
    made.sort(key=lambda job: (order[job.rule.name], list(job.output)))
    return [_job(flow, memory, job) for job in made]


def _job(flow: Workflow, memory: Memory, job: Any) -> Job:
    runs = flow.dag.needrun(job)
    own = _reasons(flow, memory, job) if runs else []
    before = {
        other.rule.name
        for other, files in flow.dag.dependencies[job].items()
        if flow.dag.needrun(other) and not all(file.is_ancient for file in files)
    }
    return Job(
        rule=job.rule.name,
        wildcards=dict(job.wildcards_dict),
        outputs=tuple(job.output),
        runs=runs,
        own=tuple(own),
        follows=tuple(sorted(before, key=[rule.name for rule in flow.rules].index)),
    )


def _reasons(flow: Workflow, memory: Memory, job: Any) -> list[str]:
    reason = flow.dag.reason(job)
    said = _refused(flow, memory, job)
    if reason.forced:
        said.append("was being made when a run stopped")
    if reason.missing_output:
        said.append(_missing(job, memory))
    if not said:
        said += _provenance(flow, job)
    changed = sorted(_name(path, memory) for path in reason.updated_input)
    return [*said, f"changed since: {words.listed(changed)}"] if changed else said


def _refused(flow: Workflow, memory: Memory, job: Any) -> list[str]:
    """Which outputs are not what a run would make, by why."""
    by_why: dict[str, list[str]] = {}
    for path in job.output:
        why = memory.refusal(path)
        if why == UNKNOWN and path.endswith(witness.SUFFIX) and memory.headers:
            params = flow.persistence._params(job)
            why += witness.testimony(Path(path), params)
        if why is not None:
            by_why.setdefault(why, []).append(_name(path, memory))
    if len(by_why) == 1 and len(next(iter(by_why.values()))) == len(job.output):
        return list(by_why)
    return [f"{words.listed(names)} {why}" for why, names in by_why.items()]


def _missing(job: Any, memory: Memory) -> str:
    gone = sorted(path for path in job.output if not Path(path).exists())
    names = words.listed([_name(path, memory) for path in gone])
    return "not made yet" if len(gone) == len(job.output) else f"missing: {names}"


def _provenance(flow: Workflow, job: Any) -> list[str]:
    """What a run would be given that the recorded one was not."""
    persistence = flow.persistence
    record = next(filter(None, map(persistence.metadata, job.output)), None)
    if record is None:
        return []
    said = []
    if persistence.params_changed(job):
        new = {name: persistence._serialize_param(value) for name, value in job.params.items()}
        said += words.changed_parameters(record.params, new)
    if any(persistence.code_changed(job)):
        said.append("its rule changed")
    if any(persistence.software_stack_changed(job)):
        said.append("its environment changed")
    # Behind a checkpoint that is to run, nobody knows the inputs yet.
    known = not any(file.flags.get("checkpoint_target") for file in job.input)
    if known and any(persistence.input_changed(job)):
        said += words.changed_inputs(record.input, persistence._input(job))
    return said


def _name(path: str, memory: Memory) -> str:
    return memory.name(path) or path
