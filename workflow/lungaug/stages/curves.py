"""curves: detections, probabilities and lesions of all trainings become curves and their tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import write_table, write_text
from lungaug.evaluation.collect import classes_of, held_out_metrics, held_out_rows, rounded
from lungaug.evaluation.curves import (
    HeldOut,
    calibration_table,
    caption,
    detection_tables,
    summary_blocks,
    summary_table,
)
from lungaug.evaluation.draws import patient_draws
from lungaug.evaluation.layout import latex_blocks, markdown_blocks
from lungaug.evaluation.scores import Resampling
from lungaug.evaluation.sizes import size_table
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Intervals of the curves, and the sizes that lesions are sorted into."""

    seed: int = setting(0, "seed of the resampling", minimum=0)
    n_resamples: int = setting(1000, "bootstrap resamples of the patients", minimum=100)
    level: float = setting(0.95, "coverage of the intervals; as in tables")
    minimum_patients: int = setting(5, "fewer patients get no interval; as in tables")
    sizes_mm: tuple[float, ...] = setting(
        (4.0, 6.0, 8.0, 15.0, 30.0), "limits between sizes of lesions, ascending, mm", minItems=1
    )
    decimals: int = setting(2, "decimals of the table of detection", minimum=1, maximum=6)
    pseudo_patients: bool = setting(False, "whether the data name no patients; told in captions")


def run(
    *,
    metrics: list[Path],
    detected: list[Path],
    lesions: list[Path],
    calibration: list[Path],
    split: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``detection.tsv``, ``.md``, ``.tex``, ``froc.tsv``, ``calibration.tsv``, ``sizes.tsv``.

    Args:
        metrics, detected, lesions, calibration: of every training, all folds, arms, segmenters and
            seeds.
        split: ``split.tsv``: the class of each patient.
        output: a folder.
        settings: of the intervals and sizes.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: no test slice in any of the tables, or limits of sizes that do not ascend.
    """
    rows, classes = held_out_metrics(metrics), classes_of(split)
    resampling = Resampling(
        settings.seed, settings.n_resamples, settings.level, settings.minimum_patients
    )
    held_out = HeldOut(
        metrics=rows,
        lesions=held_out_rows(lesions, ("diameter_mm", "hit", "dice"), ("key", "label")),
        detected=held_out_rows(detected, ("score", "box50_label", "hit_label")),
        calibration=held_out_rows(calibration, ("n_px", "probability_sum"), ("patient", "bin")),
        draws=patient_draws(rows["patient"].unique(), classes, resampling),
    )
    detection, froc = detection_tables(held_out)
    sizes = size_table(held_out.lesions, classes, settings.sizes_mm, resampling)
    write_table(output / "detection.tsv", rounded(detection))
    write_table(output / "froc.tsv", rounded(froc))
    write_table(output / "calibration.tsv", rounded(calibration_table(held_out)))
    write_table(output / "sizes.tsv", rounded(sizes))
    blocks = summary_blocks(summary_table(detection, settings.decimals))
    text = caption(
        settings.level, settings.minimum_patients, pseudo_patients=settings.pseudo_patients
    )
    write_text(output / "detection.md", markdown_blocks(blocks, text))
    write_text(output / "detection.tex", latex_blocks(blocks, text))
    logger.info("%d detections, %d lesions", len(held_out.detected), len(held_out.lesions))
