"""Drawn nodules: size, HU, texture and edge are what was measured, and what is saved is whole."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from scipy import ndimage

from lungaug.crops import Conditions, Crops, equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.generators.gaussian import Gaussian, from_state, kernel_px
from lungaug.generators.gaussian_settings import GaussianSettings
from lungaug.generators.protocol import FitRun
from lungaug.imaging.hu import FLOOR_HU

SIDE, MM = 48, 0.8
LEVELS = {"solid": -20.0, "ground_glass": -550.0}
GRAIN, LUNG, LUNG_SD, KERNEL = 30.0, -850.0, 25.0, 1.2


def grain(rng: np.random.Generator, shape: tuple[int, ...], kernel: float = KERNEL) -> np.ndarray:
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), (0, kernel, kernel))
    return smooth / smooth.std()


def crops_of(diameters: tuple[float, ...], kinds: tuple[str, ...]) -> Crops:
    """Discs with a soft edge, a grain and a lung that are known."""
    n, rng = len(diameters), np.random.default_rng(7)
    rows, columns = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * MM
    mask = np.array([np.hypot(rows, columns) <= d / 2 for d in diameters])
    share = ndimage.gaussian_filter(mask.astype(float), (0, 0.8, 0.8))
    kind = np.resize(np.array(kinds), n)
    level = np.array([LEVELS[k] for k in kind.tolist()])[:, None, None]
    lung = LUNG + LUNG_SD * grain(rng, mask.shape)
    hu = (1 - share) * lung + share * (level + GRAIN * grain(rng, mask.shape))
    return Crops(
        diameter_mm=np.array([equivalent_diameter_mm(m, (MM, MM)) for m in mask], np.float32),
        kind=kind,
        lung_rads=np.full(n, "LR3"),
        hu=np.rint(hu).astype(np.int16),
        mask=mask,
        patient=np.array([f"p{i}" for i in range(n)]),
        donor=np.array([f"p{i}/s0/{i:04d}" for i in range(n)]),
        label=np.ones(n, np.int64),
        pose=np.full(n, ""),
        spacing_mm=np.full((n, 2), MM, np.float32),
        origin=np.full(n, "cut:scaled"),
    )


CROPS = crops_of(tuple(np.linspace(5, 16, 12)), ("solid", "ground_glass"))


def ask(diameters: tuple[float, ...], kind: str = "solid") -> Conditions:
    return Conditions(
        np.float32(diameters), np.full(len(diameters), kind), np.full(len(diameters), "LR3")
    )


def fitted(crops: Crops = CROPS, settings: GaussianSettings | None = None) -> Gaussian:
    generator = Gaussian(settings or GaussianSettings())
    generator.fit(crops, FitRun("gaussian", seed=0))
    return generator


def inside(samples) -> list[np.ndarray]:
    return [hu[mask >= 0.5] for hu, mask in zip(samples.hu, samples.mask, strict=True)]


def test_the_history_tells_what_was_measured() -> None:
    (row,) = Gaussian(GaussianSettings()).fit(CROPS, FitRun("gaussian", seed=0))
    assert (row["phase"], row["step"], row["n_crops"], row["note"]) == ("fit", 0, 12, "")
    assert row["lung_mean_hu"] == pytest.approx(LUNG, abs=6)
    assert row["lung_sd_hu"] == pytest.approx(LUNG_SD, rel=0.15)
    assert row["grain_hu"] == pytest.approx(GRAIN, rel=0.35)
    assert row["lung_correlation_mm"] == pytest.approx(KERNEL * MM, rel=0.15)
    assert row["nodule_correlation_mm"] == pytest.approx(KERNEL * MM, rel=0.4)


@pytest.mark.parametrize("kernel", [0.7, 1.0, 2.0])
def test_the_kernel_of_a_texture_is_found(kernel: float) -> None:
    noise = grain(np.random.default_rng(1), (20, SIDE, SIDE), kernel)
    everywhere = np.ones((20, SIDE, SIDE), bool)
    # a narrow kernel, cut into pixels, is not quite the formula's
    assert kernel_px(zip(noise, everywhere, strict=True)) == pytest.approx(kernel, rel=0.12)


def test_the_mask_has_the_asked_diameter_to_the_pixel() -> None:
    diameters = tuple(np.linspace(4.5, 18, 30))
    samples = fitted().sample(ask(diameters), seed=0)
    found = np.count_nonzero(samples.mask >= 0.5, axis=(1, 2))
    assert np.abs(found - np.pi / 4 * np.square(diameters) / MM**2).max() <= 0.5 + 1e-4


@pytest.mark.parametrize("kind", ["solid", "ground_glass"])
def test_mean_and_sd_are_those_of_a_nodule_of_that_kind(kind: str) -> None:
    settings = GaussianSettings(n_nearest=1)
    own = CROPS.take(np.flatnonzero(CROPS.kind == kind))
    values = inside(fitted(settings=settings).sample(own, seed=2))
    real = [hu[mask] for hu, mask in zip(own.hu, own.mask, strict=True)]
    np.testing.assert_allclose([v.mean() for v in values], [v.mean() for v in real], atol=0.5)
    # an ellipse has more rim than a disc: small ones may spread wider
    np.testing.assert_allclose([v.std() for v in values], [v.std() for v in real], rtol=0.25)


def test_the_edge_falls_from_nodule_to_lung() -> None:
    (hu,), (mask,) = (getattr(fitted().sample(ask((12.0,)), seed=0), n) for n in ("hu", "mask"))
    core = ndimage.binary_erosion(mask >= 0.5, iterations=3)
    rim = ndimage.binary_dilation(mask >= 0.5) & ~(mask >= 0.5)
    far = ~ndimage.binary_dilation(mask >= 0.5, iterations=5)
    assert hu[core].mean() - 100 > hu[rim].mean() > hu[far].mean() + 50
    assert hu[far].mean() == pytest.approx(LUNG, abs=12)


def test_a_wider_blur_makes_a_wider_edge() -> None:
    def beyond(edge_mm: float) -> float:
        samples = fitted(settings=GaussianSettings(edge_mm=edge_mm)).sample(ask((12.0,)), seed=0)
        mask = samples.mask[0] >= 0.5
        return float(samples.hu[0][ndimage.binary_dilation(mask) & ~mask].mean())

    assert beyond(1.5) > beyond(0.3) + 20


def test_axes_and_orientation_vary_within_the_ratio() -> None:
    samples = fitted(settings=GaussianSettings(axis_ratio=0.5)).sample(ask((14.0,) * 30), seed=0)
    ratios, angles = [], []
    for mask in samples.mask >= 0.5:
        values, vectors = np.linalg.eigh(np.cov(np.argwhere(mask).T))
        ratios.append(np.sqrt(values[0] / values[1]))
        angles.append(np.arctan2(*vectors[:, 1]) % np.pi)
    assert 0.45 < min(ratios) < 0.65
    assert max(ratios) > 0.85
    assert np.ptp(angles) > 1.5


def test_a_set_correlation_replaces_the_fitted_one() -> None:
    generator = fitted(settings=GaussianSettings(correlation_mm=2.0))
    assert generator.fitted.correlation_mm == (2.0, 2.0)


def test_crops_without_lung_or_core_get_plain_values() -> None:
    crops = crops_of((3.2, 3.6), ("solid",))
    crops.hu[~crops.mask] = 2000
    samples = fitted(crops).sample(ask((3.5,)), seed=0)
    assert np.isfinite(samples.hu).all()
    assert samples.hu[0, :10].mean() == pytest.approx(-850, abs=20)


def test_nothing_falls_below_the_floor() -> None:
    crops = crops_of((8.0, 9.0), ("solid",))
    rng = np.random.default_rng(0)
    crops.hu[~crops.mask] = rng.normal(-940, 300, np.count_nonzero(~crops.mask))
    assert fitted(crops).sample(ask((8.5,) * 4), seed=0).hu.min() >= FLOOR_HU


def test_a_network_made_no_pixel_and_neither_did_a_donor() -> None:
    samples = fitted().sample(ask((8.0, 9.0)), seed=0)
    assert samples.donor.tolist() == ["", ""]
    assert samples.label.tolist() == [0, 0]


def test_equal_seeds_give_equal_bytes_and_others_do_not() -> None:
    wanted = ask((6.0, 9.0, 14.0))
    first, again, other = (fitted().sample(wanted, seed=s) for s in (1, 1, 2))
    assert first.hu.tobytes() == again.hu.tobytes()
    assert first.hu.tobytes() != other.hu.tobytes()


@pytest.mark.parametrize(
    ("wanted", "message"),
    [(ask((8.0,), "part_solid"), "part_solid.*accepted"), (ask((50.0,)), "50.0 mm.*accepted")],
)
def test_what_was_never_seen_is_refused(wanted: Conditions, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fitted().sample(wanted, seed=0)


def test_another_device_changes_nothing() -> None:
    generator = fitted()
    before = generator.sample(ask((8.0,)), seed=0)
    generator.to(torch.device("meta"))
    np.testing.assert_array_equal(generator.sample(ask((8.0,)), seed=0).hu, before.hu)


def test_unknown_spacing_is_refused() -> None:
    unknown = Crops(**{**vars(CROPS), "spacing_mm": np.full((12, 2), np.nan, np.float32)})
    with pytest.raises(InputError, match="unknown spacing"):
        fitted(unknown)


def test_saved_and_loaded_whole() -> None:
    generator, file = fitted(settings=GaussianSettings(n_nearest=2)), io.BytesIO()
    torch.save(generator.state(), file)
    file.seek(0)
    loaded = from_state(torch.load(file, weights_only=True))
    assert loaded.settings == generator.settings
    expected, found = (g.sample(ask((6.0, 12.0)), seed=4) for g in (generator, loaded))
    np.testing.assert_array_equal(found.hu, expected.hu)
    np.testing.assert_array_equal(found.mask, expected.mask)
