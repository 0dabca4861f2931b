"""Decide early whether there is enough to train, validate and test: all that costs time waits."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lungaug.census import Found, find_patients
from lungaug.cohort import ROLES, SPLIT_COLUMNS, read_table, write_rows
from lungaug.errors import InputError
from lungaug.insertion.hosts import HostSettings, hosts_in, no_hosts
from lungaug.settings import setting
from lungaug.stages.select import Choice
from lungaug.store import Provenance, SliceFile

COLUMNS = ("fold", "role", "patients", "with_nodule", "healthy", "unseen", "hosts")

# Stage rois takes the circle of a nodule's area, here are widths: that of one pixel is smaller.
_MOST_EQUIVALENT = 2 / math.sqrt(math.pi)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Selection:
    """Which slices train, and which validate and test: as for stage select."""

    train: Choice = setting(Choice, "slices of training patients")
    evaluate: Choice = setting(Choice, "slices of validation and test patients")


@dataclass(frozen=True)
class Settings:
    """What the stages behind need; all from elsewhere in the configuration."""

    select: Selection = setting(Selection, "which slices are used")
    hosts: HostSettings | None = setting(None, "slices that receive nodules; null: no generators")
    min_diameter_mm: float | None = setting(None, "of nodules to learn from; null: no generators")
    presence: bool = setting(False, "whether slices with and without nodule are classified")
    unannotated: str = setting("unknown", "class of patients without class, mask and contour")
    assumed_spacing_mm: float | None = setting(None, "spacing where the source has none")


@dataclass(frozen=True)
class Group:
    """The patients of one role in one fold."""

    fold: str
    role: str
    found: Sequence[Found]
    hosts: int

    def total(self, name: str) -> int:
        """Sum of a count over the patients."""
        return sum(getattr(one, name) for one in self.found)

    @property
    def row(self) -> dict[str, object]:
        """The row of the table."""
        counts = {name: self.total(name) for name in ("healthy", "unseen")}
        head = {"fold": self.fold, "role": self.role, "patients": len(self.found)}
        head["with_nodule"] = self.total("nodule")
        return {**head, **counts, "hosts": self.hosts}


def run(
    *,
    preprocess: list[Path],
    splits: list[Path],
    folds: list[str],
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write the numbers of slices by fold and role, or say all that is missing.

    Args:
        preprocess: slice files of all batches.
        splits: tables of roles, of which each fold is in one.
        folds: the folds that are trained.
        output: table to write.
        settings: see :class:`Settings`.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: something that a later stage needs is not there.
    """
    tables = [read_table(path, SPLIT_COLUMNS) for path in splits]
    table = pd.concat(tables, ignore_index=True).drop_duplicates()
    roles = {
        str(fold): dict(zip(rows["patient"], rows["role"], strict=True))
        for fold, rows in table[table["fold"].isin(folds)].groupby("fold")
    }
    found, hosts = find_patients(preprocess), count_hosts(preprocess, settings.hosts)
    groups = list(grouped(roles, found, hosts))
    for group in groups:
        log.info("%(fold)s %(role)s: %(patients)d patients, slices: %(with_nodule)d with a nodule, "
                 "%(healthy)d without, %(unseen)d that nobody looked at, %(hosts)d hosts",
                 group.row)  # fmt: skip
    missing = list(dict.fromkeys(faults(groups, settings)))
    if missing:
        raise InputError("not enough to go on:\n  " + "\n  ".join(missing))
    write_rows(output, COLUMNS, [group.row for group in groups])


def grouped(
    roles: Mapping[str, Mapping[str, str]], found: Mapping[str, Found], hosts: Mapping[str, int]
) -> Iterator[Group]:
    """The patients of each role in each fold.

    Args:
        roles: by fold and patient.
        found: what preprocess found, by patient.
        hosts: number of slices that may receive a nodule, by patient.
    """
    for fold, own in sorted(roles.items()):
        for role in ROLES:
            members = [p for p in own if own[p] == role and p in found]
            n_hosts = sum(hosts.get(p, 0) for p in members) if role == "train" else 0
            yield Group(fold, role, [found[p] for p in members], n_hosts)


def count_hosts(preprocess: Iterable[Path], settings: HostSettings | None) -> dict[str, int]:
    """Slices that may receive a nodule, by patient; none where nothing is inserted."""
    counts: dict[str, int] = {}
    for path in preprocess if settings else ():
        with SliceFile(path) as file:
            for stack in file.stacks():
                n = int(np.count_nonzero(hosts_in(stack.slices, settings or HostSettings())))
                counts[stack.patient] = counts.get(stack.patient, 0) + n
    return counts


