"""Which masks are a nodule: one case a reason, and what just passes."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.insertion.quality import (
    AT_BORDER,
    EMPTY,
    FRAGMENTED,
    NOT_FINITE,
    TOO_SMALL,
    QualitySettings,
    count_reasons,
    reject_reason,
)

SETTINGS = QualitySettings(outside_share=0.1, border_px=1, min_px=9)


def squares(*boxes: tuple[int, int, int], value: float = 0.9) -> np.ndarray:
    """(32, 32) probability: (row, column, side) each at ``value``."""
    probability = np.full((32, 32), 0.1, np.float32)
    for row, column, side in boxes:
        probability[row : row + side, column : column + side] = value
    return probability


@pytest.mark.parametrize(
    ("probability", "reason"),
    [
        (squares((10, 10, 6)), None),
        (squares((10, 10, 6), value=0.5), None),
        (squares((10, 10, 6), value=0.49), EMPTY),
        (squares((10, 10, 6), (20, 20, 2)), None),  # 4 of 40 lie apart
        (squares((10, 10, 6), (20, 20, 3)), FRAGMENTED),
        (squares((10, 10, 4), (14, 14, 4)), None),  # they touch by a corner
        (squares((0, 10, 6)), AT_BORDER),
        (squares((10, 26, 6)), AT_BORDER),
        (squares((1, 25, 6)), None),
        (squares((10, 10, 6), (0, 31, 1)), None),  # only a crumb touches
        (squares((10, 10, 3)), None),
        (squares((10, 10, 2)), TOO_SMALL),
        (squares((10, 10, 6), value=np.nan), NOT_FINITE),
        (squares((10, 10, 6), value=np.inf), NOT_FINITE),
    ],
)
def test_reason(probability: np.ndarray, reason: str | None) -> None:
    assert reject_reason(probability, SETTINGS) == reason


def test_hu_that_are_no_number_are_a_reason() -> None:
    hu = np.zeros((32, 32), np.float32)
    assert reject_reason(squares((10, 10, 6)), SETTINGS, hu) is None
    hu[0, 0] = np.nan
    assert reject_reason(squares((10, 10, 6)), SETTINGS, hu) == NOT_FINITE


def test_the_border_may_be_wider_or_none() -> None:
    near = squares((2, 10, 6))
    assert reject_reason(near, QualitySettings(border_px=2)) is None
    assert reject_reason(near, QualitySettings(border_px=3)) == AT_BORDER
    assert reject_reason(squares((0, 10, 6)), QualitySettings(border_px=0)) is None
    assert reject_reason(near, QualitySettings(border_px=40)) == AT_BORDER


def test_the_defaults_take_what_is_a_nodule_of_three_millimetres() -> None:
    default = QualitySettings(outside_share=0.05, border_px=1, min_px=8)
    assert QualitySettings() == default
    assert reject_reason(squares((10, 10, 2), (10, 12, 2)), default) is None
    assert reject_reason(squares((10, 10, 2), (10, 12, 1)), default) == TOO_SMALL


@pytest.mark.parametrize("place", [(0, 10), (10, 0), (26, 10), (10, 26)])
@pytest.mark.parametrize("away", [0, 1])
def test_each_side_of_the_border_counts(place: tuple[int, int], away: int) -> None:
    row, column = (min(max(x, away), 26 - away) for x in place)
    assert reject_reason(squares((row, column, 6)), SETTINGS) == (None if away else AT_BORDER)


def test_counts_are_by_reason_in_a_fixed_order() -> None:
    counts = count_reasons([AT_BORDER, None, EMPTY, AT_BORDER, None])
    assert list(counts.items()) == [(EMPTY, 1), (AT_BORDER, 2)]
