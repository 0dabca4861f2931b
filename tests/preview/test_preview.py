"""The preview: what the page says of a cohort, and that nothing else is written."""

from __future__ import annotations

import hashlib
import html
import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from dicom_files import ct_dataset, uid, write
from dicom_source import write_png, write_xml
from lungaug.cohort import Pseudonyms, load_or_create_key
from lungaug.ledger import Entry, locked_ledger
from lungaug.preview import page, words
from lungaug.preview.__main__ import main
from mendeley_files import write_published_frames

SHAPE = (64, 64)
BOX = [(row, column) for row in range(30, 35) for column in range(15, 20)]
N = 6


def chest() -> NDArray[np.uint16]:
    """Stored values of a slice with two lungs; HU are 1024 less."""
    row, column = np.mgrid[: SHAPE[0], : SHAPE[1]]
    hu = np.full(SHAPE, -1000)
    hu[((row - 32) / 26) ** 2 + ((column - 32) / 30) ** 2 < 1] = 40
    for middle in (18, 46):
        hu[((row - 32) / 17) ** 2 + ((column - middle) / 8) ** 2 < 1] = -850
    return (hu + 1024).astype(np.uint16)


def write_patient(
    root: Path, name: str, series: int, marked: Sequence[int] = (2, 3), air: bool = True
) -> None:
    """Six slices 2 mm apart, some of them with a mask beside; without air there are no lungs."""
    for i in range(N):
        stored = chest()
        if not air:
            stored[stored < 900] = 1064
            stored[:20] = 24
        if i in marked:
            for place in BOX:
                stored[place] = 1064
        path = root / f"{series}/IM{i:02d}.dcm"
        tags: dict[str, Any] = {"PixelSpacing": [4.0, 4.0], "InstanceNumber": i + 1}
        write(
            path,
            ct_dataset(z=2.0 * i, number=i, patient_id=name, series=series, stored=stored, **tags),
        )
        if i in marked:
            write_png(path.with_suffix(".png"), *BOX, shape=SHAPE)


