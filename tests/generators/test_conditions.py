"""What a generator may be asked for, and how its networks are told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from generators.small_crops import blobs
from lungaug.crops import Conditions
from lungaug.errors import InputError
from lungaug.generators.conditions import Embedding, Seen

CROPS = blobs(30)
SEEN = Seen.of(CROPS, 10)


def asked(diameter: float = 9.0, kind: str = "solid", lung_rads: str = "LR2") -> Conditions:
    values = (np.array([diameter], np.float32), np.array([kind]), np.array([lung_rads]))
    return Conditions(*values)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"kind": "calcified"}, "nodule type 'calcified'.*accepted: solid, part_solid"),
        ({"lung_rads": "LR4B"}, "class 'LR4B'.*accepted: LR2, LR3"),
        ({"diameter": 40.0}, r"diameter 40\.0 mm.*accepted"),
        ({"diameter": 2.0}, r"diameter 2\.0 mm"),
        ({"diameter": float("nan")}, "diameter nan mm"),
    ],
)
def test_a_condition_never_seen_is_refused_by_name(change: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        SEEN.check(asked(**change))  # type: ignore[arg-type]


def test_what_was_seen_or_is_near_it_is_accepted() -> None:
    SEEN.check(CROPS)
    SEEN.check(asked(diameter=float(CROPS.diameter_mm.max()) * 1.15))


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_a_crop_without_a_diameter_is_named(value: float) -> None:
    diameters = CROPS.diameter_mm.copy()
    diameters[3] = value
    with pytest.raises(InputError, match="crop 3 of p3/s0/0003: diameter"):
        Seen.of(replace(CROPS, diameter_mm=diameters), 10)


def test_no_crops_are_refused() -> None:
    with pytest.raises(InputError, match="no crops"):
        Seen.of(CROPS.take(np.zeros(0, np.int64)), 10)


def test_features_are_bounded_and_one_hot() -> None:
    features = SEEN.features(CROPS)
    assert features.shape == (30, SEEN.n_features)
    assert features[:, 0].min() == pytest.approx(-1, abs=1e-6)
    assert features[:, 0].max() == pytest.approx(1, abs=1e-6)
    assert (features[:, 1:4].sum(1) == 1).all()
    assert (features[:, 4:].sum(1) == 1).all()


def test_crops_of_one_size_do_not_send_a_like_size_far_away() -> None:
    same = replace(CROPS, diameter_mm=np.full(30, 8, np.float32))
    features = Seen.of(same, 10).features(asked(diameter=9.0))
    assert features[0, 0].abs() < 2


def test_seen_survives_its_state() -> None:
    assert Seen.from_state(SEEN.state()) == SEEN


def test_too_few_crops_are_unconditional_and_say_so() -> None:
    few = Seen.of(CROPS, 31)
    assert few.note(30, 31) == "unconditional: 30 nodules, fewer than min_nodules 31"
    assert SEEN.note(30, 10) == ""
    embedding = Embedding(few, 4, 0.0)
    torch.nn.init.normal_(embedding.any)
    vectors = embedding(few.features(CROPS))
    assert (vectors == vectors[0]).all()


def test_dropout_replaces_whole_conditions_in_training_only() -> None:
    torch.manual_seed(0)
    embedding = Embedding(SEEN, 4, 0.5)
    torch.nn.init.constant_(embedding.any, 7.0)
    features = SEEN.features(CROPS)
    hidden = (embedding(features) == 7.0).float().mean(1)
    assert set(hidden.tolist()) == {0.0, 1.0}
    assert 0.2 < hidden.mean() < 0.8
    assert not (embedding.eval()(features) == 7.0).any()


def test_two_networks_can_hide_the_same_conditions() -> None:
    torch.manual_seed(0)
    first, second = Embedding(SEEN, 4, 0.5), Embedding(SEEN, 4, 0.5)
    features = SEEN.features(CROPS)
    hidden = first.hidden(features)
    both = [embedding(features, hidden) == embedding.any for embedding in (first, second)]
    assert torch.equal(both[0], both[1])
    assert torch.equal(both[0].all(1), hidden[:, 0])
