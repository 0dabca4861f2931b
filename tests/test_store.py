"""The slice file: what is written is read, half files never keep their name, faults are named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from lungaug.errors import FileFormatError
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    StorageSettings,
    empty_slices,
    pack_parameters,
    slice_key,
    unpack_parameters,
)

MADE_BY = Provenance("test", "{}", "0")


def series(patient: str, n: int, shape: tuple[int, int], seed: int = 0):
    rng = np.random.default_rng(seed)
    slices = empty_slices(n)
    slices["patient"] = patient.encode()
    slices["series"] = b"s1"
    slices["index"] = np.arange(n)
    hu = rng.integers(-1024, 2000, (n, *shape), dtype=np.int16)
    return slices, hu, (hu > 1500).astype(np.uint8)


def write(path: Path, *parts, storage: StorageSettings | None = None) -> Path:
    with SliceWriter(path, MADE_BY, storage) as writer:
        for slices, hu, nodule in parts:
            writer.append(slices, hu=hu, nodule=nodule)
    return path


@pytest.mark.parametrize("compression", ["zstd", "gzip"])
def test_slices_of_different_size_come_back_as_they_were(tmp_path: Path, compression: str) -> None:
    small, wide = series("p1", 3, (16, 16)), series("p2", 2, (8, 24), seed=1)
    storage = StorageSettings(compression)  # type: ignore[arg-type]
    with SliceFile(write(tmp_path / "a.h5", small, wide, storage=storage)) as file:
        assert file.groups == ["16x16", "8x24"]
        assert len(file) == 5
        stacks = {stack.patient: stack for stack in file.stacks()}
        np.testing.assert_array_equal(file.images("hu", stacks["p1"]), small[1])
        np.testing.assert_array_equal(file.image("nodule", "8x24", 1), wide[2][1])
        assert slice_key(stacks["p2"].slices[1]) == "p2/s1/0001"


def test_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    first = write(tmp_path / "a.h5", series("p1", 3, (16, 16)))
    second = write(tmp_path / "b.h5", series("p1", 3, (16, 16)))
    assert first.read_bytes() == second.read_bytes()


def test_no_object_of_a_file_has_a_time(tmp_path: Path) -> None:
    """Files written within one second are equal with times in them too."""
    times = []
    with h5py.File(write(tmp_path / "a.h5", series("p1", 3, (16, 16)))) as file:
        file.visititems(lambda _, item: times.append(h5py.h5o.get_info(item.id).ctime))
    assert len(times) >= 4
    assert set(times) == {0}


def test_stacks_part_patients_and_series(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", series("p1", 2, (8, 8)), series("p2", 3, (8, 8)))
    with SliceFile(path) as file:
        assert [(s.patient, len(s.rows)) for s in file.stacks()] == [("p1", 2), ("p2", 3)]


def test_a_writer_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> None:
        with SliceWriter(tmp_path / "a.h5", MADE_BY) as writer:
            writer.append(series("p1", 1, (8, 8))[0], hu=np.zeros((1, 8, 8), np.int16))
            raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_going_back_leaves_what_was_there_before(tmp_path: Path) -> None:
    first, other, last = (series(f"p{i}", 40, (16, 16), seed=i) for i in range(3))
    wide = series("p1", 2, (8, 24))
    plain = write(tmp_path / "plain.h5", first, last)
    path = tmp_path / "a.h5"
    with SliceWriter(path, MADE_BY) as writer:
        writer.append(first[0], hu=first[1], nodule=first[2])
        place = writer.place()
        for slices, hu, nodule in (other, wide):
            writer.append(slices, hu=hu, nodule=nodule)
        writer.go_back(place)
        writer.append(last[0], hu=last[1], nodule=last[2])
    with SliceFile(path) as file, SliceFile(plain) as expected:
        assert file.groups == expected.groups
        assert file.content_digest == expected.content_digest
        for stack, wanted in zip(file.stacks(), expected.stacks(), strict=True):
            assert stack.slices.tobytes() == wanted.slices.tobytes()
            np.testing.assert_array_equal(file.images("hu", stack), expected.images("hu", wanted))
    # The room of what was dropped is used again.
    assert path.stat().st_size < 1.1 * plain.stat().st_size


def test_a_truncated_file_is_named_with_the_way_out(tmp_path: Path) -> None:
    path = write(tmp_path / "a.h5", series("p1", 3, (16, 16)))
    path.write_bytes(path.read_bytes()[:-700])
    with pytest.raises(FileFormatError, match=r"a\.h5.*snakemake --force"):
        SliceFile(path)


def test_another_schema_version_is_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("lungaug.store.SCHEMA_VERSION", 99)
    path = write(tmp_path / "a.h5", series("p1", 1, (8, 8)))
    monkeypatch.undo()
    with pytest.raises(FileFormatError, match=r"version 99; accepted: 1; rebuild"):
        SliceFile(path)


def test_images_of_the_parent_are_found_and_a_changed_parent_is_refused(tmp_path: Path) -> None:
    slices, hu, nodule = series("p1", 2, (8, 8))
    parent = write(tmp_path / "ingest" / "a.h5", (slices, hu, nodule))
    child = tmp_path / "preprocess" / "a.h5"
    with SliceWriter(child, MADE_BY, parent=parent) as writer:
        writer.append(slices, lung=np.ones((2, 8, 8), np.uint8))
    with SliceFile(child) as file:
        np.testing.assert_array_equal(file.image("hu", "8x8", 1), hu[1])
        assert file.image("lung", "8x8", 0).all()
    write(parent, series("p1", 2, (8, 8), seed=5))
    with SliceFile(child) as file, pytest.raises(FileFormatError, match="another version"):
        file.image("hu", "8x8", 1)


def test_values_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="outside -32768 to 32767"),
        SliceWriter(tmp_path / "a.h5", MADE_BY) as writer,
    ):
        writer.append(empty_slices(1), hu=np.full((1, 4, 4), 40000))


def test_parameters_come_back_and_too_many_are_refused() -> None:
    row = empty_slices(1)
    row["parameters"] = pack_parameters({"degrees": 12.5, "swap": [1, 2]})
    assert unpack_parameters(row[0]) == {"degrees": 12.5, "swap": [1, 2]}
    with pytest.raises(ValueError, match="at most 1024"):
        pack_parameters({"x": "y" * 2000})


@pytest.mark.parametrize("packed", [b"[1]", b"1", b'"text"', b"{"])
def test_parameters_that_are_no_object_are_refused(packed: bytes) -> None:
    row = empty_slices(1)
    row["parameters"] = packed
    with pytest.raises(ValueError):  # noqa: PT011 - that of JSON, or ours
        unpack_parameters(row[0])


def _linked(file: h5py.File, other: Path) -> None:
    del file["4x6/hu"]
    file["4x6/hu"] = h5py.ExternalLink(str(other), "hu")


def _soft(file: h5py.File, other: Path) -> None:
    file["4x6/lung"] = h5py.SoftLink("/4x6/hu")


def _group(file: h5py.File, other: Path) -> None:
    file["4x8"] = h5py.ExternalLink(str(other), "/")


def _external(file: h5py.File, other: Path) -> None:
    storage = [(str(other.with_suffix(".raw")), 0, h5py.h5f.UNLIMITED)]
    file.create_dataset("4x6/lung", (2, 4, 6), "u1", external=storage)


def _virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((2, 4, 6), "u1")
    layout[:] = h5py.VirtualSource(str(other), "hu", (2, 4, 6))
    file.create_virtual_dataset("4x6/lung", layout)


def _nested(file: h5py.File, other: Path) -> None:
    file.create_group("4x6/more")["hu"] = h5py.ExternalLink(str(other), "hu")


@pytest.mark.parametrize("change", [_linked, _soft, _group, _external, _virtual, _nested])
def test_nothing_of_another_file_is_read(
    tmp_path: Path, change: Callable[[h5py.File, Path], None]
) -> None:
    path = tmp_path / "b00.h5"
    with SliceWriter(path, Provenance("ingest", "{}", "")) as writer:
        writer.append(empty_slices(2), hu=np.zeros((2, 4, 6), np.int16))
    SliceFile(path).close()
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["hu"] = np.ones((2, 4, 6), np.int16)
    with h5py.File(path, "r+") as file:
        change(file, tmp_path / "other.h5")
    with pytest.raises(FileFormatError, match="holds "):
        SliceFile(path)
