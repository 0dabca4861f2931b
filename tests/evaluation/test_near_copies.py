"""Changed copies of slices: every change is found, patients that only look alike are not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest

from lungaug.evaluation.alignment import SIDE_PX, View, likeness, mirrored
from lungaug.evaluation.near_copies import (
    NearCopySettings,
    Nearest,
    Slice,
    copies,
    limits_of,
    nearest_of_others,
)
from phantom_slices import phantom_slices

Hu = np.ndarray
LEAKED = 7  # the slice that another patient is given, changed
SEED = 0


def moved(hu: Hu, degrees: float = 0, scale: float = 1, shift: tuple[float, float] = (0, 0)) -> Hu:
    height, width = hu.shape
    matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), degrees, scale)
    matrix[:, 2] += shift
    out = cv2.warpAffine(hu.astype(np.float32), matrix, (width, height), borderValue=-1024)
    return np.round(out).astype(np.int16)


def noisy(hu: Hu, share: float) -> Hu:
    rng = np.random.default_rng(SEED)
    added = np.where(rng.random(hu.shape) < share, rng.normal(0, 30, hu.shape), 0)
    return np.round(hu + added).astype(np.int16)


CHANGES: dict[str, Callable[[Hu], Hu]] = {
    "HU + 1": lambda hu: hu + 1,
    "x 1.01": lambda hu: np.round(hu * 1.01).astype(np.int16),
    "1 px": lambda hu: np.roll(hu, 1, axis=1),
    "(4, 3) px": lambda hu: moved(hu, shift=(4, 3)),
    "half a pixel": lambda hu: moved(hu, shift=(0.5, 0.5)),
    "3 degrees": lambda hu: moved(hu, 3),
    "13 degrees": lambda hu: moved(hu, 13),
    "mirrored, 3 degrees": lambda hu: moved(hu[:, ::-1], 3),
    "upside down, 40 degrees": lambda hu: moved(hu[::-1], 40),
    "x 0.97": lambda hu: moved(hu, scale=0.97),
    "blur": lambda hu: np.round(cv2.GaussianBlur(hu.astype(np.float32), (0, 0), 0.7)).astype(
        np.int16
    ),
    "noise on 30 %": lambda hu: noisy(hu, 0.3),
    "noise on all": lambda hu: noisy(hu, 1),
    "curved HU": lambda hu: np.round(
        ((np.clip(hu, -1000, 1000) + 1000) / 2000.0) ** 1.15 * 2000 - 1000
    ).astype(np.int16),
}


def listed(*more: tuple[str, Hu]) -> list[Slice]:
    real = [(patient, hu) for patient, hu, _ in phantom_slices()]
    return [
        Slice(str(i), patient, "train", lambda hu=hu: hu)
        for i, (patient, hu) in enumerate([*real, *more])
    ]


def found_in(slices: list[Slice]) -> list[Nearest]:
    """The pairs of one slice, with the settings' limit."""
    nearest = nearest_of_others(slices)
    limits = limits_of(nearest, NearCopySettings())
    assert limits is not None
    return [pair for pair, _ in copies(nearest, limits)]


def test_patients_that_look_alike_are_no_copies() -> None:
    honest = nearest_of_others(listed())
    assert {pair.first for pair in honest} == set(range(len(phantom_slices())))
    assert max(pair.likeness for pair in honest) < 0.45
    assert not found_in(listed())


@pytest.mark.parametrize("side_px", [72, 96])
def test_few_patients_with_small_images_are_no_copies(side_px: int) -> None:
    """Edges fill what is compared, and few patients do not show how alike they can be."""
    drawn = phantom_slices(side_px)
    names = sorted({patient for patient, _, _ in drawn})
    most = 0.0
    for few in zip(names, names[1:], names[2:], strict=False):
        slices = [
            Slice(str(i), patient, "train", lambda hu=hu: hu)
            for i, (patient, hu, _) in enumerate(drawn)
            if patient in few
        ]
        nearest = nearest_of_others(slices)
        limits = limits_of(nearest, NearCopySettings())
        assert limits is not None
        assert not list(copies(nearest, limits))
        most = max(most, *(pair.likeness for pair in nearest))
    # the likeness that is too much at full size is reached here
    assert most > {72: 0.45, 96: 0.3}[side_px]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_slice_of_another_patient_is_found(change: str) -> None:
    leaked = CHANGES[change](phantom_slices()[LEAKED][1])
    slices = listed(("thief", leaked))
    found = found_in(slices)
    thief = len(slices) - 1
    assert {found[0].first, found[0].second} == {LEAKED, thief}
    # neighbouring slices of thick scans share noise
    assert all(thief in (pair.first, pair.second) for pair in found)


