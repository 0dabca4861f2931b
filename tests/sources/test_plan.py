"""Plans: what ingest is told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lungaug.errors import FileFormatError
from lungaug.sources.dicom_header import Header
from lungaug.sources.plan import (
    DamagedFile,
    PatientPlan,
    PlannedFile,
    PlannedSeries,
    PlannedSlice,
    digest_of,
    locate,
    read_plans,
    reference,
    write_plans,
)

HEADER = Header(
    frame=-1,
    sop_uid="1.2",
    study_uid="1.3",
    series_uid="1.4",
    patient_id="P",
    instance=None,
    rows=8,
    columns=9,
    spacing_mm=(0.7, 0.8),
    position_mm=(0.0, 1.0, -2.5),
    orientation=None,
    location_mm=None,
    tilt=0.0,
    slope=1.0,
    intercept=-1024.0,
    padding=(-2000, -2000),
    lossy=False,
    compressed=True,
)


def plan(patient: str = "p1") -> PatientPlan:
    masked = PlannedSlice(PlannedFile("a/1", "d1"), HEADER, 0, -2.5, PlannedFile("masks:m", "d2"))
    bare = replace(masked, file=PlannedFile("a/\udcff", "d3"), index=1, mask=None)
    series = PlannedSeries("s1", (masked, bare), (PlannedFile("a/x.xml", "d4"),))
    damaged = DamagedFile(PlannedFile("a/3", "d5"), "empty file")
    return PatientPlan(patient, "LR2", (series,), (damaged,))


def test_line_and_back() -> None:
    assert PatientPlan.from_line(plan().line()) == plan()


def test_digest_changes_with_the_content_of_a_file() -> None:
    line = plan().line()
    assert len({digest_of(line), digest_of(line.replace("d4", "d6")), digest_of(line)}) == 2


def test_write_and_read(tmp_path: Path) -> None:
    lines = {"b01": [plan("p1").line(), plan("p2").line()], "b02": [plan("p3").line()]}
    write_plans(tmp_path, lines)
    digests = {name: digest_of(plan(name).line()) for name in ("p1", "p2")}
    assert list(read_plans(tmp_path, "b01", digests)) == [plan("p1"), plan("p2")]
    write_plans(tmp_path, {"b02": lines["b02"]})
    assert not (tmp_path / "plans" / "b01.jsonl").exists()
    assert list(read_plans(tmp_path, "b01", {})) == []


def test_where_files_lie(tmp_path: Path) -> None:
    root, masks = tmp_path / "r", tmp_path / "m"
    assert locate(reference("a/1", False), root, masks) == root / "a/1"
    assert locate(reference("a/1", True), root, masks) == masks / "a/1"
    with pytest.raises(FileFormatError, match="folder of masks"):
        locate(reference("a/1", True), root, None)


def test_plans_of_another_scan_are_refused(tmp_path: Path) -> None:
    """Rather than patients left out without a word, or read from files that changed."""
    digests = {name: digest_of(plan(name).line()) for name in ("p1", "p2")}
    with pytest.raises(FileFormatError, match=r"b01\.jsonl: no such file; run the scan again"):
        list(read_plans(tmp_path, "b01", digests))
    write_plans(tmp_path, {"b01": [plan("p1").line()]})
    with pytest.raises(FileFormatError, match="the plan lacks patients"):
        list(read_plans(tmp_path, "b01", digests))
    with pytest.raises(FileFormatError, match="of different scans"):
        list(read_plans(tmp_path, "b01", {"p1": digests["p2"]}))
    with pytest.raises(FileFormatError, match="of different scans"):
        list(read_plans(tmp_path, "b01", {}))
