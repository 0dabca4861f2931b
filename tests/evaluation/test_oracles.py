"""Scores against MONAI's, torchmetrics' and COCO's own.

All in one module, since MONAI takes long to import.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from lungaug.evaluation.counts import count, distances_mm
from lungaug.evaluation.detection import (
    RECALLS,
    References,
    average_precision,
    froc_curve,
    match_boxes,
)
from lungaug.evaluation.metrics import overlap_scores

Mask = NDArray[np.bool_]


class Oracles(NamedTuple):
    torch: ModuleType
    monai: ModuleType
    average_precision: Any


@pytest.fixture(scope="module")
def oracles() -> Iterator[Oracles]:
    """Imported once, with whatever they warn of on the way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import monai.metrics
        import torch
        from torchmetrics.detection import MeanAveragePrecision

        yield Oracles(torch, monai.metrics, MeanAveragePrecision)


def square(top: int, left: int, side: int, shape: tuple[int, int] = (24, 20)) -> Mask:
    drawn = np.zeros(shape, bool)
    drawn[top : top + side, left : left + side] = True
    return drawn


def pairs() -> list[tuple[str, Mask, Mask]]:
    """Prediction and reference: the cases that go wrong, and random ones."""
    empty, one, block = square(0, 0, 0), square(7, 3, 1), square(5, 4, 6)
    cases = [
        ("equal", block, block),
        ("shifted", square(7, 9, 6), block),
        ("apart", square(17, 14, 4), block),
        ("one pixel each", one, square(20, 19, 1)),
        ("one pixel inside", square(7, 7, 1), block),
        ("whole slice", ~empty, block),
        ("nothing predicted", empty, block),
        ("nothing there", block, empty),
        ("both empty", empty, empty),
    ]
    rng = np.random.default_rng(0)
    for share in (0.02, 0.1, 0.3, 0.6, 0.9):
        for k in range(3):
            masks = rng.random((2, 24, 20)) < share
            cases.append((f"random {share} {k}", masks[0], masks[1]))
    return cases


CASES = pytest.mark.parametrize(
    ("prediction", "reference"), [c[1:] for c in pairs()], ids=[c[0] for c in pairs()]
)


def tensors(oracles: Oracles, *masks: Mask) -> list[Any]:
    """(1, 1, H, W) each."""
    return [oracles.torch.from_numpy(mask[None, None].astype(np.float32)) for mask in masks]


@CASES
def test_dice_and_iou_are_monais(oracles: Oracles, prediction: Mask, reference: Mask) -> None:
    counts = count(prediction, reference)
    pixels = counts.reference_px, counts.predicted_px, counts.intersection_px
    ours = overlap_scores("standard", *([n] for n in pixels))
    for metric, name in ((oracles.monai.DiceMetric, "dice"), (oracles.monai.MeanIoU, "iou")):
        theirs = metric(include_background=True, ignore_empty=False)(
            *tensors(oracles, prediction, reference)
        )
        assert ours[name][0] == pytest.approx(float(theirs), abs=1e-6)


@CASES
@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.6, 0.6), (0.5, 2.0)])
def test_distances_are_monais(
    oracles: Oracles, prediction: Mask, reference: Mask, spacing: tuple[float, float]
) -> None:
    found = distances_mm(prediction, reference, spacing)
    theirs = {
        "hd95_mm": oracles.monai.HausdorffDistanceMetric(include_background=True, percentile=95),
        "asd_mm": oracles.monai.SurfaceDistanceMetric(include_background=True, symmetric=True),
    }
    if not (prediction.any() and reference.any()):
        assert np.isnan([found.hd95_mm, found.asd_mm]).all()  # MONAI has NaN or infinity
        return
    for name, metric in theirs.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # of MONAI's own argument
            value = float(metric(*tensors(oracles, prediction, reference), spacing=spacing))
        assert getattr(found, name) == pytest.approx(value, rel=1e-6, abs=1e-6)


class Image(NamedTuple):
    boxes: NDArray[np.float64]  # (K, 4)
    scores: NDArray[np.float64]  # (K,)
    references: References


