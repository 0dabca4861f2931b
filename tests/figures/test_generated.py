"""Pictures and plots of generated nodules: which are chosen, and that pixels stay pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from generated_results import realism_rows
from lungaug.figures.generated import (
    SLICE_PX,
    ZOOM_PX,
    InsertedExample,
    ShownCrop,
    ShownSlice,
    around,
    inserted_figure,
    pairs_figure,
    posed,
    samples_figure,
    zoom_of,
)
from lungaug.figures.generated_charts import generator_curves, realism_figure
from lungaug.figures.generated_selection import (
    alike,
    closest,
    counterpart,
    evenly,
    generator_of,
    real_like,
)

WINDOW = (-1000, 400)


def a_slice(title: str, side: int = 64, size: int = 4) -> ShownSlice:
    hu = np.random.default_rng(side).integers(-900, 100, (side, side)).astype(np.int16)
    nodule = np.zeros(hu.shape, bool)
    nodule[10 : 10 + size, 20 : 20 + size] = True
    return ShownSlice(title, hu, nodule)


def a_crop(seed: int) -> ShownCrop:
    hu = np.random.default_rng(seed).integers(-900, 100, (16, 16)).astype(np.int16)
    return ShownCrop("4.0 mm, solid", hu, hu > 0)


def texts(figure: Figure) -> str:
    return "\n".join(text.get_text() for text in figure.texts)


def pixels(figure: Figure) -> Any:
    """(H, W) grey values of the drawn figure."""
    canvas: Any = figure.canvas
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0]


def test_every_pixel_of_a_slice_is_shown_at_full_size() -> None:
    example = InsertedExample(a_slice("real", SLICE_PX), a_slice("inserted"), None)
    figure = inserted_figure({"dcgan": [example]}, WINDOW)
    axis = figure.axes[0]
    box = axis.get_window_extent()
    assert (round(box.width), round(box.height)) == (SLICE_PX, SLICE_PX)
    grey = np.rint(255 * (np.clip(example.real.hu.astype(float), *WINDOW) + 1000) / 1400)
    top = figure.get_window_extent().height - box.y1
    drawn = pixels(figure)[round(top) :, round(box.x0) :][:SLICE_PX, :SLICE_PX]
    inside = (slice(100, 500), slice(100, 500))  # the frame lies outside of that
    assert np.abs(drawn[inside].astype(int) - grey[inside]).max() <= 2


def test_zooms_are_whole_and_shared_by_an_example() -> None:
    small, large = a_slice("real"), a_slice("inserted", size=20)
    assert zoom_of(InsertedExample(small, small, None)) == 8
    assert zoom_of(InsertedExample(small, large, None)) == 4
    assert ZOOM_PX % zoom_of(InsertedExample(small, large, None)) == 0
    huge = a_slice("published", 512, 400)
    assert zoom_of(InsertedExample(small, small, huge)) == 1


def test_a_view_is_centred_and_padded_with_air() -> None:
    shown = a_slice("real")
    view = around(shown.hu, shown.nodule, 32)
    assert view.shape == (32, 32)
    np.testing.assert_array_equal(view[14:18, 14:18], shown.hu[10:14, 20:24])
    assert (view[:4] == -1000).all()


def test_titles_name_what_is_shown() -> None:
    three = [a_slice(name) for name in ("real, 6.0 mm", "inserted, 6.1 mm", "published paste")]
    figure = inserted_figure({"dcgan": [InsertedExample(*three)] * 2}, WINDOW)
    told = texts(figure)
    for words in ("dcgan", "real, 6.0 mm", "inserted, ×8", "published paste, ×8"):
        assert words in told
    assert len(figure.axes) == 3 + 6
    crops = {"real crops": [a_crop(0)], "dcgan": [a_crop(1), a_crop(2)]}
    assert "real crops" in texts(samples_figure(crops, WINDOW))
    assert len(pairs_figure({"dcgan": [(a_crop(1), a_crop(2))]}, WINDOW).axes) == 4


@pytest.mark.parametrize(
    "figure",
    [
        samples_figure({}, WINDOW),
        pairs_figure({}, WINDOW),
        inserted_figure({"dcgan": []}, WINDOW),
        realism_figure(pd.DataFrame({"variant": ["real"], "ratio": [np.nan]})),
        generator_curves(pd.DataFrame()),
    ],
    ids=["samples", "pairs", "inserted", "realism", "curves"],
)
def test_nothing_to_draw_is_said(figure: Figure) -> None:
    assert "Nothing to draw" in texts(figure)


def test_a_posed_crop_is_flipped_then_turned() -> None:
    crop = a_crop(3)
    same = posed(crop, False, 0.0)
    np.testing.assert_array_equal(same.hu, crop.hu)
    np.testing.assert_array_equal(posed(crop, True, 0.0).hu, crop.hu[:, ::-1])
    turned = posed(crop, False, 90.0)
    np.testing.assert_allclose(turned.hu, np.rot90(crop.hu), atol=0.5)
    np.testing.assert_array_equal(turned.mask, np.rot90(crop.mask))


def test_paths_tell_fold_and_generator() -> None:
    for name in (
        "cv1/generators/dcgan/patches.h5",
        "cv1/generators/dcgan/history.tsv",
        "cv1/inserted/dcgan.h5",
        "cv1/inserted/dcgan.published.h5",
        "cv1/realism/dcgan.pairs.tsv",
    ):
        assert generator_of(Path("/results/lidc") / name) == ("cv1", "dcgan")


def test_sizes_are_even_and_alike() -> None:
    assert evenly(range(11), 5) == [1, 3, 5, 7, 9]
    assert evenly([], 3) == []
    assert alike([5, 5, 1], [1, 4, 6, 9]) == [1, 2, 0]
    assert alike([5, 5], [7]) == [0]


def test_the_published_counterpart_has_the_same_patch() -> None:
    published = pd.DataFrame(
        {
            "host": ["a", "b", "b"],
            "patch": [3, 3, 4],
            "group": "8x8",
            "row": [0, 1, 2],
        }
    )
    found = [counterpart({"host": h, "patch": p}, published) for h, p in (("b", 3), ("c", 4))]
    assert [row and row["row"] for row in found] == [1, 2]
    by_host = counterpart({"host": "a", "patch": 9}, published)
    assert by_host is not None
    assert by_host["row"] == 0
    assert counterpart({"host": "z", "patch": 9}, published) is None


def test_real_ones_are_of_training_patients_in_turns() -> None:
    slices = pd.DataFrame(
        [
            ("train", "p0/s/1", "p0", 5.0, 9),
            ("train", "p0/s/2", "p0", 5.1, 9),
            ("train", "p1/s/1", "p1", 9.0, 9),
            ("test", "p2/s/1", "p2", 5.0, 9),
            ("train", "p3/s/1", "p3", 5.0, 0),
        ],
        columns=["role", "key", "patient", "diameter_mm", "n_nodule_px"],
    )
    assert [r["key"] for r in real_like(slices, [5.1, 5.1])] == ["p0/s/2", "p1/s/1"]
    assert real_like(slices.head(0), [5.0]) == []


def test_closest_pairs_come_first() -> None:
    pairs = pd.DataFrame({"patch": [0, 1, 1, 2], "roi": [5, 6, 7, 8], "distance": [3, 2, 1, 9]})
    assert [(r["patch"], r["roi"]) for r in closest(pairs, 2)] == [(1, 7), (0, 5)]


def test_realism_draws_each_variant_against_the_yardstick() -> None:
    rows = realism_rows("dcgan", "fixed") + realism_rows("vqvae", "fixed")
    axis = realism_figure(pd.DataFrame(rows)).axes[0]
    assert axis.get_xscale() == "log"
    assert [label.get_text() for label in axis.get_yticklabels()] == ["pixel_ks", "mean_ks"]
    points = [line for line in axis.lines if line.get_marker() not in ("None", None, "")]
    assert len(points) == 8
    faces = [line.get_markerfacecolor() for line in points]
    assert faces.count("white") == 4  # the published insertion
    bars = [(bar.get_x(), bar.get_width()) for bar in axis.patches]
    assert bars[0] == pytest.approx((0.8, 0.7))


def test_curves_have_a_panel_a_unit_and_say_what_was_noted() -> None:
    history = pd.DataFrame(
        [
            {"phase": phase, "step": step, "epoch": step, "loss": 1 / step**4, "codes_used": 9.0}
            | {"note": "collapse" if step > 2 else np.nan, "fold": "fixed", "generator": "vqvae"}
            for phase in ("codes", "prior")
            for step in (1, 2, 3, 4)
        ]
        + [{"phase": "fit", "step": 0, "fold": "fixed", "generator": "copypaste"}]
    )
    panels = generator_curves(history).axes
    titles = [panel.get_title(loc="left") for panel in panels[::2]]
    assert titles == [f"vqvae, {p}\nsteps 3 to 4: collapse" for p in ("codes", "prior")]
    curves = [[line.get_label() for line in panel.lines] for panel in panels]
    assert curves == [["loss"], ["codes_used"]] * 2
    assert [panel.get_yscale() for panel in panels] == ["log", "linear"] * 2
    assert [panel.get_ylabel() for panel in panels] == ["loss", "codes in use"] * 2
