"""Which slices receive nodules, and in what order."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from lungaug.errors import InputError, SettingError
from lungaug.insertion.hosts import Hosts, HostSettings, hosts_in, no_hosts
from lungaug.listing import SliceFiles
from lungaug.store import empty_slices
from small_cohort import ROLES, WITH_NODULE, SmallCohort

TRAINING = {name for name, role in ROLES.items() if role == "train"}
NEAR = HostSettings(distance_mm=2.0)


def series(
    diameters: list[float], spacing_mm: float = 1.0, lung_rads: bytes = b"LR3"
) -> np.ndarray:
    slices = empty_slices(len(diameters))
    slices["diameter_mm"] = diameters
    slices["z_mm"] = np.arange(len(diameters)) * spacing_mm - 300
    slices["status"] = b"ok"
    slices["lung_rads"] = lung_rads
    return slices


@pytest.mark.parametrize(
    ("spacing_mm", "expected"), [(1.0, [0, 1, 5, 6]), (2.0, [0, 1, 2, 4, 5, 6]), (0.4, [])]
)
def test_hosts_lie_at_a_distance_in_mm(spacing_mm: float, expected: list[int]) -> None:
    fit = hosts_in(series([0, 0, 0, 5, 0, 0, 0], spacing_mm), NEAR)
    assert np.flatnonzero(fit).tolist() == expected


def test_a_nodule_elsewhere_without_positions_rules_the_series_out() -> None:
    slices = series([0, 0, 5])
    slices["z_mm"] = np.nan
    assert not hosts_in(slices, NEAR).any()
    healthy = series([0, 0], lung_rads=b"LR1")
    healthy["z_mm"] = np.nan
    assert hosts_in(healthy, NEAR).all()


def test_slices_without_lungs_or_that_nobody_looked_at_are_no_hosts() -> None:
    slices = series([0, np.nan, 0, 0], lung_rads=b"LR1")
    slices["status"] = [b"ok", b"ok", b"no_lungs", b"one_lung"]
    assert np.flatnonzero(hosts_in(slices, NEAR)).tolist() == [0, 3]


def test_healthy_patients_only() -> None:
    only = HostSettings(patients="healthy")
    assert not hosts_in(series([0, 0], lung_rads=b"LR3"), only).any()
    assert hosts_in(series([0, 0], lung_rads=b"LR1"), only).all()


def test_slices_with_a_nodule_may_be_hosts_where_that_is_asked_for() -> None:
    slices = series([0, 5, np.nan, 5])
    slices["status"] = [b"ok", b"ok", b"ok", b"no_lungs"]
    slices["z_mm"] = np.nan
    beside = HostSettings(beside_nodules=True)
    assert np.flatnonzero(hosts_in(slices, beside)).tolist() == [0, 1]


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


def find(cohort: SmallCohort, patients: set[str], settings: HostSettings) -> Hosts:
    with SliceFiles(cohort.root) as files:
        names = map(files.name, cohort.preprocess)
        return Hosts.find(files, names, patients, settings)


def test_every_patient_has_its_turn_before_one_comes_again(cohort: SmallCohort) -> None:
    hosts = find(cohort, TRAINING, HostSettings(distance_mm=0))
    n_each = 6 - len(WITH_NODULE)
    assert (hosts.patients, len(hosts)) == (sorted(TRAINING), 4 * n_each)
    places = list(islice(hosts.in_turn(0), 3 * len(hosts)))
    assert set(Counter(places).values()) == {3}
    with SliceFiles(cohort.root) as files:
        turn = [files.fields(place)["patient"].decode() for place in places]
        assert not any(files.nodule(place).any() for place in places)
    for start in range(0, len(turn), 4):
        assert set(turn[start : start + 4]) == TRAINING
    assert places == list(islice(hosts.in_turn(0), 3 * len(hosts)))
    assert places != list(islice(hosts.in_turn(1), 3 * len(hosts)))


def test_without_hosts_the_error_says_what_to_do(cohort: SmallCohort) -> None:
    with pytest.raises(InputError, match=r"hosts\.distance_mm"):
        find(cohort, TRAINING, HostSettings(distance_mm=100))
    with pytest.raises(InputError, match="Lung-RADS 1"):
        find(cohort, set(), HostSettings())


def test_places_are_file_group_and_row_of_the_slice(cohort: SmallCohort) -> None:
    """Rows of a later stack count from the beginning of the file's group."""
    hosts = find(cohort, TRAINING, HostSettings(distance_mm=0))
    with SliceFiles(cohort.root) as files:
        for place in islice(hosts.in_turn(0), len(hosts)):
            fields = files.fields(place)
            assert fields["patient"].decode() in TRAINING
            assert int(fields["index"]) not in WITH_NODULE
    assert hosts.patients == sorted(TRAINING)


def test_a_patients_slices_are_those_of_all_its_files() -> None:
    parts = [("a.h5", "8x8", np.array([0, 3])), ("b.h5", "9x9", np.array([5]))]
    hosts = Hosts({"p": parts})
    assert len(hosts) == 3
    places = set(islice(hosts.in_turn(0), 3))
    assert places == {("a.h5", "8x8", 0), ("a.h5", "8x8", 3), ("b.h5", "9x9", 5)}


def test_the_default_takes_slices_of_all_patients_a_centimetre_off() -> None:
    assert HostSettings() == HostSettings("all", distance_mm=10.0, beside_nodules=False)


@pytest.mark.parametrize(
    ("settings", "n_healthy", "advice"),
    [
        (HostSettings("healthy", 5.0), 3, ["patients: all", "distance_mm below 5", "beside"]),
        (HostSettings("all", 5.0), 3, ["distance_mm below 5", "beside"]),
        (HostSettings("all", 0.5), 3, ["distance_mm below 0.5", "beside"]),
        (HostSettings("healthy", 0.0), 3, ["patients: all", "beside"]),
        (HostSettings("healthy", 5.0), 0, ["beside"]),
        (HostSettings("healthy", 5.0, beside_nodules=True), 0, []),
    ],
)
def test_advice_names_what_could_still_help(
    settings: HostSettings, n_healthy: int, advice: list[str]
) -> None:
    said = no_hosts(7, n_healthy, settings)
    assert "of the 7 training patients" in said
    assert f"; {n_healthy} slices have lungs and no nodule; accepted: " in said
    asked = ["patients: all", "distance_mm below", "beside"]
    for word in asked:
        assert (word in said) == any(each.startswith(word) for each in advice)
    assert all(each in said for each in advice)


def test_a_distance_is_a_finite_number() -> None:
    with pytest.raises(SettingError, match="distance_mm"):
        HostSettings(distance_mm=float("inf"))
