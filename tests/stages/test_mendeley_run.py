"""The published tables through the data stages: scan, ingest, split, preprocess, select."""

from __future__ import annotations

import csv
import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import Pseudonyms, load_or_create_key, read_table
from lungaug.errors import InputError, LeakageError, SettingError
from lungaug.settings import from_mapping
from lungaug.stages import ingest, preprocess, scan, select, split
from lungaug.store import Provenance, SliceFile
from mendeley_files import write_published_frames

MADE_BY = Provenance("test", "{}", "")
N_BATCHES = 3


class Run:
    """A folder with the two pickles, and the results beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.root = folder, folder / "root"
        self.results, self.private = folder / "results", folder / "private"

    def scan(self, **settings: Any) -> list[dict[str, str]]:
        values = {"kind": "mendeley", "n_batches": N_BATCHES} | settings
        scan.run(
            root=self.root, private=self.private, output=self.results / "cohort.tsv",
            rejected=self.results / "scan.rejected.tsv", key=self.folder / "key",
            settings=from_mapping(scan.Settings, values), provenance=MADE_BY,
        )  # fmt: skip
        return self.table("cohort.tsv")

    def batches(self) -> list[str]:
        return sorted({row["batch"] for row in self.table("cohort.tsv")})

    def ingest(self, batch: str, **settings: Any) -> Path:
        output = self.results / f"ingest/{batch}.h5"
        ingest.run(
            cohort=self.results / "cohort.tsv", batch=batch, root=self.root, private=self.private,
            output=output, rejected=self.results / f"ingest/{batch}.rejected.tsv",
            nodules=self.results / f"ingest/{batch}.nodules.tsv", key=self.folder / "key",
            settings=from_mapping(ingest.Settings, {"kind": "mendeley"} | settings),
            provenance=MADE_BY,
        )  # fmt: skip
        return output

    def split(self, **settings: Any) -> dict[str, str]:
        """Role by patient."""
        split.run(
            preprocess=self.prepared(), ledger=self.folder / "ledger.tsv",
            output=self.results / "split.tsv", left_out=self.results / "split.left_out.tsv",
            settings=from_mapping(split.Settings, settings),
            provenance=MADE_BY, cohort=self.results / "cohort.tsv",
        )  # fmt: skip
        roles = read_table(self.results / "split.tsv")
        return dict(zip(roles["patient"], roles["role"], strict=True))

    def prepared(self) -> list[Path]:
        made = []
        for path in sorted(self.results.glob("ingest/*.h5")):
            made.append(self.results / "preprocess" / path.name)
            preprocess.run(
                ingest=path, output=made[-1], skipped=self.results / "skipped.tsv",
                settings=preprocess.Settings(), provenance=MADE_BY,
            )  # fmt: skip
        return made

    def select(self) -> pd.DataFrame:
        select.run(
            preprocess=self.prepared(), split=self.results / "split.tsv", fold="fixed",
            output=self.results / "fixed/slices.tsv", root=self.results,
            settings=select.Settings(), provenance=MADE_BY,
        )  # fmt: skip
        return read_table(self.results / "fixed/slices.tsv")

    def up_to_ingest(self) -> None:
        self.scan()
        for batch in self.batches():
            self.ingest(batch)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.results / name).open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def parts(self) -> dict[str, str]:
        return {row["patient"]: row["part"] for row in self.table("cohort.tsv")}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    found = Run(tmp_path)
    write_published_frames(found.root, 40, 12, shape=(80, 80))
    return found


def test_no_published_test_row_gets_another_role(run: Run) -> None:
    """By the pixels of the published tables, not by what the stages say of them."""
    run.up_to_ingest()
    run.split()
    slices = run.select()
    assert len(slices) == 52
    assert set(slices["role"]) == {"train", "validation", "test"}
    published = {
        np.rint(hu).astype(np.int16).tobytes(): part
        for part in ("train", "test")
        for hu in pd.read_pickle(run.root / f"lung_cancer_{part}.pkl")["hu_array_old"]
    }
    for _, row in slices.iterrows():
        path = run.results / row["file"]
        with SliceFile(path) as file:
            hu = file.image("hu", row["group"], row["row"])
        assert published[hu.tobytes()] == ("test" if row["role"] == "test" else "train")


def test_cohort_has_a_row_a_pseudo_patient_with_its_part(run: Run) -> None:
    rows = run.scan()
    assert [(p, sum(r["part"] == p for r in rows)) for p in ("train", "test")] == [
        ("train", 20), ("test", 12),
    ]  # fmt: skip
    names = Pseudonyms(load_or_create_key(run.folder / "key"))
    first = next(row for row in rows if row["patient"] == names.patient("mendeley/test/0000"))
    assert (first["lung_rads"], first["part"]) == ("LR2", "test")
    assert sum(int(row["n_files"]) for row in rows) == 52
    assert [row["patient"] for row in rows] == sorted(row["patient"] for row in rows)


def test_ingest_says_what_is_unknown(run: Run) -> None:
    run.up_to_ingest()
    for path in run.results.glob("ingest/*.h5"):
        with SliceFile(path) as file:
            for group in file.groups:
                slices = file.slices(group)
                for name in ("spacing_mm", "z_mm", "diameter_mm"):
                    assert np.isnan(slices[name]).all()
                assert set(slices["lung_rads"]) <= {b"LR2", b"LR3", b"LR4A", b"LR4B"}
                for row in range(len(slices)):
                    assert file.image("nodule", group, row).any()
    nodules = [row for b in run.batches() for row in run.table(f"ingest/{b}.nodules.tsv")]
    assert nodules
    assert {row["diameter_mm"] for row in nodules} == {"nan"}


def test_validation_comes_out_of_the_training_part(run: Run) -> None:
    run.up_to_ingest()
    roles, parts = run.split(validation_per_class=1, test_per_class=1), run.parts()
    assert {p for p, role in roles.items() if role == "test"} == {
        p for p, part in parts.items() if part == "test"
    }
    classes = {row["patient"]: row["lung_rads"] for row in run.table("cohort.tsv")}
    validation = [classes[p] for p, role in roles.items() if role == "validation"]
    assert sorted(validation) == ["LR2", "LR3", "LR4A", "LR4B"]
    places = {row["patient"]: row["place"] for row in read_rows(run.folder / "ledger.tsv")}
    assert places == roles
    assert run.split(validation_per_class=2, seed=5) == roles


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_cross_validation_is_refused(run: Run) -> None:
    run.up_to_ingest()
    with pytest.raises(SettingError, match=r"split\.mode: got 'cross_validation', but .* publish"):
        run.split(mode="cross_validation")
    assert not (run.folder / "ledger.tsv").exists()


@pytest.mark.parametrize(("part", "other"), [("test", "train"), ("train", "test")])
def test_a_ledger_against_the_published_parts_is_refused(run: Run, part: str, other: str) -> None:
    run.up_to_ingest()
    roles, parts = run.split(), run.parts()
    patient = next(p for p in sorted(roles) if parts[p] == part)
    ledger = run.folder / "ledger.tsv"
    lines = [
        line.replace(f"\t{roles[patient]}\t", f"\t{other}\t") if patient in line else line
        for line in ledger.read_text().splitlines()
    ]
    ledger.write_text("\n".join(lines) + "\n")
    with pytest.raises(LeakageError, match=f"{patient}: published as {part}, but .* has {other}"):
        run.split()


def test_only_batches_whose_rows_change_have_new_digests(run: Run) -> None:
    before = {row["patient"]: row["digest"] for row in run.scan()}
    path = run.root / "lung_cancer_train.pkl"
    frame = pd.read_pickle(path)
    hu = frame["hu_array_old"][5].copy()
    hu[40, 40] += 3
    frame.at[5, "hu_array_old"] = hu
    frame.to_pickle(path)
    after = {row["patient"]: row["digest"] for row in run.scan()}
    assert set(after) == set(before)
    names = Pseudonyms(load_or_create_key(run.folder / "key"))
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {names.patient("mendeley/train/0004")}


def test_bad_rows_are_rejected_by_pseudonym_and_the_rest_is_used(run: Run) -> None:
    path = run.root / "lung_cancer_train.pkl"
    frame = pd.read_pickle(path)
    frame.loc[0, "label1"] = "LR7"
    frame.at[1, "mask"] = frame["mask"][1][:70]
    hu = frame["hu_array_old"][2].copy()
    hu[3, 3] = np.nan
    frame.at[2, "hu_array_old"] = hu
    frame.to_pickle(path)
    rows = run.scan()
    assert sum(int(row["n_files"]) for row in rows) == 49
    rejected = run.table("scan.rejected.tsv")
    paths = {row["file"]: row["path"] for row in read_rows(run.private / "files.tsv")}
    assert sorted((paths[row["file"]], row["reason"].split(";")[0]) for row in rejected) == [
        ("lung_cancer_train.pkl:0000", "label 'LR7'"),
        ("lung_cancer_train.pkl:0001", "mask of 70x80 pixels"),
        ("lung_cancer_train.pkl:0002", "HU that are no numbers"),
    ]


def test_same_pickles_give_the_same_bytes(tmp_path: Path) -> None:
    files = []
    for name in ("a", "b"):
        found = Run(tmp_path / name)
        found.folder.mkdir()
        (found.folder / "key").write_text("07" * 32 + "\n")
        write_published_frames(found.root, 20, 12, shape=(80, 80))
        found.up_to_ingest()
        files.append(sorted(p for p in found.results.rglob("*") if p.is_file()))
    assert len(files[0]) == len(files[1]) > 2
    for one, other in zip(*files, strict=True):
        assert one.read_bytes() == other.read_bytes()


def test_missing_pickle_stops_the_scan(run: Run) -> None:
    (run.root / "lung_cancer_test.pkl").unlink()
    with pytest.raises(InputError, match=r"no lung_cancer_test\.pkl; .* both are needed"):
        run.scan()


def test_images_of_two_sizes_are_two_series(tmp_path: Path) -> None:
    found = Run(tmp_path)
    write_published_frames(found.root, 20, 12, shape=(80, 80))
    write_published_frames(tmp_path / "larger", 20, 12, shape=(96, 96))
    small, large = (
        pd.read_pickle(folder / "lung_cancer_train.pkl").iloc[:1]
        for folder in (found.root, tmp_path / "larger")
    )
    pd.concat([small, large, small]).to_pickle(found.root / "lung_cancer_train.pkl")
    found.up_to_ingest()
    assert list(found.parts().values()).count("train") == 3
    groups = [SliceFile(path).groups for path in found.results.glob("ingest/*.h5")]
    assert set(itertools.chain(*groups)) == {"80x80", "96x96"}


def test_assumed_spacing_gives_sizes_in_mm(run: Run) -> None:
    run.scan()
    for batch in run.batches():
        run.ingest(batch, assumed_spacing_mm=0.5)
    measured = {}
    for path in run.results.glob("ingest/*.h5"):
        with SliceFile(path) as file:
            slices = file.slices("80x80")
            assert (slices["spacing_mm"] == 0.5).all()
            for row, fields in enumerate(slices):
                pixels = np.argwhere(file.image("nodule", "80x80", row))
                extent = (np.ptp(pixels, axis=0).max() + 1) * 0.5
                assert extent <= fields["diameter_mm"] <= 1.5 * extent
                measured[fields["patient"].decode()] = float(fields["diameter_mm"])
    assert len(measured) == 32
    nodules = [row for b in run.batches() for row in run.table(f"ingest/{b}.nodules.tsv")]
    assert all(float(row["diameter_mm"]) > 0 for row in nodules)
