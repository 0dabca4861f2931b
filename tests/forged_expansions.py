"""Expansion files with true and with forged lineage, made by the operations themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lungaug.metalung.operations import OPERATIONS, Inapplicable, rng_for
from lungaug.stages import select
from small_cohort import MADE_BY, WITH_NODULE, SmallCohort, derived

HONEST = {"b00": ("p0", "p2"), "b01": ("p1", "p3")}

Row = tuple[np.void, np.ndarray, np.ndarray]


def result(
    cohort: SmallCohort, operation: str, patient: str, index: int, claimed: str | None = None
) -> Row:
    """A result of an operation on a patient's slice, said to come from ``claimed``."""
    fields, hu, nodule = cohort.slice(patient, index)
    chosen = OPERATIONS[operation]
    parameters = chosen.draw(
        hu,
        nodule,
        np.ones_like(nodule),
        settings=chosen.settings(),
        rng=rng_for(0, f"{patient}/{index}", operation, 0),
    )
    assert not isinstance(parameters, Inapplicable)
    host = fields if claimed is None else cohort.slice(claimed, index)[0]
    return derived(host, operation, parameters), *chosen.apply(hu, nodule, parameters)


def expand(cohort: SmallCohort, operation: str, *more: Row) -> list[Path]:
    """The files of one operation: the training patients' results, and ``more`` in the first."""
    paths = []
    for batch, patients in HONEST.items():
        rows = [result(cohort, operation, p, i) for p in patients for i in WITH_NODULE]
        paths.append(cohort.write_expansion(operation, batch, [*rows, *more]))
        more = ()
    return paths


def choose(cohort: SmallCohort, fold: str = "fixed") -> Path:
    """``slices.tsv`` of a fold."""
    output = cohort.root / fold / "slices.tsv"
    select.run(
        preprocess=cohort.preprocess,
        split=cohort.split,
        fold=fold,
        output=output,
        root=cohort.root,
        settings=select.Settings(),
        provenance=MADE_BY,
    )
    return output
