"""MS-SSIM: identities, MONAI's values, and the pairs it is taken of."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest

from lungaug.evaluation.realism.diversity import (
    different_pairs,
    intra_set_similarity,
    ms_ssim,
    scale_weights,
)


def images(n: int, seed: int = 0, side: int = 64) -> np.ndarray:
    rng = np.random.default_rng(seed)
    coarse = np.kron(rng.random((n, side // 8, side // 8)), np.ones((1, 8, 8)))
    return 0.7 * coarse + 0.3 * rng.random((n, side, side))


def test_equal_images_have_one() -> None:
    np.testing.assert_allclose(ms_ssim(images(3), images(3)), 1)


def test_as_many_scales_as_fit() -> None:
    assert [len(scale_weights(side)) for side in (11, 22, 44, 64, 88, 176, 512)] == [
        1, 2, 3, 3, 4, 5, 5
    ]  # fmt: skip
    assert scale_weights(64).sum() == pytest.approx(1)


def test_monai_finds_the_same() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import torch
        from monai.metrics.regression import MultiScaleSSIMMetric

    first = images(4)
    second = np.clip(first + np.random.default_rng(1).normal(0, 0.1, first.shape), 0, 1)
    metric = MultiScaleSSIMMetric(2, weights=scale_weights(64).tolist(), reduction="none")
    expected = metric(*(torch.from_numpy(x[:, None]) for x in (first, second)))
    np.testing.assert_allclose(ms_ssim(first, second), expected[:, 0].numpy(), atol=2e-5)


def test_pairs_are_different_and_of_different_patients() -> None:
    owners = ["a", "a", "b", "", ""]
    pairs = different_pairs(owners, 100, rng=np.random.default_rng(0)).tolist()
    assert [0, 1] not in pairs
    assert [3, 4] in pairs  # made by a network: no patient
    assert len(pairs) == 9
    assert len(different_pairs(owners, 4, rng=np.random.default_rng(0))) == 4


def test_a_collapsed_set_is_alike_and_one_crop_has_no_pair() -> None:
    hu = (images(1) * 1000 - 900).astype(np.int16)
    collapsed, single = np.repeat(hu, 5, axis=0), hu
    rng = np.random.default_rng(0)
    assert intra_set_similarity(collapsed, [""] * 5, 10, rng=rng) == pytest.approx(1)
    assert math.isnan(intra_set_similarity(single, [""], 10, rng=rng))
    varied = (images(5) * 1000 - 900).astype(np.int16)
    assert intra_set_similarity(varied, [""] * 5, 10, rng=rng) < 0.5
