"""DICOM files compressed by GDCM, under headers that may be changed afterwards; thorax-like HU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gdcm  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from dicom_files import changed, ct_dataset, read, write

SYNTAXES = {
    "jpeg": gdcm.TransferSyntax.JPEGLosslessProcess14_1,
    "jpeg_ls": gdcm.TransferSyntax.JPEGLSLossless,
    "jpeg_2000": gdcm.TransferSyntax.JPEG2000Lossless,
    "rle": gdcm.TransferSyntax.RLELossless,
}


def thorax(side: int = 96, seed: int = 0) -> NDArray[np.int16]:
    """HU of a body with two lungs in air, with noise, (side, side)."""
    y, x = (np.mgrid[:side, :side] - (side - 1) / 2) / (side / 2)
    hu = np.full((side, side), -990.0)
    hu[(x / 0.9) ** 2 + (y / 0.7) ** 2 < 1] = 40
    for centre in (-0.4, 0.4):
        hu[((x - centre) / 0.28) ** 2 + (y / 0.5) ** 2 < 1] = -860
    hu[x**2 + (y - 0.45) ** 2 < 0.01] = 700
    noise = np.random.default_rng(seed).normal(0, 9, hu.shape)
    return (hu + noise).round().astype(np.int16)


def with_values(values: NDArray[Any], **tags: Any) -> Any:
    """A dataset that stores integers as they are, in 16 bits."""
    stored = (values.astype(np.int64) & 0xFFFF).astype(np.uint16)
    return ct_dataset(stored=stored, **tags)


def write_compressed(path: Path, dataset: Any, syntax: str, **after: Any) -> Path:
    """Write a dataset compressed; ``after`` are tags that are changed once it is."""
    write(path, dataset)
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(SYNTAXES[syntax]))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFileName(str(path))
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    assert writer.Write()
    return write(path, changed(read(path), **after)) if after else path
