"""Tables as the report's page draws them: text in cells, short enough to be shown."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lungaug.evaluation.layout import MISSING, NO_LESION, NOT_TESTED

MOST_ROWS = 300  # a browser sorts them at once, and nobody reads more
ABSENT = frozenset({"", "n/a", MISSING, NO_LESION, NOT_TESTED})
# A number with what may follow it: a unit, an interval, a count of patients.
_NUMBER = re.compile(r"[<>≤≥]?\s*[-+−]?(\d[\d,]*\.?\d*|\.\d+)(e[-+]?\d+)?\s*%?(\s*[\[(].*)?")


@dataclass(frozen=True)
class Table:
    """A table as the template draws it: all cells text.

    Attributes:
        columns: headings.
        rows: those that are shown.
        numeric: for each column whether it sorts by numbers.
        n_rows: how many rows there are in all.
        source: the file that holds them all; '' where all are shown.
    """

    columns: list[str]
    rows: list[list[str]]
    numeric: list[bool]
    n_rows: int
    source: str = ""


def shown(frame: pd.DataFrame, source: str = "", most: int = MOST_ROWS) -> Table:
    """The first ``most`` rows of a frame where it has a source, else all of them."""
    kept = frame.head(most) if source else frame
    rows = [[_cell(value) for value in row] for row in kept.itertuples(index=False)]
    cut = source if len(kept) < len(frame) else ""
    return of_text([str(c) for c in frame.columns], rows, len(frame), cut)


def of_text(
    columns: list[str], rows: list[list[str]], n_rows: int | None = None, source: str = ""
) -> Table:
    """A table of cells that are text already."""
    numeric = [_is_numeric([row[i] for row in rows]) for i in range(len(columns))]
    return Table(columns, rows, numeric, len(rows) if n_rows is None else n_rows, source)


def thinned(frame: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most that many rows, evenly spread, the first and the last among them."""
    if len(frame) <= most:
        return frame
    rows = [round(i * (len(frame) - 1) / (most - 1)) for i in range(most)]
    return frame.iloc[rows]


def markdown(path: Path) -> dict[str, Any]:
    """The tables of a Markdown file of ours, each with its heading, and its paragraphs."""
    tables: list[tuple[str, Table]] = []
    paragraphs: list[str] = []
    heading = ""
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            tables.append((heading, of_text(cells[0], cells[2:])))
            heading = ""
        elif len(lines) == 1 and re.fullmatch(r"\*\*.+\*\*", lines[0]):
            heading = lines[0].strip("*")
        else:
            paragraphs.append(" ".join(block.split()))
    return {"tables": tables, "paragraphs": paragraphs}


def _is_numeric(cells: Sequence[str]) -> bool:
    present = [cell for cell in cells if cell not in ABSENT]
    # A column of scores that nobody has is one of numbers too; an empty one may be anything.
    return any(cells) and all(_NUMBER.fullmatch(cell) for cell in present)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    if value.is_integer():
        return str(int(value))
    return f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.1e}"