class Working:
    """A folder in which the preview runs, with a source and a configuration in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "ct"

    def configure(self, **more: Any) -> None:
        values = {
            "cohort": "mine",
            "source": {"kind": "dicom", "root": str(self.root), **more.pop("source", {})},
            "arms": ["none", "metalung"],
            "scan": {"n_batches": 2},
            "split": {"mode": "cross_validation", "folds": 3},
            **more,
        }
        (self.folder / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")

    def look(self, *arguments: str) -> int:
        return main(["--configfile", "mine.yaml", *arguments])

    @property
    def page(self) -> str:
        return (self.folder / "preview-mine.html").read_text(encoding="utf-8")

    def rows(self, label: str) -> dict[str, dict[str, str]]:
        """A table of the page by its first column."""
        table = re.search(rf'<table[^>]*aria-label="{label}".*?</table>', self.page, re.DOTALL)
        assert table is not None
        heads = [html.unescape(t) for t in re.findall(r"<button[^>]*>(.*?)</button>", table[0])]
        found = {}
        for row in re.findall(r"<tr>(<td.*?)</tr>", table[0], re.DOTALL):
            cells = [html.unescape(t) for t in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]
            found[cells[0]] = dict(zip(heads, cells, strict=True))
        return found


def files_below(folder: Path) -> dict[str, tuple[int, int, str]]:
    """Every file and folder: mode, time, digest of the content."""
    found = {}
    for path in sorted(folder.rglob("*")):
        known = path.lstat()
        content = path.read_bytes() if path.is_file() else b""
        digest = hashlib.sha256(content).hexdigest()
        found[str(path)] = (known.st_mode, known.st_mtime_ns, digest)
    return found


@pytest.fixture
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Working:
    monkeypatch.chdir(tmp_path)
    made = Working(tmp_path)
    made.configure()
    return made


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Working:
    """Looked at once: masks, sheet and setting give classes; some patients are left out."""
    working = Working(tmp_path_factory.mktemp("cohort"))
    for number, name in enumerate(("A", "B", "C"), start=1):
        write_patient(working.root, name, number)
    write_patient(working.root, "SHEET", 4, marked=())
    write_patient(working.root, "UNSEEN", 5, marked=())
    write_patient(working.root, "AIRLESS", 6, marked=(), air=False)
    write_patient(working.root, "TORN", 7)
    write_png(working.root / "7/IM04.png", (1, 1), shape=(9, 9))
    write_png(working.root / "8/nobody.png", *BOX, shape=SHAPE)
    (working.root / "notes.txt").write_text("none", encoding="utf-8")
    sheet = working.folder / "sheet.tsv"
    sheet.write_text("patient_id\tlung_rads\nSHEET\tLR1\nAIRLESS\tLR1\n", encoding="utf-8")
    working.configure(source={"sheet": str(sheet)})
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(working.folder)
        assert working.look() == 0
    return working


def test_a_patient_is_described(cohort: Working) -> None:
    row = cohort.rows("Patients")["A"]
    assert row["class"] == "LR4B"  # 5 x 5 pixels of 4 mm
    assert row["from"] == "masks"
    assert row["series / slices"] == "1 / 6"
    assert row["spacing, mm"] == "4.00 x 4.00 x 2"
    assert row["matched"] == "2 PNG"
    assert row["nodules"] == "1"
    assert float(row["mm"]) == pytest.approx(25.6, abs=0.1)  # without the box's corners
    assert row["with lungs"] == "6 of 6"
    assert row["role"].startswith("tests in cv")


def test_it_says_where_a_class_is_from(cohort: Working) -> None:
    rows = cohort.rows("Patients")
    assert (rows["SHEET"]["class"], rows["SHEET"]["from"]) == ("LR1", "sheet")
    assert (rows["UNSEEN"]["class"], rows["UNSEEN"]["from"]) == ("unknown", "")


def test_who_is_left_out_stands_there_with_the_reason(cohort: Working) -> None:
    reasons = {name: row["why"] for name, row in cohort.rows("Patients without a role").items()}
    assert set(reasons) == {"UNSEEN", "AIRLESS", "TORN"}
    assert "no mask or contour matched" in reasons["UNSEEN"]
    assert "no lungs" in reasons["AIRLESS"] or "no HU" in reasons["AIRLESS"]
    assert "7/IM04.png" in reasons["TORN"]


def test_the_page_says_what_a_run_would_stop_with(cohort: Working) -> None:
    stops = cohort.page.split('<ul class="stops">')[1].split("</ul>")[0]
    assert "ingest.on_bad_input: skip" in stops


def test_masks_and_files_that_are_not_used_stand_there(cohort: Working) -> None:
    assert cohort.rows("Matched masks")["path"]["images"] == "9"
    unmatched = cohort.page.split("They fit nothing")[1].split("Left out")[0]
    assert "8/nobody.png" in unmatched
    assert "mask of no image" in unmatched
    assert "has the image&#39;s path with another suffix" in unmatched
    assert "notes.txt" in cohort.page.split("Files that are not used")[1]


def test_roles_are_not_final(cohort: Working) -> None:
    assert "Roles, not final" in cohort.page
    counts = cohort.rows("Patients by class and role")
    assert sum(int(n) for n in list(counts["LR4B"].values())[1:]) == 3


def test_pictures_are_few_and_those_with_warnings_come_first(cohort: Working) -> None:
    sheet = cohort.page.split('id="slices"')[1]
    names = re.findall(r'<h3 class="person">(\S+)', sheet)
    assert set(names[:2]) == {"AIRLESS", "UNSEEN"}
    assert set(names) == {"A", "B", "C", "SHEET", "UNSEEN", "AIRLESS"}
    assert sheet.count("<img") == 6 * len(names)
    assert "nodule 2" in sheet


def test_the_page_is_private(cohort: Working) -> None:
    path = cohort.folder / "preview-mine.html"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert "PRIVATE" in cohort.page
    assert re.search(r"\b[pf][0-9a-f]{12}\b", cohort.page) is None


def test_nothing_is_written_but_the_page(working: Working, tmp_path: Path) -> None:
    for number, name in enumerate(("A", "B", "C", "D"), start=1):
        write_patient(working.root, name, number, marked=(2,) if number > 1 else ())
    os.mkdir("temporary")
    before = files_below(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
        assert working.look() == 0
    after = files_below(tmp_path)
    assert set(after) - set(before) == {str(tmp_path / "preview-mine.html")}
    changed = {name for name in before if after[name] != before[name]}
    assert changed == {str(tmp_path / "temporary")}


def test_key_ledger_and_earlier_results_are_only_read(working: Working, tmp_path: Path) -> None:
    for number, name in enumerate(("A", "B", "C"), start=1):
        write_patient(working.root, name, number)
    names = Pseudonyms(load_or_create_key(tmp_path / "private/mine/key"))
    places = {"A": "2", "B": "0", "C": "1"}
    with locked_ledger(tmp_path / "ledgers/mine.tsv") as book:
        rows = (("cross_validation", 3, names.patient(p), "LR4B", k, 0) for p, k in places.items())
        book.append(Entry(*row) for row in rows)
    (tmp_path / "results/mine").mkdir(parents=True)
    (tmp_path / "results/mine/split.tsv").write_text("earlier")
    (tmp_path / ".snakemake").mkdir()
    before = files_below(tmp_path)
    assert working.look() == 0
    after = files_below(tmp_path)
    assert {name: after[name] for name in before} == before
    table = working.rows("Patients")
    assert {name: row["role"] for name, row in table.items()} == {
        name: f"tests in cv{place}" for name, place in places.items()
    }
    assert {row["pseudonym"] for row in table.values()} == set(map(names.patient, places))
    assert "3 of these patients have their place in the ledger" in working.page


def test_a_ledger_without_its_key_is_not_guessed_at(working: Working, tmp_path: Path) -> None:
    for number, name in enumerate(("A", "B", "C"), start=1):
        write_patient(working.root, name, number)
    with locked_ledger(tmp_path / "ledgers/mine.tsv") as book:
        book.append([Entry("cross_validation", 3, "p0123456789ab", "LR2", "0", 0)])
    assert working.look("--patients", "0") == 0
    assert "is not here, so that its places are not shown" in working.page
    assert "<img" not in working.page


def test_a_file_that_holds_no_key_is_named(
    working: Working, capsys: pytest.CaptureFixture[str]
) -> None:
    write_patient(working.root, "A", 1)
    (working.folder / "private/mine").mkdir(parents=True)
    (working.folder / "private/mine/key").write_text("no key")
    assert working.look() == 1
    assert "private/mine/key: no key; accepted:" in capsys.readouterr().err
    assert not (working.folder / "preview-mine.html").exists()


HOSTILE = '<script>alert(1)</script>&"'


def test_names_are_escaped(working: Working) -> None:
    write_patient(working.root, HOSTILE, 1)
    os.makedirs(os.fsencode(working.root) + b"/\xff")
    Path(os.fsdecode(os.fsencode(working.root) + b"/\xff/<b>\n.txt")).write_text("x")
    working.look()
    assert "<script>alert" not in working.page
    assert HOSTILE in working.rows("Patients")
    assert r"\xff/&lt;b&gt;\x0a.txt" in working.page


def test_a_scan_that_refuses_still_says_why(
    working: Working, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, name in enumerate(("A", "B"), start=1):
        write_patient(working.root, name, number, marked=())
    write_png(working.root / "masks/one.png", *BOX, shape=SHAPE)
    write_png(working.root / "masks/two.png", *BOX, shape=SHAPE)
    assert working.look() == 1
    said = capsys.readouterr().err
    assert "none of 2 masks" in said
    assert "none of 2 masks" in working.page
    assert "masks/one.png" in working.page
    assert set(working.rows("Patients")) == {"A", "B"}


def test_no_usable_ct_is_explained_by_file(working: Working) -> None:
    write(working.root / "a.dcm", ct_dataset(Modality="MR"))
    assert working.look() == 1
    assert "no usable CT among 1 files" in working.page
    assert "a.dcm" in working.page.split("Files that are not used")[1]


def test_what_a_run_would_refuse_in_the_scan_is_in_the_scans_words(working: Working) -> None:
    for number, name in enumerate(("A", "B", "C"), start=1):
        write_patient(working.root, name, number)
    # A mask of an image of another modality: its patient loses an annotation.
    tags = {"Modality": "MR", "SOPInstanceUID": uid(9, 9, 9)}
    write(working.root / "1/X.dcm", ct_dataset(patient_id="A", series=1, **tags))
    write_png(working.root / "1/X.png", *BOX, shape=SHAPE)
    working.configure(ingest={"unannotated": "LR1"})
    working.look()
    stops = working.page.split('<ul class="stops">')[1].split("</ul>")[0]
    assert "1 patient loses annotations" in stops
    assert "A: file 1/X.dcm" in stops
    assert "A" in working.rows("Patients without a role")


def test_another_file_is_kept(working: Working, capsys: pytest.CaptureFixture[str]) -> None:
    working.root.mkdir()
    (working.folder / "notes.html").write_text("mine")
    assert working.look("--output", "notes.html") == 1
    assert "is no earlier preview" in capsys.readouterr().err
    assert (working.folder / "notes.html").read_text() == "mine"


@pytest.mark.parametrize("kind", ["folder", "link", "no folder"])
def test_only_a_preview_is_replaced(tmp_path: Path, kind: str) -> None:
    earlier = tmp_path / "earlier.html"
    earlier.write_text(f"<html>{page.MARK}")
    page.check_output(earlier)
    target = tmp_path / "target"
    if kind == "folder":
        target.mkdir()
    elif kind == "link":
        target.symlink_to(earlier)
    else:
        target = tmp_path / "none/target"
    with pytest.raises(Exception, match="--output"):
        page.check_output(target)


def test_every_fault_of_a_configuration_is_listed(
    working: Working, capsys: pytest.CaptureFixture[str]
) -> None:
    (working.root).mkdir()
    working.configure(seeds=0, cohorts=1)
    assert working.look() == 1
    said = capsys.readouterr().err
    assert "config: cohorts: unknown setting (did you mean 'cohort'?)" in said
    assert "config: seeds: got 0" in said
    assert not (working.folder / "preview-mine.html").exists()


def test_a_phantom_is_looked_at_too(working: Working) -> None:
    patients = {"LR1": 1, "LR2": 0, "LR3": 0, "LR4A": 3, "LR4B": 0}
    values = {
        "cohort": "mine", "source": {"kind": "phantom"}, "arms": ["none"],
        "phantom": {"patients": patients, "image": [96, 96]},
        "scan": {"n_batches": 1}, "split": {"mode": "cross_validation", "folds": 3},
    }  # fmt: skip
    (working.folder / "mine.yaml").write_text(yaml.safe_dump(values), encoding="utf-8")
    before = set(files_below(working.folder))
    assert working.look() == 0
    assert len(working.rows("Patients")) == 4
    new = set(files_below(working.folder)) - before
    assert new == {str(working.folder / "preview-mine.html")}


@pytest.mark.slow
def test_two_processes_see_what_one_sees(working: Working) -> None:
    for number, name in enumerate(("A", "B", "C", "D"), start=1):
        write_patient(working.root, name, number, marked=(1,))
    load_or_create_key(working.folder / "private/mine/key")
    working.look()
    one = working.page
    working.look("--cores", "2")
    assert working.page == one


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("P 1", "P 1"),
        ("é漢", "é漢"),
        (os.fsdecode(b"a\xffb"), r"a\xffb"),
        ("a\tb\n\x7f", r"a\x09b\x0a\x7f"),
        ("a\u202eb", r"a\u202eb"),
        ("\ud800", r"\ud800"),
    ],
)
def test_what_cannot_be_shown_is_spelled(name: str, text: str) -> None:
    assert words.shown(name) == text
    words.shown(name).encode()


def test_the_published_tables_are_looked_at_too(working: Working) -> None:
    write_published_frames(working.root, 24, 12)
    working.configure(
        source={"kind": "mendeley"}, split={"mode": "fixed"}, ingest={"assumed_spacing_mm": 0.7}
    )
    assert working.look("--patients", "3") == 0
    rows = working.rows("Patients")
    assert {row["from"] for row in rows.values()} == {"published tables"}
    assert "test" in {row["role"] for row in rows.values()}
    assert working.page.count('<h3 class="person">') == 3
    assert f"--patients {len(rows)} shows all" in working.page


def test_outlines_of_readers_are_counted(working: Working) -> None:
    for number, name in enumerate(("A", "B", "C"), start=1):
        write_patient(working.root, name, number, marked=())
    write_xml(working.root / "xml/1.xml", uid(1), [uid(1, 2), uid(1, 3)])
    write_xml(working.root / "xml/9.xml", uid(9), [uid(9, 1)])
    working.configure(source={"kind": "lidc"})
    assert working.look() == 0
    rows = working.rows("Patients")
    assert (rows["A"]["from"], rows["A"]["matched"], rows["A"]["nodules"]) == ("XML", "1 XML", "1")
    assert rows["B"]["class"] == "unknown"
    assert "xml/9.xml" in working.page.split("They fit nothing")[1].split("Left out")[0]