def faults(groups: Sequence[Group], settings: Settings) -> Iterator[str]:
    """What is missing: the cause, the number there is, the setting and its value."""
    for group in groups:
        choice = settings.select.train if group.role == "train" else settings.select.evaluate
        section = "train" if group.role == "train" else "evaluate"
        if group.role == "train" and not group.total("nodule"):
            yield (
                f"fold {group.fold}: no training slice has a nodule: {_cause(group, settings)}; "
                "accepted: at least one training patient with a nodule"
            )
        elif not _usable(group, choice):
            yield (
                f"fold {group.fold}: no slice for {group.role}: {_cause(group, settings)}"
                f"{_other_choice(group, choice, section)}"
            )
        elif settings.presence and group.role != "test":
            yield from _one_sided(group, choice, section)
        if group.role == "train" and group.total("nodule") and settings.hosts is not None:
            yield from _generator_faults(group, settings, settings.hosts)


def _usable(group: Group, choice: Choice) -> int:
    if choice.which == "all":
        return group.total("slices") - group.total("unseen")
    return group.total("nodule") + _healthy(group, choice)


def _healthy(group: Group, choice: Choice) -> int:
    if choice.which == "all":
        return group.total("slices") - group.total("unseen") - group.total("nodule")
    spread = choice.which == "nodule_and_healthy" and choice.healthy_per_patient > 0
    return group.total("healthy") if spread else 0


def _cause(group: Group, settings: Settings) -> str:
    """Who the patients of a group are, in numbers."""
    unseen = sum(one.unseen == one.slices for one in group.found)
    healthy = sum(not one.nodule and one.unseen < one.slices for one in group.found)
    n = len(group.found)
    parts = [f"{n} patient" if n == 1 else f"{n} patients"]
    if unseen:
        parts.append(
            f"{unseen} without a mask or contour that matched (ingest.unannotated is "
            f"{settings.unannotated}; python -m lungaug.preview shows how masks were matched)"
        )
    if healthy:
        parts.append(f"{healthy} without any nodule, with {group.total('healthy')} healthy slices")
    return ", ".join(parts)


def _other_choice(group: Group, choice: Choice, section: str) -> str:
    """Advice that helps: not a setting that is so already."""
    now = f"; select.{section}.which is {choice.which}"
    if choice.which == "nodule" and group.total("healthy"):
        return f"{now}; accepted: nodule_and_healthy or all, or patients with a nodule"
    if choice.which == "nodule_and_healthy" and not choice.healthy_per_patient:
        return f"{now}, healthy_per_patient 0; accepted: at least 1"
    return f"{now}; accepted: patients whose slices somebody looked at for nodules"


def _one_sided(group: Group, choice: Choice, section: str) -> Iterator[str]:
    ill, healthy = group.total("nodule"), _healthy(group, choice)
    if not ill or not healthy:
        yield (
            f"fold {group.fold}: presence needs {group.role} slices with and without a nodule: "
            f"{ill} with, {healthy} without (select.{section}.which is {choice.which}); accepted: "
            "some of both, or presence: false"
        )


def _generator_faults(group: Group, settings: Settings, hosts: HostSettings) -> Iterator[str]:
    n_ill, without = group.total("nodule"), group.total("nodule_without_mm")
    largest = max((one.largest_mm for one in group.found), default=0.0)
    least = settings.min_diameter_mm or 0.0
    if without == n_ill:
        yield (
            f"fold {group.fold}: none of {n_ill} training slices with a nodule has a known "
            "spacing, which generators need (ingest.assumed_spacing_mm is "
            f"{_shown(settings.assumed_spacing_mm)}); accepted: a spacing above 0 mm, or arms "
            "without generators"
        )
    elif largest * _MOST_EQUIVALENT < least:
        yield (
            f"fold {group.fold}: the largest nodule on a training slice has {largest:.1f} mm, but "
            f"generators learn from rois.min_diameter_mm, {least:g}, on; accepted: below "
            f"{largest:.1f}, or arms without generators"
        )
    if not group.hosts:
        yield f"fold {group.fold}: {no_hosts(len(group.found), group.total('healthy'), hosts)}"


def _shown(value: float | None) -> str:
    return "null" if value is None else f"{value:g}"
