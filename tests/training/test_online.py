from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.errors import SettingError
from lungaug.imaging.hu import FLOOR_HU
from lungaug.settings import from_mapping
from lungaug.training.online import Pose, draw_pose, pose_hu, pose_labels
from lungaug.training.settings import OnlineSettings


def apply_pose(hu: np.ndarray, nodule: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    return pose_hu(hu, pose), pose_labels(nodule, pose)


@pytest.fixture
def pair(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    hu = rng.integers(-1024, 400, (24, 30)).astype(np.int16)
    nodule = np.zeros(hu.shape, np.uint8)
    nodule[4:9, 6:12], nodule[14:18, 20:23] = 1, 2
    return hu, nodule


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_the_default_pose_changes_nothing(pair: tuple[np.ndarray, np.ndarray]) -> None:
    hu, nodule = apply_pose(*pair, Pose())
    np.testing.assert_array_equal(hu, pair[0])
    np.testing.assert_array_equal(nodule, pair[1])


def test_a_flip_twice_is_none(pair: tuple[np.ndarray, np.ndarray]) -> None:
    once = apply_pose(*pair, Pose(flip=True))
    np.testing.assert_array_equal(once[0], pair[0][:, ::-1])
    for again, before in zip(apply_pose(*once, Pose(flip=True)), pair, strict=True):
        np.testing.assert_array_equal(again, before)


def test_half_a_turn_is_exact(pair: tuple[np.ndarray, np.ndarray]) -> None:
    hu, nodule = apply_pose(*pair, Pose(degrees=180.0))
    np.testing.assert_array_equal(nodule, pair[1][::-1, ::-1])
    assert np.abs(hu - pair[0][::-1, ::-1].astype(int)).max() <= 1


def test_what_comes_in_from_outside_is_air(pair: tuple[np.ndarray, np.ndarray]) -> None:
    hu, nodule = apply_pose(*pair, Pose(scale=0.5))
    assert (hu[:3] == FLOOR_HU).all()
    assert (nodule[:3] == 0).all()
    assert (hu.dtype, nodule.dtype) == (np.int16, np.uint8)


@given(st.floats(-180, 180), st.floats(0.8, 1.2), st.booleans())
def test_no_new_labels_and_no_new_hu(degrees: float, scale: float, flip: bool) -> None:
    rng = np.random.default_rng(0)
    before = rng.integers(-1000, 300, (16, 20)).astype(np.int16)
    labels = rng.integers(0, 3, (16, 20)).astype(np.uint8)
    hu, nodule = apply_pose(before, labels, Pose(flip, degrees, scale))
    assert set(np.unique(nodule)) <= {0, 1, 2}
    assert hu.min() >= FLOOR_HU
    assert hu.max() <= before.max()


def test_draws_stay_within_the_settings_and_use_all_of_them(rng: np.random.Generator) -> None:
    settings = OnlineSettings(flip=0.25, rotation_degrees=20.0, scale=0.1)
    poses = [draw_pose(settings, rng=rng) for _ in range(2000)]
    degrees = np.array([pose.degrees for pose in poses])
    scale = np.array([pose.scale for pose in poses])
    assert np.mean([pose.flip for pose in poses]) == pytest.approx(0.25, abs=0.03)
    assert (degrees.min(), degrees.max()) == pytest.approx((-20, 20), abs=0.2)
    assert (scale.min(), scale.max()) == pytest.approx((0.9, 1.1), abs=0.002)


def test_no_augmentation_is_the_default_pose(rng: np.random.Generator) -> None:
    none = OnlineSettings(flip=0.0, rotation_degrees=0.0, scale=0.0)
    assert draw_pose(none, rng=rng) == Pose()


@pytest.mark.parametrize(
    ("name", "accepted", "refused"),
    [
        ("flip", (0, 1), (-0.01, 1.01)),
        ("rotation_degrees", (0, 180), (-0.01, 180.01)),
        ("scale", (0, 0.99), (-0.01, 1.0)),
    ],
)
def test_bounds(name: str, accepted: tuple[float, ...], refused: tuple[float, ...]) -> None:
    for value in accepted:
        assert getattr(from_mapping(OnlineSettings, {name: value}), name) == value
    for value in refused:
        with pytest.raises(SettingError, match=name):
            from_mapping(OnlineSettings, {name: value})
