"""Pixels to HU: syntaxes, signs, padding, frames, and what cannot be decoded."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.dataset import Dataset

from dicom_files import ct_dataset, gradient, write, write_enhanced
from lungaug.errors import InputError
from lungaug.sources.decoding import IsolatedDecoder, UnreadablePixels, decode
from lungaug.sources.dicom import read_hu
from lungaug.sources.headers import update_index


def hu_of(folder: Path, include: tuple[str, ...] = ()) -> list[NDArray[np.int16]]:
    """HU of every image below a folder, by path."""
    found = update_index(folder, folder.parent / f"{folder.name}.tsv", include)
    assert not any(entry.fault for entry in found)
    return [read_hu(folder / e.path, header) for e in found for header in e.headers]


def real(folder: Path, pattern: str, index: Path) -> dict[str, NDArray[np.int16]]:
    found = update_index(folder, index / "index.tsv", (pattern,))
    return {
        e.path.split("/", 1)[1]: read_hu(folder / e.path, h)
        for e in found
        for h in e.headers
        if not e.fault
    }


def test_slope_and_intercept_of_each_file(tmp_path: Path) -> None:
    write(tmp_path / "a" / "1", ct_dataset(stored=gradient(0)))
    write(tmp_path / "a" / "2", ct_dataset(stored=gradient(0), RescaleSlope=2, RescaleIntercept=-9))
    first, second = hu_of(tmp_path / "a")
    assert first.dtype == np.int16
    np.testing.assert_array_equal(first, gradient(0).astype(int) - 1024)
    np.testing.assert_array_equal(second, gradient(0).astype(int) * 2 - 9)


def test_padding_below_air_counts_everywhere(tmp_path: Path) -> None:
    stored = gradient().astype(np.int16)
    stored[5, 5] = stored[0, 0] = -2000
    dataset = ct_dataset(stored=stored)
    dataset.add_new(0x00280120, "US", 63536)
    write(tmp_path / "a" / "1", dataset)
    (hu,) = hu_of(tmp_path / "a")
    assert hu[5, 5] == hu[0, 0] == -1024
    assert hu.max() == stored.max() - 1024


def test_padding_that_may_be_tissue_counts_at_the_edge_only(tmp_path: Path) -> None:
    stored = np.full((12, 16), 50, np.int16)
    stored[:, :2] = 0
    stored[6, 8] = 0
    write(tmp_path / "a" / "1", ct_dataset(stored=stored, RescaleIntercept=0, PixelPaddingValue=0))
    (hu,) = hu_of(tmp_path / "a")
    assert (hu[:, :2] == -1024).all()
    assert hu[6, 8] == 0


def test_unused_high_bits_are_no_value(tmp_path: Path) -> None:
    stored = gradient() | 0xF000
    write(tmp_path / "a" / "1", ct_dataset(stored=stored, BitsStored=12, HighBit=11))
    np.testing.assert_array_equal(hu_of(tmp_path / "a")[0], gradient().astype(int) - 1024)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.RLELossless])
def test_compressed_equals_native(tmp_path: Path, syntax: uid.UID, signed: bool) -> None:
    stored = gradient().astype(np.int16) - 300 if signed else gradient()
    dataset = ct_dataset(stored=stored)
    write(tmp_path / "a" / "1", dataset)
    if syntax == uid.JPEGLSLossless:
        pytest.importorskip("jpeg_ls")
    dataset.compress(syntax, generate_instance_uid=False)
    write(tmp_path / "a" / "2", dataset)
    native, compressed = hu_of(tmp_path / "a")
    np.testing.assert_array_equal(native, compressed)


def test_big_endian(tmp_path: Path) -> None:
    stored = gradient()
    little = ct_dataset(PixelData=stored.astype(">u2").tobytes())
    dataset = Dataset()
    dataset.update(little)
    dataset.file_meta = little.file_meta
    dataset.file_meta.TransferSyntaxUID = uid.ExplicitVRBigEndian
    path = tmp_path / "a" / "1"
    path.parent.mkdir()
    dataset.save_as(path, little_endian=False, implicit_vr=False, enforce_file_format=True)
    np.testing.assert_array_equal(hu_of(tmp_path / "a")[0], stored.astype(int) - 1024)


def test_frames_of_enhanced_ct(tmp_path: Path) -> None:
    frames = [gradient(0), gradient(5), gradient(9)]
    write_enhanced(tmp_path / "a" / "1", frames)
    for i, hu in enumerate(hu_of(tmp_path / "a")):
        np.testing.assert_array_equal(hu, frames[i].astype(int) - 1000 - i)


def test_unreadable_pixels(tmp_path: Path) -> None:
    dataset = ct_dataset()
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    dataset.PixelData = pydicom.encaps.encapsulate([b"\xff\xd8 no such picture " * 20])
    dataset["PixelData"].is_undefined_length = True
    path = write(tmp_path / "SMITH" / "JOHN.dcm", dataset)
    (entry,) = update_index(path.parent, tmp_path / "index.tsv")
    with pytest.raises(UnreadablePixels, match="unreadable pixels") as caught:
        read_hu(path, entry.headers[0])
    assert "SMITH" not in str(caught.value)
    assert "JOHN" not in str(caught.value)
    path.unlink()
    with pytest.raises(InputError, match="FileNotFoundError"):
        read_hu(path, entry.headers[0])


def crash(path: Path, frame: int) -> None:
    """What GDCM does to its process on some streams."""
    os.abort()


def test_isolated_decoder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "1", ct_dataset())
    with IsolatedDecoder() as isolated:
        np.testing.assert_array_equal(isolated(path, -1), decode(path, -1))
        with pytest.raises(UnreadablePixels, match="FileNotFoundError"):
            isolated(tmp_path / "2", -1)
        with monkeypatch.context() as patch:
            patch.setattr("lungaug.sources.decoding.decode", crash)
            with pytest.raises(UnreadablePixels, match="crashed"):
                isolated(path, -1)
        assert isolated(path, -1).shape == (12, 16)


def test_real_transfer_syntaxes_are_identical(real_data: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for pattern, n in (("ge_ctimage_ts", 5), ("ge_ct1_ts", 2)):
            found = list(real(real_data, pattern, tmp_path).values())
            assert len(found) == n
            for hu in found[1:]:
                np.testing.assert_array_equal(hu, found[0])


def test_real_signed_pixels(real_data: Path, tmp_path: Path) -> None:
    found = real(real_data, "covid_ny_sbu", tmp_path)
    assert len(found) == 4
    assert all(hu.min() == -1024 for hu in found.values())
    assert max(hu.max() for hu in found.values()) == 5622


def test_real_padding(real_data: Path, tmp_path: Path) -> None:
    found = real(real_data, "lidc_000*", tmp_path)
    for name, floor in (("-100.000000.dcm", -1024), ("-82.000000.dcm", -2000)):
        (path,) = real_data.glob(f"lidc_000*/{name}")
        stored = pydicom.dcmread(path).pixel_array
        assert stored.min() == floor
        np.testing.assert_array_equal(found[name], np.maximum(stored - 1024, -1024))


def test_real_jpeg_lossless(real_data: Path, tmp_path: Path) -> None:
    path = sorted((real_data / "covidctmd_normal002_SIEMENS_jpegll").glob("*.dcm"))[20]
    hu = real(real_data, f"{path.parent.name}/{path.name}", tmp_path)[path.name]
    assert hu.shape == (512, 512)
    assert -1024 <= hu.min() < -950
    assert 0.1 < (hu < -700).mean() < 0.9
