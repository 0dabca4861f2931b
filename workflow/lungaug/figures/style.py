"""What all figures share: size, type, colours, and how a file is written."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungaug.aside import written_aside

# Okabe and Ito's palette: told apart with the common colour-vision deficiencies, and in grey.
PALETTE = ("#4d4d4d", "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c6d00")
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<")
HIT, MISSED, FALSE = "#56b4e9", "#f0e442", "#d55e00"
REFERENCE, LUNG, OBSTACLE = "#f0e442", "#56b4e9", "#cc79a7"

WIDTH_IN = 10.0  # 1200 px: sharp at the width of the report
DPI = 120

RC: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "figure.facecolor": "white",
    "svg.hashsalt": "lungaug",
}


def new_figure(width: float, height: float, **options: Any) -> Figure:
    """A figure of that many inches, outside pyplot's global state."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", **options)
        FigureCanvasAgg(figure)
    return figure


def grid(
    n_rows: int, n_columns: int, width: float, height: float, **options: Any
) -> tuple[Figure, Any]:
    """A figure and its axes, (n_rows, n_columns)."""
    figure = new_figure(width, height)
    with mpl.rc_context(RC):
        axes = figure.subplots(n_rows, n_columns, squeeze=False, **options)
    return figure, axes


def save(figure: Figure, path: Path) -> None:
    """Write a PNG aside and rename it; the same figure gives the same bytes."""
    with written_aside(path) as part, mpl.rc_context(RC):
        figure.savefig(part, format="png", dpi=DPI, metadata={"Software": None})


def note(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = new_figure(WIDTH_IN, 1.2)
    words = textwrap.fill(f"Nothing to draw: {text}", 95)
    figure.text(0.5, 0.5, words, ha="center", va="center", color="#555555", fontsize=11)
    return figure


def colours(names: list[str]) -> dict[str, str]:
    """A colour for each arm, the same in every figure of a run."""
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}


def markers(names: list[str]) -> dict[str, str]:
    """A marker for each arm, so that colour is not the only difference."""
    return {name: MARKERS[i % len(MARKERS)] for i, name in enumerate(names)}


def arm_legend(figure: Figure, axis: Any, arms: list[str]) -> None:
    """The arms above a figure; ``axis`` is any of its axes."""
    colour, marker = colours(arms), markers(arms)
    handles = [
        axis.plot([], [], marker=marker[a], color=colour[a], linewidth=2, label=a)[0] for a in arms
    ]
    figure.legend(
        handles=handles,
        loc="outside upper left",
        ncols=min(len(arms), 6),
        fontsize=9,
        frameon=False,
    )


def show(axis: Any, image: NDArray[Any], title: str = "", **options: Any) -> None:
    """An image without axes, grey from 0 to 1 unless told otherwise."""
    defaults: dict[str, Any] = {"cmap": "gray", "vmin": 0, "vmax": 1, "interpolation": "nearest"}
    axis.imshow(image, **(defaults | options))
    axis.set(xticks=[], yticks=[])
    axis.grid(visible=False)
    for spine in axis.spines.values():
        spine.set_visible(False)
    if title:
        axis.set_title(title, fontsize=9, loc="left")


def outline(axis: Any, mask: NDArray[Any], colour: str, **options: Any) -> None:
    """The edge of a mask along its pixels' borders: a nodule of five pixels keeps its shape."""
    padded = np.pad(np.asarray(mask) > 0, 1)
    y, x = np.nonzero(padded[1:] != padded[:-1])
    across = np.stack([np.stack([x - 1.5, y - 0.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    y, x = np.nonzero(padded[:, 1:] != padded[:, :-1])
    down = np.stack([np.stack([x - 0.5, y - 1.5], -1), np.stack([x - 0.5, y - 0.5], -1)], 1)
    segments: Any = np.concatenate([across, down])
    defaults: dict[str, Any] = {"linewidths": 1.2, "capstyle": "projecting"}
    axis.add_collection(LineCollection(segments, colors=[colour], **(defaults | options)))


def difference_overlay(
    image: NDArray[Any], predicted: NDArray[np.bool_], reference: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """(H, W, 3): the slice, darker, with pixels hit, missed and falsely marked in their colours."""
    rgb = np.repeat(np.asarray(image, np.float64)[..., None] * 0.7, 3, axis=2)
    for mask, colour in (
        (predicted & reference, HIT),
        (reference & ~predicted, MISSED),
        (predicted & ~reference, FALSE),
    ):
        rgb[mask] = to_rgb(colour)
    return rgb
