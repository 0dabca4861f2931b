"""Plots of generated nodules: realism against its yardstick, and how the generators learned."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from lungaug.figures.quantities import FROM_0_TO_1, LOSS, MANY_FOLD, by_unit, curves_of
from lungaug.figures.style import WIDTH_IN, colours, grid, markers, note

TISSUE, PUBLISHED = "tissue", "published"
YARDSTICK = "#d5dae0"
NOTE_WIDTH = 105


def realism_figure(table: pd.DataFrame) -> Figure:
    """Distance to held-out patients, divided by that of training patients: metric by metric.

    A row a metric, a point a generator and fold; hollow for the published insertion. Grey is the
    interval of the real-to-real distance itself. What has no ratio above 0 is left out.

    Args:
        table: ``tables/realism.tsv``.
    """
    shown = table[table["variant"].isin([TISSUE, PUBLISHED]) & (table["ratio"] > 0)]
    if shown.empty:
        return note("no distance has a ratio to the real-to-real distance.")
    shown = shown.assign(name=shown["metric"] + shown["space"].map(_after_comma))
    names = list(dict.fromkeys(shown["name"]))
    generators = sorted(shown["generator"].unique())
    lines = [(g, v) for g in generators for v in (TISSUE, PUBLISHED)]
    height = 1.6 + len(names) * (0.18 + 0.13 * len(lines))
    figure, axes = grid(1, 1, WIDTH_IN, min(height, 40))
    axis = axes[0][0]
    axis.set_xscale("log")
    axis.set_xlim(*_limits(shown))
    for y, name in enumerate(names):
        _yardstick(axis, shown[shown["name"] == name], y)
    axis.axvline(1, color="#444444", linewidth=1)
    _points(axis, shown, names, lines)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())
    axis.set_xlabel("distance to held-out patients / real-to-real distance (log)")
    _realism_legend(figure, generators)
    return figure


def _limits(shown: pd.DataFrame) -> tuple[float, float]:
    """Around all ratios and 1; intervals may run out at the left, where 0 would be."""
    ratios = np.append(shown["ratio"].to_numpy(float), 1.0)
    high = np.nanmax(shown[["ratio", "ratio_high"]].to_numpy(float), initial=1.5)
    return float(ratios.min()) / 2, float(high) * 1.3


def _yardstick(axis: Any, rows: pd.DataFrame, y: int) -> None:
    """The real-to-real interval in units of the real-to-real distance."""
    known = rows.dropna(subset=["real_low", "real_high", "real_value"])
    for row in known.drop_duplicates("fold").to_dict("records"):
        if row["real_value"] > 0:
            left = max(row["real_low"] / row["real_value"], axis.get_xlim()[0])
            width = row["real_high"] / row["real_value"] - left
            axis.barh(y, width, 0.86, left=left, color=YARDSTICK, alpha=0.7, zorder=0.5)


def _points(axis: Any, shown: pd.DataFrame, names: list[str], lines: list[tuple[str, str]]) -> None:
    generators = [generator for generator, _ in lines]
    colour, marker = _looks(sorted(set(generators)))
    step = 0.8 / len(lines)
    for row in shown.to_dict("records"):
        generator = row["generator"]
        place = lines.index((generator, row["variant"])) - (len(lines) - 1) / 2
        y, tone = names.index(row["name"]) + place * step, colour[generator]
        if np.isfinite(row["ratio_low"]):
            low = max(row["ratio_low"], axis.get_xlim()[0])
            axis.plot([low, row["ratio_high"]], [y, y], color=tone, linewidth=1.6)
        face = tone if row["variant"] == TISSUE else "white"
        options = {"color": tone, "markersize": 5.5, "markerfacecolor": face}
        axis.plot(row["ratio"], y, marker=marker[generator], **options)


def _looks(generators: list[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Colours and markers, without the palette's grey, which is the yardstick's."""
    return colours(["", *generators]), markers(["", *generators])


