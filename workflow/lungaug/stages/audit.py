"""Prove that nothing of a validation or test patient trains in a fold, or stop the run."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, read_table
from lungaug.evaluation.audit import (
    AuditSettings,
    Evidence,
    Finding,
    audit,
    expansion_places,
    places_of,
    seen_findings,
    stop_if_failed,
    write_findings,
)
from lungaug.evaluation.crop_audit import check_crops
from lungaug.evaluation.near_copies import NearCopySettings, check_copies
from lungaug.evaluation.seen import SLICES, SPLIT, file_digest, slice_file_digests, split_digest
from lungaug.imaging.crop import CropSettings
from lungaug.listing import SliceFiles
from lungaug.metalung.operations import OPERATIONS, replay
from lungaug.settings import setting
from lungaug.store import Provenance

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(AuditSettings):
    """How strict the audit is."""

    crop: CropSettings = setting(CropSettings, "how nodules were cut; as in rois")
    copies: NearCopySettings = setting(
        NearCopySettings, "how slices are compared whose every pixel may have been changed"
    )


def run(
    *,
    slices: Path,
    split: Path,
    fold: str,
    preprocess: list[Path],
    expansions: list[Path],
    rois: Path | None = None,
    root: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``audit.tsv``: check, subject, outcome, detail.

    Its last rows are digests of what was seen, which trainings compare with what they read.

    Args:
        slices: ``slices.tsv`` of the fold.
        split: ``split.tsv``.
        fold: the fold.
        preprocess: every preprocess file.
        expansions: files with altered slices of training patients.
        rois: crops that generators learn from, where there are any.
        root: what the tables' paths are relative to.
        output: ``audit.tsv``.
        settings: of the audit.
        provenance: unused; a table carries no attributes.

    Raises:
        LeakageError: something failed; ``audit.failed.tsv`` holds all findings then, and there is
            no ``audit.tsv``.
    """
    output.unlink(missing_ok=True)
    table, division = read_table(slices, SLICE_COLUMNS), read_table(split, SPLIT_COLUMNS)
    with SliceFiles(root) as files:
        evidence = Evidence.of(files, preprocess, division, fold, table)
        origins = [f"metalung:{name}" for name in OPERATIONS]
        names = [files.name(path) for path in expansions]
        added, wrong = expansion_places(files, names, origins, division, fold)
        training = [*places_of(table, "train"), *added]
        findings = [
            *wrong,
            *audit(evidence, training, replay, settings.fingerprints, unscored=True),
            *check_copies(evidence, settings.copies),
            *_crop_findings(evidence, rois, settings.crop),
        ]
    stop_if_failed(findings, output.with_suffix(".failed.tsv"))
    log.info("fold %s: %d training rows, no leakage found", fold, len(training))
    seen = {SPLIT: split_digest(division, fold), SLICES: file_digest(slices)}
    if rois is not None:
        seen |= slice_file_digests([files.name(rois)], root)
    write_findings(output, [*findings, *seen_findings(seen)])


def _crop_findings(evidence: Evidence, rois: Path | None, settings: CropSettings) -> list[Finding]:
    if rois is None:
        return []
    return list(check_crops(evidence.files, evidence.real, rois, evidence.roles, settings))
