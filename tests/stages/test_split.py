"""The split stage: what it writes, and that the ledger wins."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from lungaug.census import find_patients
from lungaug.cohort import read_table, write_rows
from lungaug.errors import InputError
from lungaug.stages import split
from lungaug.stages.split import Settings
from lungaug.store import SliceWriter
from small_cohort import (
    MADE_BY,
    N_SLICES,
    WITH_NODULE,
    fields_of,
    pixels,
    write_ingest,
    write_preprocess,
)

COHORT = {f"p{i:02d}": ("LR2", "LR3")[i % 2] for i in range(20)}


def run(
    folder: Path, classes: dict[str, str], settings: Settings | None = None
) -> dict[tuple[str, str], str]:
    """Roles by fold and patient."""
    ingest = write_ingest(folder / "ingest/b00.h5", classes, side=8)
    split.run(
        preprocess=[write_preprocess(folder / "preprocess/b00.h5", ingest)],
        ledger=folder / "ledger.tsv",
        output=folder / "split.tsv",
        left_out=folder / "split.left_out.tsv",
        settings=settings or Settings(),
        provenance=MADE_BY,
    )
    table = read_table(folder / "split.tsv")
    assert list(table.columns) == ["fold", "patient", "lung_rads", "role"]
    return {
        (f, p): r for f, p, r in zip(table["fold"], table["patient"], table["role"], strict=True)
    }


@dataclass(frozen=True)
class Slices:
    """How a patient's slices differ from those of others."""

    status: bytes = b"ok"
    diameter_mm: float = 5.0
    spacing_mm: float = 0.7
    marked: bool = False


def run_slices(
    folder: Path,
    classes: dict[str, str],
    odd: dict[str, Slices],
    settings: Settings | None = None,
    cohort: Path | None = None,
) -> None:
    """Divide patients some of whom are odd: with another status, diameter or spacing."""
    ingest, output = folder / "ingest/b00.h5", folder / "preprocess/b00.h5"
    rows = {patient: fields_of(patient, name) for patient, name in sorted(classes.items())}
    for patient in classes:
        if classes[patient] == "LR1":
            rows[patient]["diameter_mm"] = 0
    for patient, slices in odd.items():
        rows[patient]["status"] = slices.status
        if not (slices.marked and slices.diameter_mm > 0):
            rows[patient]["diameter_mm"] = slices.diameter_mm
        if slices.marked:
            rows[patient]["diameter_mm"][[i for i in range(N_SLICES) if i not in WITH_NODULE]] = 0
        rows[patient]["spacing_mm"] = slices.spacing_mm
    with SliceWriter(ingest, MADE_BY) as writer:
        for patient, fields in rows.items():
            hu, nodule = pixels(patient, 32)
            if classes[patient] == "LR1" or (patient in odd and not odd[patient].marked):
                nodule[:] = 0
            writer.append(fields, hu=hu, nodule=nodule)
    with SliceWriter(output, MADE_BY, parent=ingest) as writer:
        for fields in rows.values():
            writer.append(fields, lung=np.ones((N_SLICES, 32, 32), np.uint8))
    split.run(
        preprocess=[output],
        ledger=folder / "ledger.tsv",
        output=folder / "split.tsv",
        left_out=folder / "split.left_out.tsv",
        settings=settings or Settings(),
        provenance=MADE_BY,
        cohort=cohort,
    )


def write_cohort(path: Path, parts: dict[str, str]) -> Path:
    rows = ({"patient": patient, "part": part} for patient, part in parts.items())
    write_rows(path, ("patient", "part"), rows)
    return path


def test_same_patients_give_the_same_bytes(tmp_path: Path) -> None:
    run(tmp_path / "a", COHORT)
    run(tmp_path / "b", COHORT)
    for name in ("split.tsv", "ledger.tsv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("mode", ["fixed", "cross_validation"])
def test_nobody_moves_when_the_cohort_grows_and_shrinks(tmp_path: Path, mode: str) -> None:
    first = run(tmp_path, COHORT, Settings(mode=mode))  # type: ignore[arg-type]
    grown = {**COHORT, **{f"q{i}": "LR2" for i in range(9)}}
    settings = Settings(mode=mode, seed=7, test_per_class=9)  # type: ignore[arg-type]
    second = run(tmp_path, grown, settings)
    assert first.items() <= second.items()
    shrunk = dict(list(grown.items())[5:])
    assert run(tmp_path, shrunk, settings).items() <= second.items()
    assert run(tmp_path, grown, settings) == second


def test_ledger_made_with_another_seed_wins_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path, COHORT)
    caplog.set_level(logging.INFO)
    assert run(tmp_path, COHORT, Settings(seed=1)) == first
    assert "made with seed 0, are kept" in caplog.text


