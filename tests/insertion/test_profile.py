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


def test_what_does_not_count_falls_as_the_next_one_inwards() -> None:
    real = np.choose(DEPTH, [-850, -400, -150, -60, -50])
    assert fall_of(real, MASK, DEPTH > 1) == [100, 100, 10]
    assert fall_of(real, MASK, DEPTH == 1) == [350, 0, 0]
    half = np.broadcast_to(np.arange(21) >= 10, MASK.shape)
    assert fall_of(np.where(half, real, real - 500), MASK, half) == [350, 100, 10]


def test_depth_is_at_most_that_of_the_record_and_counts_at_the_edge_of_the_image() -> None:
    whole = depth_of(np.ones((13, 13), bool))
    assert whole[0, 0] == whole[12, 6] == whole[6, 12] == 1
    assert whole[1, 6] == 2
    assert (whole[6, 6], whole.max()) == (4, 4)


def test_a_cap_reaches_two_pixels_in_and_leaves_the_core() -> None:
    dense = np.choose(DEPTH, [-850, 300, 200, 100, -50]).astype(np.float32)
    found = lowered(dense, MASK, [0, 0, 0])
    assert {*found[(DEPTH == 1) | (DEPTH == 2)].tolist()} == {-50}
    assert (found[DEPTH == 3] == 100).all()
    assert (found[DEPTH == 4] == -50).all()


def test_a_single_pixel_has_none() -> None:
    mask = disc((5, 5), (2, 2), 0)
    assert fall_of(np.zeros((5, 5)), mask) == []
    hu = np.ones((5, 5), np.float32)
    assert np.array_equal(lowered(hu, mask, [100]), hu)
