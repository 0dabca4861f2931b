"""Left and right change places, and back."""

from __future__ import annotations

import numpy as np

from lungaug.metalung.mirror import MIRROR
from metalung.cases import chest


def test_is_its_own_inverse():
    hu, nodule, _ = chest()
    twice = MIRROR.apply(*MIRROR.apply(hu, nodule, {}), {})
    np.testing.assert_array_equal(twice[0], hu)
    np.testing.assert_array_equal(twice[1], nodule)


def test_flips_columns_about_the_middle_of_any_width():
    hu = np.arange(15, dtype=np.int16).reshape(3, 5)
    nodule = np.zeros((3, 5), np.uint8)
    nodule[1, 0] = 3
    mirrored, labels = MIRROR.apply(hu, nodule, {})
    np.testing.assert_array_equal(mirrored, hu[:, ::-1])
    assert labels[1, 4] == 3
