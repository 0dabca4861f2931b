"""Scores of ours as in ``scores.tsv`` and published ones, for the tests of their comparison."""

from __future__ import annotations

from pathlib import Path

from lungaug.evaluation.scores import SCORE_COLUMNS

HEADER = "segmenter\tarm\tmetric\tgroup\tvalue"


def score(
    arm: str,
    metric: str,
    group: str,
    estimate: float,
    *,
    convention: str = "reference",
    segmenter: str = "unet",
) -> dict[str, object]:
    """A row of ``scores.tsv``, with an interval of 0.1 on either side."""
    row = dict.fromkeys(SCORE_COLUMNS, float("nan"))
    names = {"segmenter": segmenter, "arm": arm, "metric": metric, "group": group}
    numbers = {"estimate": estimate, "low": estimate - 0.1, "high": estimate + 0.1}
    return {**row, **names, **numbers, "convention": convention, "n_patients": 9}


def write_published(folder: Path, text: str, header: str = HEADER) -> Path:
    """A file of published scores."""
    path = folder / "told.tsv"
    path.write_text(f"{header}\n{text}", encoding="utf-8")
    return path
