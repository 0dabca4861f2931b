"""Plots of tables: the main table, training curves, nodule positions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.evaluation.scores import BASELINES, arm_order
from lungaug.figures.style import WIDTH_IN, arm_legend, colours, grid, markers, note

GROUPS = ("pooled", "macro", *CLASSES)
POSITION_BINS = 24
POSITION_RANGE = (-0.2, 1.2)


def main_figure(scores: pd.DataFrame, comparisons: pd.DataFrame) -> Figure:
    """Dice of every arm as a point and interval: pooled, macro and by class; and differences.

    Args:
        scores: ``scores.tsv``.
        comparisons: ``comparisons.tsv``.
    """
    shown = scores[(scores["metric"] == "dice") & (scores["convention"] == "standard")]
    shown = shown[shown["group"].isin(GROUPS)]
    if shown.empty:
        return note("no test slice with a nodule, so no Dice.")
    segmenters = sorted(shown["segmenter"].unique())
    arms = arm_order(shown["arm"])
    groups = [g for g in GROUPS if g in set(shown["group"])]
    against = [b for b in BASELINES if b in set(comparisons["baseline"])]
    n_arms = [shown.loc[shown["segmenter"] == name, "arm"].nunique() for name in segmenters]
    heights = [0.75 + 0.3 * max(len(groups), 3) * (0.4 + 0.3 * n) for n in n_arms]
    height = 1.1 + sum(heights)
    figure, axes = grid(
        len(segmenters),
        1 + len(against),
        WIDTH_IN,
        min(height, 40),
        width_ratios=[1.5, *([1] * len(against))],
        height_ratios=heights,
        sharey="row",
    )
    for row, segmenter in zip(axes, segmenters, strict=True):
        part = shown[shown["segmenter"] == segmenter]
        _dots(row[0], part, "estimate", groups, arms)
        row[0].set(xlim=(0, 1), xlabel="Dice (standard convention)", title=segmenter)
        for axis, baseline in zip(row[1:], against, strict=True):
            _difference_panel(axis, comparisons, segmenter, baseline, groups, arms)
    arm_legend(figure, axes[0][0], arms)
    return figure


def _difference_panel(
    axis: Any, comparisons: pd.DataFrame, segmenter: str, baseline: str, groups: Any, arms: Any
) -> None:
    part = comparisons[
        (comparisons["segmenter"] == segmenter)
        & (comparisons["baseline"] == baseline)
        & (comparisons["metric"] == "dice")
    ]
    axis.axvline(0, color="#666666", linewidth=1)
    if part.empty:
        axis.text(0.5, 0.5, "no such pair was trained", ha="center", transform=axis.transAxes)
        axis.set(xticks=[], title=f"difference to {baseline}")
        return
    _dots(axis, part, "difference", groups, arms)
    axis.set(xlabel=f"Dice minus that of '{baseline}'", title=f"difference to {baseline}")
    reach = np.nanmax(np.abs(part[["difference", "low", "high"]].to_numpy(float)), initial=0.05)
    axis.set_xlim(-1.1 * reach, 1.1 * reach)


def _dots(axis: Any, part: pd.DataFrame, value: str, groups: list[str], arms: list[str]) -> None:
    """A row a group, a point an arm; a hollow point has too few patients for an interval."""
    colour, marker = colours(arms), markers(arms)
    here = arm_order(part["arm"])
    step = 0.7 / max(len(here), 1)
    for row in part.itertuples(index=False):
        if row.group not in groups or row.arm not in arms:
            continue
        offset = (here.index(str(row.arm)) - (len(here) - 1) / 2) * step
        y = groups.index(str(row.group)) + offset
        tone = colour[str(row.arm)]
        bounded = bool(np.isfinite(np.float64(str(row.low))))
        if bounded:
            axis.plot([row.low, row.high], [y, y], color=tone, linewidth=2, solid_capstyle="round")
        axis.plot(
            getattr(row, value),
            y,
            marker=marker[str(row.arm)],
            color=tone,
            markersize=6,
            markerfacecolor=tone if bounded else "white",
        )
    axis.set_yticks(range(len(groups)), _group_labels(part, groups))
    axis.set_ylim(len(groups) - 0.5, -0.5)
    axis.grid(visible=False, axis="y")
    for y in range(1, len(groups)):
        axis.axhline(y - 0.5, color="#dddddd", linewidth=0.8)


def _group_labels(part: pd.DataFrame, groups: list[str]) -> list[str]:
    counts = part.groupby("group")["n_patients"].max()
    return [f"{g}\nn = {counts.get(g, 0)}" for g in groups]


def training_curves(history: pd.DataFrame) -> Figure:
    """Validation loss and Dice over the steps, a line a training; the best step is marked.

    Args:
        history: rows of all ``history.tsv`` with the columns fold, arm, segmenter and seed added.
    """
    if history.empty:
        return note("no training has a history.")
    segmenters = sorted(history["segmenter"].unique())
    arms = arm_order(history["arm"])
    figure, axes = grid(len(segmenters), 2, WIDTH_IN, 0.6 + 3.0 * len(segmenters), sharex="row")
    panels = (("validation_loss", "validation loss"), ("validation_dice", "validation Dice"))
    for row, segmenter in zip(axes, segmenters, strict=True):
        part = history[history["segmenter"] == segmenter]
        for axis, (column, title) in zip(row, panels, strict=True):
            _curves(axis, part, column, arms)
            axis.set(xlabel="optimiser step", title=f"{segmenter}: {title}")
            axis.ticklabel_format(useOffset=False)
        row[1].set_ylim(0, 1)
    arm_legend(figure, axes[0][0], arms)
    return figure


def _curves(axis: Any, part: pd.DataFrame, column: str, arms: list[str]) -> None:
    colour, marker = colours(arms), markers(arms)
    for name, run in part.groupby(["fold", "arm", "seed"]):
        arm = str(name[1])
        measured = run.dropna(subset=column).sort_values("step")
        axis.plot(measured["step"], measured[column], color=colour[arm], linewidth=1.3, alpha=0.8)
        best = measured[measured["best"].astype(str).isin(["1", "1.0", "True", "true"])].tail(1)
        axis.plot(
            best["step"],
            best[column],
            marker=marker[arm],
            color=colour[arm],
            markersize=7,
            markeredgecolor="white",
        )


def positions_figure(
    before: NDArray[np.float64], after: NDArray[np.float64], title: str = ""
) -> Figure:
    """Heat maps of where nodules lie, before and after the expansion.

    Args:
        before: (N, 2) row and column of nodules of the real training slices, as fractions of the
            lungs' bounding box: 0 to 1 from anterior to posterior and from left to right in the
            image.
        after: (M, 2) the same with the expansion added.
        title: of the figure.
    """
    if not len(before) and not len(after):
        return note("no training slice with a nodule and lungs.")
    figure, axes = grid(1, 2, WIDTH_IN, 4.6, sharey=True)
    panels = [("before", before), ("after", after)]
    shares = [_share(points) for _, points in panels]
    top = max(float(s.max()) for s in shares) or 1.0
    for axis, (name, points), share in zip(axes[0], panels, shares, strict=True):
        image = axis.imshow(
            share, cmap="magma", vmin=0, vmax=top, extent=(*POSITION_RANGE, *POSITION_RANGE[::-1])
        )
        axis.plot([0, 1, 1, 0, 0], [0, 0, 1, 1, 0], color="white", linewidth=1, linestyle="--")
        filled = np.count_nonzero(share) / share.size
        axis.set_title(f"{name}: {len(points)} nodules, {100 * filled:.0f} % of the cells taken")
        axis.set_xlabel("left to right in the image")
        axis.grid(visible=False)
    axes[0][0].set_ylabel("anterior to posterior")
    figure.colorbar(image, ax=axes[0].tolist(), label="share of the nodules", shrink=0.85)
    if title:
        figure.suptitle(title, fontsize=10)
    return figure


def _share(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """(bins, bins) share of the points in each cell, summing to 1; zeros without points."""
    if not len(points):
        return np.zeros((POSITION_BINS, POSITION_BINS))
    inside = np.clip(points, POSITION_RANGE[0], POSITION_RANGE[1])
    limits = [POSITION_RANGE, POSITION_RANGE]
    counts = np.histogram2d(inside[:, 0], inside[:, 1], bins=POSITION_BINS, range=limits)[0]
    return np.asarray(counts / len(points))
