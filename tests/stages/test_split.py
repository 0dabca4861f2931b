"""The split stage: what it writes, and that the ledger wins."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.stages import split
from lungaug.stages.split import Settings
from small_cohort import MADE_BY, write_ingest

COHORT = {f"p{i:02d}": ("LR2", "LR3")[i % 2] for i in range(20)}


def run(
    folder: Path, classes: dict[str, str], settings: Settings | None = None
) -> dict[tuple[str, str], str]:
    """Roles by fold and patient."""
    ingest = write_ingest(folder / "ingest/b00.h5", classes, side=8)
    split.run(
        ingest=[ingest],
        ledger=folder / "ledger.tsv",
        output=folder / "split.tsv",
        settings=settings or Settings(),
        provenance=MADE_BY,
    )
    table = read_table(folder / "split.tsv")
    assert list(table.columns) == ["fold", "patient", "lung_rads", "role"]
    return {
        (f, p): r for f, p, r in zip(table["fold"], table["patient"], table["role"], strict=True)
    }


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


def test_unknown_class_is_a_class_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    run(tmp_path, {**COHORT, **{f"u{i}": "" for i in range(10)}})
    assert "unknown: 4 train, 2 validation, 4 test" in caplog.text


def test_small_class_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    classes = {**COHORT, "z": "LR4B"}
    run(tmp_path / "a", classes)
    assert "LR4B: 0 test patients, where 4 were asked" in caplog.text
    run(tmp_path / "b", classes, Settings(mode="cross_validation"))
    assert "LR4B: 1 patients in 5 folds" in caplog.text


def test_patient_has_the_highest_class_of_its_files(tmp_path: Path) -> None:
    paths = [
        write_ingest(tmp_path / "a.h5", {"p1": "LR1", "p2": ""}, side=8),
        write_ingest(tmp_path / "b.h5", {"p1": "LR4A"}, side=8),
    ]
    assert split.patient_classes(paths) == {"p1": "LR4A", "p2": ""}


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
