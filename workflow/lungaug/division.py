"""The division of patients into training, validation and test: pure functions, patients only.

A patient that has a place keeps it, whoever joins or leaves the cohort and whatever the settings
say now: a model that once trained on a patient must never be tested on that patient later.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lungaug.errors import InputError

FIXED = "fixed"
CROSS_VALIDATION = "cross_validation"


@dataclass(frozen=True)
class Quotas:
    """How many patients of each class are held out.

    Attributes:
        test, validation: patients a class, where the class is large enough.
        test_share, validation_share: at most this share of a class, so that a small one trains.
    """

    test: int
    validation: int
    test_share: float
    validation_share: float

    def of(self, n_patients: int) -> dict[str, int]:
        """Patients to hold out of a class of ``n_patients``."""
        # The small term keeps a product such as 0.29 * 100 from losing a patient to rounding.
        return {
            "test": min(self.test, int(self.test_share * n_patients + 1e-9)),
            "validation": min(self.validation, int(self.validation_share * n_patients + 1e-9)),
        }


def fold_names(mode: str, folds: int) -> list[str]:
    """The folds of a mode: ``fixed`` alone, or ``cv0``, ``cv1``, …"""
    return [FIXED] if mode == FIXED else [f"cv{i}" for i in range(folds)]


def assign_roles(
    classes: Mapping[str, str], known: Mapping[str, str], quotas: Quotas, seed: int
) -> dict[str, str]:
    """Roles of the patients that have none: they fill their class's test, then its validation.

    Args:
        classes: class of every patient of the cohort; '' where unknown, a class of its own.
        known: roles given before, by patient; those of absent patients fill no quota.
        quotas: how many to hold out.
        seed: of the order in which patients that come together are placed.

    Returns:
        train, validation or test for each patient that is not in ``known``.
    """
    roles: dict[str, str] = {}
    for members in _members(classes).values():
        held = Counter(known[p] for p in members if p in known)
        wanted = quotas.of(len(members))
        for patient in _shuffled([p for p in members if p not in known], seed):
            role = next((r for r in ("test", "validation") if held[r] < wanted[r]), "train")
            held[role] += 1
            roles[patient] = role
    return roles


def assign_parts(
    classes: Mapping[str, str], known: Mapping[str, int], folds: int, seed: int
) -> dict[str, int]:
    """Parts of the patients that have none: the smallest part of the class, then the smallest.

    Args:
        classes: class of every patient of the cohort.
        known: parts given before, by patient; absent patients do not count.
        folds: number of parts.
        seed: of the order in which patients that come together are placed.

    Returns:
        0 to ``folds`` - 1 for each patient that is not in ``known``.
    """
    parts: dict[str, int] = {}
    total = Counter(part for patient, part in known.items() if patient in classes)
    for members in _members(classes).values():
        held = Counter(known[p] for p in members if p in known)
        for patient in _shuffled([p for p in members if p not in known], seed):
            # Without the second term, classes of one patient would all land in part 0.
            part = min(range(folds), key=lambda i: (held[i], total[i], i))
            held[part] += 1
            total[part] += 1
            parts[patient] = part
    return parts


def roles_of_fold(parts: Mapping[str, int], fold: int, folds: int) -> dict[str, str]:
    """Fold ``i`` tests on part ``i``, validates on the part after it and trains on the rest."""
    special = {fold: "test", (fold + 1) % folds: "validation"}
    return {patient: special.get(part, "train") for patient, part in parts.items()}


def part_of(classes: Mapping[str, str], share: float, seed: int) -> set[str]:
    """A share of the patients of each class, at least one of a class, for learning curves.

    Args:
        classes: class by patient.
        share: above 0, up to 1.
        seed: of the order in which a growing share takes patients in; a larger share holds a
            smaller one.
    """
    kept: set[str] = set()
    for members in _members(classes).values():
        # The small term keeps 0.1 * 30 from becoming four patients by rounding.
        n_kept = max(1, math.ceil(share * len(members) - 1e-9))
        kept.update(_shuffled(members, seed)[:n_kept])
    return kept


def check_roles(
    roles: Mapping[str, str], classes: Mapping[str, str], quotas: Quotas | None = None
) -> None:
    """Refuse a fixed division in which a role has nobody.

    Args:
        roles: by patient.
        classes: by patient.
        quotas: how many are held out; None where a publication says who.

    Raises:
        InputError: with the numbers, and what to do.
    """
    counts = Counter(roles.values())
    empty = [role for role in ("train", "validation", "test") if not counts[role]]
    if not empty:
        return
    sizes = Counter(classes.values())
    listed = ", ".join(f"{name or 'unknown'} {sizes[name]}" for name in sorted(sizes))
    least = math.ceil(1 / min(quotas.test_share, quotas.validation_share)) if quotas else 1
    shares = (
        f"a class of at least {least} patients, or larger shares (split.test_share is "
        f"{quotas.test_share:g}, split.validation_share {quotas.validation_share:g})"
        if quotas
        else "a validation patient among those published for training (split.validation_share)"
    )
    raise InputError(
        f"{len(roles)} patients leave nobody for {' and '.join(empty)} (patients by class: "
        f"{listed}; split.mode is {FIXED}); accepted: {shares}, or split.mode: {CROSS_VALIDATION} "
        "with 3 patients or more"
    )


def check_parts(parts: Mapping[str, int], folds: int) -> None:
    """Refuse a cross-validation in which a part has nobody.

    Raises:
        InputError: with the number of folds that would be accepted.
    """
    if len(parts) < folds:
        fits = f"3 to {len(parts)} folds" if len(parts) >= 3 else "at least 3 patients"
        raise InputError(
            f"{len(parts)} patients in {folds} folds (split.folds is {folds}); accepted: {fits}"
        )
    empty = sorted(set(range(folds)) - set(parts.values()))
    if empty:
        raise InputError(
            f"part {empty[0]} of {folds} has lost all its patients; accepted: a patient in every "
            "part; another number of folds makes a new division"
        )


def _members(classes: Mapping[str, str]) -> dict[str, list[str]]:
    members: dict[str, list[str]] = {}
    for patient, name in sorted(classes.items(), key=lambda pair: (pair[1], pair[0])):
        members.setdefault(name, []).append(patient)
    return members


def _shuffled(patients: Iterable[str], seed: int) -> list[str]:
    """In an order that depends on the seed and the names alone."""
    return sorted(patients, key=lambda p: hashlib.sha256(f"{seed}/{p}".encode()).digest())
