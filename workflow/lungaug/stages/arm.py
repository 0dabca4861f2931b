"""List what one arm trains with in one fold: real slices and the expansions that it names."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lungaug.arms import GENERATORS
from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, read_table, write_table
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.audit import (
    AuditSettings,
    Evidence,
    Finding,
    Replay,
    audit,
    expansion_places,
    places_of,
    seen_findings,
    stop_if_failed,
    write_findings,
)
from lungaug.evaluation.crop_audit import check_crops
from lungaug.evaluation.patch_audit import check_patches
from lungaug.evaluation.seen import (
    SLICES,
    SPLIT,
    TABLE,
    file_digest,
    slice_file_digests,
    split_digest,
)
from lungaug.imaging.crop import CropSettings
from lungaug.insertion.protocol import Hu, Labels, Pair
from lungaug.insertion.replay import InsertionReplay
from lungaug.listing import RealSlices, SliceFiles
from lungaug.metalung.operations import OPERATIONS, replay
from lungaug.settings import setting
from lungaug.store import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(AuditSettings):
    """How strictly the arm is audited: as the audit of its fold; and which slices a ratio takes."""

    seed: int = setting(0, "seed of the draw where a ratio leaves slices out", minimum=0)
    crop: CropSettings = setting(CropSettings, "how nodules were cut; as in rois")


def run(
    *,
    slices: Path,
    split: Path,
    fold: str,
    arm: str,
    origins: list[str],
    preprocess: list[Path],
    expansions: list[Path],
    patches: list[Path],
    rois: Path | None = None,
    root: Path,
    output: Path,
    findings: Path,
    settings: Settings,
    provenance: Provenance,
    ratio: str = "",
) -> None:
    """Write ``<arm>.tsv``, a row a training slice, once an audit of these rows has passed.

    Args:
        slices: ``slices.tsv`` of the fold.
        split: ``split.tsv``.
        fold: the fold.
        arm: its name.
        origins: of the slices that it adds, such as ``metalung:mirror`` or ``inserted:dcgan``.
        preprocess: every preprocess file.
        expansions: files with the slices that it adds.
        patches: nodules that its generators made.
        rois: crops that its generators were fitted to; needed with patches.
        root: what the tables' paths are relative to.
        output: ``<arm>.tsv``.
        findings: ``<arm>.audit.tsv``, what the audit checked and saw.
        settings: of the audit.
        provenance: unused; a table carries no attributes.
        ratio: slices to add for each real one with a nodule; empty: all there are.

    Raises:
        SettingError: there is no such origin.
        InputError: the arm adds nothing, or nothing in it has a nodule.
        LeakageError: the audit failed; ``<arm>.failed.tsv`` holds its findings.
    """
    output.unlink(missing_ok=True)
    findings.unlink(missing_ok=True)
    known = [f"metalung:{name}" for name in OPERATIONS]
    known += [f"inserted:{name}" for name in GENERATORS]
    if not set(origins) <= set(known):
        raise SettingError(f"origins: got {origins}; accepted: {', '.join(known)}")
    table, division = read_table(slices, SLICE_COLUMNS), read_table(split, SPLIT_COLUMNS)
    real_rows = table[table["role"] == "train"]
    with SliceFiles(root) as files:
        names = [files.name(path) for path in expansions]
        places, wrong = expansion_places(files, names, known, division, fold)
        described = [files.describe(place, "train") for place in places]
        added = pd.DataFrame(described, columns=list(SLICE_COLUMNS))
        added = added[added["origin"].isin(origins)]
        if ratio:
            n_real = int((real_rows["n_nodule_px"] > 0).sum())
            added = thinned(added, round(float(ratio) * n_real), settings.seed, arm)
        rows = pd.concat([real_rows, added], ignore_index=True) if len(added) else real_rows
        told = pd.concat([rows, table[table["role"] != "train"]], ignore_index=True)
        evidence = Evidence.of(files, preprocess, division, fold, told)
        training = places_of(rows, "train")
        again = _replay(files, evidence.real, patches)
        found = [
            *audit(evidence, training, again, settings.fingerprints, unscored=False),
            *_generated(evidence, patches, rois, settings.crop),
        ]
    stop_if_failed([*wrong, *found], output.with_suffix(".failed.tsv"))
    _check(arm, origins, rows, fold)
    log.info("arm %s: audit passed, %d rows", arm, len(rows))
    write_table(output, rows)
    seen = {SPLIT: split_digest(division, fold), SLICES: file_digest(slices)}
    seen |= {TABLE: file_digest(output), **slice_file_digests(told["file"], root)}
    write_findings(findings, [*found, *seen_findings(seen)])


def thinned(added: pd.DataFrame, n_wanted: int, seed: int, arm: str) -> pd.DataFrame:
    """``n_wanted`` of the added rows in their order, drawn so that more hold all of fewer."""
    if len(added) < n_wanted:
        log.warning("arm %s: %d slices were asked for, there are %d", arm, n_wanted, len(added))
    names = added["file"] + "/" + added["group"] + "/" + added["row"].astype(str)
    drawn = names.map(lambda name: hashlib.sha256(f"{seed}/{name}".encode()).hexdigest())
    return added.loc[drawn.sort_values().index[:n_wanted].sort_values()]


def _generated(
    evidence: Evidence, patches: list[Path], rois: Path | None, settings: CropSettings
) -> list[Finding]:
    """The audit of what the generators were fitted to, and of what they made."""
    if not patches:
        return []
    if rois is None:
        raise InputError("rois: missing; accepted: the crops that generators were fitted to")
    held_out = [place for places in evidence.held_out.values() for place in places]
    findings = list(check_crops(evidence.files, evidence.real, rois, evidence.roles, settings))
    for path in patches:
        about = (evidence.files, path, rois, held_out, evidence.roles, settings)
        findings.extend(check_patches(*about))
    return findings


def _replay(files: SliceFiles, real: RealSlices, patches: list[Path]) -> Replay:
    """Altered slices made again, whatever made them."""
    patches_of = {path.parent.name: path for path in patches}
    inserted = InsertionReplay(files, real, patches_of.__getitem__)

    def again(origin: str, hu: Hu, nodule: Labels, parameters: Mapping[str, Any]) -> Pair:
        chosen = inserted if origin.startswith("inserted:") else replay
        return chosen(origin, hu, nodule, parameters)

    return again


def _check(arm: str, origins: list[str], rows: pd.DataFrame, fold: str) -> None:
    counts = Counter(rows["origin"])
    log.info("arm %s: %s", arm, ", ".join(f"{n} {origin}" for origin, n in counts.items()))
    empty = [origin for origin in origins if not counts[origin]]
    if empty and len(empty) == len(origins):
        raise InputError(
            f"arm {arm}, fold {fold}: adds no slice, so it would be the arm without; accepted: "
            "what applies somewhere (see metalung/*/*.skipped.tsv, <fold>/inserted/*.skipped.tsv)"
        )
    for origin in empty:
        log.warning("arm %s, fold %s: %s adds no slice", arm, fold, origin)
    if not (rows["n_nodule_px"] > 0).any():
        raise InputError(f"arm {arm}, fold {fold}: no training slice has a nodule")
