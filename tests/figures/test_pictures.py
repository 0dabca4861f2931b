"""Pictures of predictions: every arm beside the reference, probabilities with their scale."""

from __future__ import annotations

import numpy as np

from lungaug.figures.pictures import PredictedSlice, predictions_figure

ARMS = ("none", "online", "gaussian+mirror+noise_slice")


def example() -> PredictedSlice:
    image = np.full((40, 60), 0.5)
    reference = np.zeros(image.shape, bool)
    reference[10:14, 20:24] = True
    probability = np.where(reference, 0.9, 0.1)
    return PredictedSlice(
        "LR2, median",
        image,
        reference,
        dict.fromkeys(ARMS, probability),
        dict.fromkeys(ARMS, probability > 0.5),
        dict.fromkeys(ARMS, 0.5),
        dict.fromkeys(ARMS, "Dice 1.00"),
    )


def test_every_arm_has_a_difference_and_a_probability_on_one_scale() -> None:
    figure = predictions_figure([example(), example()])
    pictures, bar = figure.axes[:-1], figure.axes[-1]
    assert len(pictures) == 2 * 2 * (1 + len(ARMS))
    assert bar.get_ylabel() == "probability"
    above, below = pictures[:4], pictures[4:8]
    titles = [axis.get_title(loc="left") for axis in above]
    assert titles[1:] == [
        "none\nDice 1.00",
        "online\nDice 1.00",
        "gaussian+mirror+\nnoise_slice\nDice 1.00",
    ]
    shown = [axis.images[0] for axis in below[1:]]
    assert [image.get_clim() for image in shown] == [(0, 1)] * 3
    assert {float(image.get_array().max()) for image in shown} == {0.9}
