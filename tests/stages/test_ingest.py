"""Ingest: pixels, nodules and classes in the slice file; bad input; nothing that names anybody."""

from __future__ import annotations

import csv
import math
import re
import tracemalloc
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from compressed_files import thorax
from dicom_files import SHAPE, changed, gradient, uid, write_series, write_unreadable
from lungaug.cohort import Pseudonyms, load_or_create_key
from lungaug.errors import FileFormatError, InputError
from lungaug.settings import from_mapping
from lungaug.stages import ingest, scan
from lungaug.store import Provenance, SliceFile

PROVENANCE = Provenance("ingest", "{}", "")
SETTINGS = {"n_batches": 1}


class Cohort:
    """A source folder, its scan and its one batch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root, self.masks = folder / "root", folder / "masks"
        self.sheet: Path | None = None

    def scan(self, **settings: Any) -> None:
        scan.run(
            root=self.root, private=self.folder / "private", output=self.folder / "cohort.tsv",
            rejected=self.folder / "scan.rejected.tsv", key=self.folder / "key",
            sheet=self.sheet, masks=self.masks if self.masks.exists() else None,
            settings=from_mapping(scan.Settings, SETTINGS | settings), provenance=PROVENANCE,
        )  # fmt: skip

    def ingest(self, batch: str = "b00", **settings: Any) -> SliceFile:
        ingest.run(
            cohort=self.folder / "cohort.tsv", batch=batch, root=self.root,
            private=self.folder / "private", output=self.folder / "b00.h5",
            rejected=self.folder / "rejected.tsv", nodules=self.folder / "nodules.tsv",
            key=self.folder / "key", masks=self.masks if self.masks.exists() else None,
            settings=from_mapping(ingest.Settings, settings), provenance=PROVENANCE,
        )  # fmt: skip
        return SliceFile(self.folder / "b00.h5")

    def run(self, **settings: Any) -> SliceFile:
        self.scan()
        return self.ingest(**settings)

    def table(self, name: str) -> list[dict[str, str]]:
        with (self.folder / name).open(newline="") as file:
            return list(csv.DictReader(file, delimiter="\t"))

    def paint(self, name: str, *boxes: tuple[int, int, int, int], shape: Any = SHAPE) -> Path:
        """A PNG with boxes (row, column, height, width)."""
        mask = np.zeros(shape, np.uint8)
        for row, column, height, width in boxes:
            mask[row : row + height, column : column + width] = 255
        path = self.masks / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(cv2.imencode(".png", mask)[1]))
        return path


@pytest.fixture
def cohort(tmp_path: Path) -> Cohort:
    """One patient of 4 slices, 2 mm apart; file names run against positions."""
    found = Cohort(tmp_path)
    write_series(found.root / "one", 4, patient_id="P")
    return found


def group(file: SliceFile) -> str:
    (name,) = file.groups
    return name


def images(file: SliceFile, name: str) -> NDArray[Any]:
    return np.stack([file.image(name, group(file), i) for i in range(len(file))])


def test_slices_in_order_of_position(cohort: Cohort) -> None:
    with cohort.run() as file:
        slices = file.slices("12x16")
        assert slices["index"].tolist() == [0, 1, 2, 3]
        assert slices["z_mm"].tolist() == [-100, -98, -96, -94]
        np.testing.assert_allclose(slices["spacing_mm"], [[0.7, 0.8]] * 4)
        assert set(slices["origin"]) == {b"real"}
        expected = [gradient(4 - i).astype(int) - 1024 for i in range(4)]
        np.testing.assert_array_equal(images(file, "hu"), expected)
        assert not images(file, "nodule").any()
        assert np.isnan(slices["diameter_mm"]).all()
        assert set(slices["lung_rads"]) == {b""}


def test_nodules_of_masks(cohort: Cohort) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (2, 2, 3, 3))
    cohort.paint(f"{uid(1, 2)}.png", (2, 2, 2, 2), (8, 9, 1, 6))
    with cohort.run() as file:
        slices = file.slices("12x16")
        nodule = images(file, "nodule")
        assert nodule.max(axis=(1, 2)).tolist() == [0, 1, 2, 0]
        assert set(slices["lung_rads"]) == {b"LR2"}
        np.testing.assert_allclose(slices["diameter_mm"], [0, 2.778, 4.8, 0], atol=0.01)
    rows = cohort.table("nodules.tsv")
    assert list(rows[0]) == list(ingest.NODULE_COLUMNS)
    assert [(r["nodule"], r["n_slices"], r["z_mm"], r["kind"]) for r in rows] == [
        ("1", "2", "-97.0", "nodule"), ("2", "1", "-96.0", "nodule")
    ]  # fmt: skip
    assert float(rows[1]["diameter_mm"]) == pytest.approx(4.8)


def test_unknown_spacing_leaves_the_class_unknown(tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    write_series(cohort.root, 2, PixelSpacing=None)
    cohort.paint(f"{uid(1, 1)}.png", (2, 2, 3, 3))
    with cohort.run() as file:
        slices = file.slices("12x16")
        assert set(slices["lung_rads"]) == {b""}
        assert np.isnan(slices["spacing_mm"]).all()
        assert [math.isnan(d) for d in slices["diameter_mm"]] == [False, True]


@pytest.mark.parametrize(
    ("sheet", "unannotated", "lung_rads", "diameter"),
    [
        ("", "unknown", b"", math.nan),
        ("", "LR1", b"LR1", 0),
        ("P\tLR1", "unknown", b"LR1", 0),
        ("P\tLR3", "LR1", b"LR3", math.nan),
    ],
)
def test_class_without_annotation(
    cohort: Cohort, sheet: str, unannotated: str, lung_rads: bytes, diameter: float
) -> None:
    cohort.sheet = cohort.folder / "sheet.tsv"
    cohort.sheet.write_text(f"patient_id\tlung_rads\n{sheet}\n")
    with cohort.run(unannotated=unannotated) as file:
        slices = file.slices("12x16")
        assert set(slices["lung_rads"]) == {lung_rads}
        np.testing.assert_array_equal(slices["diameter_mm"], np.float32(diameter))


def test_sheet_outranks_the_diameter(cohort: Cohort) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (2, 2, 3, 3))
    cohort.sheet = cohort.folder / "sheet.tsv"
    cohort.sheet.write_text("patient_id\tlung_rads\nP\tLR4B\n")
    with cohort.run() as file:
        assert set(file.slices("12x16")["lung_rads"]) == {b"LR4B"}


def test_sorted_by_patient_series_index(cohort: Cohort) -> None:
    for number, patient in ((2, "Q"), (3, "R"), (4, "Q")):
        write_series(cohort.root / str(number), 3, patient_id=patient, series=number)
    cohort.scan(series="all")
    with cohort.ingest() as file:
        keys = file.slices("12x16")[["patient", "series", "index"]].tolist()
        assert keys == sorted(keys)
        assert len(keys) == 13
        assert len({patient for patient, _, _ in keys}) == 3


def test_sizes_lie_in_groups(cohort: Cohort) -> None:
    stored = gradient(0, (20, 10))
    write_series(cohort.root / "two", 2, patient_id="Q", series=2, stored=stored)
    with cohort.run() as file:
        assert file.groups == ["12x16", "20x10"]


def test_same_bytes_again(cohort: Cohort) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (2, 2, 3, 3))
    cohort.run().close()
    first = (cohort.folder / "b00.h5").read_bytes()
    cohort.run().close()
    assert (cohort.folder / "b00.h5").read_bytes() == first


def test_unreadable_pixels_stop(cohort: Cohort) -> None:
    write_unreadable(cohort.root / "one" / "bad.dcm", z=-92.0, number=9, patient_id="P")
    cohort.scan()
    with pytest.raises(InputError, match=r"file f[0-9a-f]{12}: unreadable pixels .*files.tsv"):
        cohort.ingest()
    assert not list(cohort.folder.glob("*b00.h5*"))


def test_a_patient_with_an_unreadable_image_is_left_out_whole(cohort: Cohort) -> None:
    write_series(cohort.root / "two", 40, patient_id="Q", series=2)
    for number in (8, 9):
        path = cohort.root / "two" / f"bad{number}.dcm"
        write_unreadable(path, z=30.0 * number, number=number + 40, patient_id="Q", series=2)
    cohort.paint(f"{uid(2, 3)}.png", (2, 2, 3, 3))
    cohort.scan()
    left_out = Pseudonyms(load_or_create_key(cohort.folder / "key")).patient("Q")
    assert left_out in {row["patient"] for row in cohort.table("cohort.tsv")}
    with cohort.ingest(on_bad_input="skip") as file:
        assert file.slices("12x16")["index"].tolist() == [0, 1, 2, 3]
        assert left_out.encode() not in file.slices("12x16")["patient"]
    assert cohort.table("nodules.tsv") == []
    rows = cohort.table("rejected.tsv")
    assert {row["patient"] for row in rows} == {left_out}
    for row in rows:
        assert row["reason"].startswith("unreadable pixels")
        assert row["reason"].endswith("; its patient is left out with 42 slices")
    paths = {row["file"]: row["path"] for row in cohort.table("private/files.tsv")}
    assert {paths[row["file"]] for row in rows} == {"two/bad8.dcm", "two/bad9.dcm"}


def test_a_file_cut_in_its_pixels_counts_unless_a_whole_one_is_there(cohort: Cohort) -> None:
    path = sorted((cohort.root / "one").iterdir())[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-50])
    cohort.scan()
    reason = r"unreadable pixels \(truncated: 334 of 384 bytes of pixels\)"
    with pytest.raises(InputError, match=f"file f[0-9a-f]{{12}}: {reason}; its path"):
        cohort.ingest()
    (cohort.root / "one" / "zz_again.dcm").write_bytes(whole)
    with cohort.run() as file:
        assert len(file) == 4
    assert len(cohort.table("scan.rejected.tsv")) == 1


@pytest.mark.parametrize(
    ("length", "zeros", "reason"),
    [
        (0, 0, "empty file"),
        (0, 1200, "not a DICOM file, in spite of its name"),
        (300, 0, "headers end early (not CT"),
        (600, 0, "headers end early (missing tag"),
        (140, 1000, "headers "),
    ],
)
def test_a_damaged_header_costs_its_patient(
    cohort: Cohort, length: int, zeros: int, reason: str
) -> None:
    write_series(cohort.root / "two", 5, patient_id="Q", series=2)
    (cohort.root / "two" / "README.txt").write_text("not refused")
    path = sorted((cohort.root / "two").glob("*.dcm"))[2]
    whole = path.read_bytes()
    path.write_bytes(whole[:length] + bytes(zeros))
    cohort.scan()
    pattern = rf"file f[0-9a-f]{{12}}: {re.escape(reason)}.*; its path is in files.tsv"
    with pytest.raises(InputError, match=pattern):
        cohort.ingest()
    with cohort.ingest(on_bad_input="skip") as file:
        assert len(file) == 4
    (row,) = cohort.table("rejected.tsv")
    assert row["patient"] == Pseudonyms(load_or_create_key(cohort.folder / "key")).patient("Q")
    assert row["reason"].startswith(reason)
    assert row["reason"].endswith("; its patient is left out with 4 slices")
    paths = {row["file"]: row["path"] for row in cohort.table("private/files.tsv")}
    assert paths[row["file"]] == f"two/{path.name}"
    path.write_bytes(whole)
    with cohort.run() as file:
        assert len(file) == 9


def test_who_is_left_out_leaves_no_trace_in_the_digest(cohort: Cohort) -> None:
    with cohort.run() as file:
        alone = file.content_digest
    wide = {"patient_id": "Q", "series": 2, "stored": gradient(0, (20, 10))}
    write_series(cohort.root / "two", 20, **wide)
    write_unreadable(cohort.root / "two" / "bad.dcm", z=99.0, number=99, **wide)
    contents = set()
    for _ in range(2):
        with cohort.run(on_bad_input="skip") as file:
            assert file.groups == ["12x16"]
            assert file.content_digest == alone
        contents.add((cohort.folder / "b00.h5").read_bytes())
    assert len(contents) == 1


def test_nobody_left(cohort: Cohort) -> None:
    write_unreadable(cohort.root / "one" / "bad.dcm", z=-97.0, number=9, patient_id="P")
    with cohort.run(on_bad_input="skip") as file:
        assert len(file) == 0
        assert list(file.stacks()) == []


def test_mask_of_another_size(cohort: Cohort) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (1, 1, 2, 2), shape=(16, 12))
    cohort.scan()
    with pytest.raises(InputError, match="mask of 16x12 pixels; accepted: 12x16"):
        cohort.ingest()
    with cohort.ingest(on_bad_input="skip") as file:
        assert len(file) == 0
    (row,) = cohort.table("rejected.tsv")
    assert row["reason"].endswith("accepted: 12x16; its patient is left out with 4 slices")


def test_results_of_another_scan(cohort: Cohort) -> None:
    cohort.scan()
    table = cohort.folder / "cohort.tsv"
    text = table.read_text()
    digest = cohort.table("cohort.tsv")[0]["digest"]
    table.write_text(text.replace(digest, "0" * 16))
    with pytest.raises(FileFormatError, match="different scans"):
        cohort.ingest()
    table.write_text(text + text.splitlines()[1].replace("\tb00", "\tb00", 1).replace("p", "q", 1))
    with pytest.raises(FileFormatError, match="lacks patients"):
        cohort.ingest()
    (cohort.folder / "private" / "plans" / "b00.jsonl").unlink()
    with pytest.raises(FileFormatError, match="run the scan again"):
        cohort.ingest()
    table.unlink()
    with pytest.raises(FileFormatError, match="no cohort table"):
        cohort.ingest()


def test_log_counts_in_words(cohort: Cohort, caplog: pytest.LogCaptureFixture) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (2, 2, 3, 3))
    caplog.set_level("INFO")
    cohort.run().close()
    assert "4 slices, 1 nodule, Lung-RADS LR2" in caplog.text


def test_batch_without_patients(cohort: Cohort) -> None:
    cohort.scan()
    with cohort.ingest(batch="b07") as file:
        assert len(file) == 0
    assert cohort.table("nodules.tsv") == []


def test_memory_does_not_grow_with_the_series(tmp_path: Path) -> None:
    peaks = []
    for n in (32, 128):
        cohort = Cohort(tmp_path / str(n))
        write_series(cohort.root, n, stored=gradient(0, (64, 64)))
        cohort.scan()
        cohort.ingest().close()
        tracemalloc.start()
        cohort.ingest().close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    # 96 more slices are 1.2 MB of images; their plan is less.
    assert peaks[1] - peaks[0] < 96 * 64 * 64 * 3 / 2


def test_real_lidc(real_data: Path, tmp_path: Path) -> None:
    cohort = Cohort(tmp_path)
    cohort.root = real_data
    cohort.scan(include=["lidc_0001_GE", "lidc_0095*"], kind="lidc")
    with cohort.ingest(kind="lidc") as file:
        slices = file.slices("512x512")
        assert len(slices) == 17
        assert set(slices["lung_rads"]) == {b"LR4B"}
        marked = [bool(file.image("nodule", "512x512", i).any()) for i in range(17)]
        np.testing.assert_array_equal(slices["diameter_mm"] > 0, marked)
        assert sum(marked) == 9
    with cohort.ingest(kind="dicom") as file:
        assert np.isnan(file.slices("512x512")["diameter_mm"]).all()


@pytest.mark.parametrize("on_bad_input", ["stop", "skip"])
def test_series_without_hu_leave_their_patient_out(
    cohort: Cohort, on_bad_input: str, caplog: pytest.LogCaptureFixture
) -> None:
    def change(i: int, dataset: Any) -> None:
        del dataset.RescaleSlope, dataset.RescaleIntercept
        changed(dataset, RescaleSlope=1, RescaleIntercept=0)

    stored = (thorax() + 1024).astype(np.uint16)
    write_series(cohort.root / "two", 3, patient_id="Q", series=2, stored=stored)
    write_series(cohort.root / "six", 3, patient_id="R", series=6, stored=stored, change=change)
    with cohort.run(on_bad_input=on_bad_input) as file:
        assert len(file) == 4 + 3
    (row,) = cohort.table("rejected.tsv")
    assert row["patient"] == Pseudonyms(load_or_create_key(cohort.folder / "key")).patient("R")
    assert row["reason"].startswith("values are no HU: 0.00 % of the pixels are air or lung")
    assert row["reason"].endswith("its patient is left out with 3 slices")
    assert f"{row['patient']}: left out with 3 slices" in caplog.text


def test_a_slice_of_garbage(cohort: Cohort) -> None:
    def change(i: int, dataset: Any) -> None:
        if i == 1:
            dataset.PixelData = np.random.default_rng(0).bytes(len(dataset.PixelData))

    stored = (thorax() + 1024).astype(np.uint16)
    write_series(cohort.root / "two", 3, patient_id="Q", series=2, stored=stored, change=change)
    with pytest.raises(InputError, match="neighbouring rows differ"):
        cohort.run()
    with cohort.run(on_bad_input="skip") as file:
        assert len(file) == 4
    (row,) = cohort.table("rejected.tsv")
    assert "neighbouring rows differ" in row["reason"]


def test_a_mask_that_marks_most_of_a_slice(cohort: Cohort) -> None:
    cohort.paint(f"{uid(1, 3)}.png", (0, 0, 12, 12))
    with pytest.raises(InputError, match="mask of 75 % of the slice"):
        cohort.run()
