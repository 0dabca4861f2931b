"""Which trainings a configuration asks for."""

from __future__ import annotations

from typing import Any

import pytest

from lungaug import configuration, grid
from lungaug.errors import SettingError

SCHEMA = configuration.load_schema()
PLAIN = {"encoder": "plain"}


def plan(**config: Any) -> tuple[list[grid.Training], list[grid.Training]]:
    """All trainings, and those of the main tables."""
    full = configuration.checked(
        {"source": {"kind": "phantom"}, "seeds": 1, "arms": ["none", "metalung"], **config}, SCHEMA
    )
    arms = configuration.arms(full, SCHEMA)
    return grid.trainings(full, arms), grid.main_trainings(full, arms)


def test_folds_arms_segmenters_and_seeds_are_multiplied() -> None:
    split = {"mode": "cross_validation", "folds": 3}
    everything, main = plan(split=split, segmenters=["unet", "deeplabv3"], seeds=2)
    assert everything == main
    assert len(set(main)) == len(main) == 3 * 2 * 2 * 2
    assert ("cv2", "metalung", "deeplabv3", 1) in main


def test_pairs_of_the_grid_are_added_once() -> None:
    pairs = {"arms": ["none", "mirror"], "segmenters": ["unet", "maskrcnn"]}
    _, main = plan(grid=[pairs])
    names = [(training.arm, training.segmenter) for training in main]
    assert len(names) == 5
    assert set(names) == {
        ("none", "unet"),
        ("metalung", "unet"),
        ("mirror", "unet"),
        ("none", "maskrcnn"),
        ("mirror", "maskrcnn"),
    }


def test_learning_curves_have_folds_and_arms_of_their_own() -> None:
    everything, main = plan(
        learning_curve={"shares": [25, 100], "ratios": [0.5]}, segmenters=["unet", "segformer"]
    )
    assert len(main) == 4
    assert set(everything) - set(main) == {
        ("fixed_25", "none", "unet", 0),
        ("fixed_25", "metalung", "unet", 0),
        ("fixed", "metalung@0.5", "unet", 0),
    }


def test_learning_curves_of_chosen_arms() -> None:
    everything, main = plan(learning_curve={"shares": [50], "arms": ["none"]})
    assert set(everything) - set(main) == {("fixed_50", "none", "unet", 0)}


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"grid": [{"arms": ["mirorr"], "segmenters": ["unet"]}]}, ["arms", "mirorr"]),
        ({"grid": [{"arms": ["mirror"], "segmenters": ["unett"]}]}, ["grid", "unett"]),
        ({"grid": [{"arms": ["mirror"]}]}, ["grid[0].segmenters", "missing"]),
        (
            {"grid": [{"arms": ["mirror"], "segmenters": ["maskrcnn"]}]},
            ["maskrcnn is not trained with 'none'"],
        ),
        ({"learning_curve": {"shares": [0]}}, ["learning_curve.shares", "got 0", "1 to 100"]),
        ({"learning_curve": {"ratios": [0]}}, ["learning_curve.ratios", "above 0"]),
        ({"learning_curve": {"arms": ["blur"]}}, ["learning_curve.arms", "blur", "metalung"]),
        ({"train_segmenter": {"per_segmenter": {"unett": {}}}}, ["per_segmenter", "unett"]),
        (
            {"segmenters": ["maskrcnn"], "arms": ["none", "copypaste"]},
            ["segmenters[0]", "maskrcnn", "accepted first: unet"],
        ),
        (
            {"segmenters": ["unet", "deeplabv3"], "train_segmenter": {"network": PLAIN}},
            ["per_segmenter.deeplabv3.network.encoder", "missing", "'plain'"],
        ),
        (
            {"segmenters": ["maskrcnn"], "train_segmenter": {"network": {"encoder": "vgg11"}}},
            ["per_segmenter.maskrcnn.network.encoder", "'vgg11'", "resnet18"],
        ),
        (
            {"presence": True, "select": {"train": {"which": "nodule"}}},
            ["select.train.which", "presence", "nodule_and_healthy"],
        ),
        (
            {"train_segmenter": {"network": {"weights": "no/such.pt"}}},
            ["train_segmenter.network.weights", "no/such.pt", "a file that exists"],
        ),
        (
            {"train_segmenter": {"per_segmenter": {"unet": {"training": {"devices": 3}}}}},
            ["per_segmenter.unet.training.batch_size", "got 8", "multiple of the 3"],
        ),
        (
            {"train_segmenter": {"per_segmenter": {"unet": {"training": {"stps": 1}}}}},
            ["per_segmenter.unet.training.stps", "unknown setting"],
        ),
    ],
)
def test_a_fault_is_one_line_for_its_author(config: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(SettingError) as caught:
        plan(**config)
    assert all(word in str(caught.value) for word in words), caught.value


def test_the_name_of_a_fold_says_its_share() -> None:
    assert grid.share_of("cv3_25") == ("cv3", 25)
    assert grid.share_of("fixed") == ("fixed", 100)
    assert grid.share_of(grid.fold_of_share("fixed", 10)) == ("fixed", 10)
    with pytest.raises(ValueError, match="fixed_<percent>"):
        grid.share_of("all_25")


def test_settings_of_one_segmenter_stand_in_place_of_the_general_ones() -> None:
    general = {"encoder": "plain", "inner": {"a": 1, "b": 2}}
    own = {"inner": {"b": 3}, "weights": None}
    merged = configuration.merged(general, own)
    assert merged == {"encoder": "plain", "inner": {"a": 1, "b": 3}, "weights": None}
    assert general["inner"] == {"a": 1, "b": 2}
