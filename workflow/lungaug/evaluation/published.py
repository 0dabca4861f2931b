"""Our scores beside those that a publication reports for the same arms."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.evaluation.captions import patient_words
from lungaug.evaluation.layout import (
    MISSING,
    score_cell,
)

KEYS = ("segmenter", "arm", "metric", "group")
COLUMNS = (*KEYS, "value")
TABLE_COLUMNS = ("table", "layout", "note")
LAYOUTS = ("arms", "before_after")
POOLED = "pooled"
_TITLES = {"dice": "Dice", "iou": "IoU", "precision": "precision", "recall": "recall"}

Key = tuple[str, str, str, str]


def read_published(path: Path) -> pd.DataFrame:
    """Published scores: ``COLUMNS``, a row a score; the group is ``pooled`` or a Lung-RADS class.

    Three more columns may say in which of the publication's tables a score stands (``table``, a
    word), how that table is laid out (``layout``, one of ``LAYOUTS``), and what to know of the
    score (``note``); they are empty where the file has none.

    Raises:
        InputError: a value is no number, a score is given twice, or a table is no word, has another
            layout, or compares other than two arms where it is one of before and after.
    """
    table = read_table(path, COLUMNS)
    for name in TABLE_COLUMNS:
        given = table[name] if name in table else pd.Series("", index=table.index)
        table[name] = given.astype(object).where(given.notna(), "").astype(str)
    values = pd.to_numeric(table["value"], errors="coerce")
    if values.isna().any():
        row = table[values.isna()].iloc[0]
        raise InputError(f"{path}: value '{row['value']}' of {row['arm']}; accepted: a number")
    twice = table[table.duplicated(["table", *KEYS])]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(f"{path}: {row['arm']}, {row['metric']}, {row['group']} is given twice")
    for word, part in table[table["table"] != ""].groupby("table", sort=False):
        _check_table(path, str(word), part)
    return table.assign(value=values)


def _check_table(path: Path, name: str, part: pd.DataFrame) -> None:
    if not re.fullmatch(r"\w+", name):
        raise InputError(f"{path}: table '{name}'; accepted: letters and digits, in every row")
    layouts = sorted(set(part["layout"]))
    if len(layouts) > 1 or layouts[0] not in LAYOUTS:
        accepted = " or ".join(LAYOUTS)
        raise InputError(f"{path}: table {name}: layout {', '.join(layouts)}; accepted: {accepted}")
    arms = list(dict.fromkeys(part["arm"]))
    if layouts == ["before_after"] and len(arms) != 2:
        found = ", ".join(arms)
        raise InputError(f"{path}: table {name}: arms {found}; accepted: one before, one after")


def told_scores(published: pd.DataFrame) -> dict[Key, float]:
    """Published scores by key; where tables differ in a last digit, the first counts."""
    keyed = published.drop_duplicates(list(KEYS))
    rows = keyed[list(KEYS)].astype(str).itertuples(index=False, name=None)
    return dict(zip(rows, keyed["value"].astype(float), strict=True))


def our_scores(scores: pd.DataFrame) -> dict[Key, object]:
    """Our scores by the same keys: those of the convention ``reference`` that weigh slices equally.

    A publication's mean over slices is comparable with these only: a mean over patients gives
    patients with few slices more weight.

    Args:
        scores: ``scores.tsv``.
    """
    ours = scores[scores["convention"] == "reference"]
    return {
        (str(r.segmenter), str(r.arm), str(r.metric), _published_group(str(r.group))): r
        for r in ours.itertuples(index=False)
        if str(r.group).startswith("slices")
    }


def _published_group(group: str) -> str:
    return group.removeprefix("slices").removeprefix(":") or POOLED


def beside(scores: pd.DataFrame, published: pd.DataFrame, decimals: int) -> pd.DataFrame:
    """Two rows an arm, ours and the published one; a column for each published score.

    Args:
        scores: ``scores.tsv``.
        published: from :func:`read_published`.
        decimals: of ours; published figures are shown to four.

    Returns:
        Text: segmenter, arm, source (ours, published), then the scores; one that is not there is –.
    """
    cells, told = our_scores(scores), told_scores(published)
    wanted = scores_of(published)
    rows = []
    for segmenter, arm in dict.fromkeys((s, a) for s, a, *_ in [*told, *cells]):
        mine = {title(*w): score_cell(cells.get((segmenter, arm, *w)), decimals) for w in wanted}
        theirs = {title(*w): published_cell(told.get((segmenter, arm, *w))) for w in wanted}
        rows.append({"segmenter": segmenter, "arm": arm, "source": "ours", **mine})
        rows.append({"segmenter": segmenter, "arm": arm, "source": "published", **theirs})
    return pd.DataFrame(rows)


def scores_of(published: pd.DataFrame) -> list[tuple[str, str]]:
    """Metric and group of the published scores, in their order."""
    pairs = zip(published["metric"].astype(str), published["group"].astype(str), strict=True)
    return list(dict.fromkeys(pairs))


def caption(level: float, *, pseudo_patients: bool = False) -> str:
    """What to know before comparing the two."""
    text = (
        "Convention 'reference', the published formulas. Both are means over slices with a nodule, "
        f"as published; ours with {100 * level:g} % intervals over patients. Published figures are "
        "from one training each, without intervals, and of another test set unless the run is on "
        "the published data: they show the order of size, no more."
    )
    return text + patient_words(pseudo_patients)


def title(metric: str, group: str) -> str:
    """The heading of a score."""
    name = _TITLES.get(metric, metric)
    return name if group == POOLED else f"{name} {group}"


def published_cell(value: float | None) -> str:
    """A published figure, to four decimals."""
    return MISSING if value is None or math.isnan(value) else f"{value:.4f}"
