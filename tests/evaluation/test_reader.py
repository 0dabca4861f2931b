"""Which cases a reader sees."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from lungaug.errors import InputError
from lungaug.evaluation.reader import KEY_COLUMNS, Candidate, choose, shares, sheet_id


def candidate(
    number: int, diameter_mm: float, generator: str = "", patient: str = "p"
) -> Candidate:
    return Candidate(
        generator, patient, f"{patient}/s/{number}", "f.h5", "8x8", number, 1, diameter_mm
    )


def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_every_bin_holds_as_many_of_both() -> None:
    real = [candidate(i, 4) for i in range(30)] + [candidate(i, 10) for i in range(2)]
    made = [candidate(i, 4, "a") for i in range(5)] + [candidate(i, 10, "a") for i in range(9)]
    chosen = choose([*real, *made], (3, 6, 12), 20, rng=rng())
    counts = Counter((one.truth, one.diameter_mm) for one in chosen)
    assert set(counts.values()) == {5, 2}
    assert counts["real", 4] == counts["inserted", 4] == 5


def test_what_lies_outside_the_bins_is_not_shown() -> None:
    sizes = (2.9, 3.0, 11.9, 12.0)
    both = [candidate(i, d, g) for i, d in enumerate(sizes) for g in ("", "a")]
    assert {one.diameter_mm for one in choose(both, (3, 12), 9, rng=rng())} == {3.0, 11.9}


def test_generators_and_patients_take_turns() -> None:
    made = [candidate(i, 5, "a") for i in range(50)] + [candidate(i, 5, "b") for i in range(3)]
    real = [candidate(i, 5, patient="p0") for i in range(20)]
    real += [candidate(i, 5, patient=f"q{i}") for i in range(5)]
    chosen = choose([*made, *real], (3, 6), 6, rng=rng())
    assert Counter(one.generator for one in chosen) == {"": 6, "a": 3, "b": 3}
    assert max(Counter(one.patient for one in chosen if not one.generator).values()) == 1


def test_the_order_is_drawn_and_repeats() -> None:
    both = [candidate(i, 5, g) for i in range(20) for g in ("", "a")]
    first = choose(both, (3, 6), 20, rng=rng())
    assert first == choose(both, (3, 6), 20, rng=rng())
    assert first != choose(both, (3, 6), 20, rng=np.random.default_rng(1))
    truths = [one.truth for one in first]
    assert truths != sorted(truths)


def test_no_pair_of_one_size_is_an_error() -> None:
    with pytest.raises(InputError, match="1 real and 1 inserted nodules, none of the same size"):
        choose([candidate(0, 4), candidate(0, 8, "a")], (3, 6, 12), 5, rng=rng())


@pytest.mark.parametrize(
    ("available", "wanted", "parts"),
    [([5, 5], 4, [2, 2]), ([1, 9], 5, [1, 4]), ([0, 3], 9, [0, 3]), ([1, 1, 1], 2, [1, 1, 0])],
)
def test_shares(available: list[int], wanted: int, parts: list[int]) -> None:
    assert shares(available, wanted) == parts


def test_a_sheet_is_named_by_what_its_cases_are() -> None:
    row = dict.fromkeys(KEY_COLUMNS, "x")
    again = {name: row[name] for name in reversed(KEY_COLUMNS)} | {"diameter_mm": 3.0}
    assert sheet_id([row]) == sheet_id([again])
    assert sheet_id([row]) != sheet_id([row | {"truth": "y"}])
