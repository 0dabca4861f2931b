"""Records that travel with results: what made each file, and whether it is still that file."""

from __future__ import annotations

import base64
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from lungaug import identity, records
from lungaug.errors import FileFormatError
from lungaug.status import words

RESULTS = "results/tiny"


@pytest.fixture(autouse=True)
def working_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(name: str, text: str = "made", **changed: Any) -> Path:
    """An output, and Snakemake's record of it."""
    path = Path(RESULTS, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    record = {
        "rule": "select",
        "params": ["'code'", "'{\"a\":1}'"],
        "input": [f"{RESULTS}/split.tsv", "workflow/weights.pt", "/home/somebody/weights.pt"],
        "input_checksums": {f"{RESULTS}/split.tsv": "sha256:1"},
        "code": "python -m lungaug select",
        "record_format_version": 6,
        "software_stack_hash": "none",
        "starttime": 1.5,
        "endtime": path.stat().st_mtime,
        "incomplete": False,
        **changed,
    }
    encoded = base64.urlsafe_b64encode(str(path).encode()).decode()
    parts = [encoded[i : i + 254] for i in range(0, len(encoded), 254)]
    file = Path(".snakemake", "metadata", *[f"@{part}" for part in parts[:-1]], parts[-1])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record), encoding="utf-8")
    return path


def kept() -> dict[str, records.Kept]:
    records.keep(RESULTS)
    return records.read(RESULTS)


def changed() -> set[str]:
    return records.still(RESULTS, records.read(RESULTS))[1]


def rewrite_at_the_same_time(path: Path, text: str) -> None:
    status = path.stat()
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_what_snakemake_recorded_is_read_back_as_it_was_kept() -> None:
    made("fixed/slices.tsv")
    long = "fixed/" + "/".join(["a_long_name_of_a_folder"] * 12) + "/slices.tsv"
    made(long)
    found = kept()
    assert set(found) == {"fixed/slices.tsv", long}
    one = found["fixed/slices.tsv"]
    assert (one.making.rule, one.making.params) == ("select", ("'code'", "'{\"a\":1}'"))
    assert dict(one.making.inputs)["split.tsv"] == "sha256:1"
    assert not changed()


def test_no_path_from_outside_the_working_copy_is_kept() -> None:
    made("fixed/slices.tsv")
    kept()
    text = Path(RESULTS, records.NAME).read_text("utf-8")
    assert "somebody" not in text
    assert RESULTS not in text
    assert "./workflow/weights.pt" in text


@pytest.mark.parametrize(
    "path", [f"{RESULTS}/split.tsv", "workflow/weights.pt", "/home/me/w.pt", "../w.pt"]
)
def test_a_path_comes_back_also_in_a_renamed_folder(path: str) -> None:
    held = records.portable(path, RESULTS)
    outside = {records.portable(path, "other/folder"): path} if path.endswith("w.pt") else {}
    expected = path.replace(RESULTS, "other/folder")
    assert records.local(held, "other/folder", outside) == expected


def test_nothing_is_written_where_nothing_was_made() -> None:
    Path(RESULTS).mkdir(parents=True)
    assert not kept()
    assert not Path(RESULTS, records.NAME).exists()


def test_a_second_run_without_work_neither_reads_nor_writes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made("fixed/slices.tsv")
    kept()
    before = Path(RESULTS, records.NAME).stat().st_mtime_ns

    def refuse(*_: object) -> None:
        raise AssertionError("read again")

    monkeypatch.setattr(records, "_loaded", refuse)
    monkeypatch.setattr(identity, "digest", refuse)
    kept()
    assert not changed()
    assert Path(RESULTS, records.NAME).stat().st_mtime_ns == before


def test_a_file_rewritten_at_the_same_time_with_the_same_size_is_told() -> None:
    path = made("fixed/slices.tsv", "one")
    kept()
    rewrite_at_the_same_time(path, "two")
    assert changed() == {"fixed/slices.tsv"}
    assert set(kept()) == {"fixed/slices.tsv"}
    assert changed() == {"fixed/slices.tsv"}


def test_a_file_touched_or_copied_with_its_content_is_the_same() -> None:
    path = made("fixed/slices.tsv", "one")
    kept()
    os.utime(path)
    assert not changed()
    shutil.copy(path, "aside")
    path.unlink()
    shutil.move("aside", path)
    assert not changed()


def test_a_file_changed_before_anybody_looked_is_not_taken_for_the_run_s() -> None:
    path = made("fixed/slices.tsv", "one")
    path.write_text("two", encoding="utf-8")
    os.utime(path, (1e9, 1e9))
    kept()
    assert changed() == {"fixed/slices.tsv"}


def test_a_new_run_of_the_job_replaces_the_record() -> None:
    made("fixed/slices.tsv", "one")
    kept()
    made("fixed/slices.tsv", "two", params=["'other'"], starttime=2.5)
    assert kept()["fixed/slices.tsv"].making.params == ("'other'",)
    assert not changed()


def test_a_colleagues_results_with_their_records_are_not_overwritten_by_ones_own_memory() -> None:
    shutil.copytree(Path(made("fixed/slices.tsv", "theirs", starttime=0.5)).parent, "aside/fixed")
    theirs = kept()
    shutil.copy(Path(RESULTS, records.NAME), "aside")
    made("fixed/slices.tsv", "mine", params=["'mine'"])
    assert kept()["fixed/slices.tsv"].making.params == ("'mine'",)
    shutil.rmtree(RESULTS)
    shutil.copytree("aside", RESULTS)
    os.utime(Path(RESULTS, "fixed/slices.tsv"), (1e9, 1e9))

    found = kept()["fixed/slices.tsv"]
    assert found.making == theirs["fixed/slices.tsv"].making
    assert found.digest == theirs["fixed/slices.tsv"].digest
    assert not changed()
    Path(RESULTS, "fixed/slices.tsv").write_text("neither", encoding="utf-8")
    assert changed() == {"fixed/slices.tsv"}


