"""Divide the patients into training, validation and test; the ledger keeps every earlier place."""

from __future__ import annotations

import csv
import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import pandas as pd

from lungaug.census import Found, find_patients
from lungaug.cohort import ROLES, SPLIT_COLUMNS, read_table, write_rows, write_table
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
from lungaug.store import Provenance

LEFT_OUT_COLUMNS = ("patient", "reason")
_SHOWN = 20

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
    preprocess: list[Path],
    ledger: Path,
    output: Path,
    left_out: Path,
    settings: Settings,
    provenance: Provenance,
    cohort: Path | None = None,
) -> None:
    """Write ``split.tsv``: fold, patient, lung_rads, role; and add new patients to the ledger.

    Args:
        preprocess: slice files of all batches.
        ledger: earlier places.
        output: the table.
        left_out: table to write (patient, reason): whoever has no role, and why. A patient of the
            ledger who is left out keeps the place there, for the day of the return.
        settings: see :class:`Settings`.
        provenance: unused; a table carries no attributes.
        cohort: the scan's table; who is published as a test patient there tests, and no one else.

    Raises:
        InputError: there are too few patients, or nobody has a nodule.
        SettingError: cross-validation of a cohort whose test patients are published.
        LeakageError: the ledger has a published test patient in another role, or the reverse.
        FileFormatError: the ledger or the cohort's table is damaged.
    """
    found = find_patients(preprocess)
    if not found:
        raise InputError("no patient has a slice that can be used; see the rejected files' tables")
    parts = published_parts(cohort) if cohort else {}
    reasons = reasons_to_leave_out(found, parts)
    reasons |= dict.fromkeys(_absent(cohort, found), "left out whole: see ingest/*.rejected.tsv")
    _log_left_out(reasons, found)
    classes = {patient: found[patient].lung_rads for patient in found if patient not in reasons}
    check_nodules(classes, found, reasons)
    with locked_ledger(ledger) as book:
        roles = divided(classes, book, settings, parts, present=set(found))
    frame = pd.DataFrame(
        [(f, p, classes[p], roles[f][p]) for f in roles for p in sorted(classes)],
        columns=list(SPLIT_COLUMNS),
    )
    _log_summary(frame, settings, bool(parts))
    _log_slices(frame, found)
    rows = [{"patient": patient, "reason": reasons[patient]} for patient in sorted(reasons)]
    write_rows(left_out, LEFT_OUT_COLUMNS, rows)
    write_table(output, frame)


def _absent(cohort: Path | None, found: Mapping[str, Found]) -> set[str]:
    """Whoever the scan found and ingest left out whole."""
    if cohort is None:
        return set()
    return set(read_table(cohort, ("patient",))["patient"].astype(str)) - set(found)


