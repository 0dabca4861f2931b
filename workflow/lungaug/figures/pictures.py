"""Pictures of slices: predictions, MetaLung examples, and overlays to check real data by."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from lungaug.figures.style import (
    FALSE,
    HIT,
    LUNG,
    MISSED,
    OBSTACLE,
    REFERENCE,
    WIDTH_IN,
    difference_overlay,
    grid,
    note,
    outline,
    show,
)

HU_STEP = 200.0  # colour range of a difference in HU: the largest change of a nodule saturates
PREDICTION_IN = 2.2  # side of a picture where the arms leave that much room
ZOOM_MARGIN = 8  # pixels around a nodule


@dataclass(frozen=True)
class PredictedSlice:
    """A test slice and what the arms predict there.

    ``image`` is (H, W), 0 to 1, as the network sees it; ``reference`` (H, W) bool;
    ``probabilities`` (H, W), ``masks`` (H, W) bool, and the ``thresholds`` between them by arm;
    ``scores`` the words under each arm's picture.
    """

    label: str
    image: NDArray[Any]
    reference: NDArray[np.bool_]
    probabilities: dict[str, NDArray[Any]]
    masks: dict[str, NDArray[np.bool_]]
    thresholds: dict[str, float]
    scores: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ExpandedSlice:
    """A slice before and after an operation: HU (H, W) int16 and nodule (H, W) uint8 each."""

    operation: str
    before: tuple[NDArray[Any], NDArray[Any]]
    after: tuple[NDArray[Any], NDArray[Any]]


@dataclass(frozen=True)
class OutlinedSlice:
    """A slice to check by eye: image (H, W), 0 to 1; nodule and lung (H, W) labels."""

    label: str
    image: NDArray[Any]
    nodule: NDArray[Any]
    lung: NDArray[Any]


def predictions_figure(examples: list[PredictedSlice]) -> Figure:
    """Two rows an example: the slice and the arms' differences; enlarged, their probabilities.

    Args:
        examples: at least one, or the figure says that there is none.
    """
    if not examples:
        return note("no test slice has a prediction.")
    arms = list(examples[0].probabilities)
    n_columns = 1 + len(arms)
    size = min(WIDTH_IN * 1.3 / n_columns, PREDICTION_IN)
    flat = max(example.image.shape[0] / example.image.shape[1] for example in examples)
    heights = [size * flat + 0.4, size + 0.25] * len(examples)
    figure, axes = grid(
        2 * len(examples),
        n_columns,
        size * n_columns + 0.8,
        0.5 + sum(heights),
        height_ratios=heights,
    )
    for above, below, example in zip(axes[::2], axes[1::2], examples, strict=True):
        _prediction(above, below, example, arms)
    bar = axes[1][1].images[0]
    figure.colorbar(bar, ax=axes, label="probability", shrink=0.4, aspect=40, pad=0.02)
    _legend(figure, {"hit": HIT, "missed (outline: reference)": MISSED, "false": FALSE})
    return figure


def _prediction(above: Any, below: Any, example: PredictedSlice, arms: list[str]) -> None:
    window = _zoom(example.reference, list(example.masks.values()))
    show(above[0], example.image, example.label)
    _frame(above[0], window)
    show(below[0], example.image[window], "reference")
    outline(below[0], example.reference[window], REFERENCE)
    for axis, arm in zip(above[1:], arms, strict=True):
        rgb = difference_overlay(example.image, example.masks[arm], example.reference)
        show(axis, rgb, f"{_folded(arm)}\n{example.scores.get(arm, '')}".rstrip())
    for axis, arm in zip(below[1:], arms, strict=True):
        cut = f"marked from {example.thresholds[arm]:g}" if arm in example.thresholds else ""
        show(axis, example.probabilities[arm][window], cut, cmap="magma")
        outline(axis, example.reference[window], REFERENCE)


def _folded(arm: str) -> str:
    """The name in lines that fit above a picture, broken after a ``+``."""
    spaced = arm.replace("+", "+ ")
    return textwrap.fill(spaced, 22, break_long_words=False).replace("+ ", "+")


def metalung_figure(examples: list[ExpandedSlice], window_hu: tuple[int, int]) -> Figure:
    """For each operation: before, after, and the difference in HU.

    Args:
        examples: one an operation.
        window_hu: HU shown as black and as white.
    """
    if not examples:
        return note("no operation expanded a slice.")
    n_across = 1 if len(examples) < 3 else 2
    n_rows = -(-len(examples) // n_across)
    shape = examples[0].before[0].shape
    width = WIDTH_IN * (0.8 if n_across == 1 else 1.3)
    height = n_rows * (width / (3.2 * n_across) * shape[0] / shape[1] + 0.3)
    figure, axes = grid(n_rows, 3 * n_across, width, 0.5 + height)
    low, high = window_hu
    cells = axes.reshape(-1, 3)
    for row, example in zip(cells, examples, strict=False):
        pair = (("before", example.before), (f"after {example.operation}", example.after))
        for axis, (title, (hu, nodule)) in zip(row, pair, strict=False):
            show(axis, hu, title, vmin=low, vmax=high)
            outline(axis, nodule, REFERENCE)
        change = example.after[0].astype(float) - example.before[0]
        title = f"difference, {100 * np.count_nonzero(change) / change.size:.2g} % of px"
        show(row[2], change, title, cmap="RdBu_r", vmin=-HU_STEP, vmax=HU_STEP)
    for axis in cells[len(examples) :].flat:
        axis.set_axis_off()
    bar = cells[0][2].images[0]
    figure.colorbar(bar, ax=axes, label="difference in HU", shrink=0.5, extend="both", aspect=30)
    _legend(figure, {"nodule": REFERENCE})
    return figure


def overlays_figure(slices: list[OutlinedSlice], n_columns: int = 3) -> Figure:
    """Slices with nodule outlines, lungs and obstacles, one a patient, to look at.

    Args:
        slices: one a patient.
        n_columns: pictures a line.
    """
    if not slices:
        return note("no slice was preprocessed.")
    n_columns = min(n_columns, len(slices))
    n_rows = -(-len(slices) // n_columns)
    width = WIDTH_IN * 1.3 * n_columns / 3
    figure, axes = grid(n_rows, n_columns, width, 0.5 + n_rows * (width / n_columns + 0.3))
    for axis in axes.flat[len(slices) :]:
        axis.set_axis_off()
    for axis, example in zip(axes.flat, slices, strict=False):
        show(axis, _tinted(example.image, example.lung == 2, OBSTACLE, 0.5), example.label)
        outline(axis, example.lung, LUNG, linewidths=0.8)
        outline(axis, example.nodule, REFERENCE, linewidths=0.8)
    _legend(figure, {"nodule": REFERENCE, "lung": LUNG, "vessel or obstacle": OBSTACLE})
    return figure


def _tinted(
    image: NDArray[Any], mask: NDArray[np.bool_], colour: str, strength: float
) -> NDArray[np.float64]:
    rgb = np.repeat(np.asarray(image, np.float64)[..., None], 3, axis=2)
    rgb[mask] = (1 - strength) * rgb[mask] + strength * np.array(to_rgb(colour))
    return rgb


def _zoom(reference: NDArray[np.bool_], predicted: list[NDArray[np.bool_]]) -> tuple[slice, slice]:
    """A square window around the nodule; without one, around what is predicted, or everything."""
    mask = reference
    if not mask.any() and predicted:
        mask = np.any(predicted, axis=0)
    if not mask.any():
        return slice(0, mask.shape[0]), slice(0, mask.shape[1])
    rows, columns = np.nonzero(mask)
    side = max(np.ptp(rows), np.ptp(columns)) + 1 + 2 * ZOOM_MARGIN
    return (
        _span(int(rows.min() + rows.max()) // 2, int(side), mask.shape[0]),
        _span(int(columns.min() + columns.max()) // 2, int(side), mask.shape[1]),
    )


def _span(centre: int, side: int, limit: int) -> slice:
    start = max(0, min(centre - side // 2, limit - side))
    return slice(start, min(limit, start + side))


def _frame(axis: Any, window: tuple[slice, slice]) -> None:
    top, bottom = window[0].start - 0.5, window[0].stop - 0.5
    left, right = window[1].start - 0.5, window[1].stop - 0.5
    x, y = [left, right, right, left, left], [top, top, bottom, bottom, top]
    axis.plot(x, y, color="white", linewidth=0.8)


def _legend(figure: Figure, entries: dict[str, str]) -> None:
    patches = [Patch(facecolor=c, label=name) for name, c in entries.items()]
    figure.legend(
        handles=patches,
        loc="outside upper left",
        ncols=len(entries),
        fontsize=9,
        frameon=False,
    )
