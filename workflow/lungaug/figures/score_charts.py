"""Plots of detection, calibration, lesion sizes, learning curves and classifiers of slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from lungaug.evaluation.curves import UPPER_BINS
from lungaug.evaluation.scores import arm_order
from lungaug.figures.style import WIDTH_IN, arm_legend, colours, grid, markers, note

_PANELS_ACROSS = 3
_RATES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1, 2, 4, 8)
_SHARES = (-0.02, 1.02)  # so that markers at 0 and 1 are whole
_MOST_BANDS = 3  # more of them hide each other
_IN_CORNER: Any = {"ha": "right", "va": "bottom", "fontsize": 8}
_LEAST_PX = 1  # a bin of fewer pixels says nothing

Draw = Callable[[Any, pd.DataFrame, Sequence[str]], None]


def froc_figure(froc: pd.DataFrame) -> Figure:
    """Sensitivity over false positives a slice, a panel a segmenter, with intervals as bands.

    Args:
        froc: ``froc.tsv``.
    """
    measured = froc.dropna(subset="estimate")
    if measured.empty:
        return note("no lesion in the test slices, so no FROC.")

    def draw(axis: Any, part: pd.DataFrame, arms: Sequence[str]) -> None:
        _bands(axis, part, "false_positives", arms)
        axis.set_xscale("log", base=2)
        axis.set_xticks(_RATES, [f"1/{round(1 / r)}" if r < 1 else f"{r:g}" for r in _RATES])
        axis.set(ylim=_SHARES, xlabel="false positives a slice", ylabel="sensitivity")

    return _by_segmenter(measured, draw)


def calibration_figure(calibration: pd.DataFrame) -> Figure:
    """Share of nodule pixels over the predicted probability, a panel a segmenter.

    In each panel the expected calibration error of every arm, without the lowest bin, where the
    background lies.

    Args:
        calibration: ``calibration.tsv``.
    """
    # The rows over several bins have a name instead of a number.
    bins = calibration[calibration["bin"].astype(str).str.isdigit()]
    shown = bins[bins["n_px"] >= _LEAST_PX].dropna(subset="observed")
    if shown.empty:
        return note("no pixel was predicted.")

    def draw(axis: Any, part: pd.DataFrame, arms: Sequence[str]) -> None:
        axis.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
        colour, marker = colours(list(arms)), markers(list(arms))
        for arm, own in part.groupby("arm"):
            name = str(arm)
            points = own.sort_values("mean_probability")
            axis.plot(
                points["mean_probability"],
                points["observed"],
                color=colour[name],
                marker=marker[name],
                markersize=4,
                linewidth=1.3,
            )
        axis.set(xlim=_SHARES, ylim=_SHARES)
        axis.set(xlabel="predicted probability", ylabel="share of nodule")
        _errors(axis, errors[errors["segmenter"] == part["segmenter"].iloc[0]], arms)

    errors = calibration[calibration["bin"] == UPPER_BINS].dropna(subset="ece")
    return _by_segmenter(shown, draw)


def _errors(axis: Any, errors: pd.DataFrame, arms: Sequence[str]) -> None:
    """The arms' expected calibration errors, in their colours, in the corner that stays empty."""
    colour = colours(list(arms))
    known = errors.set_index("arm")["ece"]
    here = [arm for arm in arms if arm in known.index]
    for line, arm in enumerate(reversed(here)):
        words = f"{arm}  {known[arm]:.3f}"
        axis.text(
            0.98,
            0.03 + 0.055 * line,
            words,
            color=colour[arm],
            transform=axis.transAxes,
            **_IN_CORNER,
        )
    if here:
        title = "ECE above the lowest bin"
        axis.text(
            0.98,
            0.03 + 0.055 * len(here),
            title,
            color="#444444",
            transform=axis.transAxes,
            **_IN_CORNER,
        )


def sizes_figure(sizes: pd.DataFrame) -> Figure:
    """Dice and sensitivity of lesions by their diameter, a row a segmenter.

    Args:
        sizes: ``sizes.tsv``.
    """
    measured = sizes.dropna(subset="estimate")
    if measured.empty:
        return note("no lesion in the test slices.")
    segmenters = sorted(measured["segmenter"].unique())
    arms = arm_order(measured["arm"])
    figure, axes = grid(len(segmenters), 2, WIDTH_IN, 0.7 + 3.0 * len(segmenters), sharex="row")
    for row, segmenter in zip(axes, segmenters, strict=True):
        part = measured[measured["segmenter"] == segmenter]
        order = part.sort_values("low_mm", na_position="last", kind="stable")
        names = list(dict.fromkeys(order["size"]))
        for axis, (metric, title) in zip(
            row, (("dice", "Dice"), ("sensitivity", "sensitivity")), strict=True
        ):
            _intervals(axis, part[part["metric"] == metric], names, arms)
            axis.set(ylim=_SHARES, title=f"{segmenter}: {title}", xlabel="diameter, mm")
    arm_legend(figure, axes[0][0], arms)
    return figure


