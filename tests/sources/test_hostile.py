"""Files that unfold to more than there is memory: each costs itself, and little memory and time."""

from __future__ import annotations

import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid
from pydicom.encaps import encapsulate

from compressed_files import thorax, with_values
from dicom_files import changed, ct_dataset, write, write_enhanced
from lungaug.errors import InputError
from lungaug.sources import deflated, lidc
from lungaug.sources.dicom import read_hu
from lungaug.sources.headers import Entry, update_index
from lungaug.sources.lidc import read_annotations

HU = thorax().astype(int).clip(-1000)
MIB = 1 << 20

_SCRIPT = """
import resource, sys
from pathlib import Path
from lungaug.sources.decoding import UnreadablePixels
from lungaug.sources.dicom import read_hu
from lungaug.sources.headers import update_index
root = Path(sys.argv[1])
update_index(root.parent / "empty", root.parent / "first.tsv")
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for entry in update_index(root, root.parent / "index.tsv"):
    print(entry.kind, entry.fault)
    for header in entry.images:
        try:
            print(read_hu(root / entry.path, header).shape)
        except UnreadablePixels as error:
            print(error)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def look(root: Path) -> list[str]:
    """What a scan and a reader of all pixels say, in a process of its own; then KiB of memory."""
    (root.parent / "empty").mkdir(exist_ok=True)
    command = [sys.executable, "-c", _SCRIPT, str(root)]
    path = str(Path(deflated.__file__).parents[2])
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": path}, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def only(root: Path) -> Entry:
    (entry,) = update_index(root, root.parent / "index.tsv")
    return entry


def write_deflated(path: Path, dataset: Any, zeros: int = 0) -> Path:
    """Write a deflated file, with so many zeros in a private element of its own at the end."""
    dataset.file_meta.TransferSyntaxUID = uid.DeflatedExplicitVRLittleEndian
    write(path, dataset)
    if zeros:
        data = path.read_bytes()
        start = data.index(b"DICM") + 4
        start += 12 + int.from_bytes(data[start + 8 : start + 12], "little")
        body = zlib.decompress(data[start:], -zlib.MAX_WBITS)
        packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
        head = b"\x09\x00\x10\x10OB\0\0" + zeros.to_bytes(4, "little")
        at = body.index(b"\xe0\x7f\x10\x00")
        parts = [packer.compress(body[:at] + head)]
        parts += [packer.compress(bytes(MIB)) for _ in range(zeros // MIB)]
        parts += [packer.compress(body[at:]), packer.flush()]
        path.write_bytes(data[:start] + b"".join(parts))
    return path


def test_a_deflated_bomb(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = write_deflated(root / "bomb.dcm", ct_dataset(), 400 * MIB)
    assert path.stat().st_size < MIB
    *said, memory = look(root)
    assert said == ["image ", "unreadable pixels (deflated data of 128 MiB or more)"]
    assert int(memory) < 400 << 10


def test_deflated_files_are_read_as_before(tmp_path: Path) -> None:
    root = tmp_path / "root"
    path = write_deflated(root / "a.dcm", with_values(HU + 1024))
    entry = only(root)
    assert (entry.kind, entry.fault) == ("image", "")
    np.testing.assert_array_equal(read_hu(path, entry.headers[0]), HU)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    (header,) = only(root).headers
    assert "bytes of pixels" in header.cut
    path.write_bytes(data[:400] + bytes(len(data) - 400))
    assert only(root).kind == "damaged"


def test_rle_of_900_million_pixels(tmp_path: Path) -> None:
    runs = b"\x81\x00" * 100_000
    header = np.array([2, 64, 64 + len(runs), *[0] * 13], "<u4").tobytes()
    dataset = changed(ct_dataset(), Rows=30000, Columns=30000)
    dataset.file_meta.TransferSyntaxUID = uid.RLELossless
    dataset.PixelData = encapsulate([header + runs + runs])
    write(tmp_path / "root" / "bomb.dcm", dataset)
    *said, memory = look(tmp_path / "root")
    assert said == ["image rows or columns beyond any CT; accepted: at most 4096"]
    assert int(memory) < 50 << 10


def test_rle_of_more_bytes_than_the_image_has(tmp_path: Path) -> None:
    runs = b"\x81\x00" * 2_000_000
    header = np.array([2, 64, 64 + len(runs), *[0] * 13], "<u4").tobytes()
    dataset = ct_dataset()
    dataset.file_meta.TransferSyntaxUID = uid.RLELossless
    dataset.PixelData = encapsulate([header + runs + runs])
    write(tmp_path / "root" / "bomb.dcm", dataset)
    *said, memory = look(tmp_path / "root")
    assert said == ["image ", "unreadable pixels (more data than the image has pixels)"]
    assert int(memory) < 100 << 10


@pytest.mark.parametrize("size", [{"Rows": 0}, {"Rows": 65535}, {"Columns": 4097}])
def test_sizes_that_no_ct_has(tmp_path: Path, size: dict[str, int]) -> None:
    write(tmp_path / "root" / "a.dcm", ct_dataset(**size))
    entry = only(tmp_path / "root")
    assert entry.fault
    assert entry.images == ()


def test_a_billion_frames(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "root" / "a.dcm", [HU.astype(np.int16)], NumberOfFrames=10**9)
    *said, memory = look(tmp_path / "root")
    assert said == ["image multi-frame file without the functional groups of every frame"]
    assert int(memory) < 50 << 10


def test_millions_of_items(tmp_path: Path) -> None:
    path = write(tmp_path / "root" / "a.dcm", ct_dataset())
    data = path.read_bytes()
    items = b"\xfe\xff\x00\xe0\0\0\0\0" * 2_000_000
    sequence = b"\x08\x00\x15\x11SQ\0\0\xff\xff\xff\xff" + items + b"\xfe\xff\xdd\xe0\0\0\0\0"
    at = data.index(b"\x10\x00\x10\x00")
    path.write_bytes(data[:at] + sequence + data[at:])
    *said, memory = look(tmp_path / "root")
    assert said == [f"damaged more than {deflated.MAX_ITEMS} items in sequences"]
    assert int(memory) < 100 << 10


def test_large_annotation_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.xml"
    mark = (
        "<nonNodule><imageSOP_UID>1</imageSOP_UID><imageZposition>1</imageZposition>"
        "<locus><xCoord>1</xCoord><yCoord>1</yCoord></locus></nonNodule>"
    )
    head = "<ResponseHeader><SeriesInstanceUid>1</SeriesInstanceUid>"
    head += "<StudyInstanceUID>1</StudyInstanceUID></ResponseHeader>"

    def write_marks(n: int) -> None:
        session = f"<readingSession>{mark * n}</readingSession>"
        path.write_text(f"<LidcReadMessage>{head}{session}</LidcReadMessage>")

    write_marks(lidc.MAX_MARKS)
    assert len(read_annotations(path).readings[0].non_nodules) == lidc.MAX_MARKS
    write_marks(lidc.MAX_MARKS + 1)
    with pytest.raises(InputError, match="more than 1000 marks"):
        read_annotations(path)
    monkeypatch.setattr(lidc, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="annotation file of more than"):
        read_annotations(path)
