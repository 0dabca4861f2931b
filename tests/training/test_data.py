from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from lungaug.cohort import read_table
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.store import SliceFile, SliceWriter, empty_slices
from lungaug.training.data import Plane, SliceRows, Slices, loader
from lungaug.training.order import BatchOrder, Ticket
from lungaug.training.settings import OnlineSettings
from tiny_training import PROVENANCE, Cohort, write_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


def make_slices(cohort: Cohort, cache_mb: float = 0, online: bool = False) -> Slices:
    rows = SliceRows(read_table(cohort.arm), cohort.root)
    how = OnlineSettings() if online else None
    return Slices(rows, network_input, cache_mb=cache_mb, online=how, seed=(3,))


def batches(slices: Slices, start: int = 0, stop: int = 14, workers: int = 0) -> list:
    order = BatchOrder(slices.rows.groups, 4)
    return list(loader(slices, order.batches(start, stop), workers))


def assert_same(one: list, other: list) -> None:
    for left, right in zip(one, other, strict=True):
        assert torch.equal(left.image, right.image)
        assert torch.equal(left.nodule, right.nodule)


def test_slices_are_what_the_file_holds_behind_the_door(cohort: Cohort) -> None:
    slices = make_slices(cohort)
    ticket = BatchOrder(slices.rows.groups, 1).batch(0)[0]
    image, nodule = slices[ticket]
    row = read_table(cohort.arm).iloc[ticket.row]
    with SliceFile(cohort.root / row["file"]) as file:
        place = row["group"], int(row["row"])
        np.testing.assert_array_equal(image, network_input(file.image("hu", *place))[None])
        np.testing.assert_array_equal(nodule, file.image("nodule", *place))


def test_neighbours_are_of_the_same_series_and_ends_repeat(tmp_path: Path) -> None:
    """A file of two patients, the first with two series; slices hold their row."""
    series = [("a", "s1"), ("a", "s1"), ("a", "s1"), ("a", "s2"), ("b", "s2"), ("b", "s2")]
    slices = empty_slices(len(series))
    slices["patient"], slices["series"] = zip(*series, strict=True)
    with SliceWriter(tmp_path / "x.h5", PROVENANCE) as writer:
        images = np.arange(len(series))[:, None, None] * np.ones((1, 4, 4), int)
        writer.append(slices, hu=images, nodule=images)
    table = pd.DataFrame({"file": "x.h5", "row": range(6), "group": "4x4", "origin": "real"})
    table = table.assign(patient="p", lung_rads="", key="")
    table.loc[5, "origin"] = "metalung:mirror"
    seen = Slices(SliceRows(table, tmp_path, neighbours=2), lambda hu: hu.astype(np.float32))
    found = [seen[Ticket(i, i)] for i in range(6)]
    assert [image[:, 0, 0].tolist() for image, _ in found] == [
        [0, 0, 0, 1, 2],
        [0, 0, 1, 2, 2],
        [0, 1, 2, 2, 2],
        [3, 3, 3, 3, 3],
        [4, 4, 4, 5, 5],
        [5, 5, 5, 5, 5],
    ]
    assert [int(nodule[0, 0]) for _, nodule in found] == list(range(6))


def test_derived_slices_without_neighbours_are_counted(
    cohort: Cohort, caplog: pytest.LogCaptureFixture
) -> None:
    table = read_table(cohort.arm)
    table.loc[:2, "origin"] = "metalung:mirror"
    with caplog.at_level("INFO"):
        SliceRows(table, cohort.root, neighbours=1)
        SliceRows(table, cohort.root)
    assert [r.getMessage() for r in caplog.records] == [
        f"3 of {len(table)} slices are not real and have no neighbours: they repeat themselves"
    ]


def test_neighbours_take_the_pose_of_their_slice(cohort: Cohort) -> None:
    table = read_table(cohort.arm)
    tickets = [Ticket(i, 7) for i in (0, 1, 2)]  # one series, and one pose for all
    seen = {}
    for neighbours in (0, 1):
        rows = SliceRows(table, cohort.root, neighbours)
        slices = Slices(rows, network_input, online=OnlineSettings(), seed=(3,))
        seen[neighbours] = [slices[ticket][0] for ticket in tickets]
    np.testing.assert_array_equal(seen[1][1], np.concatenate(seen[0]))


def test_a_slice_is_decoded_once_for_all_that_see_it(
    cohort: Cohort, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Plane] = []
    hu = SliceRows.hu

    def counted(self: SliceRows, plane: Plane) -> np.ndarray:
        read.append(plane)
        return hu(self, plane)

    monkeypatch.setattr(SliceRows, "hu", counted)
    rows = SliceRows(read_table(cohort.arm), cohort.root, neighbours=1)
    slices = Slices(rows, network_input, cache_mb=10)
    for i in range(len(slices)):
        slices[Ticket(i, i)]
    assert len(read) == len(set(read)) == len(slices)


