from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from lungaug.training.devices import make_fabric
from lungaug.training.inference import patient_mean, predict, slice_dice, validate
from lungaug.training.order import Ticket

SIZE = 4


class Drawn:
    """Slices of two sizes of which some have a nodule: the upper half."""

    def __init__(self, patients: str, with_nodule: list[bool]) -> None:
        groups = ["4x4" if i % 2 else "4x6" for i in range(len(patients))]
        self.rows = SimpleNamespace(groups=groups, patients=list(patients))
        self.with_nodule = with_nodule

    def __len__(self) -> int:
        return len(self.with_nodule)

    def __getitem__(self, ticket: Ticket) -> Any:
        width = int(self.rows.groups[ticket.row][2:])
        nodule = np.zeros((SIZE, width), np.uint8)
        nodule[: SIZE // 2] = self.with_nodule[ticket.row]
        return np.zeros((1, SIZE, width), np.float32), nodule


class Constant:
    """Predicts a nodule in the topmost rows of every slice."""

    is_evaluating = False

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows

    def eval(self) -> None:
        self.is_evaluating = True

    def find(self, batch: Any) -> Any:
        assert self.is_evaluating
        maps = [batch.nodule * 0.5 + batch.nodule.shape[-1], batch.image + 7]
        boxes = torch.ones(1, 4), torch.tensor([0.5])
        n_slices = len(batch.nodule)
        return SimpleNamespace(probability=torch.cat(maps, 1), detections=[boxes] * n_slices)

    def assess(self, batch: Any) -> Any:
        assert self.is_evaluating
        probability = torch.zeros(batch.image.shape)
        probability[:, :, : self.n_rows] = 1
        return torch.tensor(0.25), probability


def score(n_rows: int, slices: Drawn) -> tuple[float, float]:
    return validate(Constant(n_rows), slices, 2, make_fabric("cpu"))  # type: ignore[arg-type]


# Patient a has a nodule in one of three slices, b in both of its two; h has none anywhere.
MIXED = Drawn("aaabbhhh", [True, False, False, True, True, False, False, False])


def test_a_network_that_predicts_nothing_scores_0() -> None:
    assert score(0, MIXED) == (0.25, 0.0)


@pytest.mark.parametrize(("n_rows", "dice"), [(1, 2 / 3), (2, 1.0), (4, 2 / 3)])
def test_healthy_slices_change_nothing_of_dice(n_rows: int, dice: float) -> None:
    assert score(n_rows, MIXED)[1] == pytest.approx(dice)
    assert score(n_rows, Drawn("abb", [True] * 3))[1] == pytest.approx(dice)


def test_without_a_nodule_there_is_a_loss_and_no_dice() -> None:
    loss, dice = score(1, Drawn("hhk", [False] * 3))
    assert loss == 0.25
    assert math.isnan(dice)


def test_predictions_are_the_first_channel_and_say_of_which_rows() -> None:
    found = list(predict(Constant(1), MIXED, 3, make_fabric("cpu")))  # type: ignore[arg-type]
    assert [one.indices for one in found] == [[1, 3, 5], [7], [0, 2, 4], [6]]
    for one in found:
        width = int(MIXED.rows.groups[one.indices[0]][2:])
        assert one.nodule.shape == one.probability.shape == (len(one.indices), SIZE, width)
        np.testing.assert_array_equal(one.probability, one.nodule * 0.5 + width)
        assert one.nodule.any(axis=(1, 2)).tolist() == [MIXED.with_nodule[i] for i in one.indices]
        ((boxes, scores), *_) = one.detections or []
        assert (boxes.dtype, boxes.shape, scores.tolist()) == (np.float64, (1, 4), [0.5])


def test_slice_dice_by_hand() -> None:
    nodule = torch.zeros(4, 1, 2, 2, dtype=torch.uint8)
    nodule[:2, 0, 0] = torch.tensor([1, 2], dtype=torch.uint8)
    probability = torch.zeros(4, 1, 2, 2)
    probability[[0, 3], 0, :, 0] = 0.5
    found = slice_dice(probability, nodule).tolist()
    assert found[:2] == [0.5, 0.0]
    assert all(math.isnan(value) for value in found[2:])


def test_patients_count_once_and_only_with_scores() -> None:
    scores = np.array([1.0, 1.0, math.nan, 1.0, 0.0, math.nan])
    assert patient_mean(scores, ["a", "a", "a", "a", "b", "c"]) == 0.5
    assert math.isnan(patient_mean(scores[2:3], ["a"]))
