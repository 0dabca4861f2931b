"""Curves of a training as small SVG drawings in the page: text, so that a hundred weigh little."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.figures.page.tables import thinned
from lungaug.figures.quantities import FROM_0_TO_1, MANY_FOLD, by_unit, curves_of

WIDTH, HEIGHT = 250, 132
LEFT, RIGHT, TOP, BOTTOM = 38, 8, 6, 20
MOST_POINTS = 120  # a line; more cannot be told apart at this size
_MOST_TICKS = 5
STYLES = 8  # colours of the page
DASHES = ("none", "5 3", "1.5 2.5", "7 2 1.5 2")


@dataclass(frozen=True)
class Panel:
    """The curves of one unit: ``lines`` are their names, each with the number of its style."""

    unit: str
    lines: list[tuple[str, int]]
    svg: str
    words: str


@dataclass(frozen=True)
class Axis:
    """A range of values; ``log`` if in powers of ten."""

    low: float
    high: float
    log: bool = False

    def share(self, value: float) -> float:
        """Where the value lies, from 0 (low) to 1 (high)."""
        low, high, at = (
            math.log10(v) if self.log else v for v in (self.low, self.high, max(value, self.low))
        )
        return min((at - low) / (high - low), 1.0)

    def ticks(self) -> list[float]:
        """Round values within."""
        if self.log:
            first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
            every = max(1, -(-(last - first + 1) // _MOST_TICKS))
            return [10.0**power for power in range(first, last + 1, every)]
        step = _round_step((self.high - self.low) / (_MOST_TICKS - 1))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def panels(rows: pd.DataFrame, axes: dict[str, Axis], names: dict[str, str]) -> list[Panel]:
    """A panel for each unit of a training's curves.

    Args:
        rows: of its ``history.tsv``, of one phase.
        axes: of the units, such as those of :func:`shared_axes`.
        names: what curves are called, where not as their columns are.
    """
    curves = curves_of(rows)
    # What has the same name, such as validation, looks the same in every panel.
    styles = {
        name: i % STYLES for i, name in enumerate(dict.fromkeys(names.get(c, c) for c in curves))
    }
    found = []
    for unit, members in by_unit(curves).items():
        lines = [(names.get(name, name), rows[["step", name]].dropna()) for name in members]
        ends = [(name, float(table.to_numpy(float)[-1, 1])) for name, table in lines]
        words = ", ".join(f"{name} at last {value:.3g}" for name, value in ends)
        drawn = [(styles[name], table) for name, table in lines]
        svg = _drawing(drawn, axes[unit], _kept_steps(rows))
        named = [(name, styles[name]) for name, _ in lines]
        found.append(Panel(unit, named, svg, f"{unit}: {words}"))
    return found


def shared_axes(histories: Sequence[pd.DataFrame]) -> dict[str, Axis]:
    """An axis a unit that suits all of these trainings, so that their drawings compare."""
    values: dict[str, list[NDArray[np.float64]]] = {}
    for rows in histories:
        for unit, members in by_unit(curves_of(rows)).items():
            values.setdefault(unit, []).append(rows[members].to_numpy(float).ravel())
    return {unit: _axis(unit, np.concatenate(parts)) for unit, parts in values.items()}


def _axis(unit: str, values: NDArray[np.float64]) -> Axis:
    if unit in FROM_0_TO_1:
        return Axis(0, 1)
    known = values[np.isfinite(values)]
    low, high = float(known.min()), float(known.max())
    if low > 0 and high / low > MANY_FOLD:
        return Axis(low, high, log=True)
    low = min(low, 0.0) if low < high / 2 else low
    room = 0.04 * (high - low) or abs(high) / 10 or 1.0
    return Axis(low - (room if low else 0), high + room)


def _round_step(step: float) -> float:
    """The next larger one of 1, 2, 2.5 and 5 times a power of ten."""
    power = 10.0 ** math.floor(math.log10(step))
    return next((k * power for k in (1, 2, 2.5, 5) if step <= k * power * 1.001), 10 * power)


def _kept_steps(rows: pd.DataFrame) -> list[float]:
    """The step that was kept, where the history says which."""
    if "best" not in rows:
        return []
    return [float(step) for step in rows.loc[rows["best"] == 1, "step"].tail(1)]


def _drawing(lines: list[tuple[int, pd.DataFrame]], axis: Axis, kept: list[float]) -> str:
    last = max(float(table["step"].max()) for _, table in lines)
    parts = [_scale(axis, last)]
    for style, table in lines:
        points = " ".join(
            f"{_x(step, last)},{_y(value, axis)}"
            for step, value in thinned(table, MOST_POINTS).to_numpy(float).tolist()
        )
        if " " in points:
            dashes = DASHES[style % len(DASHES)]
            parts.append(
                f'<polyline class="l{style}" stroke-dasharray="{dashes}" points="{points}"/>'
            )
        else:
            x, y = points.split(",")
            parts.append(f'<circle class="l{style}" cx="{x}" cy="{y}" r="2.5"/>')
    bottom = HEIGHT - BOTTOM
    parts += [
        f'<path class="kept" d="M{_x(step, last)} {TOP}V{bottom}"/>' for step in kept if last > 0
    ]
    return "".join(parts)


def _scale(axis: Axis, last: float) -> str:
    """Lines and numbers of both axes."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [
        f'<path class="grid" d="M{LEFT} {_y(tick, axis)}H{right}"/>'
        f'<text x="{LEFT - 5}" y="{_y(tick, axis) + 3.5:g}" text-anchor="end">{tick:.4g}</text>'
        for tick in axis.ticks()
    ]
    parts.append(f'<path class="base" d="M{LEFT} {bottom}H{right}"/>')
    parts.append(f'<text x="{LEFT}" y="{HEIGHT - 5}">0</text>')
    parts.append(f'<text x="{right}" y="{HEIGHT - 5}" text-anchor="end">step {last:g}</text>')
    return "".join(parts)


def _x(step: float, last: float) -> float:
    return round(LEFT + (WIDTH - LEFT - RIGHT) * (step / last if last else 0.5), 1)


def _y(value: float, axis: Axis) -> float:
    return round(HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * max(axis.share(value), 0.0), 1)
