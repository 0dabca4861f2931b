"""The published insertion, faults included."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.signal import correlate2d

from insertion.scene import host, patch
from lungaug.errors import InputError
from lungaug.insertion import published
from lungaug.insertion.protocol import Host, Refused, rng_of

SIDES = {64, 32, 21, 16}


def large_host() -> Host:
    lung = np.zeros((200, 180), np.uint8)
    lung[5:-5, 5:-5] = 1
    lung[60::40, 60::40] = 2
    hu = np.full(lung.shape, -850, np.int16)
    return host(hu=hu, nodule=np.zeros_like(lung), lung=lung)


def test_sides_are_a_quarter_to_the_whole_whatever_the_spacing() -> None:
    drawn = [published.draw(large_host(), patch(), rng=rng_of(seed)) for seed in range(40)]
    assert {d["side"] for d in drawn if not isinstance(d, Refused)} == SIDES


def test_what_is_pasted_is_flat() -> None:
    before = large_host()
    drawn = published.draw(before, patch(), rng=rng_of(0))
    assert not isinstance(drawn, Refused)
    hu, nodule = published.apply(before.hu, before.nodule, patch(), drawn)
    assert set(np.unique(hu[nodule > 0])) == {published.PASTED_HU}
    assert np.array_equal(hu[nodule == 0], before.hu[nodule == 0])
    assert (before.lung[nodule > 0] == 1).all()


def test_only_places_without_overlap_and_never_the_first() -> None:
    before, one = large_host(), patch()
    for side in SIDES:
        shape = published.pasted_shape(one, side)
        taken = (before.lung != 1).astype(float)
        free = correlate2d(taken, shape.astype(float), mode="valid") < 0.5
        admissible = list(map(tuple, np.argwhere(free).tolist()))
        drawn = [published.draw(before, one, rng=rng_of(side, seed)) for seed in range(24)]
        places = {
            tuple(d["place"]) for d in drawn if not isinstance(d, Refused) and d["side"] == side
        }
        assert places <= set(admissible[1:])
        assert all(row < 350 / 512 * 200 for row, _ in places)


def test_the_mask_is_where_x_is_at_most_0() -> None:
    hu = np.where(np.arange(32) < 16, 127, 128)[None].repeat(32, axis=0).astype(np.int16)
    mask = np.zeros((32, 32), bool)
    mask[4:-4, 4:-4] = True
    shape = published.pasted_shape(patch(hu=hu, mask=mask), 32)
    assert np.array_equal(shape, mask & (hu == 127))


@pytest.mark.parametrize(
    "changes",
    [{"mask": np.zeros((32, 32), bool)}, {"hu": np.full((32, 32), 300, np.int16)}],
    ids=["no mask", "nothing of at most 127 HU"],
)
def test_a_mask_that_is_empty_has_a_reason(changes: dict[str, object]) -> None:
    refused = published.draw(large_host(), patch(**changes), rng=rng_of(0))
    assert isinstance(refused, Refused)
    assert "mask is empty" in refused.reason


def test_without_room_there_is_a_reason() -> None:
    refused = published.draw(host(lung=np.zeros((72, 64), np.uint8)), patch(), rng=rng_of(0))
    assert isinstance(refused, Refused)
    assert "no room" in refused.reason


def test_rows_that_the_published_search_loses_have_a_reason() -> None:
    lung = np.zeros((200, 180), np.uint8)
    lung[140:, :] = 1
    low = host(hu=np.full(lung.shape, -850, np.int16), nodule=np.zeros_like(lung), lung=lung)
    reasons = {
        r.reason
        for seed in range(5)
        if isinstance(r := published.draw(low, patch(), rng=rng_of(seed)), Refused)
    }
    assert any("rows" in reason for reason in reasons)


@pytest.mark.parametrize("place", [[-1, 5], [5, -1], [137, 5], [5, 117], [500, 5]])
def test_no_side_of_the_slice_is_crossed(place: list[int]) -> None:
    before = large_host()
    drawn = {"side": 64, "place": place}
    with pytest.raises(InputError, match="beyond the slice"):
        published.apply(before.hu, before.nodule, patch(), drawn)
    hu, nodule = published.apply(before.hu, before.nodule, patch(), {**drawn, "place": [136, 116]})
    np.testing.assert_array_equal(nodule[136:, 116:] == 1, published.pasted_shape(patch(), 64))
    assert hu[nodule == 1].tolist() == [1] * int(nodule.sum())


def test_a_second_nodule_has_the_next_label_and_keeps_off_the_first() -> None:
    lung = np.zeros((100, 70), np.uint8)
    lung[2:-2, 2:-2] = 1
    before = host(hu=np.full(lung.shape, -850, np.int16), nodule=np.zeros_like(lung), lung=lung)
    n = 0
    for seed in range(12):
        hu, nodule = before.hu, before.nodule
        for k in (1, 2):
            now = host(hu=hu, nodule=nodule, lung=lung)
            drawn = published.draw(now, patch(), rng=rng_of(seed, k))
            if isinstance(drawn, Refused):
                break
            hu, nodule = published.apply(hu, nodule, patch(), drawn)
            assert nodule.max() == k
            assert (nodule == k).sum() == published.pasted_shape(patch(), drawn["side"]).sum()
        else:
            n += 1
            first = published.pasted_shape(patch(), drawn["side"])
            assert first.any()
    assert n >= 4


def test_all_places_but_the_first_are_drawn() -> None:
    lung = np.zeros((200, 180), np.uint8)
    shape = published.pasted_shape(patch(), 16)
    rows, cols = (np.flatnonzero(shape.any(axis=axis)) for axis in (1, 0))
    height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
    lung[10 : 10 + height, 20 : 20 + width + 2] = 1
    narrow = host(hu=np.full(lung.shape, -850, np.int16), nodule=np.zeros_like(lung), lung=lung)
    drawn = [published.draw(narrow, patch(), rng=rng_of(seed)) for seed in range(80)]
    places = {tuple(d["place"]) for d in drawn if not isinstance(d, Refused)}
    corner = 10 - rows[0], 20 - cols[0]
    assert places == {(corner[0], corner[1] + 1), (corner[0], corner[1] + 2)}
    lung[:, 20 + width :] = 0
    refused = [published.draw(narrow, patch(), rng=rng_of(seed)) for seed in range(20)]
    assert all(isinstance(each, Refused) and "no room" in each.reason for each in refused)


@pytest.mark.parametrize(("row", "is_lost"), [(349, False), (350, True)])
def test_of_512_rows_those_from_350_on_are_lost(row: int, is_lost: bool) -> None:
    shape = published.pasted_shape(patch(), 16)
    top, height = np.flatnonzero(shape.any(axis=1))[0], np.count_nonzero(shape.any(axis=1))
    lung = np.zeros((512, 64), np.uint8)
    lung[row + top : row + top + height] = 1
    low = host(hu=np.full(lung.shape, -850, np.int16), nodule=np.zeros_like(lung), lung=lung)
    drawn = [published.draw(low, patch(), rng=rng_of(seed)) for seed in range(20)]
    places = [d["place"][0] for d in drawn if not isinstance(d, Refused)]
    assert set(places) == (set() if is_lost else {row})


def test_a_place_beyond_the_slice_is_refused() -> None:
    before = large_host()
    with pytest.raises(InputError, match="beyond the slice"):
        published.apply(before.hu, before.nodule, patch(), {"side": 64, "place": [180, 0]})
