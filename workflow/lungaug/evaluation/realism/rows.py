"""Rows of the realism table: one measured value, its yardstick between real patients, and both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lungaug.evaluation.realism.distances import Distance
from lungaug.evaluation.realism.resampling import Sample, Values, interval_of, ratio_of
from lungaug.evaluation.statistics import MINIMUM_PATIENTS, Interval

COLUMNS = (
    "generator",
    "fold",
    "variant",
    "metric",
    "space",
    "value",
    "low",
    "high",
    "real_value",
    "real_low",
    "real_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "n",
    "n_patients",
    "within",
    "note",
)
TISSUE, PUBLISHED, PATCHES, REAL = "tissue", "published", "patches", "real"
VARIANTS = (TISSUE, PUBLISHED, PATCHES, REAL)
DIGITS = 6


@dataclass(frozen=True)
class Row:
    """One value of one variant.

    Attributes:
        variant: tissue (our insertion), published (theirs), patches (the generator's own output),
            real (training against held-out patients).
        metric, space: what was measured, and on what.
        value, low, high: against held-out patients, and its interval.
        real_value, real_low, real_high: the same between real training and held-out patients.
        ratio, ratio_low, ratio_high: value divided by real_value.
        n, n_patients: nodules, and patients that they stand for.
        within: yes where the value is at most ``real_high``; '' where nothing is to be judged.
        note: why a number is missing, and what must be known to read it.
    """

    variant: str
    metric: str
    space: str
    value: float = math.nan
    low: float = math.nan
    high: float = math.nan
    real_value: float = math.nan
    real_low: float = math.nan
    real_high: float = math.nan
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    n: int = 0
    n_patients: int = 0
    within: str = ""
    note: str = ""


@dataclass(frozen=True)
class Measure:
    """A distance that generated and real nodules are judged by.

    ``gate`` says that it has to lie within the real-to-real interval.
    """

    metric: str
    space: str
    distance: Distance
    gate: bool = False
    note: str = ""


def measured(
    measure: Measure,
    generated: dict[str, Sample],
    training: Sample,
    held_out: Sample,
    sizes: dict[str, int],
    level: float,
) -> list[Row]:
    """The rows of one measure: each variant, then training patients as their yardstick.

    Args:
        measure: the distance.
        generated: by variant.
        training, held_out: of real nodules.
        sizes: number of nodules by variant, ``real`` for the training patients.
        level: coverage of the intervals.
    """
    real = measure.distance(training, held_out)
    n_real = min(training.n_patients, held_out.n_patients)
    real_interval = interval_of(real[1:], level, n_real)
    rows = []
    for variant, sample in generated.items():
        values = measure.distance(sample, held_out)
        row = _compared(values, real, real_interval, sample.n_patients, n_real, level)
        row = dataclasses.replace(row, variant=variant, n=sizes[variant])
        rows.append(_finished(row, measure))
    yardstick = Row(
        REAL,
        measure.metric,
        measure.space,
        float(real[0]),
        real_interval.low,
        real_interval.high,
        n=sizes[REAL],
        n_patients=training.n_patients,
        note=_joined([_missing("value", real[0]), _without_interval(real_interval, n_real)]),
    )
    return [*rows, yardstick]


def as_records(rows: Iterable[Row], generator: str, fold: str) -> list[dict[str, Any]]:
    """Rows as the table has them: numbers rounded, those that are missing empty."""
    return [
        {"generator": generator, "fold": fold}
        | {k: _cell(v) for k, v in dataclasses.asdict(row).items()}
        for row in rows
    ]


def judged(value: float, high: float) -> str:
    """``yes`` where the value is at most the upper end of the interval, '' without either."""
    if math.isnan(value) or math.isnan(high):
        return ""
    return "yes" if value <= high else "no"


def _compared(
    values: Values,
    real: Values,
    real_interval: Interval,
    n_patients: int,
    n_real: int,
    level: float,
) -> Row:
    fewest = min(n_patients, n_real)
    interval = interval_of(values[1:], level, fewest)
    ratio, ratio_interval = ratio_of(values, real, real_interval, level, fewest)
    notes = [_missing("value", values[0])]
    if math.isnan(ratio) and not math.isnan(values[0]):
        notes.append(f"no ratio: real-to-real distance {_cell(float(real[0])) or 'missing'}")
    elif math.isnan(ratio_interval.low) and not math.isnan(interval.low):
        notes.append("no interval of the ratio: a distance is not clearly above 0")
    notes.append(_without_interval(interval, fewest))
    return Row(
        "",
        "",
        "",
        float(values[0]),
        interval.low,
        interval.high,
        float(real[0]),
        real_interval.low,
        real_interval.high,
        ratio,
        ratio_interval.low,
        ratio_interval.high,
        n_patients=n_patients,
        note=_joined(notes),
    )


def _finished(row: Row, measure: Measure) -> Row:
    within = judged(row.value, row.real_high) if measure.gate else ""
    return dataclasses.replace(
        row,
        metric=measure.metric,
        space=measure.space,
        within=within,
        note=_joined([measure.note, row.note]),
    )


def _missing(what: str, value: float) -> str:
    return f"no {what}: too few nodules or patients" if math.isnan(value) else ""


def _without_interval(interval: Interval, n_patients: int) -> str:
    if not math.isnan(interval.low):
        return ""
    if n_patients < MINIMUM_PATIENTS:
        return f"no interval: {n_patients} patients on the smaller side, {MINIMUM_PATIENTS} needed"
    return "no interval: most resamples have no distance"


def _joined(notes: Sequence[str]) -> str:
    return "; ".join(note for note in notes if note)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else ""
