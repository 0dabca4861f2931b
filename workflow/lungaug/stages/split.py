"""Divide the patients into training, validation and test; the ledger keeps every earlier place."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from lungaug.cohort import CLASSES, ROLES, SPLIT_COLUMNS, read_table, write_table
from lungaug.division import (
    FIXED,
    Quotas,
    assign_parts,
    assign_roles,
    check_parts,
    check_roles,
    fold_names,
    roles_of_fold,
)
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.ledger import Entry, Ledger, locked_ledger
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How patients are divided. The ledger wins over these: they concern new patients."""

    seed: int = setting(0, "order in which patients that come together are placed", minimum=0)
    mode: Literal["fixed", "cross_validation"] = setting(
        "fixed", "one division by class, or every patient tested once"
    )
    test_per_class: int = setting(
        4, "test patients a Lung-RADS class (fixed); published ones are taken as they are",
        minimum=1,
    )  # fmt: skip
    validation_per_class: int = setting(2, "validation patients a class (fixed)", minimum=1)
    test_share: float = setting(
        0.4, "at most this share of a class tests (fixed)", exclusiveMinimum=0, exclusiveMaximum=1
    )
    validation_share: float = setting(
        0.2, "at most this share of a class validates", exclusiveMinimum=0, exclusiveMaximum=1
    )
    folds: int = setting(
        5, "parts: one tests, one validates, the rest trains (cross_validation)", minimum=3
    )

    @property
    def quotas(self) -> Quotas:
        return Quotas(
            self.test_per_class, self.validation_per_class, self.test_share, self.validation_share
        )


def run(
    *,
    ingest: list[Path],
    ledger: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
    cohort: Path | None = None,
) -> None:
    """Write ``split.tsv``: fold, patient, lung_rads, role; and add new patients to the ledger.

    Args:
        ingest: slice files of all batches.
        ledger: earlier places.
        output: the table.
        settings: see :class:`Settings`.
        provenance: unused; a table carries no attributes.
        cohort: the scan's table; who is published as a test patient there tests, and no one else.

    Raises:
        InputError: there are too few patients.
        SettingError: cross-validation of a cohort whose test patients are published.
        LeakageError: the ledger has a published test patient in another role, or the reverse.
        FileFormatError: the ledger or the cohort's table is damaged.
    """
    classes = patient_classes(ingest)
    _tell_of_absent(cohort, classes)
    parts = published_parts(cohort) if cohort else {}
    with locked_ledger(ledger) as book:
        roles = divided(classes, book, settings, parts)
    frame = pd.DataFrame(
        [(f, p, classes[p], roles[f][p]) for f in roles for p in sorted(classes)],
        columns=list(SPLIT_COLUMNS),
    )
    _log_summary(frame, settings, bool(parts))
    write_table(output, frame)


def _tell_of_absent(cohort: Path | None, classes: Mapping[str, str]) -> None:
    """Whoever the scan found and ingest left out whole."""
    if cohort is None:
        return
    absent = set(read_table(cohort, ("patient",))["patient"].astype(str)) - set(classes)
    if absent:
        noun = "patient" if len(absent) == 1 else "patients"
        log.warning("%d %s left out: see ingest/*.rejected.tsv", len(absent), noun)


def patient_classes(ingest: list[Path]) -> dict[str, str]:
    """The highest class of each patient's slices; '' where none is known.

    Raises:
        InputError: a class is unknown, or there is no patient.
    """
    order = ("", *CLASSES)
    ranks: dict[str, int] = {}
    for path in ingest:
        with SliceFile(path) as file:
            for group in file.groups:
                pairs = np.unique(file.slices(group)[["patient", "lung_rads"]])
                for patient, name in ((p.decode(), c.decode()) for p, c in pairs):
                    if name not in order:
                        accepted = ", ".join(CLASSES)
                        raise InputError(f"{patient}: Lung-RADS '{name}'; accepted: {accepted}")
                    ranks[patient] = max(ranks.get(patient, 0), order.index(name))
    if not ranks:
        raise InputError("no patient has a slice that can be used; see the rejected files' tables")
    return {patient: order[rank] for patient, rank in ranks.items()}


def published_parts(cohort: Path) -> dict[str, str]:
    """``train`` or ``test`` of the patients whose source says so.

    Raises:
        FileFormatError: the table is missing or of another version.
    """
    try:
        with cohort.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, delimiter="\t")
            return {row["patient"]: row["part"] for row in rows if row["part"]}
    except (FileNotFoundError, KeyError) as error:
        again = f"rebuild it with: snakemake --force {cohort} (and the --configfile of the run)"
        raise FileFormatError(f"{cohort}: no cohort table with parts; {again}") from error