def reasons_to_leave_out(
    found: Mapping[str, Found], parts: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Why patients get no role, by patient: a role, once given, stays in the ledger for good.

    Args:
        found: what preprocess found of each patient.
        parts: who is published as a training or test patient, who keeps that role in any case.
    """
    reasons = {p: _reason(one) for p, one in found.items() if p not in (parts or {})}
    return {patient: reason for patient, reason in reasons.items() if reason}


def _reason(found: Found) -> str:
    if not found.lungs:
        marked = ", though some have a nodule" if found.nodule else ""
        return (
            f"no lungs on any slice{marked}: no chest CT, or values that are no HU (see "
            "preprocess/*.skipped.tsv)"
        )
    if found.lung_rads:
        return ""
    if found.nodule_without_mm:
        return (
            "Lung-RADS class unknown: slices with a nodule have no known spacing "
            "(ingest.assumed_spacing_mm is null), and the sheet names no class"
        )
    if found.unseen < found.slices:
        return (
            "Lung-RADS class unknown: too few readers marked the nodules (ingest.lidc), and the "
            "sheet names no class"
        )
    return (
        "Lung-RADS class unknown: no mask or contour matched (ingest.unannotated is unknown), and "
        "the sheet names no class"
    )


def check_nodules(
    classes: Mapping[str, str], found: Mapping[str, Found], reasons: Mapping[str, str]
) -> None:
    """Refuse a cohort in which nobody could train, before the ledger knows of it.

    A patient whose class says that there are nodules counts, though masks are still to come.

    Raises:
        InputError: with the reasons and their numbers.
    """
    if any(name != "LR1" or found[patient].nodule for patient, name in classes.items()):
        return
    left = "".join(
        f"\n  {counted(n, 'patient', 'patients')} left out: {reason}"
        for reason, n in Counter(reasons.values()).most_common()
    )
    what = f"healthy (LR1) patients: {len(classes)}, others: none" if classes else "no patient left"
    raise InputError(
        f"{what}: no slice has a nodule, so that nothing can train; accepted: at least one patient "
        "with a nodule (python -m lungaug.preview shows what was matched; the ledger is "
        f"unchanged){left}"
    )


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
    classes: Mapping[str, str],
    book: Ledger,
    settings: Settings,
    parts: Mapping[str, str],
    present: Collection[str] = (),
) -> dict[str, dict[str, str]]:
    """Roles by fold and patient, new patients placed and entered in the ledger.

    Args:
        classes: of the patients who get a role.
        book: the ledger.
        settings: see :class:`Settings`.
        parts: who is published as a training or test patient.
        present: the cohort's patients, those without a role among them.
    """
    entries = _entries(book, settings, parts)
    _log_ledger(classes, entries, settings, {*classes, *present})
    added, roles = placed(classes, entries, settings, parts)
    folds = _n_folds(settings)
    book.append(
        Entry(settings.mode, folds, p, classes[p], added[p], settings.seed) for p in sorted(added)
    )
    return roles


def _n_folds(settings: Settings) -> int:
    return 0 if settings.mode == FIXED else settings.folds


def _entries(book: Ledger, settings: Settings, parts: Mapping[str, str]) -> dict[str, Entry]:
    if parts and settings.mode != FIXED:
        raise SettingError(
            f"split.mode: got '{settings.mode}', but the source's test patients are published; "
            f"accepted: {FIXED}"
        )
    return book.entries(settings.mode, _n_folds(settings))


def earlier_places(ledger: Path, settings: Settings) -> dict[str, Entry]:
    """The places of a ledger, which is read and neither locked nor made; none without one.

    Raises:
        FileFormatError: the ledger is damaged.
    """
    return Ledger(ledger).entries(settings.mode, _n_folds(settings)) if ledger.is_file() else {}


def placed(
    classes: Mapping[str, str],
    entries: Mapping[str, Entry],
    settings: Settings,
    parts: Mapping[str, str],
) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """Places of the patients who are new, and everybody's roles by fold and patient.

    Raises:
        InputError: there are too few patients.
        LeakageError: the ledger has a published test patient in another role, or the reverse.
    """
    known = {patient: entry.place for patient, entry in entries.items()}
    if settings.mode == FIXED:
        return _fixed(classes, known, settings, parts)
    return _cross_validated(classes, known, settings)


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
    check_roles(roles, classes, None if parts else settings.quotas)
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
    classes: Mapping[str, str],
    entries: Mapping[str, Entry],
    settings: Settings,
    present: Collection[str],
) -> None:
    here = {patient: entry for patient, entry in entries.items() if patient in classes}
    if entries and not set(entries) & set(present):
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


def _log_left_out(reasons: Mapping[str, str], found: Mapping[str, Found]) -> None:
    """Count the reasons; each patient's is a row of the table."""
    for reason, n in Counter(reasons.values()).most_common():
        log.warning(
            "%s: %s", counted(n, "patient without a role", "patients without a role"), reason
        )


def _log_slices(frame: pd.DataFrame, found: Mapping[str, Found]) -> None:
    """Say of whom no slice is used, and which roles have no nodule."""
    unseen = [p for p in sorted(set(frame["patient"])) if found[p].unseen == found[p].slices]
    if unseen:
        listed = ", ".join(unseen[:_SHOWN]) + (" and others" if len(unseen) > _SHOWN else "")
        log.warning(
            "%s a class and no mask, so that none of the slices is used: %s",
            counted(len(unseen), "patient has", "patients have"), listed,
        )  # fmt: skip
    for (fold, role), rows in frame.groupby(["fold", "role"]):
        if not any(found[patient].nodule for patient in rows["patient"]):
            log.warning(
                "fold %s: none of %s has a slice with a nodule", fold,
                counted(len(rows), f"{role} patient", f"{role} patients"),
            )  # fmt: skip


def counted(n: int, one: str, more: str) -> str:
    return f"{n} {one if n == 1 else more}"


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
