"""Configuration files read for what Snakemake does not say: lines, and keys given twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungaug import configfiles
from lungaug.errors import SettingError


def read(folder: Path, *texts: str) -> configfiles.Written:
    files = [folder / f"{number}.yaml" for number in range(len(texts))]
    for file, text in zip(files, texts, strict=True):
        file.write_text(text, encoding="utf-8")
    return configfiles.read(files)


def line_of(written: configfiles.Written, key: str) -> int:
    place = written.place(configfiles.Fault(key, ""))
    assert place is not None
    return place.line


def test_every_setting_has_a_line(tmp_path: Path) -> None:
    written = read(
        tmp_path, "cohort: a\nscan:\n  n_batches: 2\ngrid:\n  - arms: [none,\n      x]\n"
    )
    keys = {"cohort": 1, "scan": 2, "scan.n_batches": 3, "grid[0].arms": 5, "grid[0].arms[1]": 6}
    assert {key: line_of(written, key) for key in keys} == keys
    # What is missing stands where its section does; what is nowhere has no place.
    assert line_of(written, "grid[0].segmenters") == 5
    assert line_of(written, "scan.include[3].x") == 2
    assert written.place(configfiles.Fault("source.kind", "")) is None


def test_of_several_files_the_last_that_names_it_counts(tmp_path: Path) -> None:
    written = read(tmp_path, "seeds: 1\ncohort: a\n", "\n\nseeds: 2\n")
    assert (line_of(written, "seeds"), line_of(written, "cohort")) == (3, 2)
    assert not written.faults


@pytest.mark.parametrize(
    ("text", "key", "lines"),
    [
        ("seeds: 1\ncohort: a\nseeds: 2\n", "seeds", (3, 1)),
        ("scan:\n  n_batches: 1\n  n_batches: 2\n", "scan.n_batches", (3, 2)),
        ("grid:\n  - {arms: [none],\n     arms: [x]}\n", "grid[0].arms", (3, 2)),
        ('{"seeds": 1,\n "seeds": 2}', "seeds", (2, 1)),
    ],
)
def test_equal_keys_are_found_at_any_depth(
    tmp_path: Path, text: str, key: str, lines: tuple[int, int]
) -> None:
    (fault,) = read(tmp_path, text).faults
    assert fault.key == key
    assert fault.place is not None
    assert (fault.place.line, fault.text) == (
        lines[0],
        f"given twice, first in line {lines[1]}; keep one",
    )


def test_an_alias_is_not_a_second_key(tmp_path: Path) -> None:
    text = "a: &same {x: 1}\nb: *same\nc: {<<: *same, y: 2}\n"
    assert not read(tmp_path, text).faults
    bomb = "a0: &a0 [x]\n" + "".join(
        f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40)
    )
    assert not read(tmp_path, bomb).faults


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        (b"cohort: x\n\tarms: [a]\n", 2, "indent with blanks"),
        (b"cohort: x\narms: [a\nb: 1\n", 3, "no YAML"),
        (b"cohort: x\n  arms: 2\n", 2, "no YAML: mapping values are not allowed here"),
        (b"cohort: 'x\n", 2, "no YAML"),
        (b"a: 1\ncohort: \xe4\n", 2, "no UTF-8"),
        (b"a: 1\nb: \x00\n", 2, "no YAML"),
        (b"- cohort\n", 1, "no settings"),
        (b"cohort\n", 1, "no settings"),
        (b"a: *b\n", 1, "undefined alias"),
    ],
)
def test_what_is_no_yaml_is_refused_with_its_line(
    tmp_path: Path, text: bytes, line: int, words: str
) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(text)
    with pytest.raises(SettingError) as caught:
        configfiles.read([file])
    message = str(caught.value)
    assert f"mine.yaml, line {line}: " in message
    assert words in message
    assert "\n" not in message


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"mine.yaml: cannot be read \(No such file"):
        configfiles.read([tmp_path / "mine.yaml"])


def test_an_empty_file_and_json_with_tabs_are_read(tmp_path: Path) -> None:
    assert not read(tmp_path, "", '{"seeds":\n\t2}').faults
