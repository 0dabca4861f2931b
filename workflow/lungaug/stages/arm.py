"""List what one arm trains with in one fold: real slices and the expansions that it names."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungaug.arms import Arm, parse_arm
from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, read_table, write_table
from lungaug.errors import InputError
from lungaug.evaluation.audit import (
    AuditSettings,
    Evidence,
    audit,
    expansion_places,
    places_of,
    stop_if_failed,
)
from lungaug.listing import SliceFiles
from lungaug.metalung.operations import DEFAULT_OPERATIONS, OPERATIONS, replay
from lungaug.store import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(AuditSettings):
    """How strictly the arm is audited: as the audit of its fold."""


def run(
    *,
    slices: Path,
    split: Path,
    fold: str,
    arm: str,
    preprocess: list[Path],
    expansions: list[Path],
    root: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``<arm>.tsv``, a row a training slice, once an audit of these rows has passed.

    Raises:
        SettingError: the arm's name is unknown.
        InputError: the arm adds nothing, or nothing in it has a nodule.
        LeakageError: the audit failed; ``<arm>.failed.tsv`` holds its findings.
    """
    output.unlink(missing_ok=True)
    wanted = parse_arm(arm, list(OPERATIONS), list(DEFAULT_OPERATIONS))
    table, division = read_table(slices, SLICE_COLUMNS), read_table(split, SPLIT_COLUMNS)
    real_rows = table[table["role"] == "train"]
    with SliceFiles(root) as files:
        names = [files.name(path) for path in expansions]
        origins = {f"metalung:{name}" for name in OPERATIONS}
        places, wrong = expansion_places(files, names, origins, division, fold)
        described = [files.describe(place, "train") for place in places]
        added = pd.DataFrame(described, columns=list(SLICE_COLUMNS))
        added = added[added["origin"].isin([f"metalung:{name}" for name in wanted.operations])]
        rows = pd.concat([real_rows, added], ignore_index=True) if len(added) else real_rows
        told = pd.concat([rows, table[table["role"] != "train"]], ignore_index=True)
        evidence = Evidence.of(files, preprocess, division, fold, told)
        training = places_of(rows, "train")
        findings = audit(evidence, training, replay, settings.fingerprints, unscored=False)
    stop_if_failed([*wrong, *findings], output.with_suffix(".failed.tsv"))
    _check(wanted, rows, fold)
    write_table(output, rows)


def _check(arm: Arm, rows: pd.DataFrame, fold: str) -> None:
    counts = Counter(rows["origin"])
    log.info("arm %s: %s", arm.name, ", ".join(f"{n} {origin}" for origin, n in counts.items()))
    empty = [name for name in arm.operations if not counts[f"metalung:{name}"]]
    if empty and len(empty) == len(arm.operations):
        raise InputError(
            f"arm {arm.name}, fold {fold}: adds no slice, so it would be the arm without; "
            "accepted: operations that apply somewhere (see metalung/*/*.skipped.tsv)"
        )
    for name in empty:
        log.warning("arm %s, fold %s: %s adds no slice", arm.name, fold, name)
    if not (rows["n_nodule_px"] > 0).any():
        raise InputError(f"arm {arm.name}, fold {fold}: no training slice has a nodule")
