"""Nodules cut from slices, chosen evenly, and slices compared with their hosts."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from lungaug.cohort import SLICE_COLUMNS
from lungaug.errors import InputError
from lungaug.evaluation.realism.collect import changes_of, inserted_nodules, real_nodules
from lungaug.evaluation.realism.material import Cutter, patient_even
from lungaug.evaluation.realism.untouched import changed_outside
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.imaging.crop import CropSettings
from lungaug.listing import Claim, RealSlices, SliceFiles
from lungaug.store import SliceWriter, empty_slices
from small_cohort import MADE_BY, SmallCohort, derived

CUTTER = Cutter(CropSettings(), ContrastSettings(), 64)


def claim(parameters: dict[str, object] | None = None, host: str = "") -> Claim:
    place = ("f.h5", "40x48", 0)
    return Claim(place, "p1/s0/0003", "p1", "real", host, "", dict(parameters or {}))


def slice_with_two() -> tuple[np.ndarray, np.ndarray]:
    hu = np.random.default_rng(0).normal(-800, 20, (40, 48)).astype(np.int16)
    labels = np.zeros(hu.shape, np.uint8)
    labels[2:7, 3:9], labels[9:14, 10:14] = 1, 2
    return hu, labels


def test_a_nodule_is_its_own_pixels() -> None:
    hu, labels = slice_with_two()
    first, second = CUTTER(hu, labels, claim(), np.array([0.7, 0.7], np.float32))
    assert (first.label, second.label) == (1, 2)
    np.testing.assert_array_equal(first.values, hu[labels == 1])
    assert first.hu.shape == (14, 16)  # 7 pixels more, but for the image's edge
    assert first.taken.sum() == np.count_nonzero(labels[:14, :16] == 2)
    assert first.patients == {"p1"}
    assert first.diameter_mm == pytest.approx(np.sqrt(4 / np.pi * 30 * 0.49))


def test_the_view_is_the_networks_input_around_the_nodule() -> None:
    hu, labels = slice_with_two()
    (first, _) = CUTTER(hu, labels, claim(), np.array([0.7, 0.7], np.float32))
    seen = network_input(hu, ContrastSettings())
    # rows 2 to 6 and columns 3 to 8: the middle of the view lies at row 4, column 6
    np.testing.assert_array_equal(first.view[28:68, 26:64], seen[:36, :38])
    assert (first.view[:28] == 0).all()


def test_whose_an_inserted_nodule_is() -> None:
    hu, labels = slice_with_two()
    nodules = [
        {"donor": "p2/s0/0001", "source": "p3/s0/0002", "label": 9},
        {"donor": "", "source": "", "label": 0},
    ]
    cut = CUTTER(hu, labels, claim({"nodules": nodules}, "p1/s0/0003"), np.full(2, 0.7))
    assert [n.owner for n in cut] == ["p2", "p1"]
    assert [n.patients for n in cut] == [{"p1", "p2", "p3"}, {"p1"}]
    assert cut[0].key == "p1/s0/0003"


def test_without_spacing_there_is_no_crop_but_a_nodule() -> None:
    hu, labels = slice_with_two()
    (first, _) = CUTTER(hu, labels, claim(), np.full(2, np.nan))
    assert first.crop is None
    assert np.isnan(first.diameter_mm)
    assert len(first.values) == 30


def test_choice_is_even_over_patients() -> None:
    patients = ["a"] * 40 + ["b"] * 3 + ["c"] * 5
    chosen = patient_even(patients, 12, rng=np.random.default_rng(0))
    counts = Counter(patients[i] for i in chosen)
    assert counts["b"] == 3
    assert {counts["a"], counts["c"]} == {4, 5}
    assert chosen.tolist() == sorted(chosen)
    again = patient_even(patients, 12, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(chosen, again)
    assert len(patient_even(patients, 99, rng=np.random.default_rng(0))) == 48


def test_changes_are_counted_beyond_the_feather() -> None:
    host = np.zeros((30, 30), np.int16)
    nodule = np.zeros(host.shape, np.uint8)
    nodule[10:15, 10:15] = 1
    inserted = host.copy()
    inserted[7:18, 7:18] = 5
    # the corners of a square of 3 pixels more: 4.2 px away
    assert changed_outside(inserted, host, nodule, 3) == 4 * 3
    assert changed_outside(inserted, host, nodule, 4) == 0
    assert changed_outside(inserted, host, np.zeros_like(nodule), 3) == 121
    assert changed_outside(host, host, nodule, 0) == 0


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> SmallCohort:
    return SmallCohort(tmp_path_factory.mktemp("results"))


def write_insertion(cohort: SmallCohort, name: str, host: str = "p1", outside: int = 0) -> Path:
    fields, hu, nodule = cohort.slice(host, 0)
    hu, nodule = hu.copy(), nodule.copy()
    nodule[4:9, 4:9], hu[4:9, 4:9] = 1, 30
    hu[20, :outside] += 1
    record = {"nodules": [{"patch": 0, "donor": "p0/s0/0002", "source": ""}]}
    row = derived(fields, "x", record, origin="inserted:test")
    path = cohort.root / "fixed" / "inserted" / f"{name}.h5"
    with SliceWriter(path, MADE_BY) as writer:
        writer.append(np.array([row]), hu=hu[None], nodule=nodule[None])
    return path


def test_insertions_are_read_and_compared_with_their_hosts(cohort: SmallCohort) -> None:
    path = write_insertion(cohort, "some", outside=7)
    with SliceFiles(cohort.root) as files:
        real = RealSlices(files, [files.name(p) for p in cohort.preprocess])
        name = files.name(path)
        (nodule,) = inserted_nodules(files, name, CUTTER, 9, rng=np.random.default_rng(0))
        changes = changes_of(files, real, name, 3)
    assert (nodule.patient, nodule.owner, nodule.key) == ("p1", "p0", "p1/s0/0000")
    assert (nodule.values == 30).all()
    assert (changes.n_pixels, changes.n_slices, changes.n_patients) == (7, 1, 1)


def test_a_host_that_is_not_there_is_an_error(cohort: SmallCohort) -> None:
    path = write_insertion(cohort, "lost")
    with SliceFiles(cohort.root) as files:
        real = RealSlices(files, [files.name(cohort.preprocess[0])])
        with pytest.raises(InputError, match=r"lost\.h5: no real slice 'p1/s0/0000'"):
            changes_of(files, real, files.name(path), 3)


def test_real_nodules_come_from_the_listed_slices(cohort: SmallCohort) -> None:
    import pandas as pd

    with SliceFiles(cohort.root) as files:
        real = RealSlices(files, [files.name(p) for p in cohort.preprocess])
        rows = [files.describe(p, "train") for p in real.of_patients({"p0", "p2"})]
        table = pd.DataFrame(rows)[list(SLICE_COLUMNS)]
        rng = np.random.default_rng(0)
        found = real_nodules(files, table, CUTTER, 3, 0.0, rng=rng)
        assert len(found) == 3
        assert {n.patient for n in found} == {"p0", "p2"}
        assert real_nodules(files, table, CUTTER, 9, 99.0, rng=rng) == []


def test_caps_take_no_places_of_nodules(tmp_path: Path) -> None:
    import pandas as pd

    labels = np.zeros((8, 40, 48), np.uint8)
    labels[:, 3, 3] = 1  # a cap on every slice
    labels[5:, 10:20, 10:20] = 2
    slices = empty_slices(8)
    slices["patient"], slices["series"] = b"p0", b"s0"
    slices["index"], slices["spacing_mm"] = range(8), 0.7
    path = tmp_path / "preprocess/b00.h5"
    with SliceWriter(path, MADE_BY) as writer:
        writer.append(slices, hu=np.zeros(labels.shape, np.int16), nodule=labels)
    with SliceFiles(tmp_path) as files:
        rows = [files.describe(place, "train") for place, _ in files.places(files.name(path))]
        table = pd.DataFrame(rows)[list(SLICE_COLUMNS)]
        for seed in range(3):
            rng = np.random.default_rng(seed)
            found = real_nodules(files, table, CUTTER, 3, 3.0, rng=rng)
            assert [(n.key[-1], n.label) for n in found] == [("5", 2), ("6", 2), ("7", 2)]
