"""The stage: rows with their lineage, skipped rows with reasons, nothing half-written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from insertion.inserting import ANY_HOST, DONOR, GENERATOR, patches, rewrite, run, write_inputs
from insertion.scene import crops_of, patch
from lungaug.cohort import read_table
from lungaug.crops import equivalent_diameter_mm, write_crops
from lungaug.errors import FileFormatError, InputError, SettingError
from lungaug.insertion.blend import FeatherSettings
from lungaug.insertion.hosts import HostSettings
from lungaug.insertion.nodule import InsertionSettings, PlaceSettings
from lungaug.insertion.replay import InsertionReplay, record
from lungaug.listing import RealSlices, SliceFiles, claim_of, inserted_labels
from lungaug.stages import insert
from lungaug.store import (
    SLICE_TYPE,
    SliceFile,
    SliceWriter,
    empty_slices,
    pack_parameters,
    slice_key,
)
from small_cohort import MADE_BY, ROLES, WITH_NODULE, SmallCohort

TRAINING = [name for name, role in ROLES.items() if role == "train"]
N_REAL = len(TRAINING) * len(WITH_NODULE)


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def rows_of(path: Path) -> list[np.void]:
    with SliceFile(path) as file:
        return [row for group in file.groups for row in file.slices(group)]


def test_rows_say_where_they_come_from(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort)
    output = run(arguments)
    made = patches()
    with SliceFiles(cohort.root) as files:
        rows = list(files.places(files.name(output)))
        assert len(rows) == N_REAL
        for place, fields in rows:
            claim = claim_of(place, fields)
            (drawn,) = claim.parameters["nodules"]
            nodule = files.nodule(place)
            assert claim.origin == f"inserted:{GENERATOR}"
            assert claim.key == claim.host
            assert claim.patient in TRAINING
            assert int(fields["index"]) not in WITH_NODULE
            assert (claim.donor, drawn["donor"], drawn["label"]) == (DONOR, DONOR, 1)
            assert fields["lung_rads"].decode() == made.lung_rads[drawn["patch"]]
            area = equivalent_diameter_mm(nodule > 0, fields["spacing_mm"])
            assert fields["diameter_mm"] == pytest.approx(area)
            assert area == pytest.approx(made.diameter_mm[drawn["patch"]], abs=0.3)
            assert (fields["status"], fields["series"]) == (b"ok", b"s0")


def test_hosts_and_patches_are_spread(cohort: SmallCohort) -> None:
    rows = rows_of(run(write_inputs(cohort), ratio=2.0))
    patients = [row["patient"].decode() for row in rows]
    assert {name: patients.count(name) for name in TRAINING} == dict.fromkeys(TRAINING, 4)
    hosts = [slice_key(row) for row in rows]
    assert len(set(hosts)) == 16
    records = [row["parameters"] for row in rows]
    used = [record.count(b'"patch":') for record in records]
    assert used == [1] * 16


def test_few_hosts_are_used_again_with_other_patches(cohort: SmallCohort) -> None:
    rows = rows_of(run(write_inputs(cohort), ratio=6.0))
    assert len(rows) == 6 * N_REAL
    pairs = [(row["host"], row["parameters"].split(b'"patch":')[1].split(b",")[0]) for row in rows]
    assert len(set(pairs)) == len(pairs)


def test_no_more_than_every_patch_in_every_host(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort, patches(1))
    rows = rows_of(run(arguments, ratio=9.0, compare_published=0))
    n_hosts = len(TRAINING) * (6 - len(WITH_NODULE))
    assert len(rows) == n_hosts
    reasons = read_table(arguments["skipped"])["reason"].tolist()
    assert reasons == ["patch 0: every host has it already"] * (9 * N_REAL - n_hosts)


def test_several_nodules_a_slice(cohort: SmallCohort) -> None:
    output = run(write_inputs(cohort), nodules_per_slice=(2, 3))
    with SliceFiles(cohort.root) as files:
        counts = set()
        for place, fields in files.places(files.name(output)):
            drawn = claim_of(place, fields).parameters["nodules"]
            nodule = files.nodule(place)
            assert np.unique(nodule).tolist() == list(range(len(drawn) + 1))
            counts.add(len(drawn))
    assert max(counts) == 3


def test_a_nodule_keeps_off_the_feather_of_another(cohort: SmallCohort) -> None:
    """Made again one by one, no nodule changes a pixel that an earlier one has changed."""
    arguments = write_inputs(cohort)
    close = InsertionSettings(PlaceSettings(obstacle_mm=0), FeatherSettings(measured=False))
    changes = {"nodules_per_slice": (3, 4), "compare_published": 0}
    output = run(arguments, insertion=close, **changes)
    n_pairs = 0
    with SliceFiles(cohort.root) as files:
        real = RealSlices(files, map(files.name, cohort.preprocess))
        again = InsertionReplay(files, real, lambda _: arguments["patches"])
        for place, fields in files.places(files.name(output)):
            claim = claim_of(place, fields)
            host = real.find(claim.host)
            assert host is not None
            hu, nodule = files.hu(host), files.nodule(host)
            changed = np.zeros(hu.shape, int)
            for drawn in claim.parameters["nodules"]:
                one = {**claim.parameters, "nodules": [drawn]}
                before, (hu, nodule) = hu, again(claim.origin, hu, nodule, one)
                changed += hu != before
            n_pairs += len(claim.parameters["nodules"]) > 1
            assert changed.max() == 1
            np.testing.assert_array_equal(hu, files.hu(place))
    assert n_pairs >= 4


def test_same_seed_same_bytes(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort)
    names = ("output", "published", "skipped")
    run(arguments)
    first = [arguments[name].read_bytes() for name in names]
    run(arguments)
    assert [arguments[name].read_bytes() for name in names] == first
    run(arguments, seed=1)
    assert arguments["output"].read_bytes() != first[0]


def test_the_published_file_is_flat_and_beside(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort)
    run(arguments)
    with SliceFile(arguments["published"]) as file:
        assert 1 <= len(file) <= 3
        for group in file.groups:
            for row in range(len(file.slices(group))):
                hu, nodule = (file.image(name, group, row) for name in ("hu", "nodule"))
                assert set(np.unique(hu[nodule > 0])) == {1}
    run(arguments, compare_published=0)
    assert rows_of(arguments["published"]) == []


def test_the_published_variant_can_train(cohort: SmallCohort) -> None:
    rows = rows_of(run(write_inputs(cohort), variant="published"))
    assert all(b'"variant":"published"' in row["parameters"] for row in rows)
    assert {row["donor"] for row in rows} == {b""}


def test_what_does_not_fit_is_a_row_with_its_reason(cohort: SmallCohort) -> None:
    made = crops_of([patch(3.0), patch(3.4), patch(60.0)])
    arguments = write_inputs(cohort, made)
    output = run(arguments, tries=2, compare_published=0)
    skipped = read_table(arguments["skipped"])
    assert set(skipped["reason"]) == {"patch 2: a nodule of 60 mm is larger than the lungs"}
    assert 0 < len(rows_of(output)) < N_REAL
    assert (skipped["slice"].str.count("/") == 2).all()


@pytest.mark.parametrize(("lung", "reason"), [(0, "no lungs"), (2, "no room")])
def test_when_nothing_fits_nothing_is_written(cohort: SmallCohort, lung: int, reason: str) -> None:
    arguments = write_inputs(cohort)
    rewrite(cohort, lung=lung)
    with pytest.raises(InputError, match=f"{GENERATOR}: no nodule could be inserted.*{reason}"):
        run(arguments)
    assert list(arguments["output"].parent.glob("*")) == []


def test_unknown_spacing_is_a_reason(cohort: SmallCohort) -> None:
    unknown = [patch(3.0 + i, spacing_mm=(np.nan, np.nan)) for i in range(2)]
    with pytest.raises(InputError, match="unknown spacing of the patch"):
        run(write_inputs(cohort, crops_of(unknown)))


def test_a_host_that_has_a_nodule_after_all_is_skipped(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort)
    rewrite(cohort, lung=1, diameter_mm=0.0)
    run(arguments, ratio=2.0)
    skipped = read_table(arguments["skipped"])
    assert skipped["reason"].str.contains("a nodule on the slice").any()
    indices = {int(row["index"]) for row in rows_of(arguments["output"])}
    assert indices.isdisjoint(WITH_NODULE)


def test_without_hosts_or_training_patients_the_error_says_what_to_do(
    cohort: SmallCohort,
) -> None:
    arguments = write_inputs(cohort)
    with pytest.raises(InputError, match="Lung-RADS 1 patients in training"):
        run(arguments, hosts=HostSettings(patients="healthy"))
    everything = HostSettings(distance_mm=1e9)
    with pytest.raises(InputError) as raised:
        run(arguments, hosts=everything)
    # What is so already is no advice.
    assert "insert.hosts.patients" not in str(raised.value)
    assert "16 slices have lungs and no nodule" in str(raised.value)
    assert "insert.hosts.beside_nodules: true (now false)" in str(raised.value)
    with pytest.raises(InputError, match="no training patient in fold 'cv7'"):
        run({**arguments, "fold": "cv7"})


def test_hosts_train_in_this_fold(cohort: SmallCohort) -> None:
    roles = {**ROLES, "p1": "test", "p5": "train"}
    cohort.roles = roles
    cohort.split = cohort.write_split("fixed", roles)
    rows = rows_of(run(write_inputs(cohort)))
    assert {row["patient"].decode() for row in rows} == {"p0", "p2", "p3", "p5"}


def test_patches_of_any_size_serve_but_not_of_two(cohort: SmallCohort) -> None:
    mask = np.pad(np.ones((8, 8), bool), ((6, 6), (8, 8)))
    hu = np.arange(480, dtype=np.int16).reshape(mask.shape)
    small = [patch(4.0, hu=hu, mask=mask, index=i) for i in range(3)]
    arguments = write_inputs(cohort, crops_of(small))
    assert len(rows_of(run(arguments))) == N_REAL
    with pytest.raises(FileFormatError, match="accepted: one size"):
        run({**arguments, "patches": _two_sizes(cohort.root)})


def _two_sizes(folder: Path) -> Path:
    path = folder / "two.h5"
    with SliceWriter(path, MADE_BY) as writer:
        for side in (16, 32):
            image = np.zeros((1, side, side), np.int16)
            writer.append(empty_slices(1), hu=image, nodule=image.astype(np.uint8))
    return path


def test_damaged_and_empty_files_are_one_clear_error(cohort: SmallCohort) -> None:
    arguments = write_inputs(cohort)
    whole = arguments["patches"].read_bytes()
    arguments["patches"].write_bytes(whole[: len(whole) // 2])
    with pytest.raises(FileFormatError, match="not a whole HDF5 file"):
        run(arguments)
    write_crops(arguments["patches"], patches(5).take(np.zeros(0, int)), MADE_BY)
    with pytest.raises(InputError, match="no crops"):
        run(arguments)
    assert not arguments["output"].exists()


@pytest.mark.parametrize(("key", "label"), [("p9/s0/0000", 1), (DONOR, 5)])
def test_crops_of_other_slices_are_refused(cohort: SmallCohort, key: str, label: int) -> None:
    arguments = write_inputs(cohort)
    write_crops(arguments["rois"], crops_of([patch()], donor=key, label=label), MADE_BY)
    with pytest.raises(FileFormatError, match=r"rebuild rois\.h5"):
        run(arguments)


@pytest.mark.parametrize("numbers", [(0, 1), (2, 1), (1, 5)])
def test_numbers_of_nodules_are_bounded(numbers: tuple[int, int]) -> None:
    with pytest.raises(SettingError, match="nodules_per_slice"):
        insert.Settings(nodules_per_slice=numbers, hosts=ANY_HOST)


def test_the_longest_record_fits() -> None:
    key = f"p{'f' * 12}/s{'f' * 12}/9999"
    nodule = {
        "patch": 99999,
        "flip": 7,
        "place": [2047, 2047],
        "rim": [0.999, 0.999, 0.999],
        "fall": [1999, 1999, 1999],
        "noise": 0.999,
        "donor": key,
        "label": 255,
        "source": key,
    }
    spacing_mm = (float(np.float32(0.7031234)), float(np.float32(0.7031234)))
    packed = pack_parameters(record("tissue", spacing_mm, [nodule] * 4))
    assert len(packed) <= SLICE_TYPE["parameters"].itemsize


def test_beside_real_nodules_where_there_are_no_healthy_slices(cohort: SmallCohort) -> None:
    hosts = HostSettings(beside_nodules=True)
    arguments = write_inputs(cohort)
    output = run(arguments, ratio=3.0, hosts=hosts)
    n_ill = 0
    with SliceFiles(cohort.root) as files:
        real = RealSlices(files, map(files.name, cohort.preprocess))
        again = InsertionReplay(files, real, lambda _: arguments["patches"])
        for place, fields in files.places(files.name(output)):
            claim = claim_of(place, fields)
            host = real.find(claim.host)
            assert host is not None
            own, nodule = files.nodule(host), files.nodule(place)
            (label,) = inserted_labels(claim.parameters, nodule)
            n_ill += bool(own.any())
            assert label == own.max() + 1
            np.testing.assert_array_equal(np.where(nodule == label, 0, nodule), own)
            np.testing.assert_array_equal(files.hu(place)[own > 0], files.hu(host)[own > 0])
            area = equivalent_diameter_mm(nodule == label, fields["spacing_mm"])
            assert fields["diameter_mm"] == pytest.approx(area)
            made = again(claim.origin, files.hu(host), own, claim.parameters)
            np.testing.assert_array_equal(made[0], files.hu(place))
            np.testing.assert_array_equal(made[1], nodule)
    assert n_ill
