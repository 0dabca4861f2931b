"""One nodule inserted: where it may lie, what it changes, and that its record is enough."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insertion.scene import disc, host, patch
from lungaug.errors import InputError, SettingError
from lungaug.insertion import nodule as nodule_module
from lungaug.insertion import resize
from lungaug.insertion.blend import FeatherSettings, footprint
from lungaug.insertion.donors import Donor, Donors, values_of
from lungaug.insertion.nodule import (
    InsertionSettings,
    PlaceSettings,
    apply,
    draw,
    free_space,
)
from lungaug.insertion.protocol import Host, Pair, Parameters, Patch, Refused, rng_of

DEFAULT = InsertionSettings()
DONOR_HU = np.sort(np.random.default_rng(0).normal(-60, 60, 90)).astype(np.int16)
DONOR = Donor("p1/s1/0002", 1, DONOR_HU, (0.5, 0.2), (200, 40, 0))
DONORS = Donors(np.array([7.0], np.float32), np.array(["solid"]), [DONOR])


def inserted(
    given_host: Host, given_patch: Patch, chosen: InsertionSettings = DEFAULT, seed: int = 0
) -> tuple[Parameters, Pair]:
    drawn = draw(given_host, given_patch, DONORS, settings=chosen, rng=rng_of(seed))
    assert not isinstance(drawn, Refused), drawn.reason
    return drawn, applied(given_host, given_patch, drawn)


def applied(given_host: Host, given_patch: Patch, drawn: Parameters) -> Pair:
    donor_hu = DONORS.hu_of(drawn["donor"], drawn["label"])
    pair = given_host.hu, given_host.nodule
    return apply(*pair, given_patch, donor_hu, given_host.spacing_mm, drawn)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.floats(3, 9), st.integers(0, 5))
def test_nothing_changes_outside_mask_and_feather(seed: int, mm: float, scene: int) -> None:
    before = host(scene)
    copies = before.hu.copy(), before.nodule.copy()
    drawn, (hu, nodule) = inserted(before, patch(mm), seed=seed)
    mask = nodule > 0
    touched = footprint(mask, len(drawn["rim"]))
    assert np.array_equal(hu[~touched], before.hu[~touched])
    assert (hu[touched & ~mask] >= before.hu[touched & ~mask]).all()
    assert (before.lung[touched] == 1).all()
    assert np.array_equal(before.hu, copies[0])
    assert np.array_equal(before.nodule, copies[1])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(3, 9))
def test_hu_are_the_quantiles_of_the_donor(seed: int, mm: float) -> None:
    drawn, (hu, nodule) = inserted(host(), patch(mm), seed=seed)
    n = int((nodule > 0).sum())
    expected = np.interp((np.arange(n) + 0.5) / n, (np.arange(90) + 0.5) / 90, DONOR_HU)
    assert np.sort(hu[nodule > 0]).tolist() == np.rint(expected).tolist()
    assert (drawn["donor"], drawn["label"]) == (DONOR.key, DONOR.label)


def test_the_record_is_enough_and_plain() -> None:
    before, given_patch = host(), patch()
    drawn, (hu, nodule) = inserted(before, given_patch)
    again = applied(before, given_patch, json.loads(json.dumps(drawn)))
    assert np.array_equal(again[0], hu)
    assert np.array_equal(again[1], nodule)


def test_every_admissible_place_is_equally_likely() -> None:
    lung = np.zeros((24, 24), np.uint8)
    lung[4:-4, 4:-4] = 1
    lung[10, 8] = 2
    small = host(hu=np.full((24, 24), -850, np.int16), nodule=np.zeros_like(lung), lung=lung)
    once = InsertionSettings(flips=False)
    n = 800
    counts: Counter[tuple[int, int]] = Counter()
    for seed in range(n):
        drawn = draw(small, patch(4.0), DONORS, settings=once, rng=np.random.default_rng(seed))
        assert not isinstance(drawn, Refused)
        counts[tuple(drawn["place"])] += 1
    expected = n / len(counts)
    assert len(counts) == 17
    assert min(counts.values()) > expected - 4 * np.sqrt(expected)
    assert max(counts.values()) < expected + 4 * np.sqrt(expected)


def test_obstacles_and_nodules_keep_their_distance_in_mm() -> None:
    before = host()
    nodule = disc(before.hu.shape, (30, 30), 3).astype(np.uint8)
    chosen = PlaceSettings(obstacle_mm=2.0)
    free = free_space(nodule, before.lung, (0.8, 0.5), chosen)
    taken = np.argwhere((nodule > 0) | (before.lung == 2)) * (0.8, 0.5)
    places = np.argwhere(free) * (0.8, 0.5)
    away = np.hypot(*np.moveaxis(places[:, None] - taken, -1, 0)).min(axis=1)
    assert away.min() > 2.0
    assert away.min() < 2.6
    assert (before.lung[free] == 1).all()


def test_excluded_rows_are_shares_of_the_lung() -> None:
    before = host()
    lung = np.where(before.lung > 0, 1, 0).astype(np.uint8)  # rows 6 to 65
    chosen = PlaceSettings(exclude_rows=(0.25, 0.5))
    rows = np.flatnonzero(free_space(before.nodule, lung, (0.8, 0.7), chosen).any(axis=1))
    assert (rows[0], rows[-1]) == (21, 35)


@pytest.mark.parametrize(
    ("changes", "mm", "reason"),
    [
        ({"lung": np.zeros((72, 64), np.uint8)}, 6, "no lungs"),
        ({"lung": np.full((72, 64), 2, np.uint8)}, 6, "no room"),
        ({"spacing_mm": (np.nan, np.nan)}, 6, "unknown spacing of the slice"),
        ({}, 90, "larger than the lungs"),
        ({}, 45, "no room"),
        ({}, 0.1, "vanishes"),
    ],
)
def test_what_does_not_fit_has_a_reason(changes: dict[str, object], mm: float, reason: str) -> None:
    refused = draw(host(**changes), patch(mm), DONORS, settings=DEFAULT, rng=rng_of(0))
    assert isinstance(refused, Refused)
    assert reason in refused.reason


def test_the_lungs_bound_a_nodule_by_their_area_in_mm() -> None:
    lung = np.zeros((72, 64), np.uint8)
    lung[20:40, 20:50] = 1
    room = 20 * 30 * 0.8 * 0.7
    for area, reason in ((0.98 * room, "no room"), (1.02 * room, "larger than the lungs")):
        refused = draw(
            host(lung=lung), patch(np.sqrt(4 / np.pi * area)), DONORS, settings=DEFAULT,
            rng=rng_of(0),
        )  # fmt: skip
        assert isinstance(refused, Refused)
        assert reason in refused.reason


def test_the_defaults_are_those_of_the_documentation() -> None:
    assert PlaceSettings() == PlaceSettings(0.7, (0.0, 0.0), 4)
    chosen = InsertionSettings(
        PlaceSettings(), FeatherSettings(3, measured=True, psf_px=0.8), standardise=True,
        n_nearest=8, fall=True, noise=1.0, flips=True,
    )  # fmt: skip
    assert chosen == DEFAULT


@pytest.mark.parametrize("attempts", [1, 3, 8])
def test_no_more_ways_of_turning_are_tried_than_asked_for(
    monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    tried: list[int] = []

    def in_host_pixels(one: Patch, spacing_mm: tuple[float, float], flip: int) -> object:
        tried.append(flip)
        return resize.in_host_pixels(one, spacing_mm, flip)

    monkeypatch.setattr(nodule_module, "in_host_pixels", in_host_pixels)
    chosen = InsertionSettings(place=PlaceSettings(attempts=attempts))
    assert isinstance(draw(host(), patch(45), DONORS, settings=chosen, rng=rng_of(0)), Refused)
    assert len(tried) == len(set(tried)) == attempts


def test_a_nodule_at_the_corner_of_the_slice_changes_what_it_would_elsewhere() -> None:
    """Where the margin around it is cut by the slice, the rest stays where it belongs."""
    drawn, _ = inserted(host(), patch(), InsertionSettings(flips=False, noise=0.0))
    size = (72, 64)
    flat = host(hu=np.full(size, -850, np.int16), lung=np.ones(size, np.uint8))
    hu, nodule = applied(flat, patch(), {**drawn, "place": [20, 20]})
    rows, cols = np.nonzero(nodule)
    height, width = np.ptp(rows) + 1, np.ptp(cols) + 1
    for row in (0, 72 - height):
        for col in (0, 64 - width):
            moved, label = applied(flat, patch(), {**drawn, "place": [row, col]})
            again = nodule[20 : 20 + height, 20 : 20 + width]
            np.testing.assert_array_equal(label[row : row + height, col : col + width], again)
            assert label.sum() == again.sum()
            inside = np.s_[row : row + height, col : col + width]
            np.testing.assert_allclose(moved[inside], hu[20 : 20 + height, 20 : 20 + width], atol=1)
    for place in ([72 - height + 1, 0], [0, 64 - width + 1], [0, -1]):
        with pytest.raises(InputError, match="beyond the slice"):
            applied(flat, patch(), {**drawn, "place": place})


def test_all_eight_ways_of_turning_are_drawn() -> None:
    flips = [inserted(host(), patch(4.0), seed=seed)[0]["flip"] for seed in range(60)]
    assert set(flips) == set(range(8))


def test_a_long_nodule_is_turned_until_it_fits() -> None:
    lung = np.zeros((72, 64), np.uint8)
    lung[26:46, 4:-4] = 1
    mask = np.zeros((32, 32), bool)
    mask[2:30, 13:19] = True
    long = patch(14.0, mask=mask)
    upright = InsertionSettings(flips=False)
    narrow = host(lung=lung)
    assert isinstance(draw(narrow, long, DONORS, settings=upright, rng=rng_of(0)), Refused)
    turning = InsertionSettings(place=PlaceSettings(attempts=8))
    assert not isinstance(draw(narrow, long, DONORS, settings=turning, rng=rng_of(0)), Refused)


def test_the_generators_hu_stay_without_standardisation() -> None:
    plain = InsertionSettings(standardise=False, noise=0.0, flips=False)
    given_patch = patch(9.0)
    drawn, (hu, nodule) = inserted(host(), given_patch, plain)
    assert (drawn["donor"], drawn["label"], drawn["noise"], drawn["fall"]) == ("", 0, 0.0, [])
    own = given_patch.hu[given_patch.mask]
    found = hu[nodule > 0]
    assert found.mean() == pytest.approx(own.mean(), abs=30)
    assert found.max() <= own.max() + 20


def test_a_smooth_patch_takes_the_hosts_noise() -> None:
    flat = patch(9.0, hu=np.full((32, 32), -100, np.int16))
    drawn, (hu, nodule) = inserted(host(), flat, InsertionSettings(fall=False))
    assert drawn["noise"] == pytest.approx(1)
    mask = nodule > 0
    assert np.corrcoef(hu[mask], host().hu[mask])[0, 1] > 0.9
    quiet, _ = inserted(host(), flat, InsertionSettings(noise=0.0))
    assert quiet["noise"] == 0


def test_a_second_nodule_has_the_next_label() -> None:
    before = host()
    _, (hu, nodule) = inserted(before, patch(5.0))
    second = host(hu=hu, nodule=nodule)
    _, (_, both) = inserted(second, patch(5.0), seed=1)
    assert np.unique(both).tolist() == [0, 1, 2]
    assert np.array_equal(both == 1, nodule == 1)


@pytest.mark.parametrize("place", [[-1, 5], [5, 62], [500, 5]])
def test_a_place_beyond_the_slice_is_refused(place: list[int]) -> None:
    drawn, _ = inserted(host(), patch())
    with pytest.raises(InputError, match="beyond the slice"):
        applied(host(), patch(), {**drawn, "place": place})


@pytest.mark.parametrize("rows", [(0.5, 0.5), (-0.1, 0.0)])
def test_rows_that_leave_nothing_are_no_setting(rows: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="exclude_rows"):
        PlaceSettings(exclude_rows=rows)


def test_donors_are_of_like_size_and_the_same_kind() -> None:
    diameters = np.array([4, 5, 6, 20, 5, 5], np.float32)
    kinds = np.array(["solid"] * 4 + ["ground_glass"] * 2)
    donors = [Donor(str(i), 1, DONOR_HU, (0.5,), ()) for i in range(6)]
    pool = Donors(diameters, kinds, donors)

    def drawn(mm: float, kind: str, n: int) -> set[str]:
        return {pool.draw(mm, kind, n, rng=rng_of(seed)).key for seed in range(60)}

    assert drawn(5.2, "solid", 2) == {"1", "2"}
    assert drawn(5.2, "solid", 9) == {"0", "1", "2"}
    assert drawn(40, "solid", 9) == {"3"}
    assert drawn(5.2, "ground_glass", 9) == {"4", "5"}
    assert drawn(19, "part_solid", 9) == {"3"}


def test_donors_of_unknown_size_serve_only_where_no_size_is_known() -> None:
    kinds = np.array(["solid"] * 3 + ["ground_glass"] * 2)
    diameters = np.array([4, 5, np.nan, np.nan, np.nan], np.float32)
    pool = Donors(diameters, kinds, [Donor(str(i), 1, DONOR_HU, (0.5,), ()) for i in range(5)])

    def drawn(mm: float, kind: str) -> set[str]:
        return {pool.draw(mm, kind, 9, rng=rng_of(seed)).key for seed in range(60)}

    assert drawn(4.4, "solid") == {"0", "1"}
    assert drawn(4.4, "ground_glass") == {"3", "4"}
    assert drawn(np.nan, "solid") == {"0", "1", "2"}


@pytest.mark.parametrize(("mm", "found"), [(5.99, {"0", "1"}), (6.01, {"0"})])
def test_donors_of_half_as_much_again_are_still_alike(mm: float, found: set[str]) -> None:
    donors = [Donor(str(i), 1, DONOR_HU, (0.5,), ()) for i in range(2)]
    pool = Donors(np.array([4, mm], np.float32), np.array(["solid"] * 2), donors)
    assert {pool.draw(4, "solid", 9, rng=rng_of(seed)).key for seed in range(40)} == found


def test_the_hu_of_a_donor_are_found_by_slice_and_label() -> None:
    donors = [Donor("a", i, DONOR_HU + i, (0.5,), ()) for i in (1, 2)]
    pool = Donors(np.array([4, 5], np.float32), np.array(["solid"] * 2), donors)
    assert pool.hu_of("", 0) is None
    for label in (1, 2):
        np.testing.assert_array_equal(pool.hu_of("a", label), DONOR_HU + label)


def test_values_of_a_nodule_are_its_own_in_order() -> None:
    hu = np.array([[5, -3, 9], [7, 1, -8]], np.int16)
    nodule = np.array([[1, 0, 1], [2, 2, 1]], np.uint8)
    assert values_of(hu, nodule, 1).tolist() == [-8, 5, 9]
    for label in (0, 3):
        with pytest.raises(InputError, match=f"no nodule {label}"):
            values_of(hu, nodule, label)


def test_no_donor_is_an_error() -> None:
    with pytest.raises(InputError, match="no crop"):
        Donors(np.zeros(0, np.float32), np.zeros(0, str), [])
