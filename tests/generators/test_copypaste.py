"""Copies: of whom, how large, how much of them is the real nodule's, and that they are saved."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
import torch

from lungaug.crops import Conditions, Crops, equivalent_diameter_mm
from lungaug.errors import InputError, SettingError
from lungaug.generators.copypaste import Copypaste, from_state
from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.protocol import FitRun
from lungaug.imaging.copied_crop import CopyPose, apply_pose

SIDE, MM = 48, 0.8
AS_THEY_ARE = CopypasteSettings(n_nearest=1, scale=(1, 1), rotation_degrees=0, flip=0)


def crops_of(radii: tuple[float, ...], kinds: tuple[str, ...] = ("solid",)) -> Crops:
    """One crop a radius in mm: a disc with a tail, 10 HU higher each, on noise of its own."""
    n = len(radii)
    rows, columns = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * MM
    mask = np.array([np.hypot(rows, columns) <= radius for radius in radii])
    mask |= np.array([(abs(rows) < 1) & (columns > 0) & (columns < r + 2) for r in radii])
    noise = np.random.default_rng(0).normal(-850, 30, (n, SIDE, SIDE))
    return Crops(
        diameter_mm=np.array([equivalent_diameter_mm(m, (MM, MM)) for m in mask], np.float32),
        kind=np.resize(np.array(kinds), n),
        lung_rads=np.full(n, "LR3"),
        hu=np.where(mask, noise + 800 + 10 * np.arange(n)[:, None, None], noise).astype(np.int16),
        mask=mask,
        patient=np.array([f"p{i}" for i in range(n)]),
        donor=np.array([f"p{i}/s0/{i:04d}" for i in range(n)]),
        label=np.arange(1, n + 1),
        pose=np.full(n, ""),
        spacing_mm=np.full((n, 2), MM, np.float32),
        origin=np.full(n, "cut:scaled"),
    )


def ask(diameters: tuple[float, ...], kind: str = "solid", lung_rads: str = "LR3") -> Conditions:
    n = len(diameters)
    return Conditions(np.float32(diameters), np.full(n, kind), np.full(n, lung_rads))


def fitted(crops: Crops, settings: CopypasteSettings | None = None) -> Copypaste:
    generator = Copypaste(settings or CopypasteSettings())
    (row,) = generator.fit(crops, FitRun("copypaste", seed=0))
    assert (row["phase"], row["step"], row["n_crops"]) == ("fit", 0, len(crops))
    return generator


CROPS = crops_of((2.5, 3.0, 4.0, 5.0, 6.5, 8.0))


def test_without_any_change_a_copy_is_the_crop_itself() -> None:
    samples = fitted(CROPS, AS_THEY_ARE).sample(CROPS, seed=0)
    np.testing.assert_array_equal(samples.hu, CROPS.hu)
    np.testing.assert_array_equal(samples.mask > 0.5, CROPS.mask)
    np.testing.assert_array_equal(samples.donor, CROPS.donor)
    np.testing.assert_array_equal(samples.label, CROPS.label)


def test_the_mask_has_the_asked_diameter_to_the_pixel() -> None:
    diameters = tuple(np.linspace(4.6, 17.5, 40))
    samples = fitted(CROPS).sample(ask(diameters), seed=3)
    pixels = np.pi / 4 * np.square(diameters) / MM**2
    found = np.count_nonzero(samples.mask >= 0.5, axis=(1, 2))
    assert np.abs(found - pixels).max() <= 0.5 + 1e-4
    assert samples.mask.min() >= 0
    assert samples.mask.max() <= 1


def test_hu_and_mask_stay_together() -> None:
    samples = fitted(CROPS).sample(ask((7.0, 9.0, 12.0, 16.0)), seed=5)
    for hu, mask in zip(samples.hu, samples.mask, strict=True):
        inside = mask >= 0.5
        assert np.mean(hu[inside] > -400) > 0.93
        assert np.mean(hu[~inside] < -400) > 0.97


def test_values_are_the_donors_and_nothing_is_dark_outside_a_shrunk_crop() -> None:
    shrunk = CopyPose(flip=True, degrees=33.0, scale=0.6, n_pixels=200)
    hu, _ = apply_pose(CROPS.hu[5], CROPS.mask[5], shrunk)
    assert hu.min() >= CROPS.hu[5].min()
    assert hu.max() <= CROPS.hu[5].max()
    corners = hu[[0, 0, -1, -1], [0, -1, 0, -1]]
    assert (np.abs(corners + 850) < 150).all()


def test_texture_survives_the_one_resampling() -> None:
    turned = CopyPose(flip=False, degrees=45.0, scale=1.0, n_pixels=60)
    hu, _ = apply_pose(CROPS.hu[0], CROPS.mask[0], turned)
    # linear interpolation would leave 0.67 of white noise's SD
    assert hu[:10].std() > 0.75 * CROPS.hu[0][:10].std()


def test_donors_are_the_nearest_of_that_kind() -> None:
    crops = crops_of((4.0, 4.1, 4.2, 5.0, 5.1, 5.2), ("solid", "ground_glass"))
    settings = CopypasteSettings(n_nearest=2)
    wanted = Conditions(np.full(40, crops.diameter_mm[4]), np.full(40, "solid"), np.full(40, "LR3"))
    donors = set(fitted(crops, settings).sample(wanted, seed=0).donor.tolist())
    assert donors == {"p4/s0/0004", "p2/s0/0002"}


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    wanted = ask((6.0, 8.0, 10.0, 12.0))
    first, again, other = (fitted(CROPS).sample(wanted, seed=s) for s in (1, 1, 2))
    assert first.hu.tobytes() == again.hu.tobytes()
    assert first.mask.tobytes() == again.mask.tobytes()
    assert first.hu.tobytes() != other.hu.tobytes()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (ask((8.0,), kind="part_solid"), "part_solid.*accepted: solid"),
        (ask((8.0,), lung_rads="LR4B"), "LR4B.*accepted: LR3"),
        (ask((60.0,)), "60.0 mm.*accepted"),
    ],
)
def test_what_was_never_seen_is_refused(wanted: Conditions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted(CROPS).sample(wanted, seed=0)


def test_a_diameter_that_no_scale_reaches_is_refused() -> None:
    crops = crops_of((3.0, 8.0))
    with pytest.raises(InputError, match=r"no solid nodule can be scaled by 0\.75 to 1\.35"):
        fitted(crops).sample(ask((11.0,)), seed=0)


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_crop_without_a_diameter_is_refused_when_it_is_fitted(value: float) -> None:
    diameters = CROPS.diameter_mm.copy()
    diameters[2] = value
    generator = Copypaste(CopypasteSettings())
    with pytest.raises(InputError, match="crop 2 of p2/s0/0002: diameter"):
        generator.fit(replace(CROPS, diameter_mm=diameters), FitRun("copypaste", seed=0))
    with pytest.raises(InputError, match="not fitted"):
        generator.sample(ask((8.0,)), seed=0)


def test_another_device_changes_nothing() -> None:
    generator = fitted(CROPS)
    before = generator.sample(ask((8.0,)), seed=0)
    generator.to(torch.device("meta"))
    np.testing.assert_array_equal(generator.sample(ask((8.0,)), seed=0).hu, before.hu)


def test_an_unfitted_one_says_so() -> None:
    with pytest.raises(InputError, match="not fitted"):
        Copypaste(CopypasteSettings()).sample(ask((8.0,)), seed=0)


def test_crops_of_unknown_spacing_are_scaled_all_the_same() -> None:
    unknown = Crops(**{**vars(CROPS), "spacing_mm": np.full((6, 2), np.nan, np.float32)})
    samples = fitted(unknown).sample(ask((9.0,)), seed=0)
    assert np.count_nonzero(samples.mask >= 0.5) == pytest.approx(np.pi / 4 * 81 / MM**2, abs=2)


def test_saved_and_loaded_whole() -> None:
    generator, file = fitted(CROPS, CopypasteSettings(n_nearest=3, flip=0.2)), io.BytesIO()
    torch.save(generator.state(), file)
    file.seek(0)
    loaded = from_state(torch.load(file, weights_only=True))
    assert loaded.settings == generator.settings
    wanted = ask((6.0, 9.0, 15.0))
    expected, found = (g.sample(wanted, seed=4) for g in (generator, loaded))
    for name in ("hu", "mask", "donor", "label", "pose"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_no_condition_gives_no_sample() -> None:
    samples = fitted(CROPS).sample(ask(()), seed=0)
    assert samples.hu.shape == samples.mask.shape == (0, SIDE, SIDE)
    assert len(samples.donor) == len(samples.label) == 0


@pytest.mark.parametrize("scale", [(0.0, 1.2), (1.1, 1.2), (0.5, 0.9)])
def test_scales_must_hold_one(scale: tuple[float, float]) -> None:
    with pytest.raises(SettingError, match="scale"):
        CopypasteSettings(scale=scale)
