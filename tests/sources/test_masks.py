"""What a mask marks, and how large that is."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from lungaug.errors import InputError
from lungaug.sources.masks import Values, link, max_feret_mm, read_mask


def png(path: Path, values: NDArray[np.generic]) -> Path:
    path.write_bytes(bytes(cv2.imencode(".png", values)[1]))
    return path


def test_components_and_labels(tmp_path: Path) -> None:
    values = np.zeros((6, 8), np.uint8)
    values[0, 0] = values[1, 1] = 255
    values[4, 4:6] = 7
    path = png(tmp_path / "m.png", values)
    components = read_mask(path, (6, 8), "components")
    assert components.dtype == np.uint8
    assert [components[i] for i in ((0, 0), (1, 1), (4, 4), (3, 3))] == [1, 1, 2, 0]
    labels = read_mask(path, (6, 8), "labels")
    assert [labels[i] for i in ((0, 0), (1, 1), (4, 4), (3, 3))] == [2, 2, 1, 0]
    empty = png(tmp_path / "empty.png", np.zeros((6, 8), np.uint8))
    for kind in ("components", "labels"):
        assert not read_mask(empty, (6, 8), kind).any()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["components", "labels"])
def test_more_than_half_a_slice_is_no_nodule(tmp_path: Path, kind: Values) -> None:
    values = np.zeros((6, 8), np.uint16)
    values[:3] = 9
    assert (read_mask(png(tmp_path / "m.png", values), (6, 8), kind) > 0).sum() == 24
    values[3, 0] = 9
    with pytest.raises(InputError, match=r"mask of 52 % of the slice; accepted: at most 50 %"):
        read_mask(png(tmp_path / "m.png", values), (6, 8), kind)


def test_grey_in_three_channels(tmp_path: Path) -> None:
    values = np.zeros((6, 8, 3), np.uint8)
    values[2, 2] = 255
    assert read_mask(png(tmp_path / "m.png", values), (6, 8), "components").sum() == 1
    values[2, 2, 0] = 1
    with pytest.raises(InputError, match="colour"):
        read_mask(png(tmp_path / "m.png", values), (6, 8), "components")


def test_masks_that_cannot_be_used(tmp_path: Path) -> None:
    path = tmp_path / "SMITH.png"
    with pytest.raises(InputError, match="cannot be opened"):
        read_mask(path, (6, 8), "components")
    for content, message in ((b"", "no PNG"), (b"something", "no PNG")):
        path.write_bytes(content)
        with pytest.raises(InputError, match=message):
            read_mask(path, (6, 8), "components")
    with pytest.raises(InputError, match="6x8 pixels; accepted: 8x6"):
        read_mask(png(path, np.zeros((6, 8), np.uint8)), (8, 6), "components")
    with pytest.raises(InputError, match="with 400 nodules"):
        read_mask(png(path, np.eye(1600, dtype=np.uint8)[::4]), (400, 1600), "components")


@pytest.mark.parametrize("diameter_mm", [4.0, 6.0, 8.0, 15.0, 30.0])
def test_feret_of_discs(diameter_mm: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(40):
        spacing = rng.uniform(0.6, 0.9)
        row, column = rng.uniform(40, 41, 2)
        y, x = np.mgrid[:81, :81]
        disc = np.hypot(y - row, x - column) * spacing <= diameter_mm / 2
        surplus = (max_feret_mm(disc, (spacing, spacing)) - diameter_mm) / spacing
        assert -0.3 < surplus < 1.1


def test_feret_is_that_of_scikit_image() -> None:
    measure = pytest.importorskip("skimage.measure")
    y, x = np.mgrid[:40, :40]
    ellipse = ((y - 20.3) / 7) ** 2 + ((x - y / 2 - 9) / 4) ** 2 <= 1
    (region,) = measure.regionprops(ellipse.astype(int))
    assert max_feret_mm(ellipse, (1.0, 1.0)) == pytest.approx(region.feret_diameter_max)


def test_feret_of_simple_shapes() -> None:
    mask = np.zeros((9, 9), bool)
    mask[4, 4] = True
    assert max_feret_mm(mask, (0.5, 0.7)) == pytest.approx(0.7)
    mask[4, :] = True
    assert max_feret_mm(mask, (0.5, 0.7)) == pytest.approx(9 * 0.7)
    assert math.isnan(max_feret_mm(mask, (math.nan, math.nan)))


@given(st.integers(0, 2**32 - 1), st.floats(0.3, 2.0), st.floats(0.3, 2.0))
def test_feret_equals_brute_force(seed: int, row: float, column: float) -> None:
    mask = np.random.default_rng(seed).random((6, 7)) < 0.3
    mask[3, 3] = True
    steps = np.array([(0.5, 0), (-0.5, 0), (0, 0.5), (0, -0.5)])
    points = (np.argwhere(mask)[:, None] + steps).reshape(-1, 2) * (row, column)
    expected = np.sqrt(((points[:, None] - points[None]) ** 2).sum(-1)).max()
    assert max_feret_mm(mask, (row, column)) == pytest.approx(expected, rel=1e-5)
    assert max_feret_mm(mask.T, (column, row)) == pytest.approx(expected, rel=1e-5)


def test_link_from_slice_to_slice() -> None:
    def slice_with(*columns: int) -> NDArray[np.uint8]:
        labels = np.zeros((4, 12), np.uint8)
        for label, column in enumerate(columns, 1):
            labels[1:3, column : column + 2] = label
        return labels

    labels = {3: slice_with(8), 4: slice_with(0, 9), 5: slice_with(9), 7: slice_with(9)}
    assert link(labels) == {(3, 1): 1, (4, 1): 2, (4, 2): 1, (5, 1): 1, (7, 1): 3}


def test_link_joins_what_meets_later() -> None:
    one, two = np.zeros((2, 4, 6), np.uint8)
    one[1, :2], one[1, 4:] = 1, 2
    two[1] = 1
    assert set(link({0: one, 1: two}).values()) == {1}
    assert link({}) == {}


def test_real_mask(real_data: Path) -> None:
    path = real_data / "lidc_0095_SIEMENS_slice" / "IM140.png"
    mask = read_mask(path, (512, 512), "components")
    assert (mask.max(), (mask > 0).sum()) == (1, 164)
    assert 7 < max_feret_mm(mask == 1, (0.599609375, 0.599609375)) < 13
