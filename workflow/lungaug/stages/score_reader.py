"""score_reader: what readers' answers to a blinded sheet say, a row a reader and generator."""

from __future__ import annotations

import csv
import io
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lungaug.cohort import read_table, write_rows
from lungaug.errors import FileFormatError, InputError
from lungaug.evaluation.reader import (
    ANSWER_COLUMNS,
    ANSWERS,
    CONFIDENCES,
    INSERTED,
    KEY_COLUMNS,
    sheet_id,
)
from lungaug.evaluation.reader_scores import (
    SCORE_COLUMNS,
    Reading,
    ScoreSettings,
    score_rows,
)
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings(ScoreSettings):
    """How the answers are judged."""


def run(
    *,
    key: Path,
    answers: list[Path],
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Score the CSV files that readers downloaded from a sheet.

    Args:
        key: ``key.tsv``, written beside the sheet.
        answers: one CSV a reader.
        output: the table, with the columns ``SCORE_COLUMNS``.
        settings: level and resampling.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: an answer or a file that does not belong to this key, or no answers.
    """
    table = read_table(key, KEY_COLUMNS).fillna({"generator": ""})
    if not set(table["truth"]) <= set(ANSWERS):
        raise FileFormatError(f"{key}: truth {_listed(table['truth'])}; accepted: {_words()}")
    readings = [_reading(path, table) for path in answers]
    if not readings:
        raise InputError("no answers; accepted: at least one CSV file from the sheet")
    _refuse_twice(readings, answers)
    rows = [_rounded(row) for row in score_rows(list(table["generator"]), readings, settings)]
    write_rows(output, SCORE_COLUMNS, rows)
    logger.info("%s", _summary(rows, len(readings), len(table)))


def _reading(path: Path, key: pd.DataFrame) -> Reading:
    """The answers of one file, in the order of the key."""
    place = {str(case): i for i, case in enumerate(key["case"])}
    signed, seconds = np.full(len(key), np.nan), np.full(len(key), np.nan)
    wanted = sheet_id({str(n): v for n, v in row.items()} for row in key.to_dict("records"))
    names = set()
    for line, row in _lines(path):
        where = f"{path}, line {line}"
        if row["sheet"] != wanted:
            raise InputError(f"{where}: answers to sheet '{row['sheet']}'; accepted: {wanted}")
        at = place.get(row["case"])
        if at is None:
            raise InputError(f"{where}: case '{row['case']}'; accepted: 1 to {len(key)}")
        if not math.isnan(signed[at]):
            raise InputError(f"{where}: case {row['case']} again; accepted: one answer a case")
        signed[at] = _signed(row, where)
        seconds[at] = _seconds(row["seconds"], where)
        names.add(row["reader"])
    if np.isnan(signed).all():
        raise InputError(f"{path}: no answers; accepted: at least one answered case")
    if len(names) > 1:
        raise InputError(f"{path}: readers {_listed(names)}; accepted: one reader a file")
    return Reading(names.pop() or path.stem, signed, seconds)


def _lines(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Number and cells of every line; a spreadsheet may have saved it with a mark or semicolons."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as text ({error}); accepted: a CSV") from error
    header = text.partition("\n")[0]
    delimiter = ";" if ";" in header else ","
    lines = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, restval="")
    missing = [name for name in ANSWER_COLUMNS if name not in (lines.fieldnames or ())]
    if missing:
        raise InputError(
            f"{path}: no column {', '.join(missing)}; accepted: {', '.join(ANSWER_COLUMNS)}"
        )
    for row in lines:
        yield lines.line_num, {name: row[name].strip() for name in ANSWER_COLUMNS}


def _signed(row: dict[str, str], where: str) -> int:
    if row["answer"] not in ANSWERS:
        raise InputError(f"{where}: answer '{row['answer']}'; accepted: {_words()}")
    if row["confidence"] not in map(str, CONFIDENCES):
        raise InputError(
            f"{where}: confidence '{row['confidence']}'; accepted: {_listed(CONFIDENCES)}"
        )
    return int(row["confidence"]) * (1 if row["answer"] == INSERTED else -1)


def _seconds(text: str, where: str) -> float:
    try:
        value = float(text) if text else math.nan
    except ValueError:
        value = -1.0
    if value < 0 or math.isinf(value):
        raise InputError(f"{where}: seconds '{text}'; accepted: a number of at least 0, or nothing")
    return value


def _refuse_twice(readings: list[Reading], paths: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for reading, path in zip(readings, paths, strict=True):
        if reading.reader in seen:
            raise InputError(
                f"{path}: reader '{reading.reader}' as in {seen[reading.reader]}; "
                "accepted: one file a reader"
            )
        seen[reading.reader] = path


def _rounded(row: dict[str, Any]) -> dict[str, Any]:
    """Unknown as empty, and no more digits than a few dozen answers carry."""
    values = {n: round(v, 4) if isinstance(v, float) else v for n, v in row.items()}
    return {n: "" if v != v else v for n, v in values.items()}


def _summary(rows: list[dict[str, Any]], n_readers: int, n_cases: int) -> str:
    pooled = next(row for row in rows if row["kind"] == "pooled")
    return (
        f"{n_readers} reader(s), {n_cases} cases: accuracy {pooled['accuracy']}, "
        f"AUC {pooled['auc']} ({pooled['auc_low']} to {pooled['auc_high']}), p {pooled['p']}"
    )


def _words() -> str:
    return ", ".join(ANSWERS)


def _listed(values: Any) -> str:
    return ", ".join(sorted({str(v) for v in values}))