def random_boxes(rng: np.random.Generator, n: int) -> NDArray[np.float64]:
    corner, size = rng.integers(0, 20, (n, 2)), rng.integers(2, 9, (n, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float64)


def random_image(rng: np.random.Generator) -> Image:
    """None to four lesions, found with jitter, some twice, some not, and false positives."""
    lesions = random_boxes(rng, int(rng.integers(0, 5)))
    found = [lesions[rng.random(len(lesions)) < share] for share in (0.8, 0.4)]
    jittered = np.concatenate(found) + rng.integers(-1, 2, (sum(map(len, found)), 4)) / 2
    boxes = np.concatenate([jittered, random_boxes(rng, int(rng.integers(0, 4)))])
    # Halves are exact in float32 too, in which torchmetrics computes; scores all differ.
    scores = rng.permutation(1000)[: len(boxes)] / 1024 + rng.integers(0, 1000) / 2**21
    return Image(boxes, scores, References(np.arange(1, len(lesions) + 1), lesions))


def ours(images: list[Image]) -> float:
    matched = [match_boxes(i.boxes, i.scores, i.references) > 0 for i in images]
    n_reference = sum(len(i.references.labels) for i in images)
    scores = np.concatenate([i.scores for i in images])
    return average_precision(scores, np.concatenate(matched), n_reference)


def theirs(oracles: Oracles, images: list[Image]) -> float:
    torch = oracles.torch

    def as_xyxy(boxes: NDArray[np.float64]) -> Any:
        return torch.tensor(boxes[:, [1, 0, 3, 2]], dtype=torch.float32)

    # Of torchmetrics' own recalls, in float32, some exceed the hundredths that they stand for.
    metric = oracles.average_precision(iou_thresholds=[0.5], rec_thresholds=RECALLS.tolist())
    predictions, targets = [], []
    for image in images:
        scores = torch.tensor(image.scores, dtype=torch.float32)
        labels = torch.zeros(len(scores), dtype=torch.int64)
        predictions.append({"boxes": as_xyxy(image.boxes), "scores": scores, "labels": labels})
        labels = torch.zeros(len(image.references.labels), dtype=torch.int64)
        targets.append({"boxes": as_xyxy(image.references.boxes), "labels": labels})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metric.update(predictions, targets)
        return float(metric.compute()["map"])


@pytest.mark.parametrize("seed", range(20))
def test_average_precision_is_torchmetrics(oracles: Oracles, seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [random_image(rng) for _ in range(8)]
    found = ours(images)
    assert 0 < found < 1
    assert found == pytest.approx(theirs(oracles, images), abs=1e-6)


def test_average_precision_with_equal_scores_and_equal_overlaps(oracles: Oracles) -> None:
    rng = np.random.default_rng(0)
    images = [random_image(rng) for _ in range(8)]
    images = [i._replace(scores=np.ceil(i.scores * 4) / 4) for i in images]
    assert ours(images) == pytest.approx(theirs(oracles, images), abs=1e-6)


def test_average_precision_of_empty_slices(oracles: Oracles) -> None:
    lesion = References(np.array([1]), np.array([[2.0, 2, 6, 6]]))
    none = References(np.zeros(0, np.int64), np.zeros((0, 4)))
    nothing, box = np.zeros((0, 4)), np.array([[2.0, 2, 6, 5]])
    images = [
        Image(nothing, np.zeros(0), lesion),
        Image(box, np.array([0.75]), none),
        Image(nothing, np.zeros(0), none),
        Image(box, np.array([0.5]), lesion),
    ]
    assert ours(images) == pytest.approx(theirs(oracles, images), abs=1e-6)
    missed = images[:3]
    assert ours(missed) == theirs(oracles, missed) == 0


def test_froc_points_are_monais(oracles: Oracles) -> None:
    rng = np.random.default_rng(0)
    scores, hits = rng.permutation(200) / 200, rng.random(200) < 0.4
    false, true = froc_curve(scores, hits.astype(int), n_reference=100, n_slices=30)
    points = oracles.monai.compute_froc_curve_data(
        fp_probs=scores[~hits], tp_probs=scores[hits], num_targets=100, num_images=30
    )
    # MONAI leaves out the last point, where all detections count.
    assert np.allclose(np.stack([false, true])[:, -2::-1], points, atol=1e-12)