def test_smaller_quota_keeps_the_test_patients(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path, COHORT)
    caplog.set_level(logging.INFO)
    assert run(tmp_path, COHORT, Settings(test_per_class=1)) == first
    assert "LR2: the ledger's 4 test patients are kept" in caplog.text


def test_changed_class_keeps_the_role_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = run(tmp_path, COHORT)
    assert run(tmp_path, {**COHORT, "p00": "LR4B"}) == first
    assert "p00: class LR2 when placed, now LR4B; it keeps its place" in caplog.text


def test_ledger_of_somebody_else_stops_the_run(tmp_path: Path) -> None:
    """A lost key gives everybody a new name; drawing anew would move test patients to training."""
    run(tmp_path, COHORT)
    with pytest.raises(InputError, match=r"none of the ledger's 20 patients .* another pseudonym"):
        run(tmp_path, {f"x{name}": c for name, c in COHORT.items()})


def left_out(folder: Path) -> dict[str, str]:
    """Reason by patient."""
    table = read_table(folder / "split.left_out.tsv")
    assert list(table.columns) == ["patient", "reason"]
    return dict(zip(table["patient"], table["reason"], strict=True))


def ledger(folder: Path) -> set[str]:
    return set(read_table(folder / "ledger.tsv")["patient"])


def roles_of(folder: Path) -> set[str]:
    return set(read_table(folder / "split.tsv")["patient"])


@pytest.mark.parametrize("mode", ["fixed", "cross_validation"])
def test_unknown_class_has_no_role_and_no_place(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, mode: str
) -> None:
    unseen = {f"u{i}": Slices(diameter_mm=np.nan) for i in range(3)}
    run_slices(tmp_path, COHORT | dict.fromkeys(unseen, ""), unseen, Settings(mode=mode))  # type: ignore[arg-type]
    assert roles_of(tmp_path) == ledger(tmp_path) == set(COHORT)
    reasons = left_out(tmp_path)
    assert set(reasons) == set(unseen)
    assert "no mask or contour matched (ingest.unannotated is unknown)" in reasons["u0"]
    assert "3 patients without a role: Lung-RADS class unknown" in caplog.text


def test_class_unknown_for_want_of_a_spacing_names_the_setting(tmp_path: Path) -> None:
    """Nodules are marked, and nobody knows how large they are."""
    unsized = {"u0": Slices(diameter_mm=np.nan, spacing_mm=np.nan, marked=True)}
    run_slices(tmp_path, COHORT | {"u0": ""}, unsized)
    assert "slices with a nodule have no known spacing" in left_out(tmp_path)["u0"]
    assert "ingest.assumed_spacing_mm is null" in left_out(tmp_path)["u0"]


def test_class_unknown_by_too_few_readers(tmp_path: Path) -> None:
    run_slices(tmp_path, COHORT | {"u0": ""}, {"u0": Slices(diameter_mm=0.0)})
    assert "too few readers" in left_out(tmp_path)["u0"]


@pytest.mark.parametrize("mode", ["fixed", "cross_validation"])
def test_patient_without_lungs_has_no_role_and_no_place(tmp_path: Path, mode: str) -> None:
    """A head, an abdomen, or values that are no HU."""
    heads = {
        "h0": Slices(status=b"no_lungs", diameter_mm=0.0),
        "h1": Slices(status=b"no_lungs", marked=True),
    }
    classes = COHORT | {"h0": "LR1", "h1": "LR3"}
    run_slices(tmp_path, classes, heads, Settings(mode=mode))  # type: ignore[arg-type]
    assert roles_of(tmp_path) == ledger(tmp_path) == set(COHORT)
    assert left_out(tmp_path)["h0"].startswith("no lungs on any slice: no chest CT")
    assert left_out(tmp_path)["h1"].startswith("no lungs on any slice, though some have a nodule")


def test_who_loses_the_class_keeps_the_place_in_the_ledger(tmp_path: Path) -> None:
    first = run(tmp_path, COHORT)
    run_slices(tmp_path, COHORT | {"p00": ""}, {"p00": Slices(diameter_mm=np.nan)})
    assert roles_of(tmp_path) == set(COHORT) - {"p00"}
    assert set(left_out(tmp_path)) == {"p00"}
    assert ledger(tmp_path) == set(COHORT)
    assert run(tmp_path, COHORT) == first


