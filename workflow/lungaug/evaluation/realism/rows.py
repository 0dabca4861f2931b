"""Rows of the realism table: one measured value, its yardstick between real patients, and both."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungaug.evaluation.realism.distances import Distance
from lungaug.evaluation.realism.resampling import (
    Sample,
    dealt_again,
    interval_of,
    percentiles_of,
    ratio_of,
    spread_of_patients,
)
from lungaug.evaluation.statistics import (
    MINIMUM_PATIENTS,
    NOT_NEGATIVE,
    Bounds,
    Interval,
    Values,
)
from lungaug.settings import setting

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
    "split_low",
    "split_high",
    "ratio",
    "ratio_low",
    "ratio_high",
    "n",
    "n_patients",
    "n_held_out",
    "within",
    "power",
    "note",
)
TISSUE, PUBLISHED, PATCHES, REAL = "tissue", "published", "patches", "real"
HELD_OUT = "held_out"
VARIANTS = (TISSUE, PUBLISHED, PATCHES, REAL)
TOO_FEW = "too few"
DIGITS = 6
_DEALS = 100  # in which real patients are shifted up, and as many down


@dataclass(frozen=True)
class Row:
    """One value of one variant.

    Attributes:
        variant: tissue (our insertion), published (theirs), patches (the generator's own output),
            real (training against held-out patients).
        metric, space: what was measured, and on what.
        value, low, high: against held-out patients, and its interval.
        real_value, real_low, real_high: the same between real training and held-out patients.
        split_low, split_high: of the same between real patients dealt out at random to two sides
            of as many patients.
        ratio, ratio_low, ratio_high: value divided by real_value.
        n, n_patients: nodules, and patients that they stand for.
        n_held_out: nodules of held-out patients that took part.
        within: no where the value is above ``real_high`` or ``split_high``; else yes, or too few
            where ``power`` is too small for a yes to say something; '' where nothing is judged.
        power: share of shifted real patients that would have got a no.
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
    split_low: float = math.nan
    split_high: float = math.nan
    ratio: float = math.nan
    ratio_low: float = math.nan
    ratio_high: float = math.nan
    n: int = 0
    n_patients: int = 0
    n_held_out: int = 0
    within: str = ""
    power: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class PowerSettings:
    """When the distance of nodules that lie within that of real patients says something."""

    shift: float = setting(
        1.0,
        "shift of real patients that must be noticed, in SDs between patients",
        exclusiveMinimum=0,
    )
    least: float = setting(
        0.8,
        "share of the deals of real patients in which it must be noticed; below it a table says "
        "'too few' instead of 'yes'",
        minimum=0,
        maximum=1,
    )


POWER = PowerSettings()


@dataclass(frozen=True)
class Measure:
    """A distance that generated and real nodules are judged by.

    ``gate`` says that it has to lie within what real patients show; ``bounds`` are those of the
    distance.
    """

    metric: str
    space: str
    distance: Distance
    gate: bool = False
    bounds: Bounds = NOT_NEGATIVE
    note: str = ""


def measured(
    measure: Measure,
    generated: dict[str, Sample],
    training: Sample,
    held_out: Sample,
    sizes: dict[str, int],
    level: float,
    *,
    seed: int,
    power: PowerSettings = POWER,
) -> list[Row]:
    """The rows of one measure: each variant, then training patients as their yardstick.

    Args:
        measure: the distance.
        generated: by variant.
        training, held_out: of real nodules.
        sizes: number of nodules by variant, ``real`` for the training patients, ``held_out``.
        level: coverage of the intervals.
        seed: of the deals of real patients; the same for all measures.
        power: what a gate must be able to notice.
    """
    yardstick = _yardstick(measure, training, held_out, level, seed, power)
    rows = [
        dataclasses.replace(
            _compared(measure, sample, held_out, yardstick, level), variant=name, n=sizes[name]
        )
        for name, sample in generated.items()
    ]
    sides = {"of training patients": training, "of held-out patients": held_out}
    real = yardstick.interval
    rows.append(
        Row(
            REAL,
            measure.metric,
            measure.space,
            float(yardstick.values[0]),
            real.low,
            real.high,
            split_low=yardstick.split.low,
            split_high=yardstick.split.high,
            n=sizes[REAL],
            n_patients=training.n_patients,
            note=_joined([measure.note, _why_not(yardstick.values, real, sides)]),
        )
    )
    return [dataclasses.replace(row, n_held_out=sizes[HELD_OUT]) for row in rows]


def as_records(rows: Iterable[Row], generator: str, fold: str) -> list[dict[str, Any]]:
    """Rows as the table has them: numbers rounded, those that are missing empty."""
    return [
        {"generator": generator, "fold": fold}
        | {k: _cell(v) for k, v in dataclasses.asdict(row).items()}
        for row in rows
    ]


def judged(value: float, *limits: float, enough: bool = True) -> str:
    """Return whether a value lies within limits.

    Args:
        value: a distance.
        limits: what it must not be above.
        enough: whether a value that should be above them mostly would be.

    Returns:
        ``no`` where it is above one of them, else ``yes``, or ``too few`` where that says nothing;
        '' where any number is missing.
    """
    if math.isnan(value) or any(math.isnan(limit) for limit in limits):
        return ""
    if value > min(limits):
        return "no"
    return "yes" if enough else TOO_FEW


@dataclass(frozen=True)
class _Yardstick:
    """Distances of training to held-out patients and their resamples, and what chance gives."""

    values: Values
    interval: Interval
    split: Interval
    power: float = math.nan
    enough: bool = True


def _yardstick(
    measure: Measure,
    training: Sample,
    held_out: Sample,
    level: float,
    seed: int,
    power: PowerSettings,
) -> _Yardstick:
    values = measure.distance(training, held_out)
    n_patients = min(training.n_patients, held_out.n_patients)
    interval = interval_of(values, level, n_patients, measure.bounds)
    if n_patients < MINIMUM_PATIENTS:
        return _Yardstick(values, interval, Interval())
    dealt = dealt_again(training, held_out, rng=np.random.default_rng([seed, *b"split"]))
    split = percentiles_of(measure.distance(*dealt), level)
    if not measure.gate:
        return _Yardstick(values, interval, split)
    shift = power.shift * spread_of_patients(dealt[0])
    found = _power(measure, dealt, shift, min(interval.high, split.high))
    return _Yardstick(values, interval, split, found, found >= power.least)


def _power(measure: Measure, dealt: tuple[Sample, Sample], shift: float, limit: float) -> float:
    """Share of deals of real patients whose first side, shifted up or down, is beyond the limit."""
    noticed = []
    for sign, rows in ((1, slice(0, _DEALS)), (-1, slice(_DEALS, 2 * _DEALS))):
        first, second = (dataclasses.replace(s, weights=s.weights[rows]) for s in dealt)
        moved = dataclasses.replace(first, values=first.values + sign * shift)
        noticed.append(measure.distance(moved, second) > limit)
    return float(np.mean(np.concatenate(noticed)))


def _compared(
    measure: Measure, sample: Sample, held_out: Sample, yardstick: _Yardstick, level: float
) -> Row:
    values, real, split = measure.distance(sample, held_out), yardstick.interval, yardstick.split
    fewest = min(sample.n_patients, held_out.n_patients)
    interval = interval_of(values, level, fewest, measure.bounds)
    ratio, of_ratio = ratio_of(values, yardstick.values, real, level, fewest)
    value, real_value = float(values[0]), float(yardstick.values[0])
    notes = [measure.note]
    if math.isnan(ratio) and not math.isnan(value):
        notes.append(f"no ratio: real-to-real distance {_cell(real_value) or 'missing'}")
    elif math.isnan(of_ratio.low) and not math.isnan(interval.low):
        notes.append("no interval of the ratio: that of the real-to-real distance reaches 0")
    sides = {"inserted": sample, "of held-out patients": held_out}
    notes.append(_why_not(values, interval, sides))
    return Row(
        "",
        measure.metric,
        measure.space,
        value,
        interval.low,
        interval.high,
        real_value,
        real.low,
        real.high,
        split.low,
        split.high,
        ratio,
        of_ratio.low,
        of_ratio.high,
        n_patients=sample.n_patients,
        within=judged(value, real.high, split.high, enough=yardstick.enough)
        if measure.gate
        else "",
        power=yardstick.power,
        note=_joined(notes),
    )


def _why_not(values: Values, interval: Interval, sides: dict[str, Sample]) -> str:
    """Why there is no value or no interval; '' where there are both."""
    notes = []
    if math.isnan(values[0]):
        empty = [name for name, sample in sides.items() if not sample.n_patients]
        none = " and ".join(f"no usable nodule {name}" for name in empty)
        notes.append(f"no value: {none or 'too few nodules or patients'}")
    fewest = min(sample.n_patients for sample in sides.values())
    if math.isnan(interval.low) and fewest < MINIMUM_PATIENTS:
        notes.append(
            f"no interval: {fewest} patients on the smaller side, {MINIMUM_PATIENTS} needed"
        )
    elif math.isnan(interval.low):
        notes.append("no interval: most resamples have no distance")
    return _joined(notes)


def _joined(notes: Sequence[str]) -> str:
    return "; ".join(note for note in notes if note)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return round(value, DIGITS) + 0.0 if math.isfinite(value) else ""
