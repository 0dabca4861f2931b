"""What the captions of the tables say of scores, intervals, tests and thresholds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lungaug.evaluation.chosen_by import FALLBACK
from lungaug.evaluation.layout import View
from lungaug.evaluation.paired import PATIENTS, Test, least_patients

_CONVENTIONS = {
    "standard": "Convention 'standard': what is undefined stays so, and two empty masks agree.",
    "reference": (
        "Convention 'reference': the published formulas; an empty prediction has precision 1."
    ),
}


def caption(tested: Mapping[str, int], view: View, absent: list[str]) -> str:
    """What the reader must know to read the main table.

    Args:
        tested: number of test patients by Lung-RADS class.
        view: how scores are shown.
        absent: Lung-RADS classes without a tested lesion.
    """
    counts = ", ".join(f"{name or 'unknown'} {n}" for name, n in sorted(tested.items()))
    text = (
        f"Test patients by class: {counts}. {_CONVENTIONS[view.convention]} "
        f"{threshold_words(view.threshold, view.unchosen)} "
        "Dice, IoU, precision, recall and the rate of empty "
        "predictions are over slices with a nodule; lesion sensitivity is the share of lesions on "
        "slices that are hit (by an IoU of at least evaluate.hit_iou, 0.1 unless set, with the "
        "predicted components that touch it); false positives are components that touch none, on "
        "all slices; specificity is the share of slices without a nodule where nothing is "
        "predicted, and false area what is predicted on them. HD95 is the 95 % Hausdorff distance "
        "of the outlines and ASD their average distance, the lower the better, over slices where "
        "a nodule is and something is predicted: a missed nodule has none, and without known "
        "spacing there are no mm. Slices, then seeds, are averaged within a patient; brackets are "
        f"{100 * view.level:g} % intervals over patients within Lung-RADS classes (random weights, "
        "and half a patient more at the bound of the score), given from "
        f"{view.minimum} patients on; those of scores cover no other training. Pooled weighs "
        f"patients equally, macro classes. {words_of_tests(view.test, view.level)}"
    )
    if absent:
        text += f" No tested lesion of class {', '.join(absent)}: macro is over the others."
    return text + patient_words(view.pseudo_patients)


_TESTS = {
    "sign_flip": (
        "signs of patients are flipped, which tests symmetry: rare large losses among small gains "
        "make p too small"
    ),
    "bounded": (
        "Gaffke's bound for differences between -1 and 1, which holds whatever their law and needs "
        "large differences or many patients"
    ),
}


def words_of_tests(test: Test, level: float) -> str:
    """Return what differences, their intervals and p say, and of what they say nothing.

    Args:
        test: of the pooled Dice.
        level: of the intervals.
    """
    least = least_patients(level)
    needed = f" (from {least} patients on)" if test == "sign_flip" else ""
    return (
        f"Differences: the bracket{needed} is the inverse of the test and leaves out 0 exactly "
        f"where the uncorrected p is at most {1 - level:g}; {_TESTS[test]}. Where both arms have "
        "two seeds or more, p is the larger of that and of a t test that takes patients and "
        f"trainings as drawn. Marked ({PATIENTS}): an arm has one training, so p and bracket cover "
        "the patients only, and another training may turn the difference round. Holm's correction "
        "is over all p of this run: every segmenter, arm and baseline. Classes are descriptive."
    )


def patient_words(pseudo: bool) -> str:
    """What a patient is where the data name none; behind other text."""
    told = (
        " Patients are pseudo-patients told by the outline of the body: one person may be two of "
        "them, so that intervals may be too short and p too small."
    )
    return told if pseudo else ""


def threshold_words(threshold: float | None, unchosen: Sequence[str] = ()) -> str:
    """Who chose the threshold of the predicted masks.

    Args:
        threshold: the setting; None where it is chosen.
        unchosen: the folds in which there was nothing to choose it on.
    """
    if threshold is None and unchosen:
        return (
            f"In fold {', '.join(unchosen)} no validation slice has a nodule: the threshold there "
            f"is {FALLBACK:g}, chosen by nothing; that of other trainings was chosen on their "
            "validation patients."
        )
    if threshold is None:
        return "Each training's threshold was chosen on its validation patients."
    return f"A pixel is nodule from probability {threshold:g} on, fixed beforehand."