@pytest.mark.parametrize(
    "record",
    [{"incomplete": True}, {"endtime": None}, {"params": ["lungaug: changed by hand"]}],
    ids=["incomplete", "never finished", "refused by adopt"],
)
def test_a_record_that_says_to_make_the_file_again_is_not_kept(record: dict[str, Any]) -> None:
    made("fixed/slices.tsv", **record)
    assert not kept()


def test_a_damaged_record_of_snakemake_stops_nothing() -> None:
    made("fixed/slices.tsv")
    made("fixed/audit.tsv")
    broken = next(Path(".snakemake/metadata").iterdir())
    broken.write_text('{"rule": "sel', encoding="utf-8")
    assert len(kept()) == 1


def test_a_folder_that_cannot_be_written_is_told_and_stops_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    made("fixed/slices.tsv")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    records.keep(RESULTS)
    assert "records.jsonl: no space left on the disk" in caplog.text


def test_records_of_another_version_count_as_none() -> None:
    made("fixed/slices.tsv")
    kept()
    path = Path(RESULTS, records.NAME)
    path.write_text(path.read_text("utf-8").replace('{"version": 1}', '{"version": 99}'), "utf-8")
    assert records.read(RESULTS) == {}


def test_damaged_records_are_told_and_made_anew_by_the_next_run() -> None:
    made("fixed/slices.tsv")
    kept()
    path = Path(RESULTS, records.NAME)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(FileFormatError, match=r"records.jsonl: damaged .* copy it again"):
        records.read(RESULTS)
    assert set(kept()) == {"fixed/slices.tsv"}


def test_a_folder_changes_with_any_file_in_it_but_not_with_snakemakes_time(tmp_path: Path) -> None:
    folder = tmp_path / "dicom"
    (folder / "p1").mkdir(parents=True)
    (folder / "p1" / "a.dcm").write_bytes(b"one")
    before = identity.digest(folder)
    (folder / ".snakemake_timestamp").touch()
    assert identity.digest(folder) == before
    (folder / "p1" / "a.dcm").write_bytes(b"two")
    assert identity.digest(folder) != before


def test_of_a_large_file_ends_and_size_count_and_the_reading_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "large.h5"
    size = identity.WHOLE + 12345
    with path.open("wb") as file:
        file.truncate(size)
    before = identity.digest(path)
    for position in (0, size - 1):
        with path.open("r+b") as file:
            file.seek(position)
            file.write(b"x")
        after = identity.digest(path)
        assert after != before
        before = after
    with path.open("ab") as file:
        file.write(b"\0")
    assert identity.digest(path) != before


OLD = ["'0123456789abcdef'", '\'{"noise_slice":{"intensity":10},"seed":1}\'', "'a'"]


@pytest.mark.parametrize(
    ("new", "expected"),
    [
        ({"code": OLD[0], "settings": OLD[1], "x": OLD[2]}, []),
        (
            {"code": "'fedcba9876543210'", "settings": OLD[1], "x": OLD[2]},
            ["its code changed"],
        ),
        (
            {"code": OLD[0], "settings": OLD[1].replace("10", "11"), "x": OLD[2]},
            ["setting noise_slice.intensity: 10 -> 11"],
        ),
        (
            {"code": OLD[0], "settings": '\'{"noise_slice":{},"new":[1]}\'', "x": OLD[2]},
            [
                "setting noise_slice.intensity is used no more",
                "new setting new: [1]",
                "setting seed is used no more",
            ],
        ),
        ({"code": OLD[0], "settings": OLD[1], "x": "'b'"}, ["x: 'a' -> 'b'"]),
        ({"code": OLD[0], "settings": OLD[1]}, ["had another parameter: 'a'"]),
    ],
    ids=["nothing", "code", "setting", "keys", "other", "one fewer"],
)
def test_changed_parameters_in_words(new: dict[str, str], expected: list[str]) -> None:
    assert words.changed_parameters(OLD, new) == expected


def test_changed_patients_are_counted_and_not_named() -> None:
    old, new = "['p1:aa', 'p2:bb', 'p3:cc']", "['p1:aa', 'p2:xx', 'p4:dd']"
    said = words.changed_parameters([old], {"digests": new})
    assert said == ["patients: 1 new, 1 gone, 1 with other files"]


def test_names_that_are_no_valid_text_are_kept_byte_for_byte(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"f\xff")
    folder.mkdir()
    (folder / os.fsdecode(b"m\xfc.dcm")).write_bytes(b"x")
    assert identity.digest(tmp_path) != identity.digest(folder)
    assert identity.stamp(tmp_path)
    assert records.portable(str(folder), "results/x").startswith("outside:")
    assert records.text_digest(str(folder))
    for name in (os.fsdecode(b"w\xff.pt"), "line\u2028break\x85.pt"):
        inputs = ((f"./{name}", "sha256:0"),)
        making = records.Making("rule", ("1",), inputs, "", "", "", 6)
        kept = records.Kept(making, 1.0, 2.0, 2, "d", "s", 3)
        records.write(str(tmp_path), {"a.h5": kept})
        assert records.read(str(tmp_path)) == {"a.h5": kept}