def test_slices_of_one_patient_are_not_compared() -> None:
    hu = phantom_slices()[LEAKED][1]
    slices = [Slice(str(i), "one", "train", lambda: hu) for i in range(3)]
    assert nearest_of_others(slices) == [Nearest(i, -1, 0.0, side_px=112) for i in range(3)]


def test_each_pair_is_reported_once_with_its_limit_and_the_most_alike_first() -> None:
    pairs = [Nearest(0, 2, 0.6), Nearest(1, 3, 0.9), Nearest(2, 0, 0.6), Nearest(4, 1, 0.44)]
    expected = [(Nearest(1, 3, 0.9), 0.8), (Nearest(0, 2, 0.6), 0.45)]
    assert list(copies(pairs, [0.45, 0.8, 0.45, 0.45])) == expected


def test_the_limit_rises_where_all_patients_are_alike_and_never_beyond_a_copy() -> None:
    def limit(*values: float) -> float | None:
        pairs = [Nearest(0, 1, 0.99, value) for value in values]
        limits = limits_of(pairs, NearCopySettings())
        return None if limits is None else limits[0]

    assert limit(0.0, 0.04, 0.9) == pytest.approx(0.45)
    assert limit(0.0, 0.5, 0.9) == pytest.approx(0.8409, abs=1e-4)
    assert limit(0.1, 0.8, 0.8) == pytest.approx(0.9457, abs=1e-4)
    assert limit(0.1, 0.81, 0.9) is None


def test_of_small_images_more_must_be_the_same() -> None:
    def limit(side_px: int) -> float:
        limits = limits_of([Nearest(0, 1, 0.99, 0.0, side_px)], NearCopySettings())
        assert limits is not None
        return limits[0]

    assert limit(128) == limit(512) == pytest.approx(0.45)
    assert limit(96) == pytest.approx(1 - 0.55 * 9 / 16)
    assert limit(64) == pytest.approx(1 - 0.55 / 4)
    assert limit(16) == 0.95


def test_pairs_have_the_side_of_the_smaller_slice() -> None:
    large, small = phantom_slices(112)[LEAKED], phantom_slices(72)[LEAKED]
    slices = [Slice("a", "a", "train", lambda: large[1]), Slice("b", "b", "test", lambda: small[1])]
    assert [pair.side_px for pair in nearest_of_others(slices)] == [72, 72]


def test_a_cohort_of_twins_does_not_pass_as_one_of_alike_patients() -> None:
    """Every slice has a changed copy: the third patient says how alike they are by chance."""
    twins = [(f"{patient} again", moved(hu, 3)) for patient, hu, _ in phantom_slices()]
    assert len(found_in(listed(*twins))) >= len(twins)


def test_one_patient_under_three_names_does_not_hide_behind_the_third() -> None:
    again = [
        (f"{name} {patient}", moved(hu, degrees))
        for patient, hu, _ in phantom_slices()
        for name, degrees in (("second", 3), ("third", -3))
        if patient == "LR3-0"
    ]
    assert len(again) == 10
    assert len(found_in(listed(*again))) >= len(again)


