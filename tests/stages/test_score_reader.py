"""score_reader: answers become a table, and answers that do not belong are refused."""

from __future__ import annotations

import logging
from pathlib import Path

import pandas as pd
import pytest

from lungaug.cli import main
from lungaug.cohort import write_rows
from lungaug.errors import FileFormatError, InputError
from lungaug.evaluation.reader import ANSWER_COLUMNS, KEY_COLUMNS, sheet_id
from lungaug.evaluation.reader_scores import SCORE_COLUMNS
from lungaug.stages import score_reader
from synthetic_results import MADE_BY

GENERATORS = ("", "dcgan", "", "vqvae", "", "dcgan")
TRUTHS = tuple("inserted" if g else "real" for g in GENERATORS)


def key_rows() -> list[dict[str, object]]:
    place = {"key": "p/s/0000", "file": "f.h5", "group": "8x8", "label": 1, "diameter_mm": 4.5}
    return [
        {"case": i + 1, "truth": t, "generator": g, "row": i, **place}
        for i, (t, g) in enumerate(zip(TRUTHS, GENERATORS, strict=True))
    ]


def line(case: object, answer: str, confidence: object = 3, **changes: object) -> dict[str, object]:
    row = {"sheet": sheet_id(key_rows()), "reader": "", "case": case, "answer": answer}
    return row | {"confidence": confidence, "seconds": 2.5} | changes


PERFECT = [line(i + 1, truth) for i, truth in enumerate(TRUTHS)]


def write_answers(path: Path, rows: list[dict[str, object]], text: str = "") -> Path:
    lines = [",".join(ANSWER_COLUMNS)]
    lines += [",".join(str(row[name]) for name in ANSWER_COLUMNS) for row in rows]
    path.write_bytes((text or "\r\n".join(lines) + "\r\n").encode())
    return path


@pytest.fixture
def key(tmp_path: Path) -> Path:
    write_rows(tmp_path / "key.tsv", KEY_COLUMNS, key_rows())
    return tmp_path / "key.tsv"


def score(key: Path, *answers: Path) -> pd.DataFrame:
    output = key.with_name("table.tsv")
    score_reader.run(
        key=key,
        answers=list(answers),
        output=output,
        settings=score_reader.Settings(n_resamples=200),
        provenance=MADE_BY,
    )
    return pd.read_csv(output, sep="\t", keep_default_na=False, na_values=[""])


def test_a_row_a_reader_and_generator(key: Path, caplog: pytest.LogCaptureFixture) -> None:
    ann = write_answers(key.with_name("ann.csv"), PERFECT)
    wrong = {"real": "inserted", "inserted": "real"}
    bob = [row | {"answer": wrong[str(row["answer"])], "reader": "bob"} for row in PERFECT[:4]]
    with caplog.at_level(logging.INFO):
        table = score(key, ann, write_answers(key.with_name("b.csv"), bob))
    assert tuple(table.columns) == SCORE_COLUMNS
    names = ["ann", "bob", "all"]
    expected = [(n, g) for n in names for g in ("all", "dcgan", "vqvae")] + [("ann & bob", "all")]
    assert list(zip(table["reader"], table["generator"], strict=True)) == expected
    rows = table.set_index(["reader", "generator"])
    assert rows.loc[("ann", "all"), "accuracy"] == 1
    assert rows.loc[("bob", "all"), "accuracy"] == 0
    assert rows.loc[("bob", "all"), "n_unanswered"] == 2
    assert rows.loc[("all", "all"), "accuracy"] == pytest.approx(0.6)
    assert rows.loc[("ann & bob", "all"), "kappa"] == -1
    assert len(caplog.messages) == 1
    assert "6 cases: accuracy 0.6" in caplog.text


def test_the_command_prints_nothing(key: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = write_answers(key.with_name("a.csv"), PERFECT)
    files = ["--key", str(key), "--answers", str(answers), "--output", str(key.with_name("t.tsv"))]
    assert main(["score_reader", *files]) == 0
    assert capsys.readouterr().out == ""


def test_a_file_that_a_spreadsheet_saved(key: Path) -> None:
    lines = [";".join(ANSWER_COLUMNS), *(";".join(map(str, row.values())) for row in PERFECT)]
    text = "\ufeff" + "\n".join(lines)
    table = score(key, write_answers(key.with_name("a.csv"), [], text))
    assert table.loc[0, "accuracy"] == 1
    assert table.loc[0, "reader"] == "a"


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([line(7, "real")], "line 2: case '7'; accepted: 1 to 6"),
        ([line("x", "real")], "case 'x'"),
        ([line(1, "real"), line(1, "real")], "line 3: case 1 again"),
        ([line(1, "fake")], "answer 'fake'; accepted: real, inserted"),
        ([line(1, "real", 6)], "confidence '6'; accepted: 1, 2, 3, 4, 5"),
        ([line(1, "real", "")], "confidence ''"),
        ([line(1, "real", seconds="-1")], "seconds '-1'"),
        ([line(1, "real", seconds="soon")], "seconds 'soon'"),
        ([line(1, "real", sheet="0ther")], "answers to sheet '0ther'; accepted: [0-9a-f]{16}"),
        ([line(1, "real", reader="a"), line(2, "real", reader="b")], "readers a, b"),
        ([], "no answers; accepted: at least one answered case"),
    ],
)
def test_answers_that_do_not_belong(key: Path, rows: list[dict[str, object]], message: str) -> None:
    with pytest.raises(InputError, match=message):
        score(key, write_answers(key.with_name("a.csv"), rows))
    assert not key.with_name("table.tsv").exists()


def test_files_that_do_not_belong(key: Path) -> None:
    with pytest.raises(InputError, match="no answers; accepted: at least one CSV"):
        score(key)
    with pytest.raises(InputError, match=r"no column sheet.*accepted: sheet, reader, case"):
        score(key, write_answers(key.with_name("a.csv"), [], "case,who\n1,me\n"))
    with pytest.raises(InputError, match="cannot be read"):
        score(key, key.with_name("missing.csv"))
    again = [row | {"reader": "ann"} for row in PERFECT]
    with pytest.raises(InputError, match="reader 'ann' as in"):
        score(key, *(write_answers(key.with_name(f"{n}.csv"), again) for n in "ab"))


def test_a_key_that_is_none(key: Path) -> None:
    answers = write_answers(key.with_name("a.csv"), PERFECT)
    write_rows(key, KEY_COLUMNS[:1], [{"case": 1}])
    with pytest.raises(FileFormatError, match="no column truth"):
        score(key, answers)
    write_rows(key, KEY_COLUMNS, [row | {"truth": "maybe"} for row in key_rows()])
    with pytest.raises(FileFormatError, match="truth maybe; accepted: real, inserted"):
        score(key, answers)
