from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lungaug.training.order import BatchOrder, fixed_batches

GROUPS = st.lists(st.sampled_from(["8x8", "8x9", "9x8"]), min_size=1, max_size=40)


@given(GROUPS, st.integers(1, 9), st.sampled_from(["shuffled", "table", "balanced"]))
def test_batches_are_full_and_of_one_size(groups: list[str], batch_size: int, order: str) -> None:
    batches = BatchOrder(groups, batch_size, order=order, classes=groups)
    for batch in batches.batches(0, 2 * batches.batches_per_epoch):
        assert len(batch) == batch_size
        assert len({groups[ticket.row] for ticket in batch}) == 1


@given(GROUPS, st.integers(1, 9), st.sampled_from(["shuffled", "table"]))
def test_an_epoch_has_every_slice(groups: list[str], batch_size: int, order: str) -> None:
    batches = BatchOrder(groups, batch_size, order=order)
    for epoch in range(2):
        start = epoch * batches.batches_per_epoch
        stop = start + batches.batches_per_epoch
        rows = {ticket.row for batch in batches.batches(start, stop) for ticket in batch}
        assert rows == set(range(len(groups)))


@given(GROUPS, st.integers(1, 9), st.integers(0, 50))
def test_any_step_can_be_resumed(groups: list[str], batch_size: int, step: int) -> None:
    whole = list(BatchOrder(groups, batch_size).batches(0, step + 3))
    assert list(BatchOrder(groups, batch_size).batches(step, step + 3)) == whole[step:]


def test_tickets_are_numbered_without_gaps() -> None:
    batches = BatchOrder(["8x8"] * 5, 3).batches(0, 4)
    assert [ticket.number for batch in batches for ticket in batch] == list(range(12))


def test_epochs_and_seeds_differ() -> None:
    first = BatchOrder(["8x8"] * 20, 20, seed=(1,))
    second = BatchOrder(["8x8"] * 20, 20, seed=(2,))
    rows = [[t.row for t in batch] for batch in (first.batch(0), first.batch(1), second.batch(0))]
    assert rows[0] != rows[1]
    assert rows[0] != rows[2]


def test_table_order_is_the_tables() -> None:
    batches = BatchOrder(["8x8"] * 4, 2, order="table").batches(0, 4)
    assert [t.row for batch in batches for t in batch] == [0, 1, 2, 3, 0, 1, 2, 3]


def test_balanced_draws_rare_classes_as_often() -> None:
    classes = ["LR2"] * 90 + ["LR4B"] * 10
    order = BatchOrder(["8x8"] * 100, 10, order="balanced", classes=classes)
    drawn = Counter(classes[t.row] for batch in order.batches(0, 200) for t in batch)
    np.testing.assert_allclose(drawn["LR4B"] / 2000, 0.5, atol=0.05)


def test_no_slices_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        BatchOrder([], 4)


@given(GROUPS, st.integers(1, 9))
def test_fixed_batches_have_every_slice_once(groups: list[str], batch_size: int) -> None:
    batches = fixed_batches(groups, batch_size)
    rows = [ticket.row for batch in batches for ticket in batch]
    assert sorted(rows) == list(range(len(groups)))
    assert all(len({groups[t.row] for t in batch}) == 1 for batch in batches)


@pytest.mark.parametrize("order", ["shuffled", "balanced"])
def test_batches_of_different_sizes_take_turns(order: str) -> None:
    """Not all of one size first: a network would forget it while it sees the other."""
    groups = ["8x8"] * 40 + ["9x9"] * 40
    batches = BatchOrder(groups, 4, order=order, classes=groups)  # type: ignore[arg-type]
    sizes = [groups[batch[0].row] for batch in batches.batches(0, 40)]
    assert sizes[:20] != sorted(sizes[:20])
    assert sizes[:20] != sizes[20:]
    assert Counter(sizes[:20]) == {"8x8": 10, "9x9": 10}


def test_table_order_keeps_each_size_together() -> None:
    groups = ["9x9", "8x8", "9x9", "8x8"]
    batches = BatchOrder(groups, 1, order="table").batches(0, 4)
    assert [t.row for batch in batches for t in batch] == [1, 3, 0, 2]
