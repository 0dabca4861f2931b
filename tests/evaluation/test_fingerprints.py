"""Fingerprints: the same for copies, different for everything else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lungaug.evaluation.fingerprints import BlockHasher, BlockIndex, FingerprintSettings

HASH = BlockHasher(FingerprintSettings())


def tissue(seed: int, shape: tuple[int, int] = (32, 40)) -> np.ndarray:
    return np.random.default_rng(seed).normal(-700, 30, shape).astype(np.int16)


@settings(max_examples=30)
@given(
    st.tuples(st.integers(16, 50), st.integers(16, 50)),
    st.integers(0, 3),
    st.booleans(),
    st.sampled_from([4, 8, 11]),
)
def test_turned_and_mirrored_copies_share_all_blocks(
    shape: tuple[int, int], turn: int, mirrored: bool, side: int
) -> None:
    hasher = BlockHasher(FingerprintSettings(block_px=side))
    hu = tissue(0, shape)
    copy = np.rot90(hu[:, ::-1] if mirrored else hu, turn)
    assert np.isin(hasher(copy), hasher(hu, all_corners=True)).all()


def test_slices_of_chance_share_nothing() -> None:
    index = BlockIndex()
    for seed in range(50):
        index.add(str(seed), HASH(tissue(seed)))
    assert not any(list(index.matches(HASH(tissue(seed)))) for seed in range(50, 100))


def test_most_alike_comes_first() -> None:
    index = BlockIndex()
    hu = tissue(0)
    half = np.hstack([hu[:, :16], tissue(1)[:, 16:]])
    index.add("half", HASH(half))
    index.add("whole", HASH(hu))
    assert list(index.matches(HASH(hu))) == [("whole", 20), ("half", 8)]


def test_one_altered_pixel_costs_one_block() -> None:
    hu = tissue(0)
    altered = hu.copy()
    altered[3, 3] += 1
    assert len(np.intersect1d(HASH(hu), HASH(altered))) == len(HASH(hu)) - 1


@pytest.mark.parametrize(
    "picture",
    [
        np.full((32, 32), -1024, np.int16),
        np.repeat(np.arange(32, dtype=np.int16)[None], 32, axis=0),
        np.kron(tissue(0, (8, 8)), np.ones((4, 4), np.int16)),
        np.where(tissue(0) > -685, tissue(0), -1024).astype(np.int16),
    ],
    ids=["constant", "stripes", "enlarged", "mostly floor"],
)
def test_picture_without_texture_has_no_blocks(picture: np.ndarray) -> None:
    assert len(HASH(picture)) == 0


def test_slice_smaller_than_a_block_has_none() -> None:
    assert len(HASH(tissue(0, (7, 90)), all_corners=True)) == 0


def test_sample_is_found_in_a_copy() -> None:
    index = BlockIndex()
    hu = tissue(0)
    index.add("sampled", HASH(hu), 3)
    assert list(index.matches(HASH(hu[:, ::-1]))) == [("sampled", 3)]
    assert not list(BlockIndex().matches(HASH(hu)))


def test_extreme_values_are_hashed_exactly() -> None:
    hasher = BlockHasher(FingerprintSettings(block_px=32, texture=0.5))
    rng = np.random.default_rng(0)
    hu = rng.choice(np.array([-32768, 32767, 32766], np.int16), (32, 32))
    other = hu.copy()
    other[0, 0] ^= 1
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
