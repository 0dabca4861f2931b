"""What is missing is said before anything costs time, with the numbers and the settings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lungaug.census import find_patients
from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.insertion.hosts import HostSettings
from lungaug.stages import check_cohort as check
from lungaug.stages.check_cohort import Selection, Settings
from lungaug.stages.select import Choice
from lungaug.store import SliceWriter
from small_cohort import MADE_BY, N_SLICES, SIDE, WITH_NODULE, SmallCohort, fields_of, pixels

NOBODY_LOOKED, HEALTHY, UNSIZED = "nobody looked", "healthy", "unsized"


def run(cohort: SmallCohort, folds: tuple[str, ...] = ("fixed",), **settings: object) -> Path:
    output = cohort.root / "check_cohort.tsv"
    check.run(
        preprocess=cohort.preprocess, splits=[cohort.split], folds=list(folds), output=output,
        settings=Settings(**settings), provenance=MADE_BY,  # type: ignore[arg-type]
    )  # fmt: skip
    return output


def rewrite(cohort: SmallCohort, kinds: dict[str, str]) -> None:
    """Write the cohort anew, with patients of other kinds."""
    for path, names in zip(
        cohort.preprocess, (("p0", "p2", "p4"), ("p1", "p3", "p5")), strict=True
    ):
        ingest = cohort.root / "ingest" / path.name
        rows = {name: (fields_of(name, "LR2"), *pixels(name)) for name in names}
        for name, (fields, _, nodule) in rows.items():
            fields["diameter_mm"][[i for i in range(N_SLICES) if i not in WITH_NODULE]] = 0
            kind = kinds.get(name, "")
            if kind:
                fields["diameter_mm"] = 0 if kind == HEALTHY else np.nan
                nodule[:] = nodule if kind == UNSIZED else 0
            if kind == UNSIZED:
                fields["spacing_mm"] = np.nan
        with SliceWriter(ingest, MADE_BY) as writer:
            for fields, hu, nodule in rows.values():
                writer.append(fields, hu=hu, nodule=nodule)
        with SliceWriter(path, MADE_BY, parent=ingest) as writer:
            for fields, *_ in rows.values():
                writer.append(fields, lung=np.ones((N_SLICES, SIDE, SIDE), np.uint8))


TRAINING = ("p0", "p1", "p2", "p3")


def test_a_cohort_with_enough_is_a_table_of_numbers(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, {"p0": HEALTHY})
    table = read_table(run(cohort, hosts=HostSettings(distance_mm=0), min_diameter_mm=3.0))
    assert tuple(table.columns) == check.COLUMNS
    train = table[table["role"] == "train"].iloc[0]
    healthy = N_SLICES - len(WITH_NODULE)
    assert (train["patients"], train["with_nodule"], train["unseen"]) == (
        4,
        3 * len(WITH_NODULE),
        0,
    )
    assert train["healthy"] == train["hosts"] == N_SLICES + 3 * healthy


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (HEALTHY, "4 without any nodule, with 24 healthy slices"),
        (
            NOBODY_LOOKED,
            r"4 without a mask or contour that matched \(ingest.unannotated is unknown",
        ),
    ],
)
def test_no_nodule_to_train_on_has_a_cause(tmp_path: Path, kind: str, cause: str) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, dict.fromkeys(TRAINING, kind))
    with pytest.raises(InputError, match=f"no training slice has a nodule: 4 patients, {cause}"):
        run(cohort)
    assert not (tmp_path / "check_cohort.tsv").exists()


def test_advice_is_never_what_is_so_already(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, {"p4": NOBODY_LOOKED})
    with pytest.raises(InputError, match="no slice for validation") as raised:
        run(cohort)
    assert "select.evaluate.which is nodule_and_healthy" in str(raised.value)
    assert "accepted: nodule_and_healthy" not in str(raised.value)
    rewrite(cohort, {"p5": HEALTHY})
    chosen = Selection(evaluate=Choice("nodule"))
    with pytest.raises(InputError, match=r"no slice for test.*accepted: nodule_and_healthy or all"):
        run(cohort, select=chosen)
    run(cohort)


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, dict.fromkeys((*TRAINING, "p5"), NOBODY_LOOKED))
    with pytest.raises(InputError, match=r"(?s)no training slice has a nodule.*no slice for test"):
        run(cohort)


def test_generators_need_a_spacing_a_size_and_hosts(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, dict.fromkeys(TRAINING, UNSIZED))
    generators = {"hosts": HostSettings(), "min_diameter_mm": 3.0}
    run(cohort)
    with pytest.raises(InputError) as raised:
        run(cohort, **generators)
    assert "none of 8 training slices with a nodule has a known spacing" in str(raised.value)
    assert "ingest.assumed_spacing_mm is null" in str(raised.value)
    rewrite(cohort, {})
    with pytest.raises(InputError, match=r"has 5\.0 mm, but .* rois\.min_diameter_mm, 9, on"):
        run(cohort, hosts=HostSettings(distance_mm=0), min_diameter_mm=9.0)
    with pytest.raises(InputError, match=r"insert\.hosts\.distance_mm below 1000") as raised:
        run(cohort, hosts=HostSettings(distance_mm=1000.0), min_diameter_mm=3.0)
    assert "16 slices have lungs and no nodule" in str(raised.value)


def test_presence_needs_slices_of_both_kinds(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, {"p4": HEALTHY})
    run(cohort)
    message = r"presence needs validation slices .* 0 with, 6 without"
    with pytest.raises(InputError, match=message):
        run(cohort, presence=True)


def test_only_the_folds_that_train_count(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, {"p0": HEALTHY})
    share = {p: r for p, r in cohort.roles.items() if p not in ("p1", "p2", "p3")}
    split = read_table(cohort.split)
    cohort.split = cohort.write_split("fixed_25", share, split)
    run(cohort)
    with pytest.raises(InputError, match="fold fixed_25: no training slice has a nodule"):
        run(cohort, folds=("fixed", "fixed_25"))


def test_a_nodule_without_size_is_seen_in_the_pixels(tmp_path: Path) -> None:
    cohort = SmallCohort(tmp_path)
    rewrite(cohort, {"p0": UNSIZED, "p1": NOBODY_LOOKED})
    found = find_patients(cohort.preprocess)
    assert (found["p0"].nodule, found["p0"].nodule_without_mm) == (2, 2)
    assert (found["p1"].nodule, found["p1"].unseen) == (0, N_SLICES)
