"""Insert generated nodules into healthy slices of a fold's training patients."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, read_table, write_rows
from lungaug.crops import Crops, equivalent_diameter_mm, read_crops
from lungaug.errors import InputError, SettingError
from lungaug.insertion import nodule as tissue
from lungaug.insertion import published as paste
from lungaug.insertion.donors import Donors
from lungaug.insertion.hosts import Hosts, HostSettings
from lungaug.insertion.nodule import InsertionSettings
from lungaug.insertion.protocol import Host, Pair, Parameters, Patch, Refused, rng_of
from lungaug.insertion.replay import ORIGIN, record
from lungaug.listing import Place, SliceFiles, inserted_labels
from lungaug.settings import setting
from lungaug.store import (
    Provenance,
    SliceWriter,
    StorageSettings,
    pack_parameters,
    slice_key,
)

SKIPPED_COLUMNS = ("slice", "reason")
_SHOWN = 3
# More would not fit into the record of a slice.
_MOST_NODULES = 4

log = logging.getLogger(__name__)

Insert = Callable[[Host, Patch], tuple[Parameters, Pair] | Refused]


@dataclass(frozen=True)
class Settings:
    """How many nodules are inserted, where, and how."""

    seed: int = setting(0, "seed of everything drawn", minimum=0)
    storage: StorageSettings = setting(StorageSettings, "how the slice files are compressed")
    variant: Literal["tissue", "published"] = setting(
        "tissue", "what trains: tissue, or flat pieces of 1 HU as published"
    )
    ratio: float = setting(
        1.0, "slices to make for each real training slice with a nodule", exclusiveMinimum=0
    )
    nodules_per_slice: tuple[int, int] = setting(
        (1, 1), "fewest and most nodules inserted into a slice, at most 4"
    )
    tries: int = setting(6, "hosts that are tried for a patch until it fits", minimum=1)
    hosts: HostSettings = setting(HostSettings, "which slices receive nodules")
    insertion: InsertionSettings = setting(InsertionSettings, "how a nodule is fitted in")
    compare_published: int = setting(
        100, "slices made by the published insertion, to compare with; never train", minimum=0
    )

    def __post_init__(self) -> None:
        low, high = self.nodules_per_slice
        if not 1 <= low <= high <= _MOST_NODULES:
            raise SettingError(
                f"nodules_per_slice: got {list(self.nodules_per_slice)}; accepted: fewest, most "
                f"within 1 to {_MOST_NODULES}"
            )


@dataclass(frozen=True)
class _Job:
    """One slice to make: the patches that go into it."""

    number: int
    patches: tuple[int, ...]


@dataclass(frozen=True)
class _Work:
    """What jobs are done with."""

    files: SliceFiles
    hosts: Hosts
    patches: Crops
    generator: str
    settings: Settings


def run(
    *,
    patches: Path,
    rois: Path,
    slices: Path,
    split: Path,
    fold: str,
    generator: str,
    preprocess: list[Path],
    root: Path,
    output: Path,
    published: Path,
    skipped: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write slices with inserted nodules, the published way's beside them, and what did not fit.

    One host is in memory at a time, whatever their number.

    Args:
        patches: nodules of the generator.
        rois: crops of the fold's training nodules, which say whose HU may be taken.
        slices: ``slices.tsv`` of the fold; its training slices with a nodule are counted.
        split: ``split.tsv``.
        fold: the fold.
        generator: its name, for the origin of the rows.
        preprocess: slice files with lungs, of all patients.
        root: the cohort's results.
        output: slice file to write.
        published: slice file to write, of ``compare_published`` slices at most.
        skipped: table to write (slice, reason).
        settings: see :class:`Settings`.
        provenance: stored in the files.

    Raises:
        InputError: there are no hosts, no patches, or not one patch fits into a host.
        FileFormatError: a file is damaged, or files do not belong together.
    """
    made, crops = read_crops(patches), read_crops(rois)
    n_wanted = max(round(settings.ratio * _n_real(slices)), 1)
    problems: list[dict[str, str]] = []
    with SliceFiles(root) as files:
        names = sorted(map(files.name, preprocess))
        hosts = Hosts.find(files, names, _training_patients(split, fold), settings.hosts)
        log.info("%d hosts of %d patients", len(hosts), len(hosts.patients))
        work = _Work(files, hosts, made, generator, settings)
        flat = _published(work)
        if settings.variant == "tissue":
            donors = Donors.read(crops, files, names, settings.insertion.feather)
            insert = _tissue(work, donors)
        else:
            insert = flat
        with SliceWriter(output, provenance, settings.storage) as writer:
            n = _write(writer, work, settings.variant, insert, n_wanted, problems)
            if not n:
                raise InputError(_nothing(generator, problems))
        log.log(
            logging.INFO if n == n_wanted else logging.WARNING,
            "%d slices written of %d wanted, %d tries failed",
            *(n, n_wanted, len(problems)),
        )
        one_each = replace(work, settings=replace(settings, nodules_per_slice=(1, 1)))
        lost: list[dict[str, str]] = []
        with SliceWriter(published, provenance, settings.storage) as writer:
            n_flat = min(settings.compare_published, n_wanted)
            _write(writer, one_each, "published", flat, n_flat, lost)
    problems += [{**row, "reason": f"published: {row['reason']}"} for row in lost]
    write_rows(skipped, SKIPPED_COLUMNS, problems)


