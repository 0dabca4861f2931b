"""Patients, series, order along the normal, and what is wrong with a series."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.sources import geometry, series
from lungaug.sources.dicom_header import Header
from lungaug.sources.headers import update_index
from lungaug.sources.image import Image
from lungaug.sources.series import Series
from lungaug.sources.sheet import Sheet
from lungaug.sources.volumes import split

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def image(z: float = 0.0, path: str = "f/x", **values: Any) -> Image:
    header = Header(
        frame=-1, sop_uid="", study_uid="1.9", series_uid="1.2", patient_id="P", instance=None,
        rows=8, columns=8, spacing_mm=(0.7, 0.7), position_mm=(0.0, 0.0, z), orientation=AXIAL,
        location_mm=None, tilt=0.0, slope=1.0, intercept=0.0, padding=None, lossy=False,
        compressed=False,
    )  # fmt: skip
    return Image(f"{path}{z:+.2f}", "", replace(header, **values))


def images(places: Sequence[float], **values: Any) -> list[Image]:
    return [image(z, **values) for z in places]


def ordered(of: Sequence[Image]) -> Series:
    found = series.order("P", "1.2", of)[0]
    assert found is not None
    return found


def test_order_is_by_position_not_by_number_or_name() -> None:
    found = ordered([image(5, instance=1), image(-5, instance=2), image(0, instance=3)])
    assert found.z_mm == (-5, 0, 5)
    assert not found.warnings


@given(st.floats(-1.2, 1.2), st.floats(-1.2, 1.2), st.permutations(range(5)))
def test_order_along_any_normal(tilt: float, turn: float, shuffled: list[int]) -> None:
    row = (math.cos(turn), math.sin(turn), 0.0)
    column = (
        -math.sin(turn) * math.cos(tilt), math.cos(turn) * math.cos(tilt), math.sin(tilt)
    )  # fmt: skip
    # Rows' direction times columns' direction, worked out by hand; it points up.
    normal = (math.sin(turn) * math.sin(tilt), -math.cos(turn) * math.sin(tilt), math.cos(tilt))
    stack = [
        image(i, orientation=(*row, *column), position_mm=tuple(2.0 * i * n + 3 for n in normal))
        for i in shuffled
    ]
    found = ordered(stack)
    assert [i.path for i in found.images] == [f"f/x{i:+.2f}" for i in range(5)]
    assert [b - a for a, b in zip(found.z_mm[:-1], found.z_mm[1:], strict=True)] == pytest.approx(
        [2.0] * 4
    )
    assert found.z_mm[0] == pytest.approx(3 * sum(normal))
    assert not found.warnings


def test_duplicates_keep_the_first_number() -> None:
    stack = [image(0, "b", instance=2), image(0, "a", instance=1), image(3, instance=3)]
    found, rejected = series.order("P", "1.2", stack)
    assert [i.header.instance for i in found.images] == [1, 3]
    assert [(r.path, r.reason[:15]) for r in rejected] == [("b+0.00", "duplicate slice")]


@pytest.mark.parametrize(
    ("orientation", "normal"),
    [
        (AXIAL, (0, 0, 1)),
        ((0.0, 1.0, 0.0, 0.0, 0.0, 1.0), (1, 0, 0)),
        ((0.0, 0.0, 1.0, 1.0, 0.0, 0.0), (0, 1, 0)),
        ((0.6, 0.8, 0.0, -0.48, 0.36, 0.8), (0.64, -0.48, 0.6)),
        (None, (0, 0, 1)),
    ],
)
def test_normals(orientation: Any, normal: tuple[float, ...]) -> None:
    """The third of a right-handed frame, as DICOM has it (PS3.3, C.7.6.2.1.1)."""
    assert geometry.normal_of(orientation) == pytest.approx(normal)


def test_directions_are_the_same_within_a_hundredth() -> None:
    near, far = (0.999, 0.009, 0.0, *AXIAL[3:]), (0.9, 0.1, 0.0, *AXIAL[3:])
    assert geometry.same_direction(AXIAL, near)
    assert not geometry.same_direction(AXIAL, far)
    # An unknown one is like another unknown one and like no known one.
    assert geometry.same_direction(None, None)
    assert not geometry.same_direction(None, AXIAL)
    assert not geometry.same_direction(AXIAL, None)


@pytest.mark.parametrize(("apart", "n"), [(0.0, 1), (0.009, 1), (0.011, 2), (0.5, 2)])
def test_images_within_a_hundredth_of_a_millimetre_are_one_slice(apart: float, n: int) -> None:
    found, rejected = series.order("P", "1.2", images([0, apart, 3, 6]))
    assert found is not None
    assert (len(found.images), len(rejected)) == (n + 2, 2 - n)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"instance": 9}, {"instance": None}),
        ({"instance": 1}, {"instance": 2}),
        ({"instance": None, "path": "a"}, {"instance": None, "path": "b"}),
        ({"instance": 1, "path": "z"}, {"instance": 2, "path": "a"}),
        ({"instance": 1, "frame": 1}, {"instance": 1, "frame": 2}),
    ],
)
def test_of_duplicates_the_first_acquired_stays(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    """By number, where an image without one comes last; then by path; then by frame."""
    for pair in ([first, second], [second, first]):
        stack = [*(image(0, **values) for values in pair), image(3, instance=20)]
        kept = ordered(stack).images[0]
        assert kept.header.instance == first["instance"]
        assert kept.path.startswith(first.get("path", "f"))
        assert kept.header.frame == first.get("frame", -1)


def test_odd_size_and_orientation_are_volumes_of_their_own() -> None:
    coronal = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
    stack = [*images([0, 1, 2]), image(3, rows=9), image(4, orientation=coronal)]
    volumes = split("1.2", stack)
    assert {name: len(members) for name, members in volumes.items()} == {
        "1.2": 3, "1.2|size 2": 1, "1.2|direction 2": 1
    }  # fmt: skip


@pytest.mark.parametrize(
    ("degrees", "axial"), [(0, True), (-30, True), (44, True), (46, False), (90, False)]
)
@pytest.mark.parametrize("about", ["rows", "columns"])
def test_reformats_are_not_axial(degrees: float, axial: bool, about: str) -> None:
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turned = {"rows": (1, 0, 0, 0, cosine, sine), "columns": (cosine, 0, sine, 0, -1, 0)}
    stack = images([0, 1], orientation=turned[about])
    kept, rejected = series.axial(stack)
    reason = f"not axial: slice normal {degrees} degrees from the z axis"
    assert kept == (stack if axial else [])
    assert [r.reason for r in rejected] == ([] if axial else [reason] * 2)


def test_unknown_orientation_is_taken_as_axial() -> None:
    stack = images([0, 1], orientation=None)
    assert series.axial(stack) == (stack, [])


@pytest.mark.parametrize(
    ("places", "warning"),
    [
        ([0, 1, 2, 3, 6, 7, 8], "2 missing slices in 1 gaps, the largest 3.00 mm"),
        ([0, 1, 2, 3, 4, 6.5, 9, 11.5], "slice spacing varies from 1.00 to 2.50 mm"),
        ([0, 1, 2, 3, 4, 6, 8, 10, 12], "slice spacing varies from 1.00 to 2.00 mm"),
        ([0, 9, 18, 27], ""),
        ([0, 1.25, 2.5, 3.76], ""),
        ([0], ""),
    ],
)
def test_distances(places: list[float], warning: str) -> None:
    assert "; ".join(ordered(images(places)).warnings) == warning


@pytest.mark.parametrize(
    ("values", "warning"),
    [
        ({"tilt": 12.0}, "gantry tilted by 12.0 degrees"),
        ({"lossy": True}, "pixels were compressed with loss"),
        ({"spacing_mm": None}, "pixel spacing unknown"),
        ({"orientation": None}, "no orientation: taken as axial"),
    ],
)
def test_warnings_of_images(values: dict[str, Any], warning: str) -> None:
    assert ordered(images([0, 1], **values)).warnings == (warning,)


def test_tilt_shows_in_the_positions() -> None:
    stack = [image(i, position_mm=(0.0, i * math.tan(math.radians(15)), i)) for i in range(4)]
    assert ordered(stack).warnings == ("gantry tilted by 15.0 degrees",)


def test_two_pixel_spacings() -> None:
    found = ordered([*images([0, 1]), *images([2], spacing_mm=(0.8, 0.8))])
    assert found.warnings == ("2 pixel spacings in one series",)


def test_without_positions() -> None:
    stack = [image(i, position_mm=None, instance=3 - i) for i in range(3)]
    found = ordered(stack)
    assert [i.header.instance for i in found.images] == [1, 2, 3]
    assert all(map(math.isnan, found.z_mm))
    assert "distances unknown" in found.warnings[0]
    located = [replace(i, header=replace(i.header, location_mm=-i.header.instance)) for i in stack]
    found = ordered(located)
    assert found.z_mm == (-3, -2, -1)
    assert "SliceLocation" in found.warnings[0]


def test_patients_without_id_are_their_folders() -> None:
    stack = [
        image(0, "a/x", patient_id=""),
        image(1, "a/x", patient_id="", study_uid="1.8"),
        image(0, "b/x", patient_id=""),
    ]
    patients = series.group(stack, Sheet())
    assert sorted(patients) == ["folder:a", "folder:b"]
    folders = series.patients_in_folders(patients)
    assert len(series.patient_warnings("folder:a", stack[:2], folders)) == 2


def test_two_scans_are_one_patient_and_uids_need_not_be_valid() -> None:
    stack = [image(0, "a/x", series_uid="no-uid"), image(0, "b/x", series_uid="")]
    patients = series.group(stack, Sheet())
    assert [sorted(s) for s in patients.values()] == [["folder:1.9:b", "no-uid"]]


def test_sheet_says_whose_folder() -> None:
    patients = series.group(images([0, 1]), Sheet(patients={"f": "Q"}))
    assert sorted(patients) == ["Q"]


def test_several_patients_in_a_folder() -> None:
    patients = series.group([image(0), image(1, patient_id="Q")], Sheet())
    folders = series.patients_in_folders(patients)
    assert series.patient_warnings("P", [image(0)], folders) == ["2 patients in one folder"]


def test_choice_of_series() -> None:
    short = Series("P", "1", tuple(images([0])), (0.0,), ())
    long = Series("P", "2", tuple(images([0, 1])), (0.0, 1.0), ())
    assert series.choose([long, short], "all", lambda s: False) == [short, long]
    assert series.choose([long, short], "largest", lambda s: False) == [long]
    assert series.choose([long, short], "largest", lambda s: s is short) == [short]


def test_real_files_out_of_order(real_data: Path, tmp_path: Path) -> None:
    found = update_index(real_data, tmp_path / "index.tsv", ("cptac*",))
    stack = [Image(e.path, e.digest, h) for e in found for h in e.headers]
    one = ordered(stack)
    assert [i.path for i in one.images] != sorted(i.path for i in one.images)
    steps = {round(b - a, 3) for a, b in zip(one.z_mm[:-1], one.z_mm[1:], strict=True)}
    assert steps == {9.0}
    assert not one.warnings
