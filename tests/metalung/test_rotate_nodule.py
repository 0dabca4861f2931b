"""Only the nodule turns; what it uncovers becomes parenchyma; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.metalung.edges import packed, widened
from lungaug.metalung.operations import Inapplicable
from lungaug.metalung.rotate_nodule import ROTATE_NODULE
from metalung.cases import chest, drawn

IN_PLACE = {"label": 1, "shift": [0, 0], "fill": [0, 0], "edge_px": 0, "edge": ""}


@pytest.mark.parametrize("seed", range(10))
def test_changes_nothing_outside_both_outlines(seed):
    hu, nodule, lung = case = chest(nodules=((55, 30, 9, 3), (60, 95, 3, 8)))
    for values in ({}, {"move_edge": False}):
        parameters = drawn("rotate_nodule", case, seed, **values)
        turned, labels = ROTATE_NODULE.apply(hu, nodule, parameters)
        label = parameters["label"]
        old, new = nodule == label, labels == label
        # nearest neighbours may put a pixel of the edge one further out
        touched = widened(old | new, parameters["edge_px"] and parameters["edge_px"] + 1)
        np.testing.assert_array_equal(turned[~touched], hu[~touched])
        np.testing.assert_array_equal(labels == 3 - label, nodule == 3 - label)
        assert set(turned[new]) <= set(hu[old])
        assert abs(int(new.sum()) - int(old.sum())) <= 0.2 * old.sum()
        assert ((lung > 0) | ~new).all()


def test_its_edge_turns_along_and_only_brightens():
    hu, nodule, lung = chest(nodules=((55, 30, 10, 2),))
    rim = widened(nodule == 1, 1) & (nodule == 0)
    hu[rim], hu[nodule == 1] = -450, 0
    parameters = drawn("rotate_nodule", (hu, nodule, lung), degrees=(70.0, 90.0))
    turned, labels = ROTATE_NODULE.apply(hu, nodule, parameters)
    outline = widened(labels == 1, 1) & (labels == 0)
    assert (turned[outline] > -700).mean() > 0.8
    assert (turned[rim & ~widened(labels == 1, 2)] < -600).all()
    kept = widened(labels == 1, 2) & ~widened(nodule == 1, 2)
    assert (turned[kept] >= hu[kept]).all()


def test_fills_with_the_texture_of_bare_parenchyma():
    hu, nodule, lung = case = chest(nodules=((55, 30, 10, 2),))
    uncovered = []
    for seed in range(10):
        parameters = drawn("rotate_nodule", case, seed, degrees=(60.0, 90.0), move_edge=False)
        turned, labels = ROTATE_NODULE.apply(hu, nodule, parameters)
        gap = (nodule == 1) & (labels == 0)
        rows, cols = np.nonzero(gap)
        down, right = parameters["fill"]
        assert (lung[rows + down, cols + right] == 1).all()
        assert not nodule[rows + down, cols + right].any()
        uncovered.extend(turned[gap].tolist())
    assert abs(np.mean(uncovered) + 850) < 10
    assert 12 < np.std(uncovered) < 30


def test_turns_counter_clockwise_about_the_centroid():
    hu, nodule, _ = chest(nodules=())
    nodule[50, 30:37] = 1
    nodule[49, 36] = 1
    hu[nodule == 1] = np.arange(8)
    turned, labels = ROTATE_NODULE.apply(hu, nodule, {**IN_PLACE, "degrees": 90.0})
    rows, cols = np.nonzero(labels)
    assert len(np.unique(cols)) == 2
    assert rows.max() - rows.min() == 6
    top = turned[rows.min(), :][labels[rows.min()] == 1]
    assert set(top) == {0, 7}
    assert turned[rows.max(), cols[rows == rows.max()]] == [1]


def test_nothing_happens_at_zero_degrees():
    hu, nodule, _ = chest()
    turned, labels = ROTATE_NODULE.apply(hu, nodule, {**IN_PLACE, "degrees": 0.0})
    np.testing.assert_array_equal(turned, hu)
    np.testing.assert_array_equal(labels, nodule)


def test_a_full_turn_in_four_quarters_brings_it_back():
    hu, nodule, _ = chest(nodules=())
    nodule[50:55, 28:33] = np.eye(5, dtype=np.uint8)
    nodule[50:55, 30] = nodule[52, 28:33] = 1
    case = hu, nodule
    for _ in range(4):
        case = ROTATE_NODULE.apply(*case, {**IN_PLACE, "degrees": 90.0})
    np.testing.assert_array_equal(case[1], nodule)
    np.testing.assert_array_equal(case[0][nodule == 1], hu[nodule == 1])


def test_gives_way_to_the_pleura_by_no_more_than_allowed():
    hu, nodule, lung = chest(nodules=())
    lung[:] = 1
    lung[:, :25] = 0
    nodule[45:56, 25:28] = 1
    shifts = [
        drawn("rotate_nodule", (hu, nodule, lung), seed, degrees=(5.0, 20.0))["shift"]
        for seed in range(10)
    ]
    assert all(np.hypot(*shift) <= 2 for shift in shifts)
    assert any(shift != [0, 0] for shift in shifts)
    refused = drawn("rotate_nodule", (hu, nodule, lung), degrees=(80.0, 90.0))
    assert refused == Inapplicable("the turned nodule leaves the lung or covers an obstacle")


def test_does_not_cover_another_nodule():
    hu, nodule, lung = chest(nodules=())
    lung[:] = 1
    nodule[40:61, 29:32], nodule[:, 33:], nodule[:, :28] = 1, 2, 3
    refused = drawn("rotate_nodule", (hu, nodule, lung), degrees=(40.0, 50.0))
    assert isinstance(refused, Inapplicable)


def test_does_not_cover_a_nodule_as_faint_as_lung():
    """With parenchyma all around to fill from, only the other's label is in the way."""
    hu, nodule, lung = chest(nodules=())
    lung[:] = 1
    nodule[40:61, 29:32], nodule[40:61, 34:36] = 1, 2
    refused = drawn("rotate_nodule", (hu, nodule, lung), degrees=(40.0, 50.0))
    assert refused == Inapplicable("the turned nodule leaves the lung or covers an obstacle")


