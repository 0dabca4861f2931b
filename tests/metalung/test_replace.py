"""A nodule changes places with free lung: nothing is lost, made or overlapped."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.metalung.edges import widened
from lungaug.metalung.operations import Inapplicable
from lungaug.metalung.replace import REPLACE
from metalung.cases import chest, drawn

EMPTY = Inapplicable("no free place in either lung")


@pytest.mark.parametrize("seed", range(10))
def test_moves_only_what_it_says(seed):
    hu, nodule, lung = case = chest(nodules=((50, 30, 5, 3), (60, 95, 3, 6)))
    parameters = drawn("replace", case, seed)
    moved, labels = REPLACE.apply(hu, nodule, parameters)
    label, (top, left) = parameters["label"], parameters["place"]
    old, new = nodule == label, labels == label
    touched = widened(old | new, parameters["edge_px"])
    np.testing.assert_array_equal(np.sort(moved, axis=None), np.sort(hu, axis=None))
    np.testing.assert_array_equal(moved[~touched], hu[~touched])
    np.testing.assert_array_equal(moved[new], hu[old][::-1])
    assert (np.nonzero(new)[0].min(), np.nonzero(new)[1].min()) == (top, left)
    assert (lung[widened(new, 2) & ~widened(old, 2)] == 1).all()
    np.testing.assert_array_equal(labels == 3 - label, nodule == 3 - label)


def test_moves_the_mask_only_if_told_so():
    hu, nodule, _ = case = chest()
    parameters = drawn("replace", case, edge_px=0)
    moved, labels = REPLACE.apply(hu, nodule, parameters)
    assert np.count_nonzero(moved != hu) <= 2 * np.count_nonzero(nodule)
    np.testing.assert_array_equal(moved[labels == 0], np.where(nodule, moved, hu)[labels == 0])


def test_leaves_no_outline_behind():
    """A bright rim around the mask moves along; the wall that it touches does not."""
    hu, nodule, lung = chest(nodules=())
    nodule[45:52, 25:32] = 1
    rim = widened(nodule == 1, 1) & (nodule == 0)
    hu[rim], hu[nodule == 1] = -400, 0
    hu[rim & (np.indices(rim.shape)[1] == 24)] = 60
    moved, labels = REPLACE.apply(hu, nodule, drawn("replace", (hu, nodule, lung)))
    old = widened(nodule == 1, 1)
    assert np.count_nonzero((moved > -500) & old) == 7
    assert np.count_nonzero((moved == -400) & widened(labels == 1, 1)) == np.sum(hu == -400)


def test_narrows_the_edge_where_space_is_tight():
    hu, nodule, lung = chest(nodules=())
    nodule[45:48, 25:28] = 1
    hu[nodule == 1] = 0
    lung[:] = 0
    lung[43:50, 23:30] = lung[20:25, 90:95] = 1
    assert drawn("replace", (hu, nodule, lung))["edge_px"] == 1
    lung[20:25, 90:95] = 2
    assert drawn("replace", (hu, nodule, lung))["side"] == "overlapping"


def test_turns_by_180_degrees():
    hu, nodule, lung = chest(nodules=())
    nodule[50:53, 30:32] = [[1, 1], [1, 0], [1, 0]]
    _, labels = REPLACE.apply(hu, nodule, drawn("replace", (hu, nodule, lung)))
    rows, cols = np.nonzero(labels)
    box = labels[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
    np.testing.assert_array_equal(box, [[0, 1], [0, 1], [1, 1]])


def test_fits_the_turned_nodule_not_the_one_that_was():
    hu, nodule, lung = chest(nodules=())
    nodule[50:52, 30:32] = [[1, 1], [1, 0]]
    lung[:] = 0
    lung[20:22, 90:92], lung[30:32, 90:92] = [[0, 1], [1, 1]], [[1, 1], [1, 0]]
    lung[40:42, 90:92], lung[60:62, 90:92] = [[1, 0], [1, 1]], [[1, 1], [0, 1]]
    places = [drawn("replace", (hu, nodule, lung), s, edge_px=0)["place"] for s in range(12)]
    assert places == [[20, 90]] * 12


def test_keeps_off_a_nodule_as_faint_as_lung():
    """Ground glass is no obstacle to the lung mask; its label alone keeps its pixels."""
    hu, nodule, lung = chest(nodules=())
    lung[:] = 0
    lung[20:30, 90:100] = lung[40:42, 30:32] = 1
    nodule[20:30, 90:97], nodule[40:42, 30:32] = 2, 1
    for seed in range(12):
        parameters = drawn("replace", (hu, nodule, lung), seed, edge_px=0)
        _, labels = REPLACE.apply(hu, nodule, parameters)
        np.testing.assert_array_equal(np.bincount(labels.ravel()), np.bincount(nodule.ravel()))


def test_a_new_place_overlaps_no_pixel_of_the_old_edge():
    hu, nodule, lung = chest(nodules=())
    lung[:], hu[:] = 0, -850
    lung[48:53, 10:36], nodule[49:52, 20:23] = 1, 1
    hu[nodule == 1] = 0
    found = [drawn("replace", (hu, nodule, lung), seed, edge_px=1) for seed in range(80)]
    assert {f["edge_px"] for f in found} == {1}
    assert {f["side"] for f in found} == {"opposite"}
    assert {f["place"][1] for f in found} == set(range(25, 33))


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("stop", [40, 41])
@pytest.mark.parametrize("left", [True, False])
def test_sides_part_at_the_middle_of_the_lungs(width, stop, left):
    """A place is on the side on which its own middle lies, the middle itself on the right."""
    hu, nodule, lung = chest(nodules=())
    lung[:] = 0
    lung[50, 20:stop] = 1
    middle = (20 + stop) / 2
    at = int(np.ceil(middle - width / 2)) - 1 if left else int(middle) + 1 - width // 2
    nodule[50, at : at + width] = 1
    found = [drawn("replace", (hu, nodule, lung), seed, edge_px=0) for seed in range(150)]
    on_the_right = [p for p in range(20, stop - width + 1) if p + width / 2 >= middle]
    on_the_left = [p for p in range(20, stop - width + 1) if p + width / 2 < middle]
    free = [p for p in (on_the_right if left else on_the_left) if abs(p - at) >= width]
    assert {f["side"] for f in found} == {"opposite"}
    assert {f["place"][1] for f in found} == set(free)


def test_from_the_very_middle_it_moves_to_the_right():
    hu, nodule, lung = chest(nodules=())
    lung[:] = 0
    lung[50, 20:41], nodule[50, 30] = 1, 1
    found = [drawn("replace", (hu, nodule, lung), seed, edge_px=0) for seed in range(20)]
    assert all(f["side"] == "opposite" and f["place"][1] > 30 for f in found)


def test_exchanges_sites_that_overlap():
    hu, nodule, _ = chest(nodules=((50, 30, 5, 3),))
    rows, cols = np.nonzero(nodule)
    place = [int(rows.min()) + 2, int(cols.min()) + 1]
    moved, labels = REPLACE.apply(
        hu, nodule, {"label": 1, "place": place, "edge_px": 0, "edge": ""}
    )
    np.testing.assert_array_equal(np.sort(moved, axis=None), np.sort(hu, axis=None))
    np.testing.assert_array_equal(moved[labels == 1], hu[nodule == 1][::-1])


@pytest.mark.parametrize(("column", "opposite"), [(30, range(64, 128)), (95, range(64))])
def test_prefers_the_other_lung(column, opposite):
    case = chest(nodules=((50, column, 4, 4),))
    for seed in range(10):
        parameters = drawn("replace", case, seed)
        assert parameters["side"] == "opposite"
        assert parameters["place"][1] + 4 in opposite


def test_takes_its_own_lung_when_the_other_is_full():
    hu, nodule, lung = chest()
    lung[:, 64:] = np.minimum(lung[:, 64:], 1) * 2
    parameters = drawn("replace", (hu, nodule, lung))
    assert parameters["side"] == "same"
    assert parameters["place"] != [45, 27]


def test_says_when_there_is_no_place():
    hu, nodule, lung = chest()
    assert drawn("replace", (hu, nodule, np.minimum(lung, 1) * 2)) == EMPTY
    assert drawn("replace", (hu, nodule, np.zeros_like(lung))) == EMPTY


def test_does_not_count_staying_as_moving():
    """The only free space is the nodule's own."""
    hu, nodule, _ = chest(nodules=())
    nodule[40:44, 20:23] = 1
    assert drawn("replace", (hu, nodule, nodule.copy())) == EMPTY


def test_every_free_place_is_equally_likely():
    hu, nodule, lung = chest(nodules=())
    nodule[40, 20] = 1
    lung[:] = 0
    lung[40, 20] = lung[10, 100] = lung[50, 101] = lung[60, 102] = 1
    places = [tuple(drawn("replace", (hu, nodule, lung), seed)["place"]) for seed in range(300)]
    counts = {place: places.count(place) for place in set(places)}
    assert set(counts) == {(10, 100), (50, 101), (60, 102)}
    assert min(counts.values()) > 70


def test_moves_the_other_nodule_when_the_first_does_not_fit():
    hu, nodule, lung = chest(nodules=())
    nodule[30:70, 20:40], nodule[20, 90] = 1, 2
    lung[:] = 0
    lung[80, 20:22] = 1
    labels = {drawn("replace", (hu, nodule, lung), seed)["label"] for seed in range(10)}
    assert labels == {2}
