"""Patches in host pixels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from insertion.scene import patch
from lungaug.crops import equivalent_diameter_mm
from lungaug.insertion.protocol import Refused
from lungaug.insertion.resize import MARGIN_PX, Shape, in_host_pixels

spacing = st.floats(0.4, 1.2)


@settings(max_examples=40, deadline=None)
@given(st.floats(3, 25), st.tuples(spacing, spacing), st.integers(0, 7))
def test_the_mask_has_the_diameter_in_mm(
    diameter_mm: float, spacing_mm: tuple[float, float], flip: int
) -> None:
    shape = in_host_pixels(patch(diameter_mm), spacing_mm, flip)
    assert isinstance(shape, Shape)
    pixel_mm = np.sqrt(np.prod(spacing_mm))
    found = equivalent_diameter_mm(shape.mask, spacing_mm)
    assert found == pytest.approx(diameter_mm, abs=0.3 * pixel_mm)


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 25), st.tuples(spacing, spacing), st.integers(0, 7))
def test_the_margin_is_exact(
    diameter_mm: float, spacing_mm: tuple[float, float], flip: int
) -> None:
    shape = in_host_pixels(patch(diameter_mm), spacing_mm, flip)
    assert isinstance(shape, Shape)
    rows, cols = np.nonzero(shape.mask)
    low = MARGIN_PX, MARGIN_PX
    high = shape.mask.shape[0] - MARGIN_PX - 1, shape.mask.shape[1] - MARGIN_PX - 1
    assert (rows.min(), cols.min()) == low
    assert (rows.max(), cols.max()) == high


def test_the_same_pixels_come_out_as_they_are() -> None:
    given_patch = patch()
    own_mm = equivalent_diameter_mm(given_patch.mask, given_patch.spacing_mm)
    shape = in_host_pixels(patch(own_mm), given_patch.spacing_mm, 0)
    assert isinstance(shape, Shape)
    assert shape.mask.sum() == given_patch.mask.sum()
    assert shape.hu[shape.mask].tolist() == given_patch.hu[given_patch.mask].tolist()


@pytest.mark.parametrize("flip", range(8))
def test_length_stays_length_when_pixels_are_not_square(flip: int) -> None:
    mask = np.zeros((32, 32), bool)
    mask[14:18, 6:26] = True  # 4 mm by 10 mm
    long = patch(7.1, mask=mask, spacing_mm=(1.0, 0.5))
    shape = in_host_pixels(long, (0.5, 0.5), flip)
    assert isinstance(shape, Shape)
    rows, cols = np.subtract(shape.mask.shape, 2 * MARGIN_PX)
    # A quarter turn or a transposition sets it upright, both leave it lying.
    upright = (flip >= 4) != bool(flip % 2)
    assert (rows / cols if upright else cols / rows) == pytest.approx(2.5, rel=0.15)


@pytest.mark.parametrize("flip", range(8))
def test_each_way_of_turning_moves_hu_and_mask_alike(flip: int) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 32), bool)
    mask[8:20, 10:16] = mask[8:12, 10:22] = True
    hu = rng.integers(-900, 100, (32, 32)).astype(np.int16)
    one = patch(equivalent_diameter_mm(mask, (0.75, 0.75)), hu=hu, mask=mask)
    shape = in_host_pixels(one, (0.75, 0.75), flip)
    assert isinstance(shape, Shape)
    ways = [np.rot90(image, flip % 4) for image in ((hu.T, mask.T) if flip > 3 else (hu, mask))]
    rows, cols = (np.flatnonzero(ways[1].any(axis=axis)) for axis in (1, 0))
    box = np.s_[rows[0] : rows[-1] + 1, cols[0] : cols[-1] + 1]
    inner = np.s_[MARGIN_PX:-MARGIN_PX, MARGIN_PX:-MARGIN_PX]
    np.testing.assert_array_equal(shape.mask[inner], ways[1][box])
    np.testing.assert_array_equal(shape.hu[inner], ways[0][box])


@pytest.mark.parametrize("spacing_mm", [(0.75, 0.75), (0.5, 0.5), (1.0, 1.0)])
def test_distances_count_from_the_outline_of_the_nodule(spacing_mm: tuple[float, float]) -> None:
    rows, cols = np.indices((64, 64))
    mask = np.hypot(rows - 31.5, cols - 31.5) <= 12
    one = patch(18.0, hu=np.zeros((64, 64), np.int16), mask=mask)
    shape = in_host_pixels(one, spacing_mm, 0)
    assert isinstance(shape, Shape)
    rows, cols = np.indices(shape.mask.shape)
    middle = (np.array(shape.mask.shape) - 1) / 2
    away = np.hypot(rows - middle[0], cols - middle[1]) - 9.0 / spacing_mm[0]
    error = (shape.distance - away)[(away > 0.5) & (away < 5)]
    assert np.abs(error).max() < 0.8
    assert abs(error.mean()) < 0.2
    assert shape.distance[away < -1].max() == 0


def test_what_is_left_out_is_averaged() -> None:
    checks = np.where(np.indices((32, 32)).sum(axis=0) % 2, 400, -400).astype(np.int16)
    shape = in_host_pixels(patch(hu=checks), (2.0, 2.0), 0)
    assert isinstance(shape, Shape)
    assert np.abs(shape.hu[shape.mask]).max() < 100
    flat = in_host_pixels(patch(hu=np.full((32, 32), -77, np.int16)), (2.0, 0.5), 0)
    assert isinstance(flat, Shape)
    assert np.abs(flat.hu + 77).max() < 0.02


def test_pixels_are_averaged_along_the_axis_that_loses_them_only() -> None:
    stripes = np.where(np.arange(32) % 2, 400, -400).astype(np.int16)[None].repeat(32, axis=0)
    across = in_host_pixels(patch(hu=stripes), (0.75, 2.25), 0)
    along = in_host_pixels(patch(hu=stripes), (2.25, 0.75), 0)
    assert isinstance(across, Shape)
    assert isinstance(along, Shape)
    assert np.abs(across.hu[across.mask]).max() < 150
    assert np.ptp(along.hu[along.mask]) > 250


@pytest.mark.parametrize(
    ("changes", "spacing_mm", "reason"),
    [
        ({"diameter_mm": 0.2}, (0.8, 0.8), "vanishes"),
        ({"mask": np.zeros((32, 32), bool)}, (0.8, 0.8), "no mask"),
        ({"spacing_mm": (np.nan, np.nan)}, (0.8, 0.8), "unknown spacing of the patch"),
        ({}, (np.nan, np.nan), "unknown spacing of the slice"),
    ],
)
def test_what_cannot_be_resampled_has_a_reason(
    changes: dict[str, object], spacing_mm: tuple[float, float], reason: str
) -> None:
    refused = in_host_pixels(patch(**changes), spacing_mm, 0)
    assert isinstance(refused, Refused)
    assert reason in refused.reason
