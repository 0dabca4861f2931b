"""Lesions one by one: which are found, and how well each is outlined."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.counts import components

HIT_IOU = 0.1


@dataclass(frozen=True)
class Lesion:
    """One reference lesion of a slice against the predicted components that touch it."""

    label: int
    area_px: int
    predicted_px: int  # of these components, without pixels of other lesions
    intersection_px: int

    @property
    def dice(self) -> float:
        return 2 * self.intersection_px / (self.area_px + self.predicted_px)

    @property
    def iou(self) -> float:
        return self.intersection_px / (self.area_px + self.predicted_px - self.intersection_px)

    def is_hit(self, least_iou: float = HIT_IOU) -> bool:
        """Whether the lesion is found: it shares enough with what touches it.

        A pixel in common would be too lenient: a map that floods the slice would find every lesion,
        and so would a speck at the rim. IoU asks for both: part of the lesion, and little else.

        Args:
            least_iou: above 0. A rough find in the right place meets nnDetection's 0.1; how good
                its outline is, is for Dice to judge.

        References:
            Baumgartner M et al., nnDetection: a self-configuring method for medical object
            detection, MICCAI 2021.
        """
        return self.iou >= least_iou


def lesions_of(prediction: NDArray[np.bool_], nodule: NDArray[np.uint8]) -> list[Lesion]:
    """Every reference lesion of a slice.

    A lesion is compared with all predicted components that touch it. Of these, pixels of other
    lesions are left out: a component that covers two neighbours is right about both.

    Args:
        prediction: (H, W) bool.
        nodule: (H, W) labels, 0 background, k the k-th nodule.

    Returns:
        The lesions, in the order of their labels.

    Raises:
        ValueError: the shapes differ.
    """
    if prediction.shape != nodule.shape:
        raise ValueError(f"prediction {prediction.shape}; accepted: {nodule.shape}")
    labels = np.flatnonzero(np.bincount(nodule.ravel()))
    labels = labels[labels > 0]
    if not len(labels):
        return []
    found = components(prediction)
    return [_lesion(found, nodule, label) for label in labels.tolist()]


def _lesion(found: NDArray[np.int32], nodule: NDArray[np.uint8], label: int) -> Lesion:
    inside = nodule == label
    touched = found[inside]
    area, both = len(touched), int(np.count_nonzero(touched))
    if not both:
        return Lesion(label, area, 0, 0)
    chosen = np.zeros(int(found.max()) + 1, bool)
    chosen[touched] = True
    chosen[0] = False
    outside = int(np.count_nonzero(chosen[found] & (nodule == 0)))
    return Lesion(label, area, both + outside, both)
