"""docs/staleness.md tells every row that tests run, and no other."""

from __future__ import annotations

import re

from code_rows import CODE_ROWS
from patient_rows import PATIENT_ROWS
from workflow_runs import REPOSITORY

LINE = re.compile(r"^\| (?!change|---).*$", re.MULTILINE)


def test_the_documentation_tells_every_row() -> None:
    text = (REPOSITORY / "docs/staleness.md").read_text(encoding="utf-8")
    assert LINE.findall(text) == [row.told() for row in (*CODE_ROWS, *PATIENT_ROWS)]


def test_every_row_has_a_name_of_its_own() -> None:
    names = [row.name for row in (*CODE_ROWS, *PATIENT_ROWS)]
    assert len(set(names)) == len(names)
