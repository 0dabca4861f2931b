"""The stage: which slices, what order, what is written about them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungaug.cohort import read_table
from lungaug.errors import SettingError
from lungaug.metalung.operations import OPERATIONS, replay
from lungaug.metalung.rotate_slice import RotateSliceSettings
from lungaug.stages.metalung import Settings, run
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    empty_slices,
    slice_key,
    unpack_parameters,
)
from metalung.cases import chest

PROVENANCE = Provenance("metalung", "{}", "c0de")
NODULE = ((50, 30, 5, 3),)
# (patient, index, nodules, status, shape)
ROWS = (
    ("p1", 0, NODULE, "ok", (96, 128)),
    ("p1", 1, (), "ok", (96, 128)),
    ("p1", 2, ((50, 30, 5, 3), (60, 95, 3, 6)), "ok", (96, 128)),
    ("p2", 0, NODULE, "no_lungs", (96, 128)),
    ("p2", 1, NODULE, "ok", (96, 128)),
    ("p3", 4, ((40, 24, 4, 3),), "ok", (80, 100)),
)


def write_batch(folder: Path, rows=ROWS) -> Path:
    """A batch as ingest and preprocess leave it; returns the preprocess file."""
    ingest, preprocess = folder / "ingest/b00.h5", folder / "preprocess/b00.h5"
    with SliceWriter(ingest, Provenance("ingest", "{}", "")) as writer:
        for row in rows:
            slices, (hu, nodule, _) = described(row)
            writer.append(slices, hu=hu[None], nodule=nodule[None])
    with SliceWriter(preprocess, Provenance("preprocess", "{}", ""), parent=ingest) as writer:
        for row in rows:
            slices, (_, _, lung) = described(row)
            writer.append(slices, lung=lung[None])
    return preprocess


def described(row):
    patient, index, nodules, status, shape = row
    slices = empty_slices(1)
    slices["patient"], slices["series"], slices["index"] = patient, f"s{patient}", index
    slices["status"], slices["lung_rads"], slices["diameter_mm"] = status, "LR3", 7.5
    slices["spacing_mm"] = (0.7, 0.8)
    return slices, chest(shape, nodules, seed=index)


def expand(folder: Path, preprocess: Path, operation="rotate_slice", **arguments):
    """Run the stage; the paths of its slice file and of its table."""
    output, skipped = folder / f"{operation}.h5", folder / f"{operation}.skipped.tsv"
    run(
        preprocess=preprocess,
        output=output,
        skipped=skipped,
        operation=operation,
        patients=arguments.pop("patients", ["p1", "p2", "p3"]),
        settings=Settings(**arguments),
        provenance=PROVENANCE,
    )
    return output, skipped


def contents(path: Path):
    """key -> (row, hu, nodule) of every slice in a file."""
    found = {}
    with SliceFile(path) as file:
        for group in file.groups:
            for row, slices in enumerate(file.slices(group)):
                copy = unpack_parameters(slices)["copy"]
                images = file.image("hu", group, row), file.image("nodule", group, row)
                found[slice_key(slices), copy] = (slices, *images)
    return found


@pytest.fixture(scope="module")
def preprocess(tmp_path_factory):
    return write_batch(tmp_path_factory.mktemp("batch"))


def test_expands_nodule_slices_with_lungs_in_file_order(tmp_path, preprocess):
    output, skipped = expand(tmp_path, preprocess, "rotate_nodule")
    keys = [key for key, _ in contents(output)]
    assert keys == ["p3/sp3/0004", "p1/sp1/0000", "p1/sp1/0002", "p2/sp2/0001"]
    table = read_table(skipped)
    assert table.values.tolist() == [["p2/sp2/0000", "lungs: no_lungs"]]


@pytest.mark.parametrize("operation", OPERATIONS)
def test_every_result_replays_from_its_lineage(tmp_path, preprocess, operation):
    output, _ = expand(tmp_path, preprocess, operation)
    results = contents(output)
    assert len(results) == (4 if OPERATIONS[operation].needs_lungs else 5)
    with SliceFile(preprocess) as source:
        for group in source.groups:
            for index, row in enumerate(source.slices(group)):
                if (slice_key(row), 0) not in results:
                    continue
                made, hu, nodule = results[slice_key(row), 0]
                assert made["origin"].decode() == f"metalung:{operation}"
                assert made["host"].decode() == slice_key(row)
                for field in ("lung_rads", "diameter_mm", "status", "index", "donor"):
                    assert made[field] == row[field]
                images = (source.image(name, group, index) for name in ("hu", "nodule"))
                again = replay(made["origin"].decode(), *images, unpack_parameters(made))
                np.testing.assert_array_equal(again[0], hu)
                np.testing.assert_array_equal(again[1], nodule)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_leaves_out_only_what_lacks_lungs_that_are_needed(tmp_path, operation):
    rows = [("p1", i, NODULE, status, (96, 128)) for i, status in enumerate(("one_lung", "ok"))]
    part = write_batch(tmp_path, (*rows, ("p1", 2, NODULE, "no_lungs", (96, 128))))
    output, skipped = expand(tmp_path, part, operation)
    needed = operation in ("replace", "rotate_nodule")
    assert len(contents(output)) == (2 if needed else 3)
    reasons = [["p1/sp1/0002", "lungs: no_lungs"]] if needed else []
    assert read_table(skipped).values.tolist() == reasons


def test_keeps_to_the_listed_patients(tmp_path, preprocess):
    output, skipped = expand(tmp_path, preprocess, patients=["p3", "p9"])
    assert [key for key, _ in contents(output)] == ["p3/sp3/0004"]
    assert read_table(skipped).empty


def test_a_batch_without_them_is_a_valid_empty_file(tmp_path, preprocess):
    output, skipped = expand(tmp_path, preprocess, patients=[])
    with SliceFile(output) as file:
        assert len(file) == 0
    assert list(read_table(skipped).columns) == ["slice", "reason"]


@pytest.mark.parametrize("operation", ["replace", "rotate_nodule", "noise_slice"])
def test_a_result_depends_neither_on_batch_nor_on_order(tmp_path, preprocess, operation):
    whole = contents(expand(tmp_path, preprocess, operation)[0])
    part = write_batch(tmp_path / "part", (ROWS[4], ROWS[2]))
    for key, (_, hu, nodule) in contents(expand(tmp_path / "part", part, operation)[0]).items():
        np.testing.assert_array_equal(hu, whole[key][1])
        np.testing.assert_array_equal(nodule, whole[key][2])


def test_same_seed_same_bytes_other_seed_other_slices(tmp_path, preprocess):
    first, second, other = (
        expand(tmp_path / name, preprocess, seed=seed)[0]
        for name, seed in (("first", 3), ("second", 3), ("other", 4))
    )
    assert first.read_bytes() == second.read_bytes()
    assert first.read_bytes() != other.read_bytes()


def test_copies_differ_and_those_that_cannot_are_made_once(tmp_path, preprocess):
    turned = contents(expand(tmp_path, preprocess, copies=3)[0])
    assert len(turned) == 15
    angles = {unpack_parameters(row)["degrees"] for row, _, _ in turned.values()}
    assert len(angles) == 15
    assert len(contents(expand(tmp_path, preprocess, "mirror", copies=3)[0])) == 5


def test_says_where_an_operation_did_not_apply(tmp_path, preprocess):
    never = RotateSliceSettings(degrees=(90.0, 90.0))
    part = write_batch(tmp_path, (("p1", 0, ((48, 5, 3, 3),), "ok", (96, 128)),))
    output, skipped = expand(tmp_path, part, rotate_slice=never)
    assert not contents(output)
    [[key, reason]] = read_table(skipped).values.tolist()
    assert key == "p1/sp1/0000"
    assert "left the slice" in reason


def test_names_an_unknown_operation(tmp_path, preprocess):
    with pytest.raises(SettingError, match=r"sharpen.*mirror, replace"):
        expand(tmp_path, preprocess, "sharpen")
