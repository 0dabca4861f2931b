"""What blocks a place inside the lungs."""

from __future__ import annotations

import numpy as np
import pytest

from lungaug.errors import SettingError
from lungaug.imaging.obstacles import ObstacleSettings, find_obstacles

HU = np.array([[-900, -501, -500, -100, 0, 149, 150, 900]], np.int16)
INSIDE = np.ones(HU.shape, np.bool_)


def blocked(settings: ObstacleSettings | None = None) -> list[int]:
    return HU[find_obstacles(HU, INSIDE, settings)].tolist()


def test_everything_from_ground_glass_up_blocks_by_default():
    assert blocked() == [-500, -100, 0, 149, 150, 900]


def test_the_narrow_band_frees_calcifications_only_when_told_to():
    narrow = {"low_hu": -100, "high_hu": 150}
    assert blocked(ObstacleSettings(**narrow)) == [-100, 0, 149, 150, 900]
    assert blocked(ObstacleSettings(**narrow, dense_too=False)) == [-100, 0, 149]


def test_nothing_outside_the_lungs():
    assert not find_obstacles(HU, ~INSIDE).any()


def test_an_empty_band_is_refused():
    with pytest.raises(SettingError, match="high_hu"):
        ObstacleSettings(low_hu=100, high_hu=100)
