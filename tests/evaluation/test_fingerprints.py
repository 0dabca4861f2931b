"""Fingerprints: the same for copies, different for everything else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungaug.errors import SettingError
from lungaug.evaluation.fingerprints import BlockHasher, BlockIndex, FingerprintSettings

HASH = BlockHasher(FingerprintSettings())


def tissue(seed: int, shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    return np.random.default_rng(seed).normal(-700, 30, shape).astype(np.int16)


@settings(max_examples=30)
@given(
    st.tuples(st.integers(33, 60), st.integers(33, 60)),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([5, 7, 11]),
)
def test_turned_and_mirrored_copies_share_all_blocks(
    shape: tuple[int, int], turn: int, mirrored: bool, side: int
) -> None:
    hasher = BlockHasher(FingerprintSettings(block_px=side))
    hu = tissue(0, shape)
    copy = np.rot90(hu[:, ::-1] if mirrored else hu, turn)
    assert len(hasher(hu))
    assert np.array_equal(hasher(copy), hasher(hu))


@settings(max_examples=20)
@given(st.integers(-9, 9), st.integers(-9, 9))
def test_a_shift_by_whole_pixels_keeps_what_stays_in_view(rows: int, columns: int) -> None:
    hu = tissue(0, (60, 60))
    shifted = np.roll(hu, (rows, columns), axis=(0, 1))[9:-9, 9:-9]
    assert len(np.intersect1d(HASH(shifted), HASH(hu))) >= 0.9 * len(HASH(shifted)) > 10


@pytest.mark.parametrize(
    "changed",
    [
        lambda hu: hu + 1,
        lambda hu: hu - 300,
        lambda hu: np.round(hu * 1.01),
        lambda hu: np.round(hu * 1.7 - 40),
        lambda hu: np.sinh((hu + 700) / 60.0) * 100,
    ],
    ids=["HU + 1", "HU - 300", "x 1.01", "x 1.7 - 40", "curved"],
)
def test_the_order_of_values_counts_and_not_the_values(
    changed: Callable[[np.ndarray], np.ndarray],
) -> None:
    hu = tissue(0)
    copy = np.round(changed(hu)).astype(np.int16)
    assert len(np.intersect1d(HASH(copy), HASH(hu))) >= 0.8 * len(HASH(hu))


def test_a_pasted_part_is_found_at_another_place_with_other_hu() -> None:
    whole, other = tissue(0, (64, 64)), tissue(1, (64, 64))
    other[11:41, 5:35] = whole[30:60, 30:60] + 7
    assert len(np.intersect1d(HASH(other), HASH(whole))) >= FingerprintSettings().shared_blocks


def test_even_blocks_have_no_middle() -> None:
    with pytest.raises(SettingError, match="block_px: got 8; accepted: an odd number"):
        FingerprintSettings(block_px=8)


def test_slices_of_chance_share_nothing() -> None:
    index = BlockIndex()
    for seed in range(50):
        index.add(str(seed), HASH(tissue(seed)))
    assert not any(list(index.matches(HASH(tissue(seed)))) for seed in range(50, 100))


def test_most_alike_comes_first() -> None:
    index = BlockIndex()
    hu = tissue(0)
    half = np.hstack([hu[:, :20], tissue(1)[:, 20:]])
    index.add("half", HASH(half))
    index.add("whole", HASH(hu))
    (first, n_first), (second, n_second) = index.matches(HASH(hu))
    assert (first, n_first) == ("whole", len(HASH(hu)))
    assert second == "half"
    assert 0 < n_second < n_first


def test_one_altered_pixel_costs_the_blocks_around_it() -> None:
    hu = tissue(0)
    altered = hu.copy()
    altered[16, 16] = -900
    lost = len(HASH(hu)) - len(np.intersect1d(HASH(hu), HASH(altered)))
    assert 1 <= lost <= 8


@pytest.mark.parametrize(
    "picture",
    [
        np.full((32, 32), -1024, np.int16),
        np.repeat(np.arange(32, dtype=np.int16)[None], 32, axis=0),
        np.kron(tissue(0, (8, 8)), np.ones((4, 4), np.int16)),
        np.where(tissue(0) > -640, tissue(0), -1024).astype(np.int16),
        (1000 * np.cos(np.hypot(*np.mgrid[-16:16, -16:16]) / 3)).astype(np.int16),
    ],
    ids=["constant", "stripes", "enlarged", "mostly floor", "smooth bumps"],
)
def test_smooth_picture_has_no_blocks(picture: np.ndarray) -> None:
    assert len(HASH(picture)) == 0


def test_slice_smaller_than_a_block_has_none() -> None:
    assert len(HASH(tissue(0, (6, 90)))) == 0


def test_sample_is_found_in_a_copy() -> None:
    index = BlockIndex()
    hu = tissue(0)
    index.add("sampled", HASH(hu), 3)
    assert list(index.matches(HASH(hu[:, ::-1]))) == [("sampled", 3)]
    assert not list(BlockIndex().matches(HASH(hu)))


def test_extreme_values_are_hashed_exactly() -> None:
    hasher = BlockHasher(FingerprintSettings(block_px=31, roughness=0.1))
    rng = np.random.default_rng(0)
    hu = rng.choice(np.array([-32768, 32766, 32765], np.int16), (31, 31))
    hu[15, 15] = 32767
    other = hu.copy()
    other[0, 0] = 32764
    assert len(hasher(hu)) == 1
    assert hasher(hu).tolist() == hasher(hu.T).tolist() != hasher(other).tolist()


def test_real_patients_share_nothing_and_are_comparable(real_data: Path) -> None:
    pydicom = pytest.importorskip("pydicom")
    index = BlockIndex()
    folders = ("lidc_0001_GE", "lidc_0002_GE", "cptac_C3N-00247_SIEMENS", "lungdx_A0002_SIEMENS")
    seen = []
    for folder in folders:
        own = []
        for path in sorted((real_data / folder).rglob("*.dcm"))[:8]:
            stored = pydicom.dcmread(path).pixel_array.astype(np.int32) - 1024
            hu = np.clip(stored, -1024, 32767).astype(np.int16)
            own.append(HASH(hu))
        assert min(map(len, own)) > 500
        assert not any(list(index.matches(hashes)) for hashes in own)
        seen.extend(own)
        for number, hashes in enumerate(own):
            index.add(f"{folder} {number}", hashes)
    assert len(seen) == 32