def divided(
    classes: Mapping[str, str], book: Ledger, settings: Settings, parts: Mapping[str, str]
) -> dict[str, dict[str, str]]:
    """Roles by fold and patient, new patients placed and entered in the ledger."""
    if parts and settings.mode != FIXED:
        raise SettingError(
            f"split.mode: got '{settings.mode}', but the source's test patients are published; "
            f"accepted: {FIXED}"
        )
    folds = 0 if settings.mode == FIXED else settings.folds
    entries = book.entries(settings.mode, folds)
    _log_ledger(classes, entries, settings)
    known = {patient: entry.place for patient, entry in entries.items()}
    if settings.mode == FIXED:
        added, roles = _fixed(classes, known, settings, parts)
    else:
        added, roles = _cross_validated(classes, known, settings)
    book.append(
        Entry(settings.mode, folds, p, classes[p], added[p], settings.seed) for p in sorted(added)
    )
    return roles


def _fixed(
    classes: Mapping[str, str],
    known: Mapping[str, str],
    settings: Settings,
    parts: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    tested = {patient: "test" for patient in classes if parts.get(patient) == "test"}
    others = {patient: name for patient, name in classes.items() if patient not in tested}
    quotas = replace(settings.quotas, test=0) if parts else settings.quotas
    added = assign_roles(others, known, quotas, settings.seed)
    added |= {patient: role for patient, role in tested.items() if patient not in known}
    roles = {patient: {**known, **added}[patient] for patient in classes}
    _check_published(roles, parts)
    check_roles(roles)
    return added, {FIXED: roles}


def _check_published(roles: Mapping[str, str], parts: Mapping[str, str]) -> None:
    for patient, part in parts.items():
        role = roles.get(patient)
        if role is not None and (role == "test") != (part == "test"):
            raise LeakageError(
                f"{patient}: published as {part}, but the ledger has {role}; accepted: a ledger "
                "of its own for this cohort (a new one places everybody as published)"
            )


def _cross_validated(
    classes: Mapping[str, str], known: Mapping[str, str], settings: Settings
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    k = settings.folds
    before = {patient: int(place) for patient, place in known.items()}
    added = assign_parts(classes, before, k, settings.seed)
    parts = {patient: {**before, **added}[patient] for patient in classes}
    check_parts(parts, k)
    names = fold_names(settings.mode, k)
    roles = {name: roles_of_fold(parts, i, k) for i, name in enumerate(names)}
    return {patient: str(part) for patient, part in added.items()}, roles


def _log_ledger(
    classes: Mapping[str, str], entries: Mapping[str, Entry], settings: Settings
) -> None:
    here = {patient: entry for patient, entry in entries.items() if patient in classes}
    if entries and not here:
        raise InputError(
            f"none of the ledger's {len(entries)} patients is in this cohort: another pseudonym "
            "key, or the ledger of another cohort; accepted: the key that the ledger was made "
            "with, or another ledger (a new one draws who tests anew)"
        )
    others = sorted({entry.seed for entry in here.values()} - {settings.seed})
    if others:
        log.info("the ledger's places, made with seed %s, are kept", ", ".join(map(str, others)))
    for patient, entry in sorted(here.items()):
        if entry.lung_rads != classes[patient]:
            log.warning(
                "%s: class %s when placed, now %s; it keeps its place",
                patient,
                entry.lung_rads or "unknown",
                classes[patient] or "unknown",
            )


def _log_summary(frame: pd.DataFrame, settings: Settings, published: bool) -> None:
    first = frame[frame["fold"] == frame["fold"].iloc[0]]
    for name, rows in first.groupby("lung_rads"):
        counts = Counter(rows["role"])
        if settings.mode == FIXED:
            log.info("%s: %s", name or "unknown", ", ".join(f"{counts[r]} {r}" for r in ROLES))
            _log_quota(str(name) or "unknown", counts, settings, published)
        elif len(rows) < settings.folds:
            log.warning(
                "%s: %d patients in %d folds: some folds test none of this class",
                name or "unknown",
                len(rows),
                settings.folds,
            )


def _log_quota(name: str, counts: Counter[str], settings: Settings, published: bool) -> None:
    wanted = {"test": settings.test_per_class, "validation": settings.validation_per_class}
    if published:
        del wanted["test"]
    for role, n in wanted.items():
        if counts[role] < n:
            log.warning("%s: %d %s patients, where %d were asked", name, counts[role], role, n)
        elif counts[role] > n:
            log.info("%s: the ledger's %d %s patients are kept", name, counts[role], role)
