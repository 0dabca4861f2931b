"""The published tables: which rows are used, as whose, and that a pickle is read once."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lungaug.errors import FileFormatError, InputError
from lungaug.imaging.lungs import segment_lungs
from lungaug.sources import mendeley
from lungaug.sources.mendeley import KeptRows, converted, find_patients, find_pickles, update_cache
from lungaug.sources.mendeley_patients import FingerprintSettings
from lungaug.store import Provenance
from mendeley_files import write_published_frames

MADE_BY = Provenance("scan", "{}", "code")
MASK = np.zeros((6, 8), np.int8)
MASK[1:3, 1:3] = 1
HU = np.full((6, 8), -800.4)


def rejected_reason(label: Any = "LR2", hu: Any = HU, mask: Any = MASK) -> str:
    with pytest.raises(InputError) as caught:
        converted(label, hu, mask)
    return str(caught.value)


def changed(image: np.ndarray, value: float, dtype: Any = None) -> np.ndarray:
    other = image.astype(dtype or image.dtype)
    other[0, 0] = value
    return other


def test_hu_are_rounded_and_floored_and_pieces_are_numbered() -> None:
    mask = MASK.copy()
    mask[5, 7] = mask[4, 6] = 1
    hu = HU.copy()
    hu[0, :3] = -3024.2, -1024.4, 31.5
    found, nodule = converted("LR3", hu, mask)
    assert found.dtype == np.int16
    assert found[0].tolist() == [-1024, -1024, 32, -800, -800, -800, -800, -800]
    assert nodule.dtype == np.uint8
    assert sorted(np.unique(nodule)) == [0, 1, 2]
    assert nodule[5, 7] == nodule[4, 6] != nodule[1, 1]


@pytest.mark.parametrize("label", ["LR1", "LR5", "", None, 3, "LR2" * 30])
def test_unknown_label(label: Any) -> None:
    reason = rejected_reason(label=label)
    assert reason.endswith("accepted: LR2, LR3, LR4A, LR4B")
    assert len(reason) < 80


def test_reasons_name_what_is_wrong() -> None:
    assert rejected_reason(mask=MASK.T) == "mask of 8x6 pixels; accepted: 6x8"
    assert rejected_reason(mask=MASK * 0) == "mask with 0 nodules; accepted: 1 to 255"
    for value in (2, -1):
        assert "other values; accepted: 0 and 1" in rejected_reason(mask=changed(MASK, value))
    assert "other values" in rejected_reason(mask=changed(MASK, np.nan, float))
    for value in (np.nan, np.inf, -np.inf):
        assert "accepted: finite" in rejected_reason(hu=changed(HU, value))
    for image in (None, HU[0], HU[None], HU[:0], [[1.0]], 3.0):
        assert "hu_array_old is no image" in rejected_reason(hu=image)
    speckled = np.zeros((64, 64), np.int8)
    speckled[::2, ::2] = 1
    assert "1024 nodules" in rejected_reason(hu=np.zeros((64, 64)), mask=speckled)


def test_missing_files_are_named_with_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        find_pickles(tmp_path)
    for name in (str(tmp_path), "lung_cancer_train.pkl", "lung_cancer_test.pkl"):
        assert name in str(caught.value)
    (tmp_path / "lung_cancer_test.pkl").touch()
    with pytest.raises(InputError, match=r"no lung_cancer_train\.pkl; .* both are needed, since"):
        find_pickles(tmp_path)


def test_files_are_found_below_the_root_once(tmp_path: Path) -> None:
    write_published_frames(tmp_path / "unpacked" / "V1", 20, 12)
    assert set(find_pickles(tmp_path)) == {"train", "test"}
    shutil.copytree(tmp_path / "unpacked", tmp_path / "copy")
    with pytest.raises(InputError, match=r"2 files lung_cancer_train\.pkl; accepted: one"):
        find_pickles(tmp_path)


def test_rows_become_pseudo_patients_of_one_part_and_class(tmp_path: Path) -> None:
    owners = write_published_frames(tmp_path / "root")
    assert update_cache(tmp_path / "root", tmp_path / "private", MADE_BY) == []
    rows_of = defaultdict(list)
    for part, names in owners.items():
        for number, name in enumerate(names):
            rows_of[name].append(mendeley.row_name(part, number))
    found = list(find_patients(tmp_path / "private", FingerprintSettings()))
    assert [[s.file.name for s in patient.slices] for patient in found] == list(rows_of.values())
    for patient, name in zip(found, rows_of, strict=True):
        assert f"{patient.part}/{patient.lung_rads}" == name.rsplit("/", 1)[0]
        assert [s.index for s in patient.slices] == list(range(len(patient.slices)))
        assert all(s.header.spacing_mm is None and np.isnan(s.z_mm) for s in patient.slices)
    assert len({patient.name for patient in found}) == len(found) == 32


def test_kept_rows_are_those_of_the_pickle(tmp_path: Path) -> None:
    write_published_frames(tmp_path / "root", 20, 12, shape=(80, 90))
    update_cache(tmp_path / "root", tmp_path / "private", MADE_BY)
    frame = pd.read_pickle(tmp_path / "root" / "lung_cancer_test.pkl")
    with KeptRows(tmp_path / "private") as rows:
        for number in rows.numbers("test"):
            hu, nodule = rows.pixels("test", number)
            np.testing.assert_array_equal(hu, np.rint(frame["hu_array_old"][number]))
            np.testing.assert_array_equal(nodule > 0, frame["mask"][number] > 0)


def test_a_pickle_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = []
    original = mendeley.read_frame
    monkeypatch.setattr(mendeley, "read_frame", lambda p, c: read.append(p.name) or original(p, c))
    root, private = tmp_path / "root", tmp_path / "private"
    write_published_frames(root, 20, 12, shape=(80, 80))
    update_cache(root, private, MADE_BY)
    update_cache(root, private, MADE_BY)
    assert read == ["lung_cancer_train.pkl", "lung_cancer_test.pkl"]
    frame = pd.read_pickle(root / "lung_cancer_test.pkl")
    frame.iloc[1:].to_pickle(root / "lung_cancer_test.pkl")
    update_cache(root, private, MADE_BY)
    assert read[2:] == ["lung_cancer_test.pkl"]
    update_cache(root, private, Provenance("scan", "{}", "other code"))
    assert len(read) == 5


def test_rejected_rows_are_told_again_from_what_is_kept(tmp_path: Path) -> None:
    root, private = tmp_path / "root", tmp_path / "private"
    write_published_frames(root, 20, 12, shape=(80, 80))
    frame = pd.read_pickle(root / "lung_cancer_train.pkl")
    frame["mask"] = [mask * (i != 3) for i, mask in enumerate(frame["mask"])]
    frame.loc[7, "label1"] = "LR9"
    frame.to_pickle(root / "lung_cancer_train.pkl")
    expected = [
        ("lung_cancer_train.pkl:0003", "mask with 0 nodules; accepted: 1 to 255"),
        ("lung_cancer_train.pkl:0007", "label 'LR9'; accepted: LR2, LR3, LR4A, LR4B"),
    ]
    for _ in range(2):
        found = update_cache(root, private, MADE_BY)
        assert [(one.path, one.reason) for one in found] == expected
    assert (private / "mendeley").stat().st_mode & 0o077 == 0


def test_a_table_without_a_usable_row_is_refused(tmp_path: Path) -> None:
    write_published_frames(tmp_path, 20, 12, shape=(80, 80))
    frame = pd.read_pickle(tmp_path / "lung_cancer_test.pkl")
    frame["label1"] = "benign"
    frame.to_pickle(tmp_path / "lung_cancer_test.pkl")
    with pytest.raises(InputError, match=r"test\.pkl: no row can be used: 12 times label 'benign'"):
        update_cache(tmp_path, tmp_path / "private", MADE_BY)
    assert not (tmp_path / "private" / "mendeley" / "test.h5").exists()


def test_other_rows_than_planned_are_refused(tmp_path: Path) -> None:
    write_published_frames(tmp_path / "root", 20, 12, shape=(80, 80))
    update_cache(tmp_path / "root", tmp_path / "private", MADE_BY)
    patient = next(find_patients(tmp_path / "private", FingerprintSettings()))
    write_published_frames(tmp_path / "root", 20, 12, shape=(80, 80), seed=1)
    update_cache(tmp_path / "root", tmp_path / "private", MADE_BY)
    with (
        KeptRows(tmp_path / "private") as rows,
        pytest.raises(FileFormatError, match="of different scans; run the scan again"),
    ):
        rows.hu(patient.slices[0])


def test_the_written_frames_have_lungs_and_growing_nodules(tmp_path: Path) -> None:
    """What a shrunken run of the preset relies on."""
    write_published_frames(tmp_path)
    for part, name in mendeley.FILES.items():
        frame = pd.read_pickle(tmp_path / name)
        assert list(frame.columns) == ["label1", "mask", "hu_array_old", "hu_array"], part
        for hu, mask in zip(frame["hu_array_old"], frame["mask"], strict=True):
            lungs = segment_lungs(np.rint(hu).astype(np.int16), np.full(2, np.nan))
            assert lungs.status == "ok"
            assert lungs.mask[mask > 0].mean() > 0.9
        areas = frame["mask"].map(np.sum).groupby(frame["label1"]).mean()
        assert areas.is_monotonic_increasing