def learning_curve_figure(table: pd.DataFrame) -> Figure:
    """Pooled Dice over the share of real patients, and over the synthetic slices a real one.

    Args:
        table: ``learning_curve.tsv``.
    """
    shown = table[(table["metric"] == "dice") & (table["group"] == "pooled")]
    if shown.empty:
        return note("no test slice with a nodule, so no Dice.")
    segmenters = sorted(shown["segmenter"].unique())
    arms = arm_order(shown["arm"])
    figure, axes = grid(len(segmenters), 2, WIDTH_IN, 0.7 + 3.2 * len(segmenters))
    for row, segmenter in zip(axes, segmenters, strict=True):
        part = shown[shown["segmenter"] == segmenter]
        plain = part["asked_ratio"].isna()
        _bands(row[0], part[plain], "train_patients", arms)
        row[0].set(xlabel="real training patients", title=segmenter)
        row[0].set_xticks(sorted(part.loc[plain, "train_patients"].round().unique()))
        full = part[part["share_percent"] == 100]
        _bands(row[1], _with_nothing_added(full), "ratio", arms)
        row[1].set(xlabel="slices added for each real one with a nodule", title=segmenter)
        for axis in row:
            axis.set(ylim=_SHARES, ylabel="Dice")
    arm_legend(figure, axes[0][0], arms)
    return figure


def roc_figure(curves: pd.DataFrame, level: float) -> Figure:
    """ROC of the classifiers of slices with and without nodule.

    Args:
        curves: ``roc.tsv``.
        level: of the bands.
    """
    if curves.empty:
        return note("no classifier of slices was trained.")
    arms = arm_order(curves["arm"])
    figure, axes = grid(1, 1, WIDTH_IN * 0.6, 4.8)
    axis = axes[0][0]
    axis.plot([0, 1], [0, 1], color="#999999", linewidth=1, linestyle="--")
    points = curves.rename(columns={"sensitivity": "estimate"})
    _bands(axis, points, "false_positive_rate", arms, marked=False)
    axis.set(xlim=(0, 1), ylim=_SHARES, xlabel="false-positive rate", ylabel="sensitivity")
    axis.set_title(f"slices with a nodule; bands: {100 * level:g} % over patients")
    arm_legend(figure, axis, arms)
    return figure


def _with_nothing_added(full: pd.DataFrame) -> pd.DataFrame:
    """Each arm that adds slices, begun at what it is without them: ``online``, or ``none``."""
    adding = full[full["ratio"] > 0]
    begun = [
        full[full["arm"] == _nothing_added(arm)].assign(arm=arm)
        for arm in sorted(adding["arm"].unique())
    ]
    return pd.concat([*begun, adding]) if begun else full


def _nothing_added(arm: str) -> str:
    parts = arm.partition("@")[0].split("+")
    return "online" if "online" in parts else "none"


def _by_segmenter(table: pd.DataFrame, draw: Draw) -> Figure:
    """A panel a segmenter, with the arms' legend above."""
    segmenters = sorted(table["segmenter"].unique())
    arms = arm_order(table["arm"])
    n_across = min(_PANELS_ACROSS, len(segmenters))
    n_rows = -(-len(segmenters) // n_across)
    width = WIDTH_IN * max(0.6, n_across / _PANELS_ACROSS)
    figure, axes = grid(n_rows, n_across, width, 0.7 + 3.6 * n_rows)
    for axis, segmenter in zip(axes.flat, segmenters, strict=False):
        draw(axis, table[table["segmenter"] == segmenter], arms)
        axis.set_title(segmenter)
    for axis in list(axes.flat)[len(segmenters) :]:
        axis.set_axis_off()
    arm_legend(figure, axes[0][0], arms)
    return figure


def _bands(
    axis: Any, part: pd.DataFrame, column: str, arms: Sequence[str], *, marked: bool = True
) -> None:
    """A line an arm over a column, its interval as a band where there is one."""
    colour, marker = colours(list(arms)), markers(list(arms))
    for arm, own in part.groupby("arm"):
        name = str(arm)
        points = own.sort_values(column, kind="stable")
        x = points[column].to_numpy(float)
        axis.plot(
            x,
            points["estimate"],
            color=colour[name],
            linewidth=1.5,
            marker=marker[name] if marked else None,
            markersize=5,
        )
        if part["arm"].nunique() > _MOST_BANDS:
            continue
        low, high = (points[bound].to_numpy(float) for bound in ("low", "high"))
        axis.fill_between(x, low, high, color=colour[name], alpha=0.12, linewidth=0)


def _intervals(axis: Any, part: pd.DataFrame, names: list[str], arms: Sequence[str]) -> None:
    """A group a size, a point and interval an arm; hollow: too few patients for an interval."""
    colour, marker = colours(list(arms)), markers(list(arms))
    here = arm_order(part["arm"])
    step = 0.7 / max(len(here), 1)
    for row in part.to_dict("records"):
        offset = (here.index(row["arm"]) - (len(here) - 1) / 2) * step
        x, tone = names.index(row["size"]) + offset, colour[row["arm"]]
        bounded = bool(np.isfinite(row["low"]))
        if bounded:
            axis.plot([x, x], [row["low"], row["high"]], color=tone, linewidth=2)
        face = tone if bounded else "white"
        axis.plot(x, row["estimate"], marker[row["arm"]], color=tone, markerfacecolor=face)
    counts = part.groupby("size")["n_patients"].max()
    axis.set_xticks(
        range(len(names)), [f"{name}\nn = {counts.get(name, 0)}" for name in names], fontsize=8
    )
    axis.set_xlim(-0.5, len(names) - 0.5)
    axis.grid(visible=False, axis="x")
