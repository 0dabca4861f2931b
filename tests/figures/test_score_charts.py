"""Curves are drawn where they were measured, and say so where nothing was."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from lungaug.figures import score_charts as charts
from lungaug.figures.style import colours

NAN = math.nan


def froc() -> pd.DataFrame:
    rows = [
        (segmenter, arm, rate, 6, 20, 12, 0.3 + 0.1 * i, 0.2, 0.8)
        for segmenter in ("unet", "deeplabv3")
        for arm in ("none", "mirror")
        for i, rate in enumerate((0.125, 1.0, 8.0))
    ]
    names = ["segmenter", "arm", "false_positives", "n_patients", "n_slices", "n_lesions"]
    return pd.DataFrame(rows, columns=[*names, "estimate", "low", "high"])


def lines(figure: Figure, panel: int) -> list[tuple[list[float], list[float]]]:
    """Coordinates of the lines of a panel that hold more than one point."""
    found = [line.get_data() for line in figure.axes[panel].lines]
    return [(list(map(float, x)), list(map(float, y))) for x, y in found if len(x) > 1]


def test_froc_has_a_panel_a_segmenter_and_a_line_an_arm() -> None:
    figure = charts.froc_figure(froc())
    assert [axis.get_title() for axis in figure.axes] == ["deeplabv3", "unet"]
    assert lines(figure, 0) == [([0.125, 1.0, 8.0], [0.3, 0.4, 0.5])] * 2
    assert len(figure.axes[0].collections) == 2  # bands


def test_calibration_leaves_out_the_rows_over_several_bins() -> None:
    table = pd.DataFrame(
        {
            "segmenter": "unet",
            "arm": "none",
            "bin": ["0", "1", "2", "all"],
            "n_px": [90, 10, 0, 100],
            "mean_probability": [0.1, 0.8, NAN, 0.2],
            "observed": [0.0, 0.5, NAN, 0.05],
            "ece": [NAN, NAN, NAN, 0.1],
        }
    )
    figure = charts.calibration_figure(table)
    assert lines(figure, 0)[1:] == [([0.1, 0.8], [0.0, 0.5])]


def test_calibration_tells_the_error_of_each_arm_in_its_colour() -> None:
    rows = [
        ("unet", arm, name, 10, 0.5, 0.4, error)
        for arm, upper in (("none", 0.1234), ("mirror", 0.05))
        for name, error in (("0", NAN), ("all", 0.001), ("without the lowest", upper))
    ]
    columns = ["segmenter", "arm", "bin", "n_px", "mean_probability", "observed", "ece"]
    axis = charts.calibration_figure(pd.DataFrame(rows, columns=columns)).axes[0]
    told = {text.get_text(): text.get_color() for text in axis.texts}
    colour = colours(["none", "mirror"])
    assert told.pop("ECE above the lowest bin")
    assert told == {"none  0.123": colour["none"], "mirror  0.050": colour["mirror"]}


def test_sizes_go_from_small_to_large_and_the_unknown_come_last() -> None:
    names = [("8 to 15", 8.0, 15.0), ("below 4", 0.0, 4.0), ("unknown", NAN, NAN)]
    rows = [
        ("unet", "none", metric, *name, 3, 5, 0.5, NAN, NAN)
        for metric in ("dice", "sensitivity")
        for name in names
    ]
    columns = ["segmenter", "arm", "metric", "size", "low_mm", "high_mm", "n_patients"]
    table = pd.DataFrame(rows, columns=[*columns, "n_lesions", "estimate", "low", "high"])
    figure = charts.sizes_figure(table)
    labels = [label.get_text().partition("\n")[0] for label in figure.axes[0].get_xticklabels()]
    assert labels == ["below 4", "8 to 15", "unknown"]


def learning() -> pd.DataFrame:
    points: list[tuple[Any, ...]] = [
        ("none", 25, NAN, 0.0, 5, 0.2),
        ("none", 100, NAN, 0.0, 20, 0.5),
        ("mirror", 25, NAN, 1.0, 5, 0.3),
        ("mirror", 100, NAN, 1.0, 20, 0.7),
        ("mirror", 100, 0.5, 0.5, 20, 0.6),
    ]
    columns = ["arm", "share_percent", "asked_ratio", "ratio", "train_patients", "estimate"]
    table = pd.DataFrame(points, columns=columns)
    constant = {"segmenter": "unet", "metric": "dice", "group": "pooled"}
    return table.assign(**constant, low=table["estimate"] - 0.1, high=table["estimate"] + 0.1)


def test_learning_curves_are_over_patients_and_over_added_slices() -> None:
    figure = charts.learning_curve_figure(learning())
    assert sorted(lines(figure, 0)) == [([5, 20], [0.2, 0.5]), ([5, 20], [0.3, 0.7])]
    # From nothing added, which is the arm 'none', to all that the arm has.
    assert lines(figure, 1) == [([0.0, 0.5, 1.0], [0.5, 0.6, 0.7])]


@pytest.mark.parametrize(("baseline", "begun"), [("online", [0.4]), ("none", [])])
def test_curves_with_online_augmentation_begin_there_or_not_at_all(
    baseline: str, begun: list[float]
) -> None:
    table = learning()
    added = table[table["arm"] == "mirror"].assign(arm="mirror+online")
    bare = table[table["arm"] == "none"].assign(arm=baseline, estimate=0.4)
    figure = charts.learning_curve_figure(pd.concat([added, bare]))
    xs = [0.0, 0.5, 1.0][1 - len(begun) :]
    assert lines(figure, 1) == [(xs, [*begun, 0.6, 0.7])]


def test_roc_is_drawn_over_the_diagonal() -> None:
    rates = np.linspace(0, 1, 5)
    table = pd.DataFrame({"arm": "none", "false_positive_rate": rates, "sensitivity": rates**0.5})
    figure = charts.roc_figure(table.assign(low=rates, high=1.0), 0.95)
    assert lines(figure, 0)[1] == (rates.tolist(), (rates**0.5).tolist())


@pytest.mark.parametrize("name", ["froc", "calibration", "sizes", "learning_curve"])
def test_nothing_measured_is_said(name: str) -> None:
    columns = ["segmenter", "arm", "estimate", "bin", "n_px", "observed", "metric", "group"]
    empty = pd.DataFrame(columns=columns)
    figure = getattr(charts, f"{name}_figure")(empty)
    assert "Nothing to draw" in figure.texts[0].get_text()
