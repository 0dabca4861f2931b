"""Fixtures that every test may use."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real CT excerpts, or a skip that says where it was looked for."""
    default = REPOSITORY.parent / "shared" / "data"
    folder = Path(os.environ.get("LUNGAUG_REAL_DATA", default)).resolve()
    if not folder.is_dir():
        pytest.skip(f"no real CT in {folder}: set LUNGAUG_REAL_DATA")
    return folder


@pytest.fixture(autouse=True, scope="session")
def importable_in_processes() -> Iterator[None]:
    """Let processes that a test starts find the package, as the tests themselves do."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(REPOSITORY / "workflow"), prepend=os.pathsep)
        yield


@pytest.fixture(autouse=True, scope="session")
def one_torch_thread() -> Iterator[None]:
    """One thread for torch, where a test has imported it: the tests themselves run side by side."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
