"""Our scores beside those that a publication reports for the same arms."""

from __future__ import annotations

import math
import textwrap
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.evaluation.layout import CAPTION_WIDTH, MISSING, score_cell

COLUMNS = ("segmenter", "arm", "metric", "group", "value")
_TITLES = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall"}


def read_published(path: Path) -> pd.DataFrame:
    """Published scores: ``COLUMNS``, a row a score; the group is ``pooled`` or a Lung-RADS class.

    Raises:
        InputError: a value is no number, or a score is given twice.
    """
    table = read_table(path, COLUMNS)
    values = pd.to_numeric(table["value"], errors="coerce")
    if values.isna().any():
        row = table[values.isna()].iloc[0]
        raise InputError(f"{path}: value '{row['value']}' of {row['arm']}; accepted: a number")
    twice = table[table.duplicated(list(COLUMNS[:-1]))]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(f"{path}: {row['arm']}, {row['metric']}, {row['group']} is given twice")
    return table.assign(value=values)


def beside(scores: pd.DataFrame, published: pd.DataFrame, decimals: int) -> pd.DataFrame:
    """Two rows an arm, ours and the published one; a column for each published score.

    Args:
        scores: ``scores.tsv``; the convention ``reference`` is used, as the publication did.
        published: from :func:`read_published`.
        decimals: of ours; published figures are shown to four.

    Returns:
        Text: segmenter, arm, source (ours, published), then the scores; one that is not there is –.
    """
    ours = scores[scores["convention"] == "reference"]
    cells = {(r.segmenter, r.arm, r.metric, r.group): r for r in ours.itertuples(index=False)}
    told = {(r.segmenter, r.arm, r.metric, r.group): r for r in published.itertuples(index=False)}
    pairs = zip(published["metric"].astype(str), published["group"].astype(str), strict=True)
    wanted = list(dict.fromkeys(pairs))
    rows = []
    for segmenter, arm in dict.fromkeys((s, a) for s, a, *_ in [*told, *cells]):
        mine = {_title(*w): score_cell(cells.get((segmenter, arm, *w)), decimals) for w in wanted}
        theirs = {_title(*w): _value(told.get((segmenter, arm, *w))) for w in wanted}
        rows.append({"segmenter": segmenter, "arm": arm, "source": "ours", **mine})
        rows.append({"segmenter": segmenter, "arm": arm, "source": "published", **theirs})
    return pd.DataFrame(rows)


def caption(level: float) -> str:
    """What to know before comparing the two."""
    return textwrap.fill(
        "Convention 'reference', the published formulas. Ours are means over patients with "
        f"{100 * level:g} % intervals; published figures are means over slices of another test "
        "set, from one training each, without intervals: they show the order of size, no more.",
        CAPTION_WIDTH,
    )


def _title(metric: str, group: str) -> str:
    name = _TITLES.get(metric, metric)
    return name if group == "pooled" else f"{name} {group}"


def _value(row: object | None) -> str:
    value = math.nan if row is None else float(getattr(row, "value"))  # noqa: B009
    return MISSING if math.isnan(value) else f"{value:.4f}"