def test_a_copy_of_the_same_role_does_not_hide_one_of_another() -> None:
    """One person has four names, and is more like the twin of the same role."""
    hu = phantom_slices()[LEAKED][1]
    names = {"a1": ("train", 0), "a2": ("train", 0), "a3": ("test", 8), "a4": ("test", 8)}
    again = [
        Slice(name, name, role, lambda degrees=degrees: noisy(moved(hu, degrees), 0.1))
        for name, (role, degrees) in names.items()
    ]
    others = [one for one in listed() if phantom_slices()[int(one.key)][0] != "LR3-1"]
    slices = [*others, *again]
    pairs = {frozenset(slices[at].key for at in (p.first, p.second)) for p in found_in(slices)}
    assert {frozenset(("a1", "a2")), frozenset(("a3", "a4"))} <= pairs
    across = {pair for pair in pairs if len({names[name][0] for name in pair}) == 2}
    assert len(across) >= 2


@pytest.mark.parametrize("n_again", [2, 8])
def test_persons_with_three_names_each_do_not_switch_it_off(n_again: int) -> None:
    """Nor do they raise the limit for the others."""
    persons = sorted({patient for patient, _, _ in phantom_slices()})[:n_again]
    again = [
        (f"{name} {patient}", noisy(moved(hu, degrees), 0.3))
        for patient, hu, _ in phantom_slices()
        for name, degrees in (("second", 5), ("third", -5))
        if patient in persons
    ]
    slices = listed(*again)
    nearest = nearest_of_others(slices)
    limits = limits_of(nearest, NearCopySettings())
    assert limits is not None
    assert max(limits) < 0.65
    found = {pair.first for pair, _ in copies(nearest, limits)}
    assert len(found) >= 0.8 * len(again)


@pytest.mark.parametrize("noise_hu", [0.0, 2.0])
def test_pictures_without_noise_or_vessels_cannot_be_told_apart(noise_hu: float) -> None:
    """Bodies of ellipses are one picture once they are aligned: that is no leak."""
    rng = np.random.default_rng(SEED)
    rows, columns = np.mgrid[-40:40, -50:50] / 40.0
    slices = []
    for patient in range(6):
        width, height = rng.uniform(0.85, 1.1, 2)
        for index in range(3):
            hu = np.full(rows.shape, -1000.0)
            hu[(columns / width) ** 2 + (rows / height) ** 2 < 0.8] = 40
            for side in (-0.45, 0.45):
                lung = ((columns / width - side) / 0.28) ** 2 + (rows / height / 0.5) ** 2
                hu[lung < 1 + index / 10] = -850
            drawn = np.round(hu + rng.normal(0, noise_hu, hu.shape)).astype(np.int16)
            slices.append(Slice(f"{index}", f"{patient}", "train", lambda hu=drawn: hu))
    nearest = nearest_of_others(slices)
    limits = limits_of(nearest, NearCopySettings())
    assert limits is None or not list(copies(nearest, limits))


def test_mirrored_pictures_are_those_of_the_mirrored_slice() -> None:
    hu = phantom_slices()[LEAKED][1]
    as_it_is = mirrored(View.of(hu).pictures())
    # the frames of the image and of the body are turned with them
    for pose, changed in enumerate((hu, hu[::-1], hu[:, ::-1], hu[::-1, ::-1])):
        own = View.of(np.ascontiguousarray(changed)).pictures()[0]
        assert float(own @ as_it_is[pose][0]) > 0.999


def test_a_picture_has_length_one_and_no_mean() -> None:
    for picture in View.of(phantom_slices()[0][1]).pictures():
        assert picture.shape == (SIDE_PX**2,)
        assert float(picture @ picture) == pytest.approx(1, abs=1e-4)
        assert float(picture.mean()) == pytest.approx(0, abs=1e-4)


def test_a_slice_without_a_body_can_be_compared_and_is_like_nothing() -> None:
    air = View.of(np.full((40, 60), -1024, np.int16))
    other = View.of(phantom_slices()[0][1])
    assert len(air.frames) == 1
    assert likeness(air, other, np.eye(3)) == 0


def test_body_holds_the_lungs_and_no_air_around_it() -> None:
    view = View.of(phantom_slices()[LEAKED][1])
    assert not view.body[0, 0]
    assert (view.hu[view.body] < -500).mean() > 0.15
    assert (view.hu[~view.body] < -500).mean() > 0.8
