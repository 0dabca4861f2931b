"""The stage: rows beside ingest, statuses, what is skipped, memory by series."""

from __future__ import annotations

import logging
from pathlib import Path

import h5py
import numpy as np
import pytest

from imaging.thorax import ellipse, thorax
from lungaug.cohort import read_table
from lungaug.imaging.lungs import segment_lungs
from lungaug.stages.preprocess import Settings, run
from lungaug.store import Provenance, SliceFile, SliceWriter, StorageSettings, empty_slices

PROVENANCE = Provenance("preprocess", "{}", "c0de")


def write_ingest(path: Path, series: list[tuple[str, list, tuple[int, int]]]) -> Path:
    """An ingest file: of each series its patient, the sides of every slice's lungs, the size."""
    with SliceWriter(path, Provenance("ingest", "{}", "")) as writer:
        for patient, all_sides, shape in series:
            slices = empty_slices(len(all_sides))
            slices["patient"], slices["series"] = patient, f"s{patient}"
            slices["index"] = np.arange(len(all_sides))
            slices["spacing_mm"], slices["diameter_mm"] = 1.5, 9.0
            hu = np.stack([thorax(shape, sides)[0] for sides in all_sides])
            nodule = np.zeros(hu.shape, np.uint8)
            nodule[:, ellipse(shape, 0.6, 0.27, 0.05, 0.05)] = 1
            writer.append(slices, hu=hu, nodule=nodule)
    return path


def preprocess(folder: Path, ingest: Path, name: str = "b00", **settings) -> SliceFile:
    output = folder / f"preprocess/{name}.h5"
    run(
        ingest=ingest,
        output=output,
        skipped=folder / "skipped.tsv",
        settings=Settings(**settings),
        provenance=PROVENANCE,
    )
    return SliceFile(output)


BOTH, RIGHT, NONE = (0.27, 0.73), (0.27,), ()
SERIES = [
    ("p1", [BOTH, RIGHT, NONE], (96, 128)),
    ("p2", [BOTH], (80, 80)),
    ("p3", [NONE, BOTH], (96, 128)),
]


@pytest.fixture
def ingest(tmp_path):
    return write_ingest(tmp_path / "ingest/b00.h5", SERIES)


def test_every_row_gets_a_status_and_images_come_from_the_parent(tmp_path, ingest):
    with preprocess(tmp_path, ingest) as file, SliceFile(ingest) as parent:
        assert file.groups == parent.groups == ["80x80", "96x128"]
        statuses = [s.decode() for s in file.slices("96x128")["status"]]
        assert statuses == ["ok", "one_lung", "no_lungs", "no_lungs", "ok"]
        for row in range(5):
            hu = file.image("hu", "96x128", row)
            assert np.array_equal(hu, parent.image("hu", "96x128", row))
            lung = file.image("lung", "96x128", row)
            assert np.array_equal(lung > 0, segment_lungs(hu, np.array([1.5, 1.5])).mask)
            assert set(np.unique(lung)) <= {0, 1, 2}
        assert np.all(hu[lung == 2] >= -500)
        assert np.all(hu[lung == 1] < -500)


def test_slices_without_lungs_are_listed(tmp_path, ingest):
    preprocess(tmp_path, ingest).close()
    table = read_table(tmp_path / "skipped.tsv")
    assert table["slice"].tolist() == ["p1/sp1/0002", "p3/sp3/0000"]
    used = "no lungs were found; used all the same, since it has a nodule"
    assert set(table["reason"]) == {used}


def test_reasons_say_what_becomes_of_a_slice_without_lungs(tmp_path):
    """As split and select have it: the reason of each kind of slice."""
    series = [("p1", [BOTH, NONE, NONE], (96, 128)), ("p2", [NONE, NONE], (96, 128))]
    path = write_ingest(tmp_path / "ingest/b00.h5", series)
    with h5py.File(path, "r+") as file:
        slices = file["96x128/slices"][:]
        slices["diameter_mm"][[2, 4]] = 0.0
        file["96x128/slices"][:] = slices
        for row in (2, 4):
            file["96x128/nodule"][row] = 0
    preprocess(tmp_path, path).close()
    table = read_table(tmp_path / "skipped.tsv").set_index("slice")["reason"]
    nobody = "no lungs were found, nor on any other slice of the patient, who has no role"
    assert table.to_dict() == {
        "p1/sp1/0001": "no lungs were found; used all the same, since it has a nodule",
        "p1/sp1/0002": "no lungs were found; used only where select takes all slices",
        "p2/sp2/0000": nobody,
        "p2/sp2/0001": nobody,
    }


def test_same_input_same_bytes(tmp_path, ingest):
    gzip = StorageSettings(compression="gzip")
    preprocess(tmp_path, ingest, storage=gzip).close()
    first = (tmp_path / "preprocess/b00.h5").read_bytes()
    preprocess(tmp_path, ingest, storage=gzip).close()
    assert (tmp_path / "preprocess/b00.h5").read_bytes() == first


def test_a_batch_that_loses_every_slice_is_written_and_warned_of(tmp_path, caplog):
    ingest = write_ingest(tmp_path / "ingest/b01.h5", [("p1", [NONE, NONE], (96, 128))])
    with caplog.at_level(logging.WARNING), preprocess(tmp_path, ingest, "b01") as file:
        assert len(file) == 2
        assert not file.image("lung", "96x128", 0).any()
    assert "no lungs on any of the 2 slices" in caplog.text
    assert "nodule pixels lie outside the lung mask" in caplog.text


def test_an_empty_batch_makes_an_empty_file(tmp_path, caplog):
    ingest = write_ingest(tmp_path / "ingest/b02.h5", [])
    with preprocess(tmp_path, ingest, "b02") as file:
        assert file.groups == []
    assert read_table(tmp_path / "skipped.tsv").empty
    assert not caplog.records