@pytest.mark.parametrize("equalise", [True, False])
def test_equalised_slices_are_kept_in_a_byte_a_pixel(cohort: Cohort, equalise: bool) -> None:
    rows = SliceRows(read_table(cohort.arm), cohort.root)
    door = functools.partial(network_input, settings=ContrastSettings(equalise=equalise))
    slices = Slices(rows, door, cache_mb=10)
    first, again = slices[Ticket(0, 0)][0], slices[Ticket(0, 1)][0]
    np.testing.assert_array_equal(first, again)
    assert slices._kept[rows.planes(0)[0]].dtype == (np.uint8 if equalise else np.float32)


def test_batches_have_channels_and_types(cohort: Cohort) -> None:
    for batch in batches(make_slices(cohort)):
        assert batch.image.shape == batch.nodule.shape == (4, 1, *batch.image.shape[2:])
        assert (batch.image.dtype, batch.nodule.dtype) == (torch.float32, torch.uint8)


@pytest.mark.parametrize("online", [False, True])
@pytest.mark.parametrize("cache_mb", [0.02, 100])
def test_the_cache_changes_nothing(cohort: Cohort, online: bool, cache_mb: float) -> None:
    plain = batches(make_slices(cohort, online=online))
    assert_same(plain, batches(make_slices(cohort, cache_mb, online)))


def test_the_cache_stays_within_its_size(cohort: Cohort) -> None:
    slices = make_slices(cohort, cache_mb=0.02)
    batches(slices)
    kept = [array.nbytes for array in slices._kept.values()]
    assert 0 < sum(kept) <= 0.02 * 2**20


@pytest.mark.parametrize("online", [False, True])
def test_a_resumed_loader_draws_the_same(cohort: Cohort, online: bool) -> None:
    whole = batches(make_slices(cohort, online=online))
    assert_same(whole[5:], batches(make_slices(cohort, online=online), start=5))


def test_workers_change_nothing(cohort: Cohort) -> None:
    alone = batches(make_slices(cohort, online=True), stop=3)
    assert_same(alone, batches(make_slices(cohort, online=True), stop=3, workers=1))


def test_online_augmentation_differs_from_epoch_to_epoch(cohort: Cohort) -> None:
    slices = make_slices(cohort, online=True)
    first = BatchOrder(slices.rows.groups, 4).batch(0)[0]
    again = first._replace(number=first.number + len(slices))
    assert not np.array_equal(slices[first][0], slices[again][0])


def test_a_loader_leaves_the_global_generator_alone(cohort: Cohort) -> None:
    before = torch.get_rng_state()
    batches(make_slices(cohort, online=True), stop=2)
    assert torch.equal(before, torch.get_rng_state())


def test_nothing_is_opened_before_it_is_asked_for(tmp_path: Path) -> None:
    table = read_table(write_cohort(tmp_path).slices)
    (tmp_path / "seen.h5").unlink()
    rows = SliceRows(table[table["role"] == "test"], tmp_path)
    Slices(rows, functools.partial(network_input))
    assert rows.record(0)["patient"] == b"g"
    rows.close()


def test_digests_tell_files_of_one_name_apart(tmp_path: Path) -> None:
    for folder, value in (("mirror", 1), ("replace", 2)):
        with SliceWriter(tmp_path / folder / "b00.h5", PROVENANCE) as writer:
            images = np.full((1, 8, 8), value)
            writer.append(empty_slices(1), hu=images, nodule=images)
    table = pd.DataFrame({"file": ["mirror/b00.h5", "replace/b00.h5"], "row": 0, "group": "8x8"})
    rows = SliceRows(table.assign(patient="p", lung_rads="", key="", origin="real"), tmp_path)
    one, other = rows.digests().values()
    assert one != other


def test_digests_follow_the_parent(tmp_path: Path) -> None:
    table = pd.DataFrame({"file": ["child.h5"], "row": 0, "group": "8x8"})
    found = []
    for value in (1, 2):
        images = np.full((1, 8, 8), value)
        with SliceWriter(tmp_path / "parent.h5", PROVENANCE) as writer:
            writer.append(empty_slices(1), hu=images, nodule=images)
        with SliceWriter(tmp_path / "child.h5", PROVENANCE, parent=tmp_path / "parent.h5") as child:
            child.append(empty_slices(1), lung=np.ones((1, 8, 8)))
        found.append(
            SliceRows(
                table.assign(patient="p", lung_rads="", key="", origin="real"), tmp_path
            ).digests()
        )
    assert found[0] != found[1]
