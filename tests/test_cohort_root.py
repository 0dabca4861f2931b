"""A cohort's name belongs to one source folder, which may move."""

from __future__ import annotations

import json
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lungaug import cohort_root
from lungaug.errors import SettingError


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("first", "second"):
        (tmp_path / "elsewhere" / name).mkdir(parents=True)
    (tmp_path / "working").mkdir()
    monkeypatch.chdir(tmp_path / "working")
    return tmp_path / "elsewhere"


def claim(root: Path | str, made: bool = True) -> None:
    tables = Path("cohort.tsv")
    if made:
        tables.touch()
    cohort_root.claim(Path("private/own"), "own", str(root), [tables])


def recorded() -> str:
    root: str = json.loads(Path("private/own/source.json").read_text(encoding="utf-8"))["root"]
    return root


def test_another_folder_under_the_same_name_is_refused(place: Path) -> None:
    claim(place / "first")
    claim(place / "first")
    with pytest.raises(SettingError) as caught:
        claim(place / "second")
    for words in ("'own'", "elsewhere/first'", "elsewhere/second'", "private/own/source.json"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert recorded().endswith("first")
    # The documented way to say that both hold the same patients.
    Path("private/own/source.json").unlink()
    claim(place / "second")
    assert recorded().endswith("second")


def test_a_folder_that_moved_is_the_same_cohort(place: Path) -> None:
    claim(place / "first")
    (place / "second").rmdir()
    (place / "first").rename(place / "second")
    claim(place / "second")
    assert recorded().endswith("second")


def test_another_way_to_the_same_folder_is_the_same(place: Path) -> None:
    claim(place / "first")
    Path("link").symlink_to(place / "first")
    claim("link")
    claim(f"{place}/second/../first/")
    assert recorded() == os.path.realpath(place / "first")


def test_nothing_is_kept_for_a_first_try_that_made_no_table(place: Path) -> None:
    claim(place / "first", made=False)
    claim(place / "second", made=False)
    claim(place / "second")
    with pytest.raises(SettingError):
        claim(place / "first")


def test_a_working_copy_takes_its_own_source_along(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("incoming").mkdir()
    claim("incoming")
    assert recorded() == "incoming"
    copy = place.parent / "copy"
    (copy / "incoming").mkdir(parents=True)
    (copy / "private").symlink_to(Path("private").absolute())
    monkeypatch.chdir(copy)
    claim("incoming")


def test_a_check_writes_nothing_and_the_record_is_its_owners(place: Path) -> None:
    cohort_root.check(Path("private/own"), "own", str(place / "first"), [])
    assert not Path("private").exists()
    claim(place / "first")
    assert stat.S_IMODE(Path("private/own").stat().st_mode) == 0o700
    assert stat.S_IMODE(Path("private/own/source.json").stat().st_mode) == 0o600


@pytest.mark.parametrize("text", ["", "{", "[]", '{"root": 3}', "{}"])
def test_a_damaged_record_is_written_anew(place: Path, text: str) -> None:
    claim(place / "first")
    Path("private/own/source.json").write_text(text, encoding="utf-8")
    claim(place / "second")
    assert recorded().endswith("second")


def test_of_two_runs_at_once_one_is_refused(place: Path) -> None:
    Path("cohort.tsv").touch()

    def outcome(name: str) -> bool:
        try:
            claim(place / name)
        except SettingError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        done = list(pool.map(outcome, ["first", "second"] * 8))
    assert {done[0::2].count(True), done[1::2].count(True)} == {0, 8}
    assert not list(Path("private/own").glob("*.part"))


def test_a_folder_whose_name_is_no_valid_text(place: Path) -> None:
    odd = os.fsdecode(os.fsencode(place) + b"/\xff")
    os.mkdir(odd)
    claim(odd)
    with pytest.raises(SettingError) as caught:
        claim(place / "second")
    str(caught.value).encode("utf-8")
