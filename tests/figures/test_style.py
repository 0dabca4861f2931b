"""Small parts of the figures: overlays, outlines, files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from matplotlib.colors import to_rgb

from lungaug.figures.style import (
    FALSE,
    HIT,
    MISSED,
    PALETTE,
    colours,
    difference_overlay,
    grid,
    note,
    outline,
    save,
)


def test_difference_colours() -> None:
    predicted = np.array([[True, True, False, False]])
    reference = np.array([[True, False, True, False]])
    rgb = difference_overlay(np.full((1, 4), 0.5), predicted, reference)
    expected = [to_rgb(HIT), to_rgb(FALSE), to_rgb(MISSED), (0.35, 0.35, 0.35)]
    np.testing.assert_allclose(rgb[0], expected)


def test_an_outline_follows_the_pixels() -> None:
    _, axes = grid(1, 1, 2, 2)
    mask = np.zeros((4, 5), np.uint8)
    mask[0, 4] = 3
    outline(axes[0][0], mask, "red")
    segments = np.array(axes[0][0].collections[0].get_segments())
    assert len(segments) == 4
    assert segments.min(axis=(0, 1)).tolist() == [3.5, -0.5]
    assert segments.max(axis=(0, 1)).tolist() == [4.5, 0.5]


def test_an_empty_mask_has_no_outline() -> None:
    _, axes = grid(1, 1, 2, 2)
    outline(axes[0][0], np.zeros((3, 3)), "red")
    assert len(axes[0][0].collections[0].get_segments()) == 0


def test_colours_repeat_only_when_they_must() -> None:
    names = [f"arm{i}" for i in range(len(PALETTE) + 1)]
    assert len(set(colours(names).values())) == len(PALETTE)


def test_a_file_is_whole_or_not_there(tmp_path: Path) -> None:
    save(note("no reason."), tmp_path / "deep" / "figure.png")
    assert [p.name for p in (tmp_path / "deep").iterdir()] == ["figure.png"]
