"""The early check names each thing that is missing, and nothing that a later stage would take."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lungaug.census import Found
from lungaug.cohort import read_table, write_rows
from lungaug.errors import InputError
from lungaug.insertion.hosts import Hosts, HostSettings
from lungaug.listing import SliceFiles
from lungaug.settings import from_mapping
from lungaug.stages import check_cohort, rois, select
from lungaug.store import SliceWriter
from small_cohort import MADE_BY, N_SLICES, fields_of, pixels

ILL = Found("LR3", slices=6, lungs=6, nodule=2, healthy=4, largest_mm=5.0)
HEALTHY = Found("LR1", slices=6, lungs=6, healthy=6)
UNSEEN = Found("LR3", slices=6, lungs=6, unseen=6)
WHOLE = {"train": [ILL, HEALTHY], "validation": [ILL, HEALTHY], "test": [ILL, HEALTHY]}


def settings(**values: Any) -> check_cohort.Settings:
    """Of check_cohort; ``train`` and ``evaluate`` go to select."""
    chosen = {name: values.pop(name) for name in ("train", "evaluate") if name in values}
    return from_mapping(check_cohort.Settings, {"select": chosen, **values})


def faults(members: dict[str, list[Found]], *, n_hosts: int = 1, **values: Any) -> list[str]:
    """What is missing in fold ``fixed``, of patients given by role."""
    found = {f"{role}{i}": one for role, of in members.items() for i, one in enumerate(of)}
    roles = {patient: patient.rstrip("0123456789") for patient in found}
    hosts = dict.fromkeys(found, n_hosts)
    groups = list(check_cohort.grouped({"fixed": roles}, found, hosts))
    return list(check_cohort.faults(groups, settings(**values)))


def only(found: list[str]) -> str:
    assert len(found) == 1, found
    return found[0]


@pytest.mark.parametrize("which", ["nodule", "nodule_and_healthy", "all"])
def test_a_whole_cohort_lacks_nothing(which: str) -> None:
    choice = {"which": which}
    generators = {"hosts": {}, "min_diameter_mm": 3.0}
    presence = which != "nodule"
    assert not faults(WHOLE, train=choice, evaluate=choice, presence=presence, **generators)


class TestNoTrainingNodule:
    def test_as_nobody_looked_for_them(self) -> None:
        said = only(faults({**WHOLE, "train": [UNSEEN, UNSEEN, HEALTHY]}))
        assert said.startswith("fold fixed: no training slice has a nodule: 3 patients, ")
        assert "2 without a mask or contour that matched (ingest.unannotated is unknown" in said
        assert "1 without any nodule, with 6 healthy slices" in said
        assert said.endswith("accepted: at least one training patient with a nodule")

    def test_as_all_are_healthy(self) -> None:
        said = only(faults({**WHOLE, "train": [HEALTHY]}, unannotated="LR1"))
        assert "1 patient, 1 without any nodule, with 6 healthy slices" in said
        assert "ingest.unannotated" not in said

    def test_the_setting_has_its_present_value(self) -> None:
        assert "ingest.unannotated is LR1" in only(
            faults({**WHOLE, "train": [UNSEEN]}, unannotated="LR1")
        )

    def test_generators_add_nothing_to_it(self) -> None:
        only(faults({**WHOLE, "train": [HEALTHY]}, hosts={}, min_diameter_mm=3.0))


class TestNoSliceForARole:
    @pytest.mark.parametrize("role", ["validation", "test"])
    @pytest.mark.parametrize("which", ["nodule", "nodule_and_healthy", "all"])
    def test_as_nobody_looked(self, role: str, which: str) -> None:
        said = only(faults({**WHOLE, role: [UNSEEN]}, evaluate={"which": which}))
        assert said.startswith(f"fold fixed: no slice for {role}: 1 patient, 1 without a mask")
        assert f"select.evaluate.which is {which}; accepted: patients whose slices" in said

    @pytest.mark.parametrize("role", ["validation", "test"])
    def test_as_only_nodules_are_taken(self, role: str) -> None:
        said = only(faults({**WHOLE, role: [HEALTHY, UNSEEN]}, evaluate={"which": "nodule"}))
        assert "select.evaluate.which is nodule; accepted: nodule_and_healthy or all" in said
        assert "with 6 healthy slices" in said

    def test_as_no_healthy_slice_is_taken(self) -> None:
        choice = {"which": "nodule_and_healthy", "healthy_per_patient": 0}
        said = only(faults({**WHOLE, "test": [HEALTHY]}, evaluate=choice))
        assert "which is nodule_and_healthy, healthy_per_patient 0; accepted: at least 1" in said

    @pytest.mark.parametrize("which", ["nodule_and_healthy", "all"])
    def test_it_never_advises_what_is_so_already(self, which: str) -> None:
        said = only(faults({**WHOLE, "test": [UNSEEN]}, evaluate={"which": which}))
        assert which not in said.rpartition("accepted:")[2]

    def test_nobody_at_all(self) -> None:
        assert "no slice for test: 0 patients" in only(faults({**WHOLE, "test": []}))

    def test_slices_without_lungs_count_only_where_all_are_taken(self) -> None:
        airless = replace(HEALTHY, lungs=0, healthy=0)
        members = {**WHOLE, "test": [airless]}
        assert "no slice for test" in only(faults(members))
        assert not faults(members, evaluate={"which": "all"})


class TestPresence:
    ALL_ILL = replace(ILL, slices=2, lungs=2, healthy=0)

    @pytest.mark.parametrize(("role", "section"), [("train", "train"), ("validation", "evaluate")])
    def test_slices_without_a_nodule_are_missing(self, role: str, section: str) -> None:
        said = only(faults({**WHOLE, role: [self.ALL_ILL]}, presence=True))
        assert f"presence needs {role} slices with and without a nodule: 2 with, 0 without" in said
        assert f"select.{section}.which is nodule_and_healthy" in said
        assert said.endswith("accepted: some of both, or presence: false")

    def test_slices_with_a_nodule_are_missing(self) -> None:
        said = only(faults({**WHOLE, "validation": [HEALTHY]}, presence=True))
        assert "0 with, 6 without" in said

    def test_the_test_may_be_of_one_kind(self) -> None:
        assert not faults({**WHOLE, "test": [HEALTHY]}, presence=True)
        assert not faults({**WHOLE, "test": [self.ALL_ILL]}, presence=True)

    def test_without_it_one_kind_will_do(self) -> None:
        assert not faults({**WHOLE, "validation": [HEALTHY], "train": [self.ALL_ILL]})


class TestGenerators:
    NEEDS = {"hosts": {}, "min_diameter_mm": 3.0}  # noqa: RUF012
    NO_MM = replace(ILL, nodule_without_mm=2, without_mm=6, largest_mm=0.0)

    def test_no_spacing_is_known(self) -> None:
        said = only(faults({**WHOLE, "train": [self.NO_MM, HEALTHY]}, **self.NEEDS))
        assert "none of 2 training slices with a nodule has a known spacing" in said
        assert "ingest.assumed_spacing_mm is null" in said
        assert "accepted: a spacing above 0 mm" in said

    def test_one_known_spacing_will_do(self) -> None:
        assert not faults({**WHOLE, "train": [self.NO_MM, ILL]}, **self.NEEDS)

    def test_all_nodules_are_too_small(self) -> None:
        small = replace(ILL, largest_mm=2.04)
        said = only(faults({**WHOLE, "train": [small, HEALTHY]}, **self.NEEDS))
        assert "the largest nodule on a training slice has 2.0 mm" in said
        assert "rois.min_diameter_mm, 3, on; accepted: below 2.0" in said

    def test_nodules_of_those_who_test_do_not_count(self) -> None:
        small = replace(ILL, largest_mm=2.0)
        said = only(faults({**WHOLE, "train": [small]}, **self.NEEDS))
        assert "2.0 mm" in said

    def test_no_host(self) -> None:
        needs = {**self.NEEDS, "hosts": {"patients": "healthy"}}
        said = only(faults({**WHOLE, "train": [ILL]}, n_hosts=0, **needs))
        assert "no slice of the 1 training patients can be a host" in said
        assert "4 slices have lungs and no nodule" in said
        assert "insert.hosts.patients: all (now healthy)" in said

    def test_advice_on_hosts_is_never_what_is_so_already(self) -> None:
        needs = {**self.NEEDS, "hosts": {"distance_mm": 0.0, "beside_nodules": True}}
        said = only(faults(n_hosts=0, members={**WHOLE, "train": [ILL]}, **needs))
        for name in ("hosts.patients", "distance_mm", "beside_nodules"):
            assert name not in said

    def test_without_generators_none_of_it_matters(self) -> None:
        small = replace(self.NO_MM, nodule_without_mm=1, largest_mm=0.5)
        for one in (self.NO_MM, small):
            assert not faults(n_hosts=0, members={**WHOLE, "train": [one]})


def test_every_fold_is_looked_at() -> None:
    found = {"a": ILL, "b": HEALTHY, "c": ILL}
    roles = {
        "cv0": {"a": "train", "b": "validation", "c": "test"},
        "cv1": {"b": "train", "a": "validation", "c": "test"},
    }
    groups = list(check_cohort.grouped(roles, found, {}))
    assert [said.partition(":")[0] for said in check_cohort.faults(groups, settings())] == [
        "fold cv1"
    ]


# --- on files, against the stages that come later


@dataclass(frozen=True)
class Kind:
    """How the slices of a patient are."""

    lung_rads: str = "LR3"
    marked: tuple[int, ...] = ()
    seen: bool = True
    status: bytes = b"ok"
    spacing_mm: float = 0.7
    width: int = 6


KINDS = {
    "ill": Kind(marked=(2, 3)),
    "all ill": Kind(marked=tuple(range(N_SLICES))),
    "healthy": Kind("LR1"),
    "unseen": Kind(seen=False),
    "airless": Kind("LR1", status=b"no_lungs"),
    "no mm": Kind(marked=(2,), spacing_mm=np.nan),
    "tiny": Kind(marked=(2,), width=1),
}


class Files:
    """Slice files and a table of roles."""

    def __init__(self, root: Path, kinds: dict[str, list[str]]) -> None:
        self.root = root
        self.roles = {f"{role}{i}": role for role, of in kinds.items() for i in range(len(of))}
        of_patient = {
            f"{role}{i}": KINDS[k] for role, of in kinds.items() for i, k in enumerate(of)
        }
        ingest, self.preprocess = root / "ingest/b00.h5", root / "preprocess/b00.h5"
        rows = {patient: self.fields(patient, kind) for patient, kind in of_patient.items()}
        with SliceWriter(ingest, MADE_BY) as writer:
            for patient, kind in of_patient.items():
                hu, nodule = pixels(patient)
                nodule[:] = 0
                nodule[list(kind.marked), 12 : 12 + kind.width, 10 : 10 + kind.width] = 1
                writer.append(rows[patient], hu=hu, nodule=nodule)
        with SliceWriter(self.preprocess, MADE_BY, parent=ingest) as writer:
            for fields in rows.values():
                writer.append(fields, lung=np.ones((N_SLICES, 32, 32), np.uint8))
        self.split = root / "split.tsv"
        columns = ("fold", "patient", "lung_rads", "role")
        table = [("fixed", p, of_patient[p].lung_rads, r) for p, r in self.roles.items()]
        write_rows(self.split, columns, (dict(zip(columns, row, strict=True)) for row in table))

    @staticmethod
    def fields(patient: str, kind: Kind) -> np.ndarray:
        fields = fields_of(patient, kind.lung_rads)
        fields["status"], fields["spacing_mm"] = kind.status, kind.spacing_mm
        fields["diameter_mm"] = 0.0 if kind.seen else np.nan
        fields["diameter_mm"][list(kind.marked)] = kind.width * kind.spacing_mm
        fields["z_mm"] = np.arange(N_SLICES) * 2.0
        return fields

    def check(self, **values: Any) -> None:
        check_cohort.run(
            preprocess=[self.preprocess], splits=[self.split], folds=["fixed"],
            output=self.root / "check.tsv", settings=settings(**values), provenance=MADE_BY,
        )  # fmt: skip

    def select(self, **values: Any) -> Path:
        output = self.root / "fixed/slices.tsv"
        select.run(
            preprocess=[self.preprocess], split=self.split, fold="fixed", output=output,
            root=self.root, settings=from_mapping(select.Settings, values), provenance=MADE_BY,
        )  # fmt: skip
        return output

    def rois(self, slices: Path, least_mm: float) -> None:
        rois.run(
            slices=slices, root=self.root, fold="fixed", output=self.root / "fixed/rois.h5",
            skipped=self.root / "fixed/rois.skipped.tsv",
            settings=rois.Settings(min_diameter_mm=least_mm), provenance=MADE_BY,
        )  # fmt: skip


def test_the_table_has_the_numbers(tmp_path: Path) -> None:
    Files(
        tmp_path,
        {"train": ["ill", "healthy", "unseen"], "validation": ["ill"], "test": ["ill", "airless"]},
    ).check(hosts={})
    table = read_table(tmp_path / "check.tsv").set_index("role")
    columns = ["patients", "with_nodule", "healthy", "unseen"]
    assert table.loc["train", columns].astype(int).tolist() == [3, 2, 10, 6]
    assert table.loc["train", "hosts"] == 6  # those of the other patient are within 10 mm
    assert table.loc["test", columns].astype(int).tolist() == [2, 2, 4, 0]


def test_all_that_is_missing_is_said_at_once(tmp_path: Path) -> None:
    files = Files(tmp_path, {"train": ["healthy"], "validation": ["unseen"], "test": ["unseen"]})
    with pytest.raises(InputError, match="not enough to go on") as caught:
        files.check()
    assert len(str(caught.value).splitlines()) == 4
    assert not (tmp_path / "check.tsv").exists()


def refuses(stage: Any, *arguments: Any, **values: Any) -> bool:
    try:
        stage(*arguments, **values)
    except InputError:
        return True
    return False


@pytest.mark.parametrize("role", ["train", "test"])
@pytest.mark.parametrize("kind", sorted(KINDS))
def test_it_refuses_what_select_refuses_and_no_more(tmp_path: Path, role: str, kind: str) -> None:
    files = Files(
        tmp_path, {"train": ["ill"], "validation": ["ill"], "test": ["ill"], role: [kind]}
    )
    for which, n in (
        ("nodule", 4),
        ("all", 4),
        ("nodule_and_healthy", 0),
        ("nodule_and_healthy", 2),
    ):
        choice = {"which": which, "healthy_per_patient": n}
        values = {"train": choice, "evaluate": choice}
        assert refuses(files.check, **values) == refuses(files.select, **values), values


@pytest.mark.parametrize("kinds", [["tiny"], ["no mm"], ["no mm", "tiny"], ["ill"]])
@pytest.mark.parametrize("least_mm", [0.0, 0.72, 0.78, 0.8, 3.0])
def test_it_refuses_no_nodule_that_rois_would_cut(
    tmp_path: Path, kinds: list[str], least_mm: float
) -> None:
    files = Files(tmp_path, {"train": [*kinds, "healthy"], "validation": ["ill"], "test": ["ill"]})
    refused = refuses(files.check, hosts={}, min_diameter_mm=least_mm)
    assert refused == refuses(files.rois, files.select(), least_mm)


@pytest.mark.parametrize(
    "train", [["ill"], ["ill", "healthy"], ["all ill"], ["all ill", "airless"]]
)
@pytest.mark.parametrize(
    "hosts", [{}, {"patients": "healthy"}, {"distance_mm": 2.0}, {"beside_nodules": True}]
)
def test_it_misses_hosts_where_insert_does(
    tmp_path: Path, train: list[str], hosts: dict[str, Any]
) -> None:
    files = Files(tmp_path, {"train": train, "validation": ["ill"], "test": ["ill"]})
    patients = {patient for patient, role in files.roles.items() if role == "train"}
    with SliceFiles(tmp_path) as opened:
        names = [opened.name(files.preprocess)]
        wanted = from_mapping(HostSettings, hosts)
        missing = refuses(Hosts.find, opened, names, patients, wanted)
    assert refuses(files.check, hosts=hosts, min_diameter_mm=0.0) == missing