def test_class_without_masks_keeps_a_role_and_the_log_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unseen = {"p00": Slices(diameter_mm=np.nan)}
    run_slices(tmp_path, COHORT, unseen)
    assert roles_of(tmp_path) == set(COHORT)
    assert left_out(tmp_path) == {}
    message = "1 patient has a class and no mask, so that none of the slices is used: p00"
    assert message in caplog.text


def test_published_patients_keep_their_roles_in_any_case(tmp_path: Path) -> None:
    odd = {"p00": Slices(status=b"no_lungs", marked=True), "p01": Slices(diameter_mm=np.nan)}
    published = {p: "test" if p in (*odd, "p02") else "train" for p in COHORT}
    table = write_cohort(tmp_path / "cohort.tsv", published)
    run_slices(tmp_path, COHORT | {"p01": ""}, odd, cohort=table)
    roles = read_table(tmp_path / "split.tsv").set_index("patient")["role"]
    assert set(roles[roles == "test"].index) == {"p00", "p01", "p02"}
    assert left_out(tmp_path) == {}


def test_everybody_of_the_cohort_is_in_one_of_the_two_tables(tmp_path: Path) -> None:
    table = write_cohort(tmp_path / "cohort.tsv", dict.fromkeys([*COHORT, "gone"], ""))
    run_slices(tmp_path, COHORT, {}, cohort=table)
    assert left_out(tmp_path) == {"gone": "left out whole: see ingest/*.rejected.tsv"}
    assert roles_of(tmp_path) == set(COHORT)


def test_healthy_patients_alone_are_refused_and_leave_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"healthy \(LR1\) patients: 20, .* nothing can train"):
        run(tmp_path, dict.fromkeys(COHORT, "LR1"))
    unseen = {f"u{i}": Slices(diameter_mm=np.nan) for i in range(4)}
    with pytest.raises(
        InputError, match=r"(?s)healthy.* 4 patients left out: Lung-RADS class unknown"
    ):
        run_slices(tmp_path, dict.fromkeys(COHORT, "LR1") | dict.fromkeys(unseen, ""), unseen)
    with pytest.raises(InputError, match=r"(?s)no patient left: .* 4 patients left out"):
        run_slices(tmp_path, dict.fromkeys(unseen, ""), unseen)
    assert not (tmp_path / "ledger.tsv").exists()


def test_a_role_without_a_nodule_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    healthy = {f"p{i}": "LR1" for i in range(9)}
    run(tmp_path, {**healthy, "p9": "LR2"})
    assert "fold fixed: none of 3 test patients has a slice with a nodule" in caplog.text


def test_small_class_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = {**COHORT, "z": "LR4B"}
    run(tmp_path / "a", classes)
    assert "LR4B: 0 test patients, where 4 were asked" in caplog.text
    run(tmp_path / "b", classes, Settings(mode="cross_validation"))
    assert "LR4B: 1 patients in 5 folds" in caplog.text


def test_patient_has_the_highest_class_of_its_files(tmp_path: Path) -> None:
    files = {"a": {"p1": "LR1", "p2": ""}, "b": {"p1": "LR4A"}}
    paths = [
        write_preprocess(
            tmp_path / f"preprocess/{name}.h5",
            write_ingest(tmp_path / f"ingest/{name}.h5", classes, side=8),
        )
        for name, classes in files.items()
    ]
    found = find_patients(paths)
    assert {patient: one.lung_rads for patient, one in found.items()} == {"p1": "LR4A", "p2": ""}
    assert found["p1"].slices == 2 * N_SLICES


def test_too_few_patients_leave_no_ledger(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="accepted: 3 to 4 folds"):
        run(tmp_path, dict(list(COHORT.items())[:4]), Settings(mode="cross_validation"))
    with pytest.raises(InputError, match="nobody for validation"):
        run(tmp_path, dict(list(COHORT.items())[:4]))
    assert not (tmp_path / "ledger.tsv").exists()


def test_nobody_and_unknown_classes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no patient"):
        run(tmp_path, {})
    with pytest.raises(InputError, match="Lung-RADS 'LR9'; accepted: LR1"):
        run(tmp_path, {"p1": "LR9"})