def _realism_legend(figure: Figure, generators: list[str]) -> None:
    colour, marker = _looks(generators)
    handles: list[Any] = [
        Line2D([], [], marker=marker[g], color=colour[g], linewidth=2, label=g) for g in generators
    ]
    hollow = {"marker": "o", "color": "#444444", "markerfacecolor": "white", "linewidth": 1.6}
    handles.append(Line2D([], [], **hollow, label="published insertion"))  # type: ignore[arg-type]
    handles.append(Patch(facecolor=YARDSTICK, label="real-to-real interval"))
    columns = min(len(handles), 6)
    figure.legend(
        handles=handles, loc="outside upper left", ncols=columns, fontsize=9, frameon=False
    )


def generator_curves(history: pd.DataFrame) -> Figure:
    """What each training of a generator recorded, a row a generator and phase, a panel a unit.

    Losses of a wide range are on a logarithmic axis, where values of 0 and below are left out. What
    the training noted, such as a collapse, stands above its first panel.

    Args:
        history: rows of all ``history.tsv`` with the columns fold and generator added.
    """
    trained = _trained(history)
    if not trained:
        return note("no generator was trained by steps.")
    notes = [_notes(rows) for _, rows in trained]
    lines = sum(words.count("\n") + 1 for words in notes if words)
    units = [by_unit(curves_of(rows)) for _, rows in trained]
    most = max(map(len, units))
    height = min(0.4 + 3.1 * len(trained) + 0.2 * lines, 40)
    figure, axes = grid(len(trained), most, WIDTH_IN * 1.2, height)
    for row, (title, rows), words, curves in zip(axes, trained, notes, units, strict=True):
        for axis, (unit, names) in zip(row, curves.items(), strict=False):
            _curves(axis, rows, unit, names)
        for axis in row[len(curves) :]:
            axis.set_axis_off()
        row[0].set_title(f"{title}\n{words}".rstrip(), loc="left", fontsize=9)
    return figure


def _trained(history: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Title and rows of each generator's phases with more than one step."""
    if history.empty:
        return []
    found = []
    titles = history["generator"] + history["phase"].map(_after_comma)
    for title, rows in history.groupby(titles, sort=True):
        if rows["step"].nunique() > 1:
            found.append((str(title), rows))
    return found


def _after_comma(word: Any) -> str:
    """``, word``; nothing for an empty cell."""
    return f", {word}" if isinstance(word, str) and word else ""


def _curves(axis: Any, rows: pd.DataFrame, unit: str, names: list[str]) -> None:
    colour = colours(names)
    log = unit == LOSS and _is_wide(rows[names].to_numpy(float))
    for name in names:
        for number, (_, part) in enumerate(rows.groupby("fold", sort=True)):
            part = part.dropna(subset=name).sort_values("step")
            values = part[name].where(part[name] > 0) if log else part[name]
            label = name if number == 0 else None
            axis.plot(part["step"], values, color=colour[name], linewidth=1.3, label=label)
    axis.set(xlabel="optimiser step", ylabel=unit)
    if log:
        axis.set_yscale("log")
        axis.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    else:
        axis.set_ylim(bottom=min(0, axis.get_ylim()[0]), top=1 if unit in FROM_0_TO_1 else None)
    columns = 1 if len(names) < 4 else 2
    axis.legend(
        loc="upper center", bbox_to_anchor=(0.5, -0.2), fontsize=8, frameon=False, ncols=columns
    )


def _is_wide(values: NDArray[np.float64]) -> bool:
    """Whether what is above 0 needs a logarithmic axis."""
    positive = values[values > 0]
    return bool(positive.size) and float(positive.max()) > MANY_FOLD * float(positive.min())


def _notes(rows: pd.DataFrame) -> str:
    """What was noted, each note once with the steps between which it stood."""
    if "note" not in rows:
        return ""
    told = rows.dropna(subset="note")
    told = told[told["note"].astype(str) != ""]
    spans = told.groupby("note", sort=False)["step"].agg(["min", "max"])
    words = [f"steps {low} to {high}: {text}" for text, low, high in spans.itertuples()]
    return "\n".join(textwrap.fill(line, NOTE_WIDTH) for line in words)
