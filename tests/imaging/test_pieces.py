"""Masks from probabilities, and their largest piece."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.imaging.pieces import largest_piece, mask_of


def boxes(*places: tuple[int, int, int]) -> np.ndarray:
    """(32, 32) bool, squares of (row, column, side)."""
    mask = np.zeros((32, 32), bool)
    for row, column, side in places:
        mask[row : row + side, column : column + side] = True
    return mask


def test_a_half_is_in_the_mask() -> None:
    assert mask_of(np.array([0.49, 0.5, 0.51])).tolist() == [False, True, True]


def test_the_largest_piece_is_what_stays() -> None:
    both = boxes((3, 3, 2), (10, 10, 6))
    np.testing.assert_array_equal(largest_piece(both), boxes((10, 10, 6)))
    assert not largest_piece(np.zeros((8, 8), bool)).any()


def test_of_pieces_of_one_size_the_first_is_taken() -> None:
    twins = boxes((20, 3, 4), (3, 20, 4))
    np.testing.assert_array_equal(largest_piece(twins), boxes((3, 20, 4)))


@pytest.mark.parametrize(("connectivity", "kept"), [(8, 9 + 16), (4, 16)])
def test_corners_touch_where_they_are_asked_to(connectivity: int, kept: int) -> None:
    corner = boxes((2, 2, 3), (5, 5, 4))
    assert np.count_nonzero(largest_piece(corner, connectivity)) == kept
