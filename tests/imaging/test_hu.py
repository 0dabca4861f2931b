"""Stored values to HU: slope, padding, floor and ceiling."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.errors import InputError
from lungaug.imaging.hu import AIR_HU, CEILING_HU, FLOOR_HU, to_hu


def test_slope_and_intercept_then_rounding():
    """To the nearest whole number, halves to the even one: neither always up nor always down."""
    stored = np.arange(6, dtype=np.uint16)[None]
    assert to_hu(stored, 0.4, -1000).tolist() == [[-1000, -1000, -999, -999, -998, -998]]
    assert to_hu(stored, 0.5, -1000).tolist() == [[-1000, -1000, -999, -998, -998, -998]]
    assert to_hu(stored, 2, 7).tolist() == [[7, 9, 11, 13, 15, 17]]
    assert to_hu(stored, 0.5, -1000).dtype == np.int16


def test_air_floor_and_ceiling_are_those_of_ct():
    assert (AIR_HU, FLOOR_HU, CEILING_HU) == (-1000, -1024, 32767)


def test_what_no_tissue_has_becomes_the_floor():
    stored = np.array([[-2000, -1025, -1024, 5622]], np.int16)
    assert to_hu(stored, 1, 0).tolist() == [[-1024, -1024, -1024, 5622]]


@pytest.mark.parametrize("padding", [(63536, 63540), (63540, 63536)])
def test_padding_is_a_range_of_stored_values(padding):
    stored = np.array([[63536, 63540, 1024]], np.uint16)
    assert to_hu(stored, 1, -1024, padding).tolist() == [[-1024, -1024, 0]]


def test_metal_is_clipped_and_does_not_wrap():
    assert to_hu(np.array([[65535]], np.uint16), 10, -1024).tolist() == [[32767]]


@pytest.mark.parametrize(("slope", "intercept"), [(0, 0), (np.nan, 0), (1, np.inf)])
def test_unusable_numbers_are_named(slope, intercept):
    with pytest.raises(InputError, match="slope"):
        to_hu(np.zeros((2, 2), np.int16), slope, intercept)


def test_several_frames_are_refused():
    with pytest.raises(InputError, match=r"\(H, W\)"):
        to_hu(np.zeros((3, 2, 2), np.int16), 1, 0)
