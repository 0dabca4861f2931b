"""Copies of a finished run to change; each file has a ``finished`` of its own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from workflow_runs import Copy


@pytest.fixture
def copy(finished: Copy, tmp_path: Path) -> Iterator[Copy]:
    """The finished run's folder for one test, with Snakemake's memory."""
    copy = finished.clone(tmp_path / "repository")
    yield copy
    shutil.rmtree(copy.root)


@pytest.fixture(scope="module")
def worked_on(finished: Copy) -> Iterator[Copy]:
    """The working copy in which the rows of a file follow each other."""
    copy = finished.clone(finished.root.parent / "worked_on")
    yield copy
    shutil.rmtree(copy.root)
