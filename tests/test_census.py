"""What the division decides on: slices of a patient counted over files and stacks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungaug.census import Found, find_patients
from lungaug.errors import InputError
from lungaug.store import SliceWriter
from small_cohort import MADE_BY, N_SLICES, SIDE, fields_of, write_preprocess


def preprocessed(root: Path, name: str, fields: np.ndarray, nodule_on: tuple[int, ...]) -> Path:
    """A preprocess file of one patient with these nodules in its pixels."""
    nodule = np.zeros((N_SLICES, SIDE, SIDE), np.uint8)
    nodule[list(nodule_on), 5, 5] = 1
    hu = np.zeros(nodule.shape, np.int16)
    ingest = root / f"ingest/{name}.h5"
    with SliceWriter(ingest, MADE_BY) as writer:
        writer.append(fields, hu=hu, nodule=nodule)
    return write_preprocess(root / f"preprocess/{name}.h5", ingest)


def test_every_count_of_a_patient(tmp_path: Path) -> None:
    """Slices 2 and 3 have a diameter; on 1 nobody looked, on 5 no lungs were found."""
    fields = fields_of("p0", "LR2")
    fields["diameter_mm"] = [0, np.nan, 5, 7, 0, 0]
    fields["status"][5] = b"no_lung"
    path = preprocessed(tmp_path, "b00", fields, (2, 3))
    wanted = Found("LR2", 6, lungs=5, nodule=2, unseen=1, healthy=2, largest_mm=7.0)
    assert find_patients([path]) == {"p0": wanted}


@pytest.mark.parametrize("axes", [[0], [1], [0, 1]])
def test_without_spacing_the_pixels_say_where_a_nodule_is(tmp_path: Path, axes: list[int]) -> None:
    """A spacing that is known in one direction only gives no diameter."""
    fields = fields_of("p0", "")
    fields["diameter_mm"] = [0, np.nan, np.nan, 0, 0, 0]
    fields["spacing_mm"][1:3, axes] = np.nan
    path = preprocessed(tmp_path, "b00", fields, (2,))
    wanted = Found("", 6, 6, nodule=1, nodule_without_mm=1, unseen=1, healthy=4, without_mm=2)
    assert find_patients([path]) == {"p0": wanted}


def test_a_patient_has_the_highest_class_and_the_largest_nodule_of_all_scans(
    tmp_path: Path,
) -> None:
    mixed = fields_of("p0", "LR2")
    mixed["lung_rads"][4] = b"LR4A"
    mixed["diameter_mm"][2] = 9
    healthy = fields_of("p0", "LR1")
    healthy["series"], healthy["diameter_mm"] = b"s1", 0
    paths = [
        preprocessed(tmp_path, "b00", mixed, (2, 3)),
        preprocessed(tmp_path, "b01", healthy, ()),
    ]
    wanted = Found("LR4A", 12, lungs=12, nodule=2, healthy=10, largest_mm=9.0)
    assert find_patients(paths) == {"p0": wanted}
    assert find_patients(paths[::-1]) == {"p0": wanted}


def test_a_class_that_lung_rads_does_not_have_is_refused(tmp_path: Path) -> None:
    path = preprocessed(tmp_path, "b00", fields_of("p0", "LR9"), ())
    with pytest.raises(InputError, match=r"p0: Lung-RADS 'LR9'; accepted: LR1, "):
        find_patients([path])
