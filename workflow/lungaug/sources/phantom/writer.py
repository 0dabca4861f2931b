"""The cohort as files: a DICOM series per patient, nodule masks as PNG, and a sample sheet."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset
from pydicom.dataset import FileDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    generate_uid,
)

from lungaug.cohort import CLASSES, write_rows
from lungaug.errors import InputError
from lungaug.sources.phantom.patient import Patient, Slice, draw_patient, patient_rng, slices_of
from lungaug.sources.phantom.scanners import Scanner, stored
from lungaug.sources.phantom.settings import PhantomSettings, check

# Folders with this file were made here, and may be emptied; others are left alone.
MARKER = ".lungaug-phantom"
SHEET_COLUMNS = ("patient_id", "lung_rads")

# Micrometres: finer than any table moves.
_DIGITS = 3
_FIRST_NAMES = (
    "Adaro",
    "Belsy",
    "Corin",
    "Dalia",
    "Evrin",
    "Fenno",
    "Galda",
    "Hesper",
    "Ilvan",
    "Jorun",
)
_LAST_NAMES = ("Quillon", "Varrow", "Tesk", "Oldermun", "Brasti", "Yvelde", "Zornik", "Umbrey")


@dataclass(frozen=True)
class Identity:
    """A fictitious patient and what identifies the study."""

    patient_id: str
    name: str
    sex: str
    age: str
    study_uid: str
    series_uid: str
    frame_uid: str
    study_id: int


def write_cohort(folder: Path, settings: PhantomSettings) -> int:
    """Write ``dicom/``, ``masks/`` and, last of all, ``sheet.tsv`` below ``folder``.

    Returns:
        The number of patients.

    Raises:
        SettingError: the settings cannot be drawn.
        InputError: the folder holds images that were not made here.
    """
    check(settings)
    _emptied(folder)
    rows = []
    for lung_rads in CLASSES:
        for number in range(getattr(settings.patients, lung_rads)):
            patient = draw_patient(settings, lung_rads, number)
            identity = draw_identity(settings.seed, patient)
            write_patient(folder, patient, identity, settings)
            rows.append({"patient_id": identity.patient_id, "lung_rads": lung_rads})
    # Sorted by a random name, the classes are mixed as they are in a hospital's list.
    write_rows(folder / "sheet.tsv", SHEET_COLUMNS, sorted(rows, key=lambda r: r["patient_id"]))
    return len(rows)


def write_patient(
    folder: Path, patient: Patient, identity: Identity, settings: PhantomSettings
) -> None:
    """Write one series and its masks."""
    scanner, n = patient.scanner, patient.geometry.n_slices
    rng = patient_rng(settings.seed, patient.lung_rads, patient.number, 11)
    shuffled = rng.permutation(n) + 1
    numbers = _instance_numbers(scanner, n, rng=rng)
    names = {"number": identity.study_id, "series": int(rng.integers(2, 9))}
    series = folder / "dicom" / scanner.folder.format(**names)
    masks = folder / "masks" / f"{identity.study_id:010d}"
    series.mkdir(parents=True, exist_ok=True)
    for image in slices_of(patient, settings):
        number = int(numbers[image.index])
        uid = _uid("image", identity.series_uid, image.index)
        dataset = dicom_slice(image, patient, identity, uid, number)
        name = scanner.file.format(index=number, shuffled=int(shuffled[image.index]))
        dataset.save_as(series / name, enforce_file_format=True)
        if image.nodule.any():
            masks.mkdir(parents=True, exist_ok=True)
            (masks / f"{uid}.png").write_bytes(_png(image.nodule))


def draw_identity(seed: int, patient: Patient) -> Identity:
    """A fictitious identity that depends on seed, class and number only."""
    rng = patient_rng(seed, patient.lung_rads, patient.number, 10)
    key = f"{seed}/{patient.lung_rads}/{patient.number}"
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return Identity(
        patient_id=f"MRN{digest % 10**12:012d}",
        name=f"{rng.choice(_LAST_NAMES)}^{rng.choice(_FIRST_NAMES)}^{digest % 997:03d}",
        sex="FM"[int(rng.integers(2))],
        age=f"{int(rng.integers(45, 82)):03d}Y",
        study_uid=_uid("study", key),
        series_uid=_uid("series", key),
        frame_uid=_uid("frame", key),
        study_id=digest // 10**9 % 10**10,
    )


def dicom_slice(
    image: Slice, patient: Patient, identity: Identity, uid: UID, number: int
) -> FileDataset:
    """One slice as a DICOM dataset."""
    scanner = patient.scanner
    syntax = ImplicitVRLittleEndian if scanner.implicit else ExplicitVRLittleEndian
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = uid
    meta.TransferSyntaxUID = syntax
    meta.ImplementationClassUID = _uid("implementation")
    # pydicom would write its own version, and bytes would change with it.
    meta.ImplementationVersionName = "LUNGAUG"
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.SOPClassUID = CTImageStorage
    dataset.SOPInstanceUID = uid
    _add_study(dataset, identity, scanner)
    _add_acquisition(dataset, patient, number)
    _add_plane(dataset, image, patient)
    _add_pixels(dataset, stored(image.hu, scanner, patient.geometry), scanner)
    return dataset


def _add_study(dataset: Dataset, identity: Identity, scanner: Scanner) -> None:
    dataset.SpecificCharacterSet = "ISO_IR 100"
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    # One fixed day: dates would change the bytes, and tell nothing.
    for name in ("Study", "Series", "Acquisition", "Content"):
        setattr(dataset, f"{name}Date", "20000101")
        setattr(dataset, f"{name}Time", "120000")
    dataset.AccessionNumber = f"A{identity.study_id:010d}"
    dataset.Modality = "CT"
    dataset.Manufacturer = scanner.manufacturer
    dataset.ManufacturerModelName = scanner.model
    dataset.StationName = scanner.station
    dataset.InstitutionName = "Fictitious Hospital"
    dataset.ReferringPhysicianName = ""
    dataset.StudyDescription = "CT CHEST WO IV CONT"
    dataset.SeriesDescription = f"Chest {scanner.kernel}"
    dataset.PatientName = identity.name
    dataset.PatientID = identity.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = identity.sex
    dataset.PatientAge = identity.age
    dataset.StudyInstanceUID = identity.study_uid
    dataset.SeriesInstanceUID = identity.series_uid
    dataset.FrameOfReferenceUID = identity.frame_uid
    dataset.StudyID = str(identity.study_id)
    dataset.SeriesNumber = 2
    dataset.PositionReferenceIndicator = "SN"


def _add_acquisition(dataset: Dataset, patient: Patient, number: int) -> None:
    scanner, geometry = patient.scanner, patient.geometry
    dataset.BodyPartExamined = "CHEST"
    dataset.ScanOptions = "HELICAL_CT"
    dataset.SliceThickness = _decimal(geometry.thickness_mm)
    dataset.KVP = "120"
    dataset.ReconstructionDiameter = _decimal(max(geometry.shape) * geometry.spacing_mm)
    dataset.GantryDetectorTilt = "0"
    dataset.ConvolutionKernel = scanner.kernel
    dataset.PatientPosition = "HFS"
    dataset.AcquisitionNumber = 1
    dataset.InstanceNumber = number
    dataset.RescaleIntercept = _decimal(scanner.intercept)
    dataset.RescaleSlope = _decimal(scanner.slope)
    dataset.RescaleType = "HU"
    dataset.WindowCenter = "-600"
    dataset.WindowWidth = "1500"


def _add_plane(dataset: Dataset, image: Slice, patient: Patient) -> None:
    geometry = patient.geometry
    row, column = geometry.centre
    spacing = geometry.spacing_mm
    # A table height and a table position, so that no coordinate is small by accident.
    z_mm = -180.0 + geometry.z_mm + image.index * geometry.slice_spacing_mm
    position = (-column * spacing, -row * spacing - 25.0, z_mm)
    dataset.ImagePositionPatient = [_decimal(value) for value in position]
    dataset.ImageOrientationPatient = ["1", "0", "0", "0", "1", "0"]
    dataset.SliceLocation = _decimal(z_mm)
    dataset.PixelSpacing = [f"{spacing:.4f}"] * 2


def _add_pixels(dataset: Dataset, values: NDArray[Any], scanner: Scanner) -> None:
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = values.shape
    dataset.BitsAllocated = 16
    dataset.BitsStored = scanner.bits_stored
    dataset.HighBit = scanner.bits_stored - 1
    dataset.PixelRepresentation = int(scanner.signed)
    if scanner.padding is not None:
        dataset.PixelPaddingValue = scanner.padding
    dataset.PixelData = values.astype(values.dtype.newbyteorder("<")).tobytes()
    dataset["PixelData"].VR = "OW"


def _instance_numbers(scanner: Scanner, n: int, *, rng: np.random.Generator) -> NDArray[np.int64]:
    """InstanceNumber of the slices from feet to head."""
    if scanner.order == "shuffled":
        return rng.permutation(n) + 1
    upwards = np.arange(1, n + 1)
    return upwards if scanner.order == "feet_first" else upwards[::-1]


def _emptied(folder: Path) -> None:
    """Make the folder, and remove what an earlier run wrote: the sheet first."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = [folder / "dicom", folder / "masks"]
    if not (folder / MARKER).exists():
        for part in parts:
            if part.exists():
                raise InputError(
                    f"{part}: exists and was not made by the phantom; "
                    "accepted: a folder without dicom and masks"
                )
    (folder / "sheet.tsv").unlink(missing_ok=True)
    (folder / MARKER).touch()
    for part in parts:
        if part.exists():
            shutil.rmtree(part)


def _uid(*parts: object) -> UID:
    return generate_uid(entropy_srcs=["lungaug phantom", *map(str, parts)])


def _decimal(value: float) -> str:
    return f"{round(value, _DIGITS) + 0.0:.{_DIGITS}f}"


def _png(mask: NDArray[np.uint8]) -> bytes:
    written, data = cv2.imencode(".png", mask)
    if not written:
        raise RuntimeError(f"no PNG of a mask of shape {mask.shape}")
    return bytes(data)
