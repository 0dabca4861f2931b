"""Choose the real slices that train, validate and test in one fold."""

from __future__ import annotations

import hashlib
import logging
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from lungaug.census import WITH_LUNGS
from lungaug.cohort import ROLES, SLICE_COLUMNS, SPLIT_COLUMNS, read_table, write_table
from lungaug.errors import InputError
from lungaug.listing import SliceFiles
from lungaug.settings import setting
from lungaug.store import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Choice:
    """Which slices of a patient are used.

    A slice with a nodule is used even where no lungs were found: leaving out what is hard to
    segment would flatter. (A patient without lungs on any slice has no role.) Slices without a
    nodule are taken where there are lungs, except by ``all``, which takes every slice.
    """

    which: Literal["nodule", "nodule_and_healthy", "all"] = setting(
        "nodule_and_healthy",
        "nodule: the published way; nodule_and_healthy: with some slices without; all: every slice",
    )
    healthy_per_patient: int = setting(
        4, "slices without a nodule a patient, evenly spread (nodule_and_healthy)", minimum=0
    )


@dataclass(frozen=True)
class Settings:
    """Which slices train, and which validate and test."""

    seed: int = setting(0, "where the even spread starts", minimum=0)
    train: Choice = setting(Choice, "slices of training patients")
    evaluate: Choice = setting(Choice, "slices of validation and test patients")


def run(
    *,
    preprocess: list[Path],
    split: Path,
    fold: str,
    output: Path,
    root: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``slices.tsv`` of a fold, sorted by role, patient and place.

    Raises:
        InputError: nothing trains that has a nodule, or nothing validates or tests.
    """
    table = read_table(split, SPLIT_COLUMNS)
    table = table[table["fold"] == fold]
    roles = dict(zip(table["patient"], table["role"], strict=True))
    if not roles:
        raise InputError(f"{split}: no fold '{fold}'")
    rows: list[dict[str, Any]] = []
    with SliceFiles(root) as files:
        for path in sorted(preprocess):
            rows.extend(_chosen(files, files.name(path), roles, settings))
    frame = pd.DataFrame(rows, columns=list(SLICE_COLUMNS))
    frame = frame.sort_values(
        ["role", "patient", "file", "group", "row"],
        key=lambda c: c.map(ROLES.index) if c.name == "role" else c,
        ignore_index=True,
    )
    _check(frame, fold, settings)
    write_table(output, frame)


def spread(n: int, k: int, seed: int, name: str) -> list[int]:
    """``k`` of ``n`` positions, evenly spread, from a start drawn from the seed and the name."""
    if k >= n:
        return list(range(n))
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    start = int.from_bytes(digest[:6], "big") / 2**48
    return [int((i + start) * n / k) for i in range(k)]


def _chosen(
    files: SliceFiles, name: str, roles: Mapping[str, str], settings: Settings
) -> Iterator[dict[str, Any]]:
    healthy: dict[str, list[dict[str, Any]]] = {}
    unknown: Counter[str] = Counter()
    for place, fields in files.places(name):
        patient = fields["patient"].decode()
        if patient not in roles:
            continue
        role = roles[patient]
        choice = settings.train if role == "train" else settings.evaluate
        row = files.describe(place, role)
        if not row["n_nodule_px"] and math.isnan(float(fields["diameter_mm"])):
            unknown[patient] += 1  # nobody looked for nodules there: it is no healthy slice
        elif row["n_nodule_px"] or choice.which == "all":
            yield row
        elif choice.which == "nodule_and_healthy" and fields["status"] in WITH_LUNGS:
            healthy.setdefault(patient, []).append(row)
    for patient, n in sorted(unknown.items()):
        log.warning("%s: %d slices are left out: nobody looked for nodules there", patient, n)
    for patient, candidates in healthy.items():
        choice = settings.train if roles[patient] == "train" else settings.evaluate
        k = choice.healthy_per_patient
        yield from (candidates[i] for i in spread(len(candidates), k, settings.seed, patient))


def _check(frame: pd.DataFrame, fold: str, settings: Settings) -> None:
    for role in ROLES:
        rows = frame[frame["role"] == role]
        ill = int((rows["n_nodule_px"] > 0).sum())
        patients = rows["patient"].nunique()
        log.info("%s: %d slices of %d patients, %d with a nodule", role, len(rows), patients, ill)
        section = "train" if role == "train" else "evaluate"
        which = getattr(settings, section).which
        if rows.empty:
            raise InputError(
                f"fold {fold}: no slice for {role} (select.{section}.which is {which}); accepted: "
                "patients of that role whose slices were searched for nodules, see check_cohort.tsv"
            )
        if not ill and role == "train":
            raise InputError(
                f"fold {fold}: no training slice has a nodule; accepted: at least one annotated "
                "training patient (see ingest/*.nodules.tsv and split.tsv)"
            )
        if not ill:
            log.warning("fold %s: no %s slice has a nodule", fold, role)
