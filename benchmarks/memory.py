"""Peak memory of ingest and preprocess, for one patient and for four in one batch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

from benchmarks.harness import Row
from benchmarks.slices import SIDE, drawn_slice

N_SLICES = 300
LIMIT_MB = 1000
GROWTH = 1.05  # of the peak from one patient to four
BATCH = "b00"


def peaks(n_slices: int = N_SLICES) -> Iterator[Row]:
    """Each stage on one patient and on four."""
    found = {n: _peaks(n, n_slices) for n in (1, 4)}
    for stage, single in found[1].items():
        several = found[4][stage]
        yield Row(
            f"peak memory of {stage}, {n_slices} slices of {SIDE}x{SIDE}: 4 patients / 1 patient",
            f"{several:.0f} MB",
            f"{single:.0f} MB",
            f"{several / single:.2f}",
            f"< {LIMIT_MB} MB, <= {GROWTH}x",
            several < LIMIT_MB and several <= GROWTH * single,
        )


def _peaks(n_patients: int, n_slices: int) -> dict[str, float]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        for patient in range(n_patients):
            _write_series(folder / "dicom" / str(patient), patient, n_slices)
        source = {
            "root": folder / "dicom",
            "private": folder / "private",
            "key": folder / "private" / "key",
        }
        cohort, ingested = folder / "cohort.tsv", folder / "ingest.h5"
        refused = folder / "rejected.tsv"
        peak_of("scan", {"n_batches": 1}, **source, output=cohort, rejected=refused)
        ingest = peak_of(
            "ingest", {}, **source, cohort=cohort, batch=BATCH, output=ingested,
            rejected=refused, nodules=folder / "nodules.tsv",
        )  # fmt: skip
        preprocess = peak_of(
            "preprocess", {}, ingest=ingested, output=folder / "p.h5", skipped=refused
        )
    return {"ingest": ingest, "preprocess": preprocess}


def peak_of(stage: str, settings: dict[str, object], **arguments: object) -> float:
    """Peak memory of a stage, MB."""
    options = []
    for name, value in arguments.items():
        values = value if isinstance(value, list) else [value]
        options += [f"--{name}", *map(str, values)]
    command = [sys.executable, "-m", "benchmarks.peak", stage, *options]
    command += ["--settings", json.dumps(settings)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"{stage} failed: {done.stderr[-2000:]}")
    return float(done.stdout.split()[-1])


def _write_series(folder: Path, patient: int, n_slices: int) -> None:
    """An uncompressed series; eight drawn pictures take turns."""
    folder.mkdir(parents=True)
    pictures = [drawn_slice(8 * patient + k) for k in range(8)]
    stored = [(each.hu.astype(np.int32) + 1024).astype("<u2").tobytes() for each in pictures]
    for number in range(n_slices):
        file = _header(patient, number)
        file.PixelSpacing = list(pictures[0].spacing_mm)
        file.PixelData = stored[number % len(stored)]
        file.save_as(folder / f"{number}.dcm", enforce_file_format=True)


def _header(patient: int, number: int) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"2.25.{patient + 1}.{number + 1}")
    file = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    file.SOPClassUID, file.SOPInstanceUID = CTImageStorage, meta.MediaStorageSOPInstanceUID
    file.Modality, file.PatientID = "CT", f"patient{patient}"
    file.StudyInstanceUID, file.SeriesInstanceUID = f"2.25.{patient + 1}", f"2.25.{patient + 1}.0"
    file.ImagePositionPatient = [0, 0, 1.25 * number]
    file.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    file.RescaleSlope, file.RescaleIntercept = 1, -1024
    file.Rows = file.Columns = SIDE
    file.SamplesPerPixel, file.PhotometricInterpretation = 1, "MONOCHROME2"
    file.BitsAllocated, file.BitsStored, file.HighBit, file.PixelRepresentation = 16, 16, 15, 0
    return file
