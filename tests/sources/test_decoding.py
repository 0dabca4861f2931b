"""Stored values: whose bits they are, in which encoding; and damage that a decoder reads over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import uid
from pydicom.encaps import encapsulate, generate_frames

from compressed_files import SYNTAXES, thorax, with_values, write_compressed
from dicom_files import changed, ct_dataset, gradient, read, write, write_enhanced
from lungaug.sources import codestream
from lungaug.sources.codestream import StreamHeader, read_stream_header
from lungaug.sources.decoding import UnreadablePixels, decode
from lungaug.sources.dicom import read_hu
from lungaug.sources.headers import update_index
from lungaug.sources.plausible import torn
from lungaug.sources.stored import Bits, to_values

HU = thorax().astype(int).clip(-1000)
SIGNED_13 = {"BitsStored": 13, "HighBit": 12, "PixelRepresentation": 1}
BITS_12 = {"BitsStored": 12, "HighBit": 11}


def hu_of(path: Path) -> NDArray[np.int16]:
    (entry,) = update_index(path.parent, path.parent.parent / "index.tsv")
    assert not entry.fault
    hu = read_hu(path, entry.headers[0])
    if torn(hu):
        raise UnreadablePixels(torn(hu))
    return hu


@pytest.mark.parametrize("syntax", SYNTAXES)
class TestBits:
    def test_signs_of_13_bits_in_a_stream_of_16(self, tmp_path: Path, syntax: str) -> None:
        dataset = with_values(HU & 0x1FFF, RescaleIntercept=0)
        path = write_compressed(tmp_path / "a" / "1", dataset, syntax, **SIGNED_13)
        np.testing.assert_array_equal(hu_of(path), HU)

    def test_an_overlay_in_a_high_bit(self, tmp_path: Path, syntax: str) -> None:
        dataset = with_values((HU + 1024) | 0x8000)
        path = write_compressed(tmp_path / "a" / "1", dataset, syntax, **BITS_12)
        np.testing.assert_array_equal(hu_of(path), HU)

    def test_an_overlay_in_some_pixels(self, tmp_path: Path, syntax: str) -> None:
        drawn = (HU + 1024) | np.where(HU > 0, 0x4000, 0)
        path = write_compressed(tmp_path / "a" / "1", with_values(drawn), syntax, **BITS_12)
        with pytest.raises(UnreadablePixels, match="overlays nobody announced"):
            hu_of(path)
        dataset = read(path)
        dataset.add_new(0x60020102, "US", 14)
        write(path, dataset)
        np.testing.assert_array_equal(hu_of(path), HU)

    def test_values_too_large_for_their_bits(self, tmp_path: Path, syntax: str) -> None:
        large = np.where(HU > 500, HU + 5000, HU)
        path = tmp_path / "a" / "1"
        write_compressed(path, with_values(large + 1024), syntax, **BITS_12)
        with pytest.raises(UnreadablePixels, match="do not fit in BitsStored"):
            hu_of(path)

    def test_signed_16_bits(self, tmp_path: Path, syntax: str) -> None:
        dataset = ct_dataset(stored=HU.astype(np.int16), RescaleIntercept=0)
        path = write_compressed(tmp_path / "a" / "1", dataset, syntax)
        np.testing.assert_array_equal(hu_of(path), HU)


def test_unsigned_32_bits() -> None:
    raw = np.array([[2**32 - 1, 7]], np.uint32)
    assert to_values(raw, Bits(32, 32, 31, False)).tolist() == [[2**32 - 1, 7]]
    assert to_values(raw, Bits(32, 32, 31, True)).tolist() == [[-1, 7]]


def test_a_sign_bit_below_bits_stored_is_not_guessed() -> None:
    raw = np.array([[0x1FFF, 5]])
    bits, stream = Bits(16, 16, 15, True), StreamHeader(1, 2, 13, False)
    with pytest.raises(ValueError, match="precision"):
        to_values(raw, bits, stream)
    assert to_values(raw, Bits(16, 13, 12, True), stream).tolist() == [[-1, 5]]
    assert to_values(raw, Bits(16, 16, 15, False), stream).tolist() == [[0x1FFF, 5]]
    assert to_values(raw, bits, StreamHeader(1, 2, 13, True)).tolist() == [[0x1FFF, 5]]


def test_high_bit_above_bits_stored() -> None:
    stored = np.array([[100, 3000, 7]])
    assert to_values(stored << 4, Bits(16, 12, 15, False)).tolist() == stored.tolist()
    signed = np.array([[-5, 9]])
    moved = (signed & 0xFFF) << 4
    assert to_values(moved, Bits(16, 12, 15, True)).tolist() == signed.tolist()
    with pytest.raises(ValueError, match="HighBit"):
        to_values(stored, Bits(16, 12, 15, False))


@pytest.mark.parametrize("bits", [(16, 0, 15), (16, 16, 11), (16, 12, 16), (64, 12, 11)])
def test_bits_that_contradict_each_other(bits: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="contradict"):
        Bits(*bits, False)


def test_what_lies_below_the_intercept_of_unsigned_pixels(tmp_path: Path) -> None:
    values = HU + 1024
    values[0, :4] = (-6, -2000, 65535, 63536)
    path = write(tmp_path / "a" / "1", with_values(values))
    expected = HU.copy()
    expected[0, :4] = -1024
    np.testing.assert_array_equal(hu_of(path), expected)


def test_what_lies_below_the_intercept_of_unsigned_pixels_of_12_bits(tmp_path: Path) -> None:
    values = HU + 1024
    values[0, :3] = (-6, -2000, 4095)
    path = write(tmp_path / "a" / "1", with_values(values, **BITS_12))
    expected = HU.copy()
    expected[0, :3] = (-1024, -1024, 3071)
    np.testing.assert_array_equal(hu_of(path), expected)


def blocks(data: bytes, start: int, size: int, n: int = 12) -> list[bytes]:
    """The file with random bytes in one place, for ``n`` places from ``start`` on."""
    rng = np.random.default_rng(1)
    places = np.linspace(start, len(data) - size - 8, n).astype(int)
    return [data[:at] + rng.bytes(size) + data[at + size :] for at in places]


def refused_or_right(path: Path, files: list[bytes], truth: NDArray[Any]) -> int:
    """How many are refused; the others hold the truth."""
    n = 0
    for data in files:
        path.write_bytes(data)
        try:
            np.testing.assert_array_equal(hu_of(path), truth)
        except UnreadablePixels:
            n += 1
    return n


@pytest.mark.parametrize("syntax", ["jpeg", "jpeg_ls"])
def test_overwritten_blocks_are_refused(tmp_path: Path, syntax: str, capfd: Any) -> None:
    path = write_compressed(tmp_path / "a" / "1", with_values(HU + 1024), syntax)
    data = path.read_bytes()
    files = blocks(data, data.index(b"\xff\xda") + 16, 400)
    assert refused_or_right(path, files, HU) == len(files)
    assert capfd.readouterr().err == ""


def test_overwritten_blocks_of_real_jpeg(real_data: Path, tmp_path: Path) -> None:
    source = sorted((real_data / "covidctmd_normal002_SIEMENS_jpegll").glob("*.dcm"))[15]
    path = tmp_path / "a" / "1.dcm"
    path.parent.mkdir()
    data = source.read_bytes()
    path.write_bytes(data)
    truth = hu_of(path)
    start = data.index(b"\xff\xda") + 16
    for size in (4000, 200):
        files = blocks(data, start, size)
        assert refused_or_right(path, files, truth) == len(files)


def test_rle_of_too_many_bytes(tmp_path: Path) -> None:
    path = write_compressed(tmp_path / "a" / "1", with_values(HU + 1024), "rle")
    dataset = read(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    for surplus, fits in ((b"\0\0", True), (bytes([9, *range(10)]), False)):
        dataset.PixelData = encapsulate([frame + surplus])
        write(path, dataset)
        if fits:
            np.testing.assert_array_equal(hu_of(path), HU)
        else:
            with pytest.raises(UnreadablePixels, match="warned"):
                hu_of(path)


def test_decoders_that_disagree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_compressed(tmp_path / "a" / "1", with_values(HU + 1024), "jpeg")
    second = codestream.by_gdcm
    monkeypatch.setitem(codestream._SECOND, uid.JPEGLosslessSV1, (second,))
    np.testing.assert_array_equal(hu_of(path), HU)

    class Other:
        @staticmethod
        def is_available(syntax: str) -> bool:
            return True

        @staticmethod
        def _decode_frame(stream: bytes, runner: Any) -> bytes:
            return bytes(second._decode_frame(stream, runner)[:-2]) + b"\1\1"

    monkeypatch.setitem(codestream._SECOND, uid.JPEGLosslessSV1, (Other,))
    with pytest.raises(UnreadablePixels, match="two decoders disagree"):
        hu_of(path)


@pytest.mark.parametrize("syntax", ["jpeg", "jpeg_ls", "jpeg_2000"])
def test_a_stream_of_another_size_is_not_decoded(tmp_path: Path, syntax: str) -> None:
    path = write_compressed(
        tmp_path / "a" / "1", with_values(HU + 1024), syntax, Rows=48, Columns=192
    )
    with pytest.raises(UnreadablePixels, match="another size than announced"):
        decode(path, -1)


@pytest.mark.parametrize("syntax", ["jpeg", "jpeg_ls", "jpeg_2000"])
def test_a_stream_that_is_cut_off(tmp_path: Path, syntax: str) -> None:
    path = write_compressed(tmp_path / "a" / "1", with_values(HU + 1024), syntax)
    dataset = read(path)
    (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
    dataset.PixelData = encapsulate([frame[: len(frame) // 2]])
    write(path, dataset)
    with pytest.raises(UnreadablePixels, match="cut off"):
        decode(path, -1)


def test_colours_are_no_ct(tmp_path: Path) -> None:
    """Three values a pixel: taken as one, they would be a picture of three times the width."""
    path = write(tmp_path / "a" / "1", with_values(HU + 1024))
    dataset = changed(read(path), SamplesPerPixel=3, PixelData=3 * read(path).PixelData)
    write(path, dataset)
    with pytest.raises(UnreadablePixels, match="more than one sample per pixel"):
        decode(path, -1)


def test_headers_of_streams(tmp_path: Path) -> None:
    found = {}
    for name in ("jpeg", "jpeg_ls", "jpeg_2000"):
        values = with_values((HU + 1024)[:90], **BITS_12)
        dataset = read(write_compressed(tmp_path / name, values, name))
        (frame,) = generate_frames(dataset.PixelData, number_of_frames=1)
        found[name] = read_stream_header(frame, dataset.file_meta.TransferSyntaxUID)
        for n in range(0, 60, 7):
            read_stream_header(frame[:n], dataset.file_meta.TransferSyntaxUID)
    assert {(one.rows, one.columns, one.signed) for one in found.values() if one} == {
        (90, 96, False)
    }


def test_frames_of_a_compressed_file(tmp_path: Path) -> None:
    frames = [gradient(0), gradient(5), gradient(9)]
    path = write_enhanced(tmp_path / "a" / "1", frames)
    streams = []
    for frame in frames:
        one = read(write_compressed(tmp_path / "one", ct_dataset(stored=frame), "jpeg"))
        streams += generate_frames(one.PixelData, number_of_frames=1)
    dataset = read(path)
    dataset.file_meta.TransferSyntaxUID = uid.JPEGLosslessSV1
    changed(dataset, PixelData=encapsulate(streams))
    dataset["PixelData"].is_undefined_length = True
    write(path, dataset)
    for i, frame in enumerate(frames):
        np.testing.assert_array_equal(decode(path, i), frame)


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda hu: np.random.default_rng(0).integers(-1024, 31000, hu.shape), "garbage"),
        (lambda hu: np.where(np.arange(len(hu))[:, None] > 50, 3000, hu), "an offset"),
    ],
)
def test_rows_without_anything_in_common(
    tmp_path: Path, change: Callable[[Any], Any], name: str
) -> None:
    path = write(tmp_path / "a" / "1", with_values(change(HU) + 1024))
    with pytest.raises(UnreadablePixels, match="neighbouring rows differ"):
        hu_of(path)
