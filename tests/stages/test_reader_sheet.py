"""reader_sheet: one page that tells nothing, and a key that tells everything."""

from __future__ import annotations

import base64
import html.parser
import json
import re
import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from generated_results import build_generated
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.reader import ANSWER_COLUMNS, KEY_COLUMNS, sheet_id
from lungaug.stages import reader_sheet
from lungaug.store import SliceFile
from synthetic_results import MADE_BY

TEXT = Path(reader_sheet.__file__).parents[2] / "report"
# The small slices have pixels of 3 mm and discs of 9 and 30 mm.
SETTINGS = reader_sheet.Settings(
    n_each=6, size_bins_mm=(3.0, 14.0, 40.0), fov_mm=60.0, side_px=64, seed=3
)


def write(
    root: Path, made: dict[str, Any], name: str = "sheet", **changes: Any
) -> tuple[str, pd.DataFrame]:
    arguments = {
        "slices": made["slices"][0],
        "inserted": made["inserted"],
        "text": TEXT,
        "root": root,
        "fold": "fixed",
        "output": root / f"fixed/reader/{name}.html",
        "key": root / f"fixed/reader/{name}.tsv",
        "settings": SETTINGS,
        "provenance": MADE_BY,
    } | changes
    reader_sheet.run(**arguments)
    key = pd.read_csv(arguments["key"], sep="\t", keep_default_na=False)
    return arguments["output"].read_text(encoding="utf-8"), key


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    root = tmp_path_factory.mktemp("results") / "phantom"
    return root, build_generated(root)


@pytest.fixture(scope="module")
def written(made: tuple[Path, dict[str, Any]]) -> tuple[str, pd.DataFrame]:
    return write(*made)


def pictures(page: str) -> list[bytes]:
    found = re.search(r'<script type="application/json" id="pictures">(.*?)</script>', page)
    assert found
    return [base64.b64decode(text) for text in json.loads(found[1])]


def chunks(content: bytes) -> list[bytes]:
    names, position = [], 8
    while position < len(content):
        (length,) = struct.unpack(">I", content[position : position + 4])
        names.append(content[position + 4 : position + 8])
        position += 12 + length
    return names