def _n_real(slices: Path) -> int:
    table = read_table(slices, SLICE_COLUMNS)
    return int(((table["role"] == "train") & (table["n_nodule_px"] > 0)).sum())


def _training_patients(split: Path, fold: str) -> set[str]:
    table = read_table(split, SPLIT_COLUMNS)
    found = set(table.loc[(table["fold"] == fold) & (table["role"] == "train"), "patient"])
    if not found:
        raise InputError(f"{split}: no training patient in fold '{fold}'")
    return found


def _tissue(work: _Work, donors: Donors) -> Insert:
    chosen = work.settings.insertion

    def insert(host: Host, patch: Patch) -> tuple[Parameters, Pair] | Refused:
        rng = rng_of(work.settings.seed, host.key, work.generator, patch.index)
        drawn = tissue.draw(host, patch, donors, settings=chosen, rng=rng)
        if isinstance(drawn, Refused):
            return drawn
        donor_hu = donors.hu_of(drawn["donor"], drawn["label"])
        return drawn, tissue.apply(host.hu, host.nodule, patch, donor_hu, host.spacing_mm, drawn)

    return insert


def _published(work: _Work) -> Insert:
    def insert(host: Host, patch: Patch) -> tuple[Parameters, Pair] | Refused:
        rng = rng_of(work.settings.seed, host.key, work.generator, patch.index, "published")
        drawn = paste.draw(host, patch, rng=rng)
        if isinstance(drawn, Refused):
            return drawn
        return drawn, paste.apply(host.hu, host.nodule, patch, drawn)

    return insert


def _write(
    writer: SliceWriter,
    work: _Work,
    variant: str,
    insert: Insert,
    n_wanted: int,
    problems: list[dict[str, str]],
) -> int:
    """Do all jobs, in rounds: what does not fit into its host is given another one in the next.

    In a round hosts come file by file, as they lie.
    """
    n_written = 0
    waiting = _jobs(n_wanted, work)
    turns, used = work.hosts.in_turn(work.settings.seed), set[tuple[Place, int]]()
    for _ in range(work.settings.tries):
        found = _assigned(waiting, turns, used, len(work.hosts), problems)
        assigned = sorted(found, key=lambda a: a[0])
        waiting = []
        for place, job in assigned:
            made = _made(place, job, work, variant, insert, problems)
            if made is None:
                waiting.append(job)
                continue
            fields, (hu, nodule) = made
            writer.append(fields, hu=hu[None], nodule=nodule[None])
            n_written += 1
        waiting.sort(key=lambda job: job.number)
    return n_written


