"""What preprocess found of every patient: what the division and the check behind it decide on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.errors import InputError
from lungaug.store import SliceFile, Stack

WITH_LUNGS = (b"ok", b"one_lung")


@dataclass(frozen=True)
class Found:
    """Slices of a patient, counted.

    Attributes:
        lung_rads: the highest class of the slices; '' where unknown.
        slices: all of them.
        lungs: those on which lungs were found.
        nodule: those with a nodule.
        nodule_without_mm: those of them whose spacing is unknown.
        unseen: those where nobody looked for nodules.
        healthy: those with lungs, without a nodule, where somebody looked.
        without_mm: those whose spacing is unknown.
        largest_mm: largest diameter of a nodule on a slice; 0 where there is none, or none known.
    """

    lung_rads: str = ""
    slices: int = 0
    lungs: int = 0
    nodule: int = 0
    nodule_without_mm: int = 0
    unseen: int = 0
    healthy: int = 0
    without_mm: int = 0
    largest_mm: float = 0.0

    def __add__(self, other: Found) -> Found:
        counts = ("slices", "lungs", "nodule", "nodule_without_mm", "unseen", "healthy")
        summed = {n: getattr(self, n) + getattr(other, n) for n in (*counts, "without_mm")}
        order = ("", *CLASSES)
        highest = max(self.lung_rads, other.lung_rads, key=order.index)
        return Found(highest, largest_mm=max(self.largest_mm, other.largest_mm), **summed)


def find_patients(preprocess: Iterable[Path]) -> dict[str, Found]:
    """Count the slices of every patient, by pseudonym.

    Args:
        preprocess: slice files with ``status``, whose parents hold the nodules.

    Raises:
        InputError: a class is unknown to Lung-RADS.
        FileFormatError: a file is damaged.
    """
    found: dict[str, Found] = {}
    for path in preprocess:
        with SliceFile(path) as file:
            for stack in file.stacks():
                one = found.get(stack.patient, Found()) + _count(file, stack)
                found[stack.patient] = one
    return found


def with_nodule(file: SliceFile, stack: Stack) -> NDArray[np.bool_]:
    """(N,) which slices of a stack have a nodule.

    A diameter says so, except where the spacing is unknown: there the pixels are looked at.
    """
    diameter = stack.slices["diameter_mm"]
    ill = np.asarray(diameter > 0)
    for row in np.flatnonzero(np.isnan(diameter) & _without_mm(stack.slices)).tolist():
        ill[row] = file.image("nodule", stack.group, stack.rows[row]).any()
    return ill


def _count(file: SliceFile, stack: Stack) -> Found:
    slices = stack.slices
    ill, without_mm = with_nodule(file, stack), _without_mm(slices)
    unseen = np.isnan(slices["diameter_mm"]) & ~ill
    lungs = np.isin(slices["status"], WITH_LUNGS)
    counted = {
        "slices": np.ones(len(slices), bool),
        "lungs": lungs,
        "nodule": ill,
        "nodule_without_mm": ill & without_mm,
        "unseen": unseen,
        "healthy": lungs & ~ill & ~unseen,
        "without_mm": without_mm,
    }
    largest = float(np.nan_to_num(slices["diameter_mm"]).max(initial=0.0))
    sums = {name: int(np.count_nonzero(which)) for name, which in counted.items()}
    return Found(_class_of(stack), largest_mm=largest, **sums)


def _without_mm(slices: NDArray[np.void]) -> NDArray[np.bool_]:
    return np.asarray(np.isnan(slices["spacing_mm"]).any(axis=1))


def _class_of(stack: Stack) -> str:
    """The highest Lung-RADS class of a stack."""
    order = ("", *CLASSES)
    names: list[str] = [name.decode() for name in np.unique(stack.slices["lung_rads"])]
    for name in names:
        if name not in order:
            accepted = ", ".join(CLASSES)
            raise InputError(f"{stack.patient}: Lung-RADS '{name}'; accepted: {accepted}")
    return max(names, key=order.index)