class Form(html.parser.HTMLParser):
    """Tags, links, labels and inputs of the page."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.inputs: list[dict[str, str | None]] = []
        self.labels: list[str | None] = []
        self.inside: list[str] = []
        self.labelled: list[bool] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.links += [str(values[n]) for n in ("href", "src", "action") if n in values]
        if tag == "label":
            self.labels.append(values.get("for"))
            self.inside.append(tag)
        if tag == "input":
            self.inputs.append(values)
            self.labelled.append(bool(self.inside))

    def handle_endtag(self, tag: str) -> None:
        if tag == "label":
            self.inside.pop()


def test_equally_many_of_every_size_and_shuffled(written: tuple[str, pd.DataFrame]) -> None:
    _, key = written
    assert tuple(key.columns) == KEY_COLUMNS
    assert key["case"].tolist() == list(range(1, 13))
    large = key["diameter_mm"] > 14
    assert pd.crosstab(key["truth"], large).nunique().tolist() == [1, 1]
    assert set(key.loc[key["truth"] == "inserted", "generator"]) == {"copypaste", "gaussian"}
    assert (key.loc[key["truth"] == "real", "generator"] == "").all()
    changes = (key["truth"] != key["truth"].shift()).sum()
    assert changes > 3  # neither kind comes in a block


def test_real_cases_are_training_slices(
    made: tuple[Path, dict[str, Any]], written: tuple[str, pd.DataFrame]
) -> None:
    slices = pd.read_csv(made[1]["slices"][0], sep="\t", keep_default_na=False)
    training = set(slices.loc[slices["role"] == "train", "key"])
    assert set(written[1]["key"]) <= training


def test_the_page_tells_nothing(written: tuple[str, pd.DataFrame]) -> None:
    page, key = written
    words = [*key["key"], *key["file"], *key["key"].str.split("/").str[0], "copypaste", "gaussian"]
    assert not [word for word in set(words) if word in page]
    for number in key["diameter_mm"]:
        assert str(number) not in page


def test_pictures_differ_in_pixels_only(written: tuple[str, pd.DataFrame]) -> None:
    found = pictures(written[0])
    assert len(found) == len(written[1])
    for content in found:
        assert chunks(content)[0] == b"IHDR"
        assert set(chunks(content)) == {b"IHDR", b"IDAT", b"IEND"}  # no text, time or origin
    headers = {content[16:29] for content in found}
    assert headers == {struct.pack(">IIBBBBB", 64, 64, 8, 0, 0, 0, 0)}


def test_each_picture_is_the_keys_nodule(
    made: tuple[Path, dict[str, Any]], written: tuple[str, pd.DataFrame]
) -> None:
    page, key = written
    for content, row in zip(pictures(page), key.to_dict("records"), strict=True):
        with SliceFile(made[0] / row["file"]) as file:
            hu = file.image("hu", row["group"], row["row"])
            nodule = file.image("nodule", row["group"], row["row"]) == row["label"]
        y, x = np.nonzero(nodule)
        centre = (y.min() + y.max()) / 2, (x.min() + x.max()) / 2
        spacing = np.array([3.0, 3.0], np.float32)
        expected = reader_sheet.view(hu, centre, spacing, SETTINGS)
        shown = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(shown, expected)


def test_the_page_is_self_contained_and_labelled(written: tuple[str, pd.DataFrame]) -> None:
    page = written[0]
    form = Form()
    form.feed(page)
    assert form.links == ["data:,"]
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|sendBeacon", page)
    assert "default-src 'none'" in page
    for values, inside in zip(form.inputs, form.labelled, strict=True):
        assert inside or values.get("id") in form.labels
    assert {"real", "inserted"} == {v["value"] for v in form.inputs if v.get("name") == "answer"}


def test_the_page_says_what_is_asked(written: tuple[str, pd.DataFrame]) -> None:
    page, key = written
    assert "do not open the key" in page
    assert "60 × 60 mm" in page
    for name in ("R", "I", "Enter", "P", "N", "H"):
        assert f"<kbd>{name}</kbd>" in page
    assert json.dumps(list(ANSWER_COLUMNS)) in page
    assert f'"{sheet_id(key.to_dict("records"))}"' in page


def test_same_bytes_another_seed_another_sheet(
    made: tuple[Path, dict[str, Any]], written: tuple[str, pd.DataFrame]
) -> None:
    root, inputs = made
    turned = inputs | {"inserted": inputs["inserted"][::-1]}
    page, key = write(root, turned, "again")
    assert page == written[0]
    assert key.equals(written[1])
    changed, _ = write(root, inputs, "other", fold="cv1")
    assert changed != page


def test_view_keeps_scale_and_pads_with_air() -> None:
    settings = reader_sheet.Settings(fov_mm=40.0, side_px=80, size_bins_mm=(3.0, 30.0))
    hu = np.full((30, 20), -1350, np.int16)
    hu[10:20, 5:15] = 150  # 10 mm high, 20 mm wide
    image = reader_sheet.view(hu, (14.5, 9.5), np.array([1.0, 2.0], np.float32), settings)
    white = image > 127
    assert white.any(1).sum() == 20
    assert white.any(0).sum() == 40
    corner = reader_sheet.view(hu, (0.0, 0.0), np.array([1.0, 2.0], np.float32), settings)
    assert corner[0, 0] == round(255 * 350 / 1500)


def test_nothing_to_compare_is_an_error(made: tuple[Path, dict[str, Any]]) -> None:
    root, inputs = made
    with pytest.raises(InputError, match=r"0 inserted nodules.*at least one of each in a bin"):
        write(root, inputs, "none", inserted=[])
    far = reader_sheet.Settings(size_bins_mm=(31.0, 40.0), fov_mm=60.0)
    with pytest.raises(InputError, match="none of the same size"):
        write(root, inputs, "none", settings=far)
    assert not (root / "fixed/reader/none.html").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"low_hu": 200}, "below high_hu"),
        ({"size_bins_mm": (5.0, 5.0)}, "rising"),
        ({"size_bins_mm": (5.0, 80.0)}, "fov_mm"),
    ],
)
def test_settings_that_cannot_be(change: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        reader_sheet.Settings(**change)
