"""What the trainings took: time, memory and size, medians over the trainings of an arm.

Segmenters, and after them what stands in their column too: the classifier and the generators.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.evaluation.layout import MISSING
from lungaug.evaluation.scores import arm_order

NAMES = ("fold", "arm", "segmenter", "seed")
PLACES = ("device", "precision", "processes")
MEASURED = (
    "n_parameters",
    "steps",
    "samples",
    "seconds",
    "samples_per_second",
    "peak_mb",
    "peak_gpu_mb",
)
COLUMNS = (
    "segmenter",
    "arm",
    "trainings",
    *PLACES,
    *(f"{name}_{which}" for name in MEASURED for which in ("median", "lowest", "highest")),
)
_TITLES = {
    "n_parameters": "parameters",
    "steps": "steps",
    "samples_per_second": "samples a second",
    "seconds": "seconds",
    "peak_mb": "peak memory (MB)",
    "peak_gpu_mb": "peak GPU memory (MB)",
}
ALL_ARMS = "all"
CLASSIFIER = "presence"
GENERATOR = "generator"  # the arm of those: they are fitted to crops, and belong to no arm
CAPTION = (
    "Training alone, without imports and prediction, summed over interrupted runs; medians over "
    "the trainings (folds, shares of the patients, arms and seeds), in brackets the lowest and the "
    "highest. The classifier of slices (presence) and the generators, of which a sample is a crop, "
    "stand behind the segmenters; copypaste and gaussian learn no network. Peak memory is that of "
    "the process. Trainings that share a machine slow each other: "
    "compare seconds where each had its own."
)


def read_costs(paths: Sequence[Path]) -> pd.DataFrame:
    """All ``cost.tsv``, a row a training.

    Raises:
        InputError: there is none, or two of one training.
    """
    if not paths:
        raise InputError("no cost table; accepted: one of each training")
    tables = [read_table(path, (*NAMES, *PLACES, *MEASURED)) for path in paths]
    rows = pd.concat(tables, ignore_index=True)
    twice = rows[rows.duplicated(list(NAMES))]
    if len(twice):
        row = twice.iloc[0]
        raise InputError(f"two costs of {row['segmenter']}, arm {row['arm']}, seed {row['seed']}")
    rows[list(MEASURED)] = rows[list(MEASURED)].apply(pd.to_numeric)
    rows[list(PLACES)] = rows[list(PLACES)].astype(str)
    return rows.sort_values(list(NAMES), ignore_index=True)


def cost_table(costs: pd.DataFrame) -> pd.DataFrame:
    """``cost.tsv``: a row a segmenter and kind of machine, over all arms, then a row an arm of it.

    Generators, which have one arm, have one row. Kinds of machines (device, precision, processes)
    are never mixed: their median is nobody's time.
    """
    rows = []
    kind = costs["arm"].eq(GENERATOR) * 2 + costs["segmenter"].eq(CLASSIFIER)
    for (_, segmenter, *place), part in costs.groupby([kind, "segmenter", *PLACES]):
        arms = arm_order(part["arm"])
        if arms != [GENERATOR]:
            rows.append(_row(segmenter, ALL_ARMS, place, part))
        rows += [_row(segmenter, arm, place, part[part["arm"] == arm]) for arm in arms]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _row(segmenter: object, arm: str, place: list[object], part: pd.DataFrame) -> list[object]:
    measured = part[list(MEASURED)]
    numbers = zip(measured.median(), measured.min(), measured.max(), strict=True)
    return [segmenter, arm, len(part), *place, *(value for three in numbers for value in three)]


def shown(table: pd.DataFrame) -> pd.DataFrame:
    """The table as people read it: ``median (lowest to highest)``; one arm alone needs no rows."""
    arms = table.groupby(["segmenter", *PLACES])["arm"].transform("nunique")
    kept = table[table["arm"].isin((ALL_ARMS, GENERATOR)) | (arms > 2)]
    rows = []
    for row in kept.to_dict("records"):
        text = {c: str(row[c]) for c in ("segmenter", "arm", "trainings", *PLACES)}
        text |= {title: _cell(row, name) for name, title in _TITLES.items()}
        rows.append(text)
    return pd.DataFrame(rows)


def blocks(text: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The table in parts that fit a page."""
    keys = ["segmenter", "arm", "device"]
    first = ["precision", "processes", "trainings", "parameters", "steps"]
    rest = [title for title in _TITLES.values() if title not in first]
    return [("Trainings", text[[*keys, *first]]), ("Cost", text[[*keys, *rest]])]


def _cell(row: dict[object, object], name: str) -> str:
    median, lowest, highest = (
        float(str(row[f"{name}_{which}"])) for which in ("median", "lowest", "highest")
    )
    if median != median:
        return MISSING
    if lowest == highest:
        return _number(median)
    return f"{_number(median)} ({_number(lowest)} to {_number(highest)})"


def _number(value: float) -> str:
    """Three digits of what is small; what is large is whole, in groups of three."""
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"
