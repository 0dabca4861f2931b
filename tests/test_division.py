"""Who trains, validates and tests: quotas, parts, and that nobody ever moves."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.cohort import CLASSES
from lungaug.division import (
    Quotas,
    assign_parts,
    assign_roles,
    check_parts,
    check_roles,
    fold_names,
    part_of,
    roles_of_fold,
)
from lungaug.errors import InputError

QUOTAS = Quotas(test=4, validation=2, test_share=0.4, validation_share=0.2)

names = st.integers(0, 999).map(lambda i: f"p{i:03d}")
cohorts = st.dictionaries(names, st.sampled_from(("", *CLASSES)), max_size=60)


def cohort(**sizes: int) -> dict[str, str]:
    return {f"p{name}{i:02d}": name for name, n in sizes.items() for i in range(n)}


def counts(classes: dict[str, str], roles: dict[str, str], name: str) -> Counter[str]:
    return Counter(role for patient, role in roles.items() if classes[patient] == name)


def test_large_classes_fill_their_quotas_and_small_ones_still_train() -> None:
    classes = cohort(LR2=20, LR3=5, LR4A=3, LR4B=1)
    roles = assign_roles(classes, {}, QUOTAS, seed=0)
    assert counts(classes, roles, "LR2") == {"test": 4, "validation": 2, "train": 14}
    assert counts(classes, roles, "LR3") == {"test": 2, "validation": 1, "train": 2}
    assert counts(classes, roles, "LR4A") == {"test": 1, "train": 2}
    assert counts(classes, roles, "LR4B") == {"train": 1}


def test_share_of_a_class_is_not_lost_to_rounding() -> None:
    assert Quotas(100, 100, 0.29, 0.07).of(100) == {"test": 29, "validation": 7}


@given(cohorts, st.integers(0, 3))
def test_order_of_the_patients_does_not_matter(classes: dict[str, str], seed: int) -> None:
    backwards = dict(reversed(classes.items()))
    assert assign_roles(classes, {}, QUOTAS, seed) == assign_roles(backwards, {}, QUOTAS, seed)
    assert assign_parts(classes, {}, 5, seed) == assign_parts(backwards, {}, 5, seed)


def test_seed_chooses_who_tests() -> None:
    classes = cohort(LR2=30)
    assert assign_roles(classes, {}, QUOTAS, 0) != assign_roles(classes, {}, QUOTAS, 1)


@given(st.lists(cohorts, max_size=4), st.integers(0, 3))
def test_only_newcomers_are_placed(history: list[dict[str, str]], seed: int) -> None:
    roles: dict[str, str] = {}
    parts: dict[str, int] = {}
    for classes in history:
        added = assign_roles(classes, roles, QUOTAS, seed)
        assert set(added) == set(classes) - set(roles)
        roles.update(added)
        new = assign_parts(classes, parts, 5, seed)
        assert set(new) == set(classes) - set(parts)
        parts.update(new)


def test_newcomers_fill_a_quota_that_is_short() -> None:
    before = {f"p{i}": "train" for i in range(10)}
    classes = {f"p{i}": "LR2" for i in range(16)}
    added = assign_roles(classes, before, QUOTAS, 0)
    assert Counter(added.values()) == {"test": 4, "validation": 2}


def test_absent_patients_fill_no_quota() -> None:
    classes = cohort(LR2=10)
    gone = {f"gone{i}": "test" for i in range(4)}
    assert Counter(assign_roles(classes, gone, QUOTAS, 0).values())["test"] == 4


@given(st.integers(3, 7), st.lists(st.integers(1, 9), min_size=1, max_size=5))
def test_parts_are_even_in_every_class(folds: int, sizes: list[int]) -> None:
    classes = cohort(**dict(zip(CLASSES, sizes, strict=False)))
    parts = assign_parts(classes, {}, folds, 0)
    for name in set(classes.values()):
        held = Counter(part for patient, part in parts.items() if classes[patient] == name)
        assert max(held.values()) - min(held[i] for i in range(folds)) <= 1
    if len(classes) >= folds:
        check_parts(parts, folds)


@given(st.integers(3, 7), st.integers(7, 20))
def test_every_patient_tests_once_and_validates_once(folds: int, n: int) -> None:
    parts = assign_parts(cohort(LR2=n), {}, folds, 0)
    roles = [roles_of_fold(parts, fold, folds) for fold in range(folds)]
    for patient in parts:
        own = Counter(role[patient] for role in roles)
        assert own == {"test": 1, "validation": 1, "train": folds - 2}


def test_names_of_folds() -> None:
    assert fold_names("fixed", 5) == ["fixed"]
    assert fold_names("cross_validation", 3) == ["cv0", "cv1", "cv2"]


def test_division_without_a_role_is_refused() -> None:
    check_roles({"p1": "train", "p2": "validation", "p3": "test"}, {})
    with pytest.raises(InputError, match=r"validation and test .*accepted: .*cross_validation"):
        check_roles({"p1": "train"}, {"p1": "LR2"})


def test_the_message_has_the_numbers_and_the_settings() -> None:
    classes = {"p1": "LR2", "p2": "LR3", "p3": "LR3"}
    with pytest.raises(InputError) as raised:
        check_roles(dict.fromkeys(classes, "train"), classes, QUOTAS)
    assert "LR2 1, LR3 2; split.mode is fixed" in str(raised.value)
    assert "at least 5 patients" in str(raised.value)
    assert "split.test_share is 0.4, split.validation_share 0.2" in str(raised.value)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"p1": 0}, r"1 patients in 5 folds \(split.folds is 5\); accepted: at least 3 patients"),
        ({f"p{i}": i for i in range(4)}, "accepted: 3 to 4 folds"),
        ({f"p{i}": i % 4 for i in range(9)}, "part 4 of 5 has lost all its patients"),
    ],
)
def test_too_few_patients_for_the_folds_are_refused(parts: dict[str, int], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_parts(parts, 5)


@given(cohorts, st.integers(0, 5))
def test_a_larger_share_holds_all_of_a_smaller_one(classes: dict[str, str], seed: int) -> None:
    shares = [part_of(classes, share, seed) for share in (0.1, 0.25, 0.5, 1.0)]
    assert shares[0] <= shares[1] <= shares[2] <= shares[3] == set(classes)


def test_a_share_is_taken_of_every_class() -> None:
    classes = cohort(LR2=30, LR3=4, LR4A=1)
    kept = part_of(classes, 0.1, seed=0)
    assert Counter(classes[p] for p in kept) == {"LR2": 3, "LR3": 1, "LR4A": 1}
    assert kept != part_of(classes, 0.1, seed=1)


def test_a_newcomer_to_a_class_that_is_short_of_both_tests() -> None:
    """They fill the test quota before that of validation, which chooses among trained models."""
    before = {f"p{i}": "train" for i in range(10)}
    classes = dict.fromkeys([*before, "new"], "LR2")
    assert assign_roles(classes, before, QUOTAS, 0) == {"new": "test"}
    tests = before | {f"p{i}": "test" for i in range(4)}
    assert assign_roles(classes, tests, QUOTAS, 0) == {"new": "validation"}


def test_parts_are_evened_over_the_patients_that_are_there() -> None:
    """A class that is new fills the part where fewest of the others are."""
    here = {"a": 0, "b": 1}
    classes = {"a": "LR2", "b": "LR2", "new": "LR3"}
    assert assign_parts(classes, here, 3, 0) == {"new": 2}
    gone = {"gone0": 2, "gone1": 2}
    assert assign_parts(classes, here | gone, 3, 0) == {"new": 2}
    assert assign_parts({"new": "LR3"}, {"gone": 0}, 3, 0) == {"new": 0}


def test_each_fold_validates_on_the_part_after_the_one_it_tests_on() -> None:
    parts = {"a": 0, "b": 1, "c": 2, "d": 3}
    assert list(roles_of_fold(parts, 0, 4).values()) == ["test", "validation", "train", "train"]
    assert list(roles_of_fold(parts, 3, 4).values()) == ["validation", "train", "train", "test"]


@pytest.mark.parametrize(
    ("share", "n", "kept"), [(0.07, 100, 7), (0.3, 4, 2), (0.5, 4, 2), (0.01, 5, 1), (1.0, 3, 3)]
)
def test_a_share_is_rounded_up_and_not_by_a_product(share: float, n: int, kept: int) -> None:
    """0.07 * 100 is 7.000000000000001."""
    assert len(part_of(cohort(LR2=n), share, seed=0)) == kept
