"""The fall of HU towards the border."""

from __future__ import annotations

import numpy as np

from insertion.scene import disc
from lungaug.insertion.profile import depth_of, fall_of, lowered

MASK = disc((21, 21), (10, 10), 7)
DEPTH = depth_of(MASK)


def test_depth_counts_from_the_border() -> None:
    assert DEPTH[~MASK].max() == 0
    assert DEPTH[10, 3] == 1
    assert DEPTH[10, 5] == 2
    assert DEPTH[10, 10] == 4


def test_what_is_lowered_falls_as_the_real_nodule() -> None:
    real = np.choose(DEPTH, [-850, -400, -150, -60, -50])
    fall = fall_of(real, MASK)
    assert fall == [350, 100, 10]
    flat = np.zeros(MASK.shape, np.float32)
    assert fall_of(lowered(flat, MASK, fall), MASK) == fall


def test_what_falls_far_enough_stays() -> None:
    real = np.choose(DEPTH, [-850, -400, -150, -60, -50]).astype(np.float32)
    assert np.array_equal(lowered(real, MASK, [300, 100, 10]), real)
    assert np.array_equal(lowered(real, MASK, []), real)


def test_a_seam_of_chest_wall_is_no_denser_than_the_core() -> None:
    seam = np.where(DEPTH == 0, -850, -500).astype(np.float32)
    seam[(DEPTH == 1) & (np.arange(21) < 8)] = 50
    assert lowered(seam, MASK, [0, 0, 0])[MASK].max() == -500
    assert np.array_equal(lowered(seam, MASK, []), seam)


def test_a_bright_border_does_not_count_as_fall() -> None:
    assert fall_of(np.choose(DEPTH, [0, 100, 0, 0, 0]), MASK) == [0, 0, 0]


def test_a_single_pixel_has_none() -> None:
    mask = disc((5, 5), (2, 2), 0)
    assert fall_of(np.zeros((5, 5)), mask) == []
    hu = np.ones((5, 5), np.float32)
    assert np.array_equal(lowered(hu, mask, [100]), hu)
