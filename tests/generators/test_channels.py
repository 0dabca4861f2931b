"""HU and masks through the networks' door and back."""

from __future__ import annotations

import numpy as np
import torch

from generators.small_crops import WINDOW, blobs
from lungaug.generators.channels import from_channels, to_channels


def test_the_way_back_gives_hu_and_masks_again() -> None:
    crops = blobs(5)
    channels = to_channels(crops.hu, crops.mask, WINDOW)
    assert channels.shape == (5, 2, 32, 32)
    assert channels.dtype == torch.float32
    pair = from_channels(channels, WINDOW)
    assert np.array_equal(np.rint(pair.hu), np.clip(crops.hu, *WINDOW))
    assert np.array_equal(pair.mask, crops.mask.astype(np.float32))


def test_everything_lies_where_tanh_reaches() -> None:
    hu = np.array([[[-1024, -1000], [400, 3000]]], np.int16)
    mask = np.array([[[True, False], [False, False]]])
    channels = to_channels(hu, mask, WINDOW)
    assert channels[0, 0].tolist() == [[-1, -1], [1, 1]]
    assert channels[0, 1].tolist() == [[1, -1], [-1, -1]]


def test_values_beyond_end_at_the_window() -> None:
    pair = from_channels(torch.full((1, 2, 2, 2), 7.0, requires_grad=True), WINDOW)
    assert (pair.hu == 400).all()
    assert (pair.mask == 1).all()
