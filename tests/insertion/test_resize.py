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
    box = np.subtract(shape.mask.shape, 2 * MARGIN_PX)
    assert box.max() / box.min() == pytest.approx(2.5, rel=0.15)


def test_what_is_left_out_is_averaged() -> None:
    checks = np.where(np.indices((32, 32)).sum(axis=0) % 2, 400, -400).astype(np.int16)
    shape = in_host_pixels(patch(hu=checks), (2.0, 2.0), 0)
    assert isinstance(shape, Shape)
    assert np.abs(shape.hu[shape.mask]).max() < 100


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
