"""The phantom's anatomy, nodules, scanners and files."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pydicom
import pytest
from scipy import ndimage

from lungaug.cohort import CLASSES, lung_rads_of
from lungaug.errors import InputError, SettingError
from lungaug.settings import from_mapping
from lungaug.sources.phantom import patient as patient_module
from lungaug.sources.phantom import writer
from lungaug.sources.phantom.lesions import diameter_mm, largest_parts
from lungaug.sources.phantom.patient import Patient, Slice, draw_patient, slices_of
from lungaug.sources.phantom.placement import safe_band
from lungaug.sources.phantom.scanners import SCANNERS, Scanner, outside_view, scanned
from lungaug.sources.phantom.settings import PhantomSettings, check
from lungaug.sources.phantom.writer import write_cohort

Series = list[tuple[pydicom.Dataset, Path]]

ONE_EACH = {name: 1 for name in CLASSES}


def made(**values: Any) -> PhantomSettings:
    return from_mapping(PhantomSettings, {"patients": ONE_EACH, **values}, "phantom")


SETTINGS = made(seed=3, slices=[5, 7])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    assert write_cohort(folder, SETTINGS) == 5
    return folder


@pytest.fixture(scope="module")
def series(cohort: Path) -> dict[str, Series]:
    """The datasets of every series by PatientID, in the order of their file names."""
    found: dict[str, Series] = {}
    for path in sorted((cohort / "dicom").rglob("*.dcm")):
        dataset = pydicom.dcmread(path)
        found.setdefault(str(dataset.PatientID), []).append((dataset, path))
    return found


@pytest.fixture(scope="module")
def drawn() -> list[tuple[Patient, list[Slice]]]:
    """Patients of every class before storing."""
    patients = [draw_patient(SETTINGS, name, k) for name in CLASSES for k in (0, 1)]
    return [(patient, list(slices_of(patient, SETTINGS))) for patient in patients]


def digests(folder: Path) -> Mapping[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def hu_of(dataset: pydicom.Dataset) -> np.ndarray:
    return dataset.pixel_array * float(dataset.RescaleSlope) + float(dataset.RescaleIntercept)


def position(dataset: pydicom.Dataset) -> float:
    return float(dataset.ImagePositionPatient[2])


def classes(folder: Path) -> dict[str, str]:
    rows = (folder / "sheet.tsv").read_text(encoding="utf-8").splitlines()
    assert rows[0] == "patient_id\tlung_rads"
    return dict(tuple(row.split("\t")) for row in rows[1:])  # type: ignore[misc]


def test_same_seed_same_bytes(cohort: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, SETTINGS)
    assert digests(tmp_path) == digests(cohort)


def test_another_seed_another_cohort(tmp_path: Path, cohort: Path) -> None:
    write_cohort(tmp_path, made(seed=4, patients={**dict.fromkeys(CLASSES, 0), "LR2": 1}))
    assert not set(digests(tmp_path / "dicom").values()) & set(digests(cohort / "dicom").values())


def test_more_patients_leave_the_others(cohort: Path, tmp_path: Path) -> None:
    write_cohort(tmp_path, made(seed=3, slices=[5, 7], patients={**ONE_EACH, "LR1": 2}))
    old, new = digests(cohort), digests(tmp_path)
    assert set(old) < set(new)
    assert {name for name in old if old[name] != new[name]} == {"sheet.tsv"}


def test_series_are_complete(series: dict[str, Series], cohort: Path) -> None:
    assert set(series) == set(classes(cohort))
    uids = [d.SOPInstanceUID for slices in series.values() for d, _ in slices]
    assert len(set(uids)) == len(uids)
    for slices in series.values():
        assert len({d.SeriesInstanceUID for d, _ in slices}) == 1
        assert len({path.parent for _, path in slices}) == 1
        assert all(d[name].value.is_valid for d, _ in slices for name in ("StudyInstanceUID",))
        assert all(d.SOPInstanceUID == d.file_meta.MediaStorageSOPInstanceUID for d, _ in slices)
        steps = np.diff(sorted(position(d) for d, _ in slices))
        assert np.allclose(steps, steps[0], atol=2e-3)
        assert 1 <= steps[0] <= 3
        assert 5 <= len(slices) <= 7
        assert 0.6 <= float(slices[0][0].PixelSpacing[0]) <= 0.9


def test_four_makes_store_differently(series: dict[str, Series]) -> None:
    first = {d.Manufacturer: d for slices in series.values() for d, _ in slices}
    assert set(first) == {"SIEMENS", "GE MEDICAL SYSTEMS", "TOSHIBA", "UIH"}
    assert first["TOSHIBA"].RescaleIntercept == 0
    assert first["TOSHIBA"].PixelRepresentation == 1
    assert first["UIH"].RescaleSlope != 1
    assert first["SIEMENS"].BitsStored == 12
    assert first["GE MEDICAL SYSTEMS"].PixelPaddingValue == -2000
    assert len({d.file_meta.TransferSyntaxUID for d in first.values()}) == 2


def test_images_lie_above_the_gantrys_centre(series: dict[str, Series]) -> None:
    """By 25 mm: no coordinate of a scan is small by accident."""
    found = {str(patient_id): slices[0][0] for patient_id, slices in series.items()}
    by_centre = {
        name: np.add(dataset.ImagePositionPatient[:2], centre_mm(dataset))
        for name, dataset in found.items()
    }
    for place in by_centre.values():
        assert place == pytest.approx([0, -25], abs=12)


def centre_mm(dataset: pydicom.Dataset) -> list[float]:
    """(x, y) of the middle of an image from its first pixel."""
    return [n / 2 * float(dataset.PixelSpacing[0]) for n in (dataset.Columns, dataset.Rows)]


def test_every_file_is_of_one_fixed_day(series: dict[str, Series]) -> None:
    """DICOM asks for dates and times, and those of the run would change the bytes."""
    for dataset in (d for slices in series.values() for d, _ in slices):
        for name in ("Study", "Series", "Acquisition", "Content"):
            assert dataset[f"{name}Date"].value == "20000101"
            assert dataset[f"{name}Time"].value == "120000"


def test_numbers_do_not_follow_the_positions(series: dict[str, Series]) -> None:
    orders = []
    for slices in series.values():
        by_number = sorted(slices, key=lambda item: item[0].InstanceNumber)
        steps = np.diff([position(d) for d, _ in by_number])
        orders.append("up" if (steps > 0).all() else "down" if (steps < 0).all() else "mixed")
    assert set(orders) == {"up", "down", "mixed"}


@pytest.mark.parametrize("lung_rads", CLASSES)
def test_stored_hu_are_the_drawn_hu(
    lung_rads: str, series: dict[str, Series], cohort: Path
) -> None:
    name = next(k for k, value in classes(cohort).items() if value == lung_rads)
    patient = draw_patient(SETTINGS, lung_rads, 0)
    read = sorted((d for d, _ in series[name]), key=position)
    for dataset, image in zip(read, slices_of(patient, SETTINGS), strict=True):
        hu, scanner = hu_of(dataset), patient.scanner
        if scanner.padding is not None:
            outside = outside_view(hu.shape)
            assert outside.any()
            assert (hu[outside] == scanner.padding + scanner.intercept).all()
            hu[outside] = image.hu[outside]
        highest = (2 ** (scanner.bits_stored - scanner.signed) - 1) * scanner.slope
        expected = np.clip(image.hu, -1024, highest + scanner.intercept)
        assert np.abs(np.where(image.hu < -1024, -1024, hu) - expected).max() < 1.01


def test_masks_belong_to_slices(series: dict[str, Series], cohort: Path) -> None:
    shapes = {d.SOPInstanceUID: d for slices in series.values() for d, _ in slices}
    by_patient: dict[str, set[int]] = {}
    for path in (cohort / "masks").rglob("*.png"):
        mask = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        dataset = shapes[path.stem]
        assert mask.dtype == np.uint8
        assert mask.shape == (dataset.Rows, dataset.Columns)
        assert mask.any()
        by_patient.setdefault(str(dataset.PatientID), set()).update(np.unique(mask[mask > 0]))
    ids = {name for name, lung_rads in classes(cohort).items() if lung_rads != "LR1"}
    assert set(by_patient) == ids
    assert all(found == set(range(1, max(found) + 1)) for found in by_patient.values())


def test_largest_nodule_makes_the_class(drawn: list[tuple[Patient, list[Slice]]]) -> None:
    for patient, slices in drawn:
        spacing = patient.geometry.spacing_mm
        stack = np.stack([image.nodule for image in slices])
        sizes = [diameter_mm(stack == k, spacing) for k in range(1, int(stack.max()) + 1)]
        largest = max(sizes, default=0.0)
        assert lung_rads_of(largest) == patient.lung_rads
        # Whether a reader counts a pixel's width or not, and along the diagonal or not.
        if largest:
            assert lung_rads_of(largest - spacing) == patient.lung_rads
            assert lung_rads_of(largest + 0.42 * spacing) == patient.lung_rads


def test_nodules_lie_in_the_lung(drawn: list[tuple[Patient, list[Slice]]]) -> None:
    inside = np.concatenate([i.lung[i.nodule > 0] for _, slices in drawn for i in slices])
    assert inside.mean() > 0.99


def test_nodules_differ_from_what_surrounds_them(
    drawn: list[tuple[Patient, list[Slice]]],
) -> None:
    for patient, slices in drawn:
        for k, placed in enumerate(patient.nodules, start=1):
            image = max(slices, key=lambda i: int((i.nodule == k).sum()))
            mask = image.nodule == k
            ring = ndimage.binary_dilation(mask, iterations=5) & image.lung
            ring &= ~ndimage.binary_dilation(image.nodule > 0, iterations=2)
            contrast = np.mean(image.hu[mask]) - np.median(image.hu[ring])
            assert contrast > 40, (patient.lung_rads, placed.lesion.kind)


def test_hu_of_tissues(drawn: list[tuple[Patient, list[Slice]]]) -> None:
    for patient, slices in drawn:
        hu = np.stack([image.hu for image in slices])
        lung = np.stack([image.lung for image in slices])
        assert lung.mean() > 0.1
        assert -920 < np.median(hu[lung]) < -760
        assert np.percentile(hu[lung], 98) > -600, "vessels"
        corner = hu[:, :4, :4]
        assert np.median(corner) < -900
        body = hu[~lung & (hu > -300)]
        assert -120 < np.median(body) < 110
        assert np.percentile(hu, 99.9) > 300, "bone"
        assert patient.geometry.unit_mm > 25


def test_granulomas_are_bright_and_not_in_the_masks() -> None:
    settings = made(granulomas={"count": [3, 3]})
    patient = draw_patient(settings, "LR2", 0)
    slices = list(slices_of(patient, settings))
    assert len(patient.granulomas) >= 2
    peaks = []
    for placed in patient.granulomas:
        planes = range(placed.box[0].start, placed.box[0].stop)
        peaks.append(max(slices[i].hu[placed.box[1:]].max() for i in planes))
        assert not any(
            (slices[i].nodule[placed.box[1:]][placed.mask[i - planes.start]]).any() for i in planes
        )
    assert max(peaks) > 100


@pytest.mark.parametrize("scanner", SCANNERS, ids=lambda scanner: scanner.model)
def test_a_kernel_with_an_edge_overshoots_and_one_without_does_not(scanner: Scanner) -> None:
    """Sharp kernels draw a seam along every border of a tissue."""
    ideal = np.full((40, 40), -800, np.float32)
    ideal[:, 20:] = 40
    geometry = draw_patient(SETTINGS, "LR2", 0).geometry
    no_lung, rng = np.zeros_like(ideal), np.random.default_rng(0)
    hu = scanned(ideal, scanner, 0, 0, no_lung, geometry, SETTINGS.noise, rng=rng)[20, 5:35]
    over, under = hu.max() - 40, -800 - hu.min()
    assert (over > 3) == (under > 3) == (scanner.edge > 0)
    assert over == pytest.approx(under, abs=0.1)
    assert hu[[0, -1]] == pytest.approx([-800, 40], abs=0.1)


def test_noise_changes_no_anatomy() -> None:
    loud = made(seed=3, slices=[5, 7], noise={"sd_hu": [90, 90]})
    patients = [draw_patient(settings, "LR4A", 0) for settings in (SETTINGS, loud)]
    first, second = (list(slices_of(p, s)) for p, s in zip(patients, (SETTINGS, loud), strict=True))
    assert all((a.nodule == b.nodule).all() for a, b in zip(first, second, strict=True))
    assert first[0].hu.std() < second[0].hu.std()


def test_portions_of_slices_give_the_same_series(monkeypatch: pytest.MonkeyPatch) -> None:
    patient = draw_patient(SETTINGS, "LR3", 0)
    whole = list(slices_of(patient, SETTINGS))
    monkeypatch.setattr(patient_module, "_CHUNK_SAMPLES", 1)
    for one, other in zip(whole, slices_of(patient, SETTINGS), strict=True):
        assert np.abs(one.hu - other.hu).max() < 0.05
        assert (one.nodule == other.nodule).all()


@pytest.mark.parametrize("image", [[96, 128], [128, 96]])
def test_other_shapes(image: list[int]) -> None:
    settings = made(image=image, slices=[3, 4], spacing_mm=[0.8, 0.9])
    slices = list(slices_of(draw_patient(settings, "LR4A", 0), settings))
    assert {i.hu.shape for i in slices} == {tuple(image)}
    assert any(i.nodule.any() for i in slices)


def test_a_body_may_leave_the_image() -> None:
    settings = made(anatomy={"fill": [1.1, 1.1], "couch": 0})
    image = next(slices_of(draw_patient(settings, "LR1", 0), settings))
    assert (image.hu[:, [0, -1]] > -300).any()


def test_safe_band_is_the_class_where_pixels_are_coarse() -> None:
    assert safe_band((6, 8), "LR3", 0.7) == pytest.approx((6.7, 7.685))
    low, high = safe_band((6, 8), "LR3", 2.0)
    assert (low, lung_rads_of(high)) == (6, "LR3")


def test_diameter_counts_the_pixels_width() -> None:
    mask = np.zeros((2, 9, 9), bool)
    assert diameter_mm(mask, 0.7) == 0
    mask[1, 4, 2:7] = True
    assert diameter_mm(mask, 0.7) == pytest.approx(3.5)


def test_largest_parts_keeps_one_part_a_slice() -> None:
    mask = np.zeros((1, 5, 5), bool)
    mask[0, 0, 0] = mask[0, 3, 2:5] = True
    assert largest_parts(mask).sum() == 3


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"spacing_mm": [0.9, 0.6]}, "phantom.spacing_mm"),
        ({"slices": [0, 3]}, "phantom.slices"),
        ({"image": [8, 112]}, "phantom.image"),
        ({"slice_spacing_mm": [0.0, 3.0]}, "phantom.slice_spacing_mm"),
        ({"anatomy": {"fill": [0.1, 1.0]}}, "phantom.anatomy.fill"),
        ({"nodules": {"diameter_mm": {"LR3": [6, 9]}}}, "phantom.nodules.diameter_mm.LR3"),
        ({"nodules": {"diameter_mm": {"LR4B": [15, 60]}}}, "phantom.nodules.diameter_mm.LR4B"),
        ({"nodules": {"extra_mm": [3.5, 7]}}, "phantom.nodules.extra_mm"),
        ({"nodules": {"pleural": 0.7, "vascular": 0.7}}, "phantom.nodules.vascular"),
        (
            {"nodules": {"solid": 0, "part_solid": 0, "ground_glass": 0}},
            "phantom.nodules.solid",
        ),
        ({"granulomas": {"count": [2, 1]}}, "phantom.granulomas.count"),
        ({"noise": {"sd_hu": [-1, 3]}}, "phantom.noise.sd_hu"),
    ],
)
def test_impossible_settings_name_their_key(values: dict[str, Any], key: str) -> None:
    with pytest.raises(SettingError, match=rf"^{key}\b.*accepted"):
        check(made(**values))


def test_lungs_outside_the_slab_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = made()
    patient = draw_patient(settings, "LR1", 0)
    far = dataclasses.replace(patient.geometry, z_mm=500.0)
    monkeypatch.setattr(patient_module, "draw_geometry", lambda *_, **__: far)
    with pytest.raises(SettingError, match=r"phantom\.nodules\.diameter_mm\.LR3"):
        draw_patient(settings, "LR3", 0)


def test_foreign_images_are_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / "dicom" / "theirs.dcm"
    theirs.parent.mkdir()
    theirs.write_bytes(b"data")
    with pytest.raises(InputError, match="not made by the phantom"):
        write_cohort(tmp_path, SETTINGS)
    assert theirs.read_bytes() == b"data"


def test_a_killed_run_leaves_no_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = made(patients={**dict.fromkeys(CLASSES, 0), "LR1": 2}, slices=[1, 1])
    write_cohort(tmp_path, settings)
    write, calls = writer.write_patient, []

    def killed(*arguments: Any) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        write(*arguments)

    monkeypatch.setattr(writer, "write_patient", killed)
    with pytest.raises(KeyboardInterrupt):
        write_cohort(tmp_path, settings)
    assert not (tmp_path / "sheet.tsv").exists()
    monkeypatch.undo()
    assert write_cohort(tmp_path, settings) == 2
    assert len(list((tmp_path / "dicom").rglob("*.dcm"))) == 2
