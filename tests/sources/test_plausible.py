"""Values that are no HU are found, and real CT is not taken for them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from compressed_files import thorax
from lungaug.sources.dicom import read_hu
from lungaug.sources.headers import update_index
from lungaug.sources.plausible import Judgement, torn

Hu = NDArray[np.int_]


def verdict(*slices: Hu) -> str:
    judgement = Judgement()
    for hu in slices:
        judgement.add(hu.clip(-1024, 32767).astype(np.int16))
    return judgement.fault()


HU = thorax().astype(int)
PADDED = np.where(np.hypot(*(np.mgrid[:96, :96] - 47.5)) > 48, -2000, HU)


@pytest.mark.parametrize("hu", [HU, PADDED, np.maximum(HU, -1024), HU + 120, HU - 120])
def test_a_thorax_is_plausible(hu: Hu) -> None:
    assert verdict(hu) == ""
    assert torn(hu.astype(np.int16)) == ""


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda hu: hu + 1024, "air or lung"),
        (lambda hu: hu - 1024, "soft tissue"),
        (lambda hu: np.where(hu < 0, hu + 65536, hu), "exceed 4000"),
        (lambda hu: -hu, "air or lung"),
        (lambda hu: hu // 2, "air or lung"),
        (lambda hu: ((hu + 1350) / 1500 * 255).clip(0, 255).astype(int), "air or lung"),
        (lambda hu: ((hu + 1350) / 1500 * 255).clip(0, 255).astype(int) - 1024, "soft tissue"),
        (lambda hu: np.full_like(hu, -1024), "nearly all pixels"),
        (lambda hu: np.zeros_like(hu), "air or lung"),
    ],
)
@pytest.mark.parametrize("hu", [HU, PADDED])
def test_values_that_are_no_hu(hu: Hu, change: Callable[[Hu], Hu], reason: str) -> None:
    assert reason in verdict(np.where(hu == -2000, -2000, change(hu)))


def test_one_odd_slice_does_not_condemn_a_series() -> None:
    assert verdict(np.zeros_like(HU), *[HU] * 3) == ""


def test_a_slice_of_garbage_is_torn_and_does_not_condemn_its_series() -> None:
    garbage = np.random.default_rng(0).integers(-1024, 32000, HU.shape).astype(np.int16)
    judgement = Judgement()
    said = [judgement.add(hu.astype(np.int16)) for hu in (HU, garbage, HU)]
    assert [bool(one) for one in said] == [False, True, False]
    assert judgement.fault() == ""
    assert "exceed" in verdict(garbage, garbage, HU)


def test_metal_is_no_fault() -> None:
    hu = HU.copy()
    hu[50:53, 30:33] = 5600
    assert verdict(hu, *[HU] * 9) == ""
    assert torn(hu.astype(np.int16)) == ""
    hu[20:60, 20:60] = 5600
    assert "exceed" in verdict(hu)


def test_small_images_are_not_judged() -> None:
    assert verdict(np.zeros((63, 200), int)) == ""
    assert torn(np.tile([[0], [3000]], (20, 30)).astype(np.int16)) == ""


def test_real_series_are_plausible(real_data: Path, tmp_path: Path) -> None:
    found: dict[str, Judgement] = defaultdict(Judgement)
    n_read: Counter[str] = Counter()
    for entry in update_index(real_data, tmp_path / "index.tsv"):
        for header in entry.images:
            series = f"{entry.path.split('/')[0]} {header.series_uid}"
            n_read[series] += 1
            if header.rescale_type != "US" and n_read[series] <= 4:
                found[series].add(read_hu(real_data / entry.path, header))
    assert len(found) > 10
    assert {name: one.fault() for name, one in found.items() if one.fault()} == {}
