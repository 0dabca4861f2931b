"""Who is in which batch and trains in which fold, beside the plain loops over all rows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lungaug import roster
from lungaug.cohort import SPLIT_COLUMNS, write_rows
from lungaug.stages.scan import COLUMNS

FOLDS = ("cv0", "cv1", "cv2")
BATCHES = ("b00", "b01", "b02", "b03")


def make_tables(root: Path, n_patients: int) -> tuple[Path, Path]:
    """Patients in no order; of the last batch none trains in the first fold."""
    cohort = [
        {"patient": f"p{i * 7919 % 1000:03d}", "batch": BATCHES[i % 4], "digest": f"d{i}",
         "part": ("train", "test", "")[i % 3]}
        for i in range(n_patients)
    ]  # fmt: skip
    split = [
        {"fold": fold, "patient": row["patient"],
         "role": "test" if (i + k) % 5 == 0 or (k == 0 and i % 4 == 3) else "train"}
        for k, fold in enumerate(FOLDS)
        for i, row in enumerate(cohort)
    ]  # fmt: skip
    paths = root / "cohort.tsv", root / "split.tsv"
    write_rows(paths[0], COLUMNS, [dict.fromkeys(COLUMNS, "") | row for row in cohort])
    write_rows(paths[1], SPLIT_COLUMNS, [dict.fromkeys(SPLIT_COLUMNS, "") | row for row in split])
    return paths


@pytest.mark.parametrize("fold", [None, *FOLDS])
def test_those_who_train_are_found_as_by_a_walk_over_all_rows(
    tmp_path: Path, fold: str | None
) -> None:
    cohort, split = make_tables(tmp_path, 60)
    train = {
        row["patient"]
        for row in roster.rows(split)
        if row["role"] == "train" and fold in (None, row["fold"])
    }
    for batch in BATCHES:
        wanted = sorted(
            row["patient"]
            for row in roster.rows(cohort)
            if row["batch"] == batch and row["patient"] in train
        )
        assert roster.training_patients(cohort, split, batch, fold) == wanted


def test_batches_without_training_patients_are_left_out(tmp_path: Path) -> None:
    cohort, split = make_tables(tmp_path, 60)
    assert roster.batches(cohort) == list(BATCHES)
    assert roster.training_batches(cohort, split, "cv0") == ["b00", "b01", "b02"]
    assert roster.training_batches(cohort, split, "cv1") == list(BATCHES)


def test_digests_and_parts_are_in_order_and_of_their_batch(tmp_path: Path) -> None:
    cohort, _ = make_tables(tmp_path, 5)
    assert roster.digests(cohort, "b00") == ["p000:d0", "p676:d4"]
    assert roster.digests(cohort, "b09") == []
    assert roster.published_parts(cohort) == [
        "p000:train", "p676:test", "p757:train", "p919:test"
    ]  # fmt: skip


def test_a_table_that_was_written_again_is_read_again(tmp_path: Path) -> None:
    cohort, split = make_tables(tmp_path, 8)
    before = roster.training_patients(cohort, split, "b00", None)
    make_tables(tmp_path, 40)
    for path in (cohort, split):
        os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))
    assert len(roster.training_patients(cohort, split, "b00", None)) > len(before)
    assert len(roster.digests(cohort, "b00")) == 10
