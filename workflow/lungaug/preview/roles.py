"""Who would get which role: as stage split divides, with a ledger that is only read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from lungaug import configuration, grid
from lungaug.errors import InputError, LungaugError
from lungaug.insertion.hosts import HostSettings
from lungaug.ledger import SeenLedger
from lungaug.preview.setup import Setup
from lungaug.preview.stages import Seen
from lungaug.stages import check_cohort, split

WHOLE = "left out whole: a file of the patient cannot be used"


@dataclass
class Roles:
    """A division that nobody is bound by.

    Attributes:
        reasons: why patients would have no role, by pseudonym.
        roles: of the others, by fold and pseudonym; empty where a run would stop.
        known: patients whose place is in the ledger.
        faults: what a run would stop at.
        note: why the ledger was not read, '' if it was or there is none.
    """

    reasons: dict[str, str] = field(default_factory=dict)
    roles: dict[str, dict[str, str]] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    note: str = ""

    def of(self, patient: str) -> str:
        """A patient's role in words; the tested fold where there are several."""
        own = {fold: roles[patient] for fold, roles in self.roles.items() if patient in roles}
        if len(self.roles) > 1:
            return ", ".join(f"tests in {fold}" for fold, role in own.items() if role == "test")
        return next(iter(own.values()), "")


def assign(setup: Setup, seen: Seen) -> Roles:
    """Divide the patients as a run would now, writing nothing."""
    parts = {row["patient"]: row["part"] for row in seen.cohort if row["part"]}
    found = seen.found
    answer = Roles(split.reasons_to_leave_out(found, parts))
    absent = {row["patient"] for row in seen.cohort} - set(found)
    answer.reasons |= dict.fromkeys(absent, WHOLE)
    classes = {p: one.lung_rads for p, one in found.items() if p not in answer.reasons}
    try:
        _divide(setup, seen, answer, classes, parts)
    except LungaugError as error:
        answer.faults.append(f"split: {error}")
    if answer.roles:
        answer.faults += missing(setup, seen, answer)
    return answer


def _divide(
    setup: Setup, seen: Seen, answer: Roles, classes: Mapping[str, str], parts: Mapping[str, str]
) -> None:
    settings = setup.stage(split.Settings, "split")
    if not seen.found:
        raise InputError("no patient has a slice that can be used")
    split.check_nodules(classes, seen.found, answer.reasons)
    book = _ledger(setup.ledger, seen.has_key, answer)
    known = book.entries(settings.mode, 0 if settings.mode == "fixed" else settings.folds)
    answer.known = set(known) & set(classes)
    answer.roles = split.divided(classes, book, settings, parts, present=set(seen.found))


def _ledger(path: Path, has_key: bool, answer: Roles) -> SeenLedger:
    if path.is_file() and not has_key:
        answer.note = (
            "The ledger names patients by pseudonyms, and the key that they were made with is not "
            "here, so that its places are not shown."
        )
        return SeenLedger(None)
    return SeenLedger(path if path.is_file() else None)


def missing(setup: Setup, seen: Seen, answer: Roles) -> list[str]:
    """What stage check_cohort would stop at."""
    settings = check_settings(setup)
    folds = {fold: answer.roles[fold] for fold in grid.full_folds(setup.config)}
    groups = list(check_cohort.grouped(folds, seen.found, seen.hosts))
    faults = check_cohort.faults(groups, settings)
    return [f"check_cohort: {fault}" for fault in dict.fromkeys(faults)]


def check_settings(setup: Setup) -> check_cohort.Settings:
    """The settings of stage check_cohort."""
    needs = configuration.needs_of_cohort(setup.config, setup.schema)
    return setup.stage(check_cohort.Settings, "check_cohort", **needs)


def hosts(setup: Setup) -> HostSettings | None:
    """Which slices may receive a nodule; None where nothing is inserted."""
    return check_settings(setup).hosts