def _jobs(n: int, work: _Work) -> list[_Job]:
    """Every patch once in an order drawn, then again in another, as often as needed."""
    order = _patch_order(work)
    low, high = work.settings.nodules_per_slice
    rng = rng_of(work.settings.seed, work.generator, "nodules per slice")
    counts = rng.integers(low, high, size=n, endpoint=True).tolist()
    return [
        _Job(number, tuple(next(order) for _ in range(count)))
        for number, count in enumerate(counts)
    ]


def _patch_order(work: _Work) -> Iterator[int]:
    cycle = 0
    while True:
        rng = rng_of(work.settings.seed, work.generator, "patches", cycle)
        yield from rng.permutation(len(work.patches)).tolist()
        cycle += 1


def _assigned(
    jobs: list[_Job],
    turns: Iterator[Place],
    used: set[tuple[Place, int]],
    n_hosts: int,
    problems: list[dict[str, str]],
) -> Iterator[tuple[Place, _Job]]:
    """The next host in turn for each job, but none twice with the same patch.

    A job without such a host is given up: the same patch in the same host is the same slice.
    """
    for job in jobs:
        for _ in range(n_hosts):
            pair = next(turns), job.patches[0]
            if pair not in used:
                used.add(pair)
                yield pair[0], job
                break
        else:
            reason = f"patch {job.patches[0]}: every host has it already"
            problems.append({"slice": "", "reason": reason})


def _made(
    place: Place,
    job: _Job,
    work: _Work,
    variant: str,
    insert: Insert,
    problems: list[dict[str, str]],
) -> tuple[NDArray[np.void], Pair] | None:
    """A slice with as many of the job's nodules as fit, and its row; None where none does."""
    fields = work.files.fields(place)
    host = _host(work.files, place, fields)
    ill = bool(host.nodule.any()) and not work.settings.hosts.beside_nodules
    drawn: list[Parameters] = []
    for index in job.patches:
        patch = Patch.of(work.patches, index)
        found = Refused("a nodule on the slice") if ill else insert(host, patch)
        if isinstance(found, Refused):
            problems.append({"slice": host.key, "reason": f"patch {index}: {found.reason}"})
            continue
        parameters, (hu, nodule) = found
        drawn.append(parameters)
        # The next nodule keeps off this one and its feather.
        lung = np.where(hu != host.hu, np.uint8(2), host.lung)
        host = replace(host, hu=hu, nodule=nodule, lung=lung)
    if not drawn:
        return None
    return _lineage(fields, host, drawn, variant, work), (host.hu, host.nodule)


def _host(files: SliceFiles, place: Place, fields: np.void) -> Host:
    row_mm, col_mm = fields["spacing_mm"].tolist()
    lung = files.file(place[0]).image("lung", *place[1:])
    return Host(slice_key(fields), files.hu(place), files.nodule(place), lung, (row_mm, col_mm))


def _lineage(
    fields: np.void, host: Host, drawn: list[Parameters], variant: str, work: _Work
) -> NDArray[np.void]:
    """(1,) row of the result: the host's, with its nodules and where they come from."""
    recorded = record(variant, host.spacing_mm, drawn)
    diameters = [
        equivalent_diameter_mm(host.nodule == label, host.spacing_mm)
        for label in inserted_labels(recorded, host.nodule)
    ]
    largest = drawn[int(np.argmax(np.nan_to_num(diameters)))]
    slices = np.array([fields], fields.dtype)
    slices["origin"] = f"{ORIGIN}:{work.generator}".encode()
    slices["host"] = host.key.encode()
    slices["donor"] = (drawn[0]["donor"] or drawn[0]["source"]).encode()
    slices["diameter_mm"] = max(diameters)
    slices["lung_rads"] = str(work.patches.lung_rads[largest["patch"]]).encode()
    slices["parameters"] = pack_parameters(recorded)
    return slices


def _nothing(generator: str, problems: list[dict[str, str]]) -> str:
    reasons = Counter(row["reason"].partition(": ")[2] for row in problems)
    told = "; ".join(f"{reason} ({n}x)" for reason, n in reasons.most_common(_SHOWN))
    return (
        f"{generator}: no nodule could be inserted: {told}; accepted: smaller nodules, hosts with "
        "larger lungs, more tries, or a smaller insertion.place.obstacle_mm"
    )
