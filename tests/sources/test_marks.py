"""From nodules to a patient's class."""

from __future__ import annotations

import math

import pytest

from lungaug.sources.marks import Marks, Nodule, class_of


def marks(*nodules: tuple[str, float], known: bool = True) -> Marks:
    rows = [Nodule(i, 1, size, 1, kind, 0.0) for i, (kind, size) in enumerate(nodules, 1)]
    return Marks(known=known, nodules=rows)


@pytest.mark.parametrize(
    ("series", "expected"),
    [
        ([marks()], "LR1"),
        ([marks(known=False)], ""),
        ([marks(), marks(("nodule", 7.0))], "LR3"),
        ([marks(("nodule", 3.5), ("nodule", 15.0))], "LR4B"),
        ([marks(("nodule", 5.0), ("small", 0.0), ("non_nodule", 0.0))], "LR2"),
        ([marks(("small", 0.0))], "LR2"),
        ([marks(("non_nodule", 0.0))], "LR1"),
        ([marks(("few_readers", 9.0))], ""),
        ([marks(("few_readers", 9.0), ("nodule", 7.0))], "LR3"),
        ([marks(("nodule", math.nan), ("nodule", 7.0))], ""),
    ],
)
def test_class_by_the_largest_nodule(series: list[Marks], expected: str) -> None:
    assert class_of(series) == expected


def test_diameter_of_a_slice() -> None:
    one = Marks(known=True, diameters_mm={3: 7.5})
    assert (one.diameter_mm(3), one.diameter_mm(4)) == (7.5, 0.0)
    assert math.isnan(Marks().diameter_mm(3))