def test_its_edge_leaves_other_nodules_alone():
    hu, nodule, _ = chest(nodules=())
    hu[:] = -850
    nodule[49:52, 25:36], nodule[44:46, 33:36] = 1, 2
    hu[widened(nodule == 1, 2)] = -400
    hu[nodule == 1], hu[nodule == 2] = 0, -700
    rim = widened(nodule == 1, 2) & (nodule == 0)
    edge = packed(np.ones(np.count_nonzero(rim), bool))
    parameters = {**IN_PLACE, "degrees": 90.0, "fill": [20, 0], "edge_px": 2, "edge": edge}
    turned, labels = ROTATE_NODULE.apply(hu, nodule, parameters)
    near = widened(labels == 1, 2) & (nodule == 2)
    assert near.any()
    assert (turned[nodule == 2] == -700).all()
    assert (turned[labels == 1] == 0).all()


@pytest.mark.parametrize("corner", [(1, 1), (1, 124), (92, 1), (92, 124)])
def test_an_edge_on_the_first_and_last_pixels_of_the_slice_turns_too(corner):
    """A square in a square rim looks the same after a quarter turn."""
    hu, nodule, _ = chest(nodules=())
    hu[:] = -850
    top, left = corner
    nodule[top : top + 3, left : left + 3] = 1
    rim = widened(nodule == 1, 1) & (nodule == 0)
    hu[rim], hu[nodule == 1] = -400, 0
    edge = packed(np.ones(np.count_nonzero(rim), bool))
    fill = [10 if top == 1 else -10, 10 if left == 1 else -10]
    parameters = {**IN_PLACE, "degrees": 90.0, "fill": fill, "edge_px": 1, "edge": edge}
    turned, labels = ROTATE_NODULE.apply(hu, nodule, parameters)
    np.testing.assert_array_equal(turned, hu)
    np.testing.assert_array_equal(labels, nodule)


def test_the_filling_has_the_density_of_parenchyma_alone():
    """Neither another nodule, however faint, nor a wall beside the hole tints it."""
    hu, nodule, _ = chest(nodules=())
    hu[:] = np.random.default_rng(0).normal(-850, 20, hu.shape)
    nodule[49:52, 25:36], nodule[45:48, 24:28] = 1, 2
    wall = np.s_[53:56, 24:28]
    hu[nodule == 1] = 0
    filled = []
    for other, beside in ((-850, -250), (-400, -250), (-400, 40)):
        hu[nodule == 2], hu[wall] = other, beside
        turned, labels = ROTATE_NODULE.apply(
            hu, nodule, {**IN_PLACE, "degrees": 90.0, "fill": [0, 40]}
        )
        filled.append(turned[(nodule == 1) & (labels == 0)])
    np.testing.assert_array_equal(filled[0], filled[1])
    np.testing.assert_array_equal(filled[1], filled[2])
    assert abs(filled[0].mean() + 850) < 15


def test_its_own_bright_edge_is_no_obstacle():
    hu, nodule, lung = chest(nodules=())
    lung[:] = 1
    lung[43:58, 26:35] = 2
    nodule[45:56, 28:33] = 1
    assert isinstance(drawn("rotate_nodule", (hu, nodule, lung), edge_px=3), dict)
    refused = drawn("rotate_nodule", (hu, nodule, lung), edge_px=0, degrees=(30.0, 60.0))
    assert isinstance(refused, Inapplicable)


def test_says_when_turning_changes_nothing_or_nothing_can_fill():
    hu, nodule, lung = chest(nodules=())
    lung[:] = 1
    nodule[50, 30] = 1
    same = drawn("rotate_nodule", (hu, nodule, lung))
    assert same == Inapplicable("turning changes no pixel of the nodule")
    nodule[46:55, 30] = 1
    lung[:] = 2
    bare = drawn("rotate_nodule", (hu, nodule, lung), edge_px=9)
    assert bare == Inapplicable("no free parenchyma to fill what the nodule uncovers")


def test_a_quarter_turn_about_a_point_between_pixels_leaves_no_gap():
    """Every position lies halfway between two pixels then; each pixel still turns exactly once."""
    hu, nodule, _ = chest(nodules=())
    nodule[50:54, 28:33] = 1
    _, labels = ROTATE_NODULE.apply(hu, nodule, {**IN_PLACE, "degrees": 90.0})
    rows, cols = np.nonzero(labels)
    assert (np.ptp(rows), np.ptp(cols), len(rows)) == (4, 3, 20)
