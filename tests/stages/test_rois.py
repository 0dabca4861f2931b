"""The stage: which nodules are cut, what is recorded, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import SLICE_COLUMNS, read_table, write_table
from lungaug.crops import equivalent_diameter_mm, read_crops
from lungaug.errors import InputError
from lungaug.imaging.crop import CropSettings, cut
from lungaug.listing import SliceFiles
from lungaug.stages.rois import Settings, run
from lungaug.store import Provenance, SliceFile, SliceWriter, StorageSettings, empty_slices
from small_cohort import MADE_BY, SmallCohort

PROVENANCE = Provenance("rois", "{}", "c0de")


def write_slices(root: Path, names: list[str], roles: dict[str, str]) -> Path:
    """The table of every slice of some files."""
    with SliceFiles(root) as files:
        rows = [
            files.describe(place, roles[fields["patient"].decode()])
            for name in names
            for place, fields in files.places(name)
        ]
    path = root / "fixed/slices.tsv"
    write_table(path, pd.DataFrame(rows, columns=list(SLICE_COLUMNS)))
    return path


def cut_all(root: Path, slices: Path, folder: str = "fixed", **settings: object):
    output, skipped = root / folder / "rois.h5", root / folder / "rois.skipped.tsv"
    run(
        slices=slices,
        fold="fixed",
        root=root,
        output=output,
        skipped=skipped,
        settings=Settings(**settings),
        provenance=PROVENANCE,
    )
    return output, read_table(skipped)


@pytest.fixture
def small(tmp_path: Path) -> tuple[SmallCohort, Path]:
    cohort = SmallCohort(tmp_path)
    names = ["preprocess/b00.h5", "preprocess/b01.h5"]
    return cohort, write_slices(tmp_path, names, cohort.roles)


def write_odd(root: Path, rows: list[tuple[tuple[float, float], list[tuple[int, int, int]]]]):
    """A file of one training patient: spacing and discs (row, col, radius) of each slice."""
    name = "preprocess/odd.h5"
    grid = np.ogrid[:90, :80]
    with SliceWriter(root / name, MADE_BY) as writer:
        for index, (spacing, discs) in enumerate(rows):
            nodule = np.zeros((90, 80), np.uint8)
            for label, (row, col, radius) in enumerate(discs, start=1):
                nodule[np.hypot(grid[0] - row, grid[1] - col) <= radius] = label
            fields = empty_slices(1)
            fields["patient"], fields["series"], fields["index"] = b"p9", b"s9", index
            fields["lung_rads"], fields["spacing_mm"] = b"LR4A", spacing
            hu = np.where(nodule, 10, -850).astype(np.int16)
            writer.append(fields, hu=hu[None], nodule=nodule[None])
    return write_slices(root, [name], {"p9": "train"})


def test_cuts_every_nodule_of_the_training_patients_and_records_whose_it_is(small):
    cohort, slices = small
    output, skipped = cut_all(cohort.root, slices)
    crops = read_crops(output)
    assert skipped.empty
    assert sorted(crops.donor) == [f"p{p}/s0/{i:04d}" for p in range(4) for i in (2, 3)]
    assert [donor.split("/")[0] for donor in crops.donor] == crops.patient.tolist()
    assert set(crops.origin) == {"cut:scaled"}
    assert set(crops.lung_rads) == {"LR2"}
    assert set(crops.label) == {1}
    assert set(crops.kind) == {"solid"}
    np.testing.assert_allclose(crops.spacing_mm, 0.75)
    for i, donor in enumerate(crops.donor):
        fields, hu, nodule = cohort.slice(donor.split("/")[0], int(donor[-4:]))
        crop = cut(hu, nodule, 1, fields["spacing_mm"])
        np.testing.assert_array_equal(crops.hu[i], crop.hu)
        np.testing.assert_array_equal(crops.mask[i], crop.mask)
        native = equivalent_diameter_mm(nodule == 1, fields["spacing_mm"])
        assert crops.diameter_mm[i] == pytest.approx(native)


def test_same_input_same_bytes(small):
    cohort, slices = small
    first, second = (cut_all(cohort.root, slices, name)[0] for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()


def test_settings_reach_the_cut_and_the_file(small):
    cohort, slices = small
    crop = CropSettings(variant="published", size=32)
    storage = StorageSettings(compression="gzip")
    output, _ = cut_all(cohort.root, slices, crop=crop, storage=storage)
    crops = read_crops(output)
    assert set(crops.origin) == {"cut:published"}
    assert crops.hu.shape == (8, 32, 32)
    assert (crops.hu == 2000).any()


def test_each_nodule_of_a_slice_is_a_crop_and_those_at_the_border_too(tmp_path):
    slices = write_odd(tmp_path, [((0.7, 0.8), [(45, 40, 5), (2, 3, 6), (88, 40, 4)])])
    output, skipped = cut_all(tmp_path, slices)
    crops = read_crops(output)
    assert crops.label.tolist() == [1, 2, 3]
    assert skipped.empty
    assert (crops.hu[1][:20] == -1000).all()


def test_what_cannot_be_cut_is_a_row_with_its_reason(tmp_path):
    rows = [
        ((0.7, 0.7), [(45, 40, 5), (20, 20, 1)]),
        ((np.nan, np.nan), [(45, 40, 5)]),
        ((0.0, 0.7), [(45, 40, 5)]),
        ((0.7, 0.7), [(45, 40, 36)]),
    ]
    output, skipped = cut_all(tmp_path, write_odd(tmp_path, rows))
    assert read_crops(output).donor.tolist() == ["p9/s9/0000"]
    assert skipped["slice"].tolist() == [f"p9/s9/{i:04d}" for i in (0, 1, 2, 3)]
    for reason, expected in zip(
        skipped["reason"],
        ("nodule 2: diameter 1.8 mm", "spacing unknown", "accepted", "within the field of view"),
        strict=True,
    ):
        assert expected in reason


def test_nothing_to_cut_is_an_error_that_says_what_to_do(small):
    cohort, slices = small
    table = read_table(slices)
    write_table(slices, table[table["role"] != "train"])
    with pytest.raises(InputError, match="fold fixed: no training slice has a nodule to cut"):
        cut_all(cohort.root, slices)
    assert not (cohort.root / "fixed/rois.h5").exists()


def test_nothing_left_names_reasons_and_settings(small):
    cohort, slices = small
    with pytest.raises(InputError) as caught:
        cut_all(cohort.root, slices, min_diameter_mm=30.0)
    message = str(caught.value)
    assert "none of the 8 nodules on 8 training slices" in message
    assert "rois.min_diameter_mm" in message
    assert "p0/s0/0002: nodule 1: diameter 4.3 mm" in message
    assert "and 5 more" in message
    assert not list((cohort.root / "fixed").glob("*rois*"))


def test_the_file_says_what_made_it(small):
    cohort, slices = small
    output, _ = cut_all(cohort.root, slices)
    with SliceFile(output) as file:
        assert file.attributes["stage"] == "rois"
        assert file.attributes["code"] == "c0de"
