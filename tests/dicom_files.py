"""Small DICOM files for tests: a CT series in a folder, any tag of which can be changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.sequence import Sequence as DicomSequence
from pydicom.uid import ExplicitVRLittleEndian

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CT = "1.2.840.10008.5.1.4.1.1.2.1"
SHAPE = (12, 16)


def uid(*parts: int) -> str:
    """A fixed UID below a root that pydicom owns for examples."""
    return "1.2.826.0.1.3680043.8.498." + ".".join(map(str, parts))


def ct_dataset(
    *,
    z: float = 0.0,
    number: int = 1,
    patient_id: str = "PATIENT^ONE",
    series: int = 1,
    stored: NDArray[Any] | None = None,
    **tags: Any,
) -> FileDataset:
    """A valid axial CT image.

    Args:
        z: position in mm.
        number: InstanceNumber; part of the SOPInstanceUID.
        patient_id: PatientID.
        series: number that makes the SeriesInstanceUID.
        stored: pixels (H, W), int16 or uint16; by default a gradient that differs by ``number``.
        tags: DICOM keywords to set; None deletes the element.
    """
    pixels = gradient(number) if stored is None else stored
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CT_IMAGE
    meta.MediaStorageSOPInstanceUID = uid(series, number)
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    values: dict[str, Any] = {
        "SOPClassUID": CT_IMAGE,
        "SOPInstanceUID": uid(series, number),
        "StudyInstanceUID": uid(9, series),
        "SeriesInstanceUID": uid(series),
        "Modality": "CT",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "PatientID": patient_id,
        "PatientName": patient_id,
        "InstanceNumber": number,
        "ImagePositionPatient": [0.0, 0.0, z],
        "ImageOrientationPatient": [1, 0, 0, 0, 1, 0],
        "PixelSpacing": [0.7, 0.8],
        "SliceThickness": 3,
        "RescaleSlope": 1,
        "RescaleIntercept": -1024,
        "PhotometricInterpretation": "MONOCHROME2",
        "SamplesPerPixel": 1,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": int(pixels.dtype == np.int16),
    }
    for name, value in values.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OW"
    return changed(dataset, **tags)


def changed(dataset: Any, **tags: Any) -> Any:
    """Set DICOM keywords in place; None deletes."""
    for name, value in tags.items():
        if value is None:
            del dataset[name]
        else:
            setattr(dataset, name, value)
    return dataset


def gradient(number: int = 0, shape: tuple[int, int] = SHAPE) -> NDArray[np.uint16]:
    """Stored values from 24 on, so that HU start at -1000, another for each ``number``."""
    values = np.arange(shape[0] * shape[1]) * 7 + 24 + number
    return values.reshape(shape).astype(np.uint16)


def write(path: Path, dataset: Dataset) -> Path:
    """Write a dataset as a DICOM file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(path, enforce_file_format=isinstance(dataset, FileDataset))
    return path


def write_unreadable(path: Path, **tags: Any) -> Path:
    """Write a file whose headers are fine and whose JPEG is not."""
    dataset = ct_dataset(**tags)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.JPEGLosslessSV1
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no picture " * 30])
    dataset["PixelData"].is_undefined_length = True
    return write(path, dataset)


def write_series(
    folder: Path,
    n: int = 4,
    *,
    spacing: float = 2.0,
    change: Callable[[int, Any], None] | None = None,
    **options: Any,
) -> list[Path]:
    """Write a series whose file names run against its positions, as they often do.

    Args:
        folder: where.
        n: slices.
        spacing: distance of slices in mm.
        change: called with index and dataset before a file is written.
        options: for :func:`ct_dataset`.

    Returns:
        The files by ascending position.
    """
    files = []
    for i in range(n):
        dataset = ct_dataset(z=-100.0 + spacing * i, number=n - i, **options)
        if change is not None:
            change(i, dataset)
        files.append(write(folder / f"IM{n - i:04d}.dcm", dataset))
    return files


def write_enhanced(path: Path, frames: Sequence[NDArray[Any]], **tags: Any) -> Path:
    """Write an enhanced CT file: one file, a frame a slice, 2.5 mm apart, in descending order."""
    dataset = ct_dataset(stored=np.stack(frames)[0])
    dataset.file_meta.MediaStorageSOPClassUID = ENHANCED_CT
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing",
                 "RescaleSlope", "RescaleIntercept"):  # fmt: skip
        del dataset[name]
    shared = Dataset()
    shared.PlaneOrientationSequence = _item(ImageOrientationPatient=[1, 0, 0, 0, 1, 0])
    shared.PixelMeasuresSequence = _item(PixelSpacing=[0.5, 0.6])
    per_frame = []
    for i in range(len(frames)):
        frame = Dataset()
        frame.PlanePositionSequence = _item(ImagePositionPatient=[0, 0, -2.5 * i])
        frame.PixelValueTransformationSequence = _item(
            RescaleSlope=1, RescaleIntercept=-1000 - i, RescaleType="HU"
        )
        per_frame.append(frame)
    changed(
        dataset,
        SOPClassUID=ENHANCED_CT,
        NumberOfFrames=len(frames),
        SharedFunctionalGroupsSequence=DicomSequence([shared]),
        PerFrameFunctionalGroupsSequence=DicomSequence(per_frame),
        PixelData=np.stack(frames).tobytes(),
    )
    return write(path, changed(dataset, **tags))


def read(path: Path) -> FileDataset:
    """Read a file back, to change and write it again."""
    return pydicom.dcmread(path)


def _item(**tags: Any) -> DicomSequence:
    return DicomSequence([changed(Dataset(), **tags)])
