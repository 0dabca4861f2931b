"""tables: all metrics become scores with intervals, comparisons, and the main table."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lungaug.cohort import write_table, write_text
from lungaug.evaluation.captions import caption
from lungaug.evaluation.collect import classes_of, held_out_metrics, rounded
from lungaug.evaluation.layout import (
    LESION_CLASSES,
    View,
    as_latex,
    as_markdown,
    lesion_classes,
    main_table,
    trainings_of,
    unchosen_folds,
)
from lungaug.evaluation.paired import Test
from lungaug.evaluation.scores import Resampling, comparison_table, patient_scores, score_table
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """Intervals, and what the main table shows."""

    seed: int = setting(0, "seed of the resampling", minimum=0)
    n_resamples: int = setting(
        10_000, "draws of the patients' weights and signs for intervals and tests", minimum=1000
    )
    level: float = setting(
        0.95, "nominal coverage of the intervals", exclusiveMinimum=0.5, exclusiveMaximum=1
    )
    minimum_patients: int = setting(
        5, "fewer patients get no interval and no test; fewer than 5 tell nothing", minimum=5
    )
    test: Test = setting(
        "sign_flip",
        "how differences are tested and their intervals found; sign_flip: by flipped signs, a test "
        "of symmetry; bounded: holds whatever the law of the differences, but few patients prove "
        "large differences only",
    )
    convention: Literal["standard", "reference"] = setting(
        "standard", "convention of the main table; scores.tsv has both"
    )
    decimals: int = setting(2, "decimals of the main table", minimum=1, maximum=6)
    threshold: float | None = setting(
        None,
        "threshold of the predicted masks; null: chosen on validation patients; as in evaluate",
    )
    pseudo_patients: bool = setting(False, "whether the data name no patients; told in captions")


def run(
    *,
    metrics: list[Path],
    split: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``scores.tsv``, ``comparisons.tsv`` and ``main.tsv``, ``.md``, ``.tex``.

    Args:
        metrics: every ``metrics.tsv``, all folds, arms, segmenters and seeds.
        split: ``split.tsv``: the class of each patient.
        output: a folder.
        settings: of the statistics and the main table.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: no test slice in any of the tables, or a slice tested twice.
    """
    rows, classes = held_out_metrics(metrics), classes_of(split)
    values = patient_scores(rows, classes)
    resampling = Resampling(
        settings.seed,
        settings.n_resamples,
        settings.level,
        settings.minimum_patients,
        settings.test,
    )
    scores = score_table(values, resampling)
    comparisons = comparison_table(values, resampling)
    write_table(output / "scores.tsv", rounded(scores))
    write_table(output / "comparisons.tsv", rounded(comparisons))
    tested = Counter(map(str, classes[rows["patient"].unique()]))
    view = View(
        settings.convention,
        settings.decimals,
        settings.level,
        settings.minimum_patients,
        settings.threshold,
        unchosen_folds(rows),
        settings.pseudo_patients,
        settings.test,
    )
    main = main_table(scores, comparisons, trainings_of(rows), tested, view)
    absent = [name for name in LESION_CLASSES if name not in lesion_classes(scores)]
    text = caption(tested, view, absent)
    write_table(output / "main.tsv", main)
    write_text(output / "main.md", as_markdown(main, text))
    write_text(output / "main.tex", as_latex(main, text))
    logger.info("%d arms of %d segmenters", len(main), main["segmenter"].nunique())
