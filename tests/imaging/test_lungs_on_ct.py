"""Lungs on real CT: nodules stay inside, slices without lungs are said to have none."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray

from lungaug.imaging.hu import to_hu
from lungaug.imaging.lungs import segment_lungs
from lungaug.sources.contours import outlined_pixels
from lungaug.sources.lidc import read_annotations

Slice = tuple[NDArray[np.int16], NDArray[np.float64], str]


def slices(folder: Path) -> list[Slice]:
    """HU, spacing and SOPInstanceUID of the DICOM files in a folder."""
    if not folder.is_dir():
        pytest.skip(f"{folder.name} is not among the real CT")
    found = []
    for path in sorted(folder.glob("*.dcm")):
        header = pydicom.dcmread(path)
        hu = to_hu(header.pixel_array, float(header.RescaleSlope), float(header.RescaleIntercept))
        found.append((hu, np.asarray(header.PixelSpacing, float), str(header.SOPInstanceUID)))
    return found


def outlined(xml: Path, shape: tuple[int, int]) -> dict[str, NDArray[np.bool_]]:
    """What any reader outlined, by SOPInstanceUID."""
    masks: dict[str, NDArray[np.bool_]] = {}
    for reading in read_annotations(xml).readings:
        for nodule in reading.nodules:
            for contour in nodule.contours:
                mask = masks.setdefault(contour.sop_uid, np.zeros(shape, np.bool_))
                mask[outlined_pixels(contour)] = True
    return masks


@pytest.mark.parametrize(
    ("folder", "xml"),
    [
        ("lidc_0001_GE", "69.xml"),
        ("lidc_0002_GE", "71.xml"),
        ("lidc_0095_SIEMENS_slice", "257.xml"),
    ],
)
def test_nodules_stay_inside(real_data, folder, xml):
    inside = total = 0
    found = slices(real_data / folder)
    masks = outlined(real_data / folder / xml, found[0][0].shape)
    for hu, spacing, uid in found:
        lungs = segment_lungs(hu, spacing)
        assert lungs.status == "ok"
        nodule = masks.get(uid, np.zeros(hu.shape, np.bool_))
        inside += np.count_nonzero(nodule & lungs.mask)
        total += np.count_nonzero(nodule)
    assert total > 100
    assert inside >= 0.97 * total


def test_the_published_example(real_data):
    folder = real_data / "lidc_0095_SIEMENS_slice"
    (hu, spacing, _), *_ = slices(folder)
    nodule = cv2.imread(str(folder / "IM140.png"), cv2.IMREAD_GRAYSCALE) > 0
    assert segment_lungs(hu, spacing).mask[nodule].all()


def test_an_abdominal_series_has_no_lungs(real_data):
    found = slices(real_data / "totalseg_ct_dicom_SIEMENS_j2k")
    assert {segment_lungs(hu, spacing).status for hu, spacing, _ in found} == {"no_lungs"}
