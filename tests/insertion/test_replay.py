"""Inserted slices made again from their record."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from insertion.inserting import DONOR, GENERATOR, patches, run, write_inputs
from lungaug.cohort import read_table
from lungaug.crops import write_crops
from lungaug.errors import InputError
from lungaug.evaluation.audit import Evidence, audit
from lungaug.evaluation.fingerprints import FingerprintSettings
from lungaug.insertion.replay import InsertionReplay
from lungaug.listing import RealSlices, SliceFiles, claim_of, donors_of
from small_cohort import MADE_BY, SmallCohort

ORIGIN = f"inserted:{GENERATOR}"


@pytest.fixture
def cohort(tmp_path: Path) -> SmallCohort:
    return SmallCohort(tmp_path)


@pytest.fixture
def arguments(cohort: SmallCohort) -> dict[str, Any]:
    return write_inputs(cohort)


@pytest.fixture
def files(cohort: SmallCohort) -> Iterator[SliceFiles]:
    with SliceFiles(cohort.root) as opened:
        yield opened


def replay_of(arguments: dict[str, Any], files: SliceFiles) -> InsertionReplay:
    real = RealSlices(files, map(files.name, arguments["preprocess"]))
    return InsertionReplay(files, real, lambda generator: arguments["patches"])


@pytest.mark.parametrize("changes", [{}, {"nodules_per_slice": (2, 4)}, {"variant": "published"}])
@pytest.mark.parametrize("which", ["output", "published"])
def test_every_row_is_made_again_to_the_pixel(
    arguments: dict[str, Any], files: SliceFiles, changes: dict[str, Any], which: str
) -> None:
    run(arguments, **changes)
    replay = replay_of(arguments, files)
    real = RealSlices(files, map(files.name, arguments["preprocess"]))
    rows = list(files.places(files.name(arguments[which])))
    assert rows
    for place, fields in rows:
        claim = claim_of(place, fields)
        host = real.find(claim.host)
        assert host is not None
        hu, nodule = replay(claim.origin, files.hu(host), files.nodule(host), claim.parameters)
        assert np.array_equal(hu, files.hu(place))
        assert np.array_equal(nodule, files.nodule(place))
        assert not np.array_equal(hu, files.hu(host))


def findings_of(
    cohort: SmallCohort, arguments: dict[str, Any], files: SliceFiles
) -> dict[str, list[str]]:
    table = read_table(arguments["slices"])
    evidence = Evidence.of(files, cohort.preprocess, read_table(cohort.split), "fixed", table)
    places = [place for place, _ in files.places(files.name(arguments["output"]))]
    settings = FingerprintSettings()
    found = audit(evidence, places, replay_of(arguments, files), settings, unscored=False)
    return {
        outcome: [f.check for f in found if f.outcome == outcome]
        for outcome in ("passed", "failed")
    }


def test_the_audit_proves_the_rows(
    cohort: SmallCohort, arguments: dict[str, Any], files: SliceFiles
) -> None:
    run(arguments)
    found = findings_of(cohort, arguments, files)
    assert not found["failed"]
    assert {"pixels", "lineage"} <= set(found["passed"])


def test_the_audit_finds_other_patches(
    cohort: SmallCohort, arguments: dict[str, Any], files: SliceFiles
) -> None:
    run(arguments)
    write_crops(arguments["patches"], patches(hu=np.eye(32, dtype=np.int16) * 999), MADE_BY)
    assert "pixels" in findings_of(cohort, arguments, files)["failed"]


def test_donors_of_the_record_are_those_of_the_claim(
    arguments: dict[str, Any], files: SliceFiles
) -> None:
    run(arguments)
    for place, fields in files.places(files.name(arguments["output"])):
        claim = claim_of(place, fields)
        assert donors_of(claim.parameters) == {DONOR}
        assert claim.patients == {claim.patient, "p0"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"origin": "metalung:mirror"}, "accepted: inserted"),
        ({"origin": "inserted:"}, "accepted: inserted"),
        ({"variant": "other"}, "variant"),
        ({"patch": 99}, "patch 99"),
        ({"patch": -1}, "patch -1"),
        ({"donor": "p9/s9/0000"}, "no real slice"),
        ({"label": 7}, "no nodule 7"),
        ({"source": DONOR}, "comes from"),
    ],
)
def test_a_record_of_what_is_not_there_is_refused(
    arguments: dict[str, Any], files: SliceFiles, changes: dict[str, Any], message: str
) -> None:
    run(arguments)
    place, fields = next(files.places(files.name(arguments["output"])))
    parameters = claim_of(place, fields).parameters
    parameters["variant"] = changes.pop("variant", "tissue")
    origin = changes.pop("origin", ORIGIN)
    parameters["nodules"][0].update(changes)
    hu, nodule = files.hu(place), files.nodule(place)
    with pytest.raises(InputError, match=message):
        replay_of(arguments, files)(origin, hu, nodule, parameters)
