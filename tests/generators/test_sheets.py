"""Sheets show every crop, plain and outlined, and are written whole."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from generators.small_crops import WINDOW, blobs
from lungaug.generators.sheets import write_sheet


def sheet_of(path: Path, n: int) -> np.ndarray:
    crops = blobs(n)
    write_sheet(path, crops.hu.astype(np.float32), crops.mask.astype(np.float32), WINDOW)
    return np.asarray(cv2.imread(str(path)))


def test_a_sheet_shows_a_crop_as_it_is_and_outlined(tmp_path: Path) -> None:
    sheet = sheet_of(tmp_path / "new" / "sheet.png", 1)
    plain, outlined = sheet[:64, :64].astype(int), sheet[:64, 64:128].astype(int)
    assert (plain[..., 0] == plain[..., 2]).all()
    hu = float(blobs(1).hu[0, 16, 16])
    assert plain[32, 32, 0] == round(255 * (hu + 1000) / 1400)
    coloured = outlined[..., 0] != outlined[..., 2]
    nodule = np.kron(blobs(1).mask[0], np.ones((2, 2), bool))
    assert coloured.any()
    assert nodule[coloured].all()


def test_sheets_hold_any_number_of_crops_and_no_part_is_left(tmp_path: Path) -> None:
    for n in (2, 7, 33):
        assert sheet_of(tmp_path / "sheet.png", n).size >= 2 * n * 64 * 64
    assert [p.name for p in tmp_path.iterdir()] == ["sheet.png"]


def test_an_empty_mask_has_no_outline(tmp_path: Path) -> None:
    hu = np.zeros((1, 16, 16), np.float32)
    write_sheet(tmp_path / "sheet.png", hu, hu, WINDOW)
    sheet = cv2.imread(str(tmp_path / "sheet.png")).astype(int)
    assert (sheet[..., 0] == sheet[..., 2]).all()
