"""What the audit costs: fingerprints, and the search for changed copies, as cohorts grow."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.harness import Row
from benchmarks.slices import drawn_slice
from lungaug.cohort import ROLES
from lungaug.evaluation.alignment import SIDE_PX
from lungaug.evaluation.fingerprints import BlockHasher, FingerprintSettings
from lungaug.evaluation.near_copies import Slice, candidates, nearest_of_others
from lungaug.evaluation.seen import file_digest

SLICES = 12
"""Slices a patient that train, validate or test."""
FEW, MANY = 100, 1000
_FRAMES = 3
_PART = 2**28  # bytes that are timed


def audit() -> Iterator[Row]:
    """A slice's fingerprint; the search on 100 patients; its part that grows with the square."""
    slices = [drawn_slice(seed).hu for seed in range(FEW)]
    hasher = BlockHasher(FingerprintSettings())
    each = _seconds(lambda: [hasher(hu) for hu in slices]) / FEW
    yield _row("fingerprint of a slice of 512x512", f"{each * 1e3:.1f} ms")
    cohort = [
        Slice(
            f"{patient}/{number}",
            str(patient),
            ROLES[patient % 3],
            functools.partial(_hu, slices, patient),
        )
        for patient in range(FEW)
        for number in range(SLICES)
    ]
    whole = _seconds(lambda: nearest_of_others(cohort))
    n = len(cohort)
    text = f"{whole:.0f} s, {whole / n * 1e3:.0f} ms a slice"
    yield _row(f"changed copies among {n} slices of {FEW} patients", text)
    found = {patients: _search(patients) for patients in (FEW, MANY)}
    for patients, seconds in found.items():
        yield _row(
            f"of it the search for candidates, {patients * SLICES} slices", f"{seconds:.1f} s"
        )
    yield _row("bytes that a training compares with its audit, a GB", f"{_digests():.1f} s")
    more = (whole - found[FEW]) * MANY / FEW + found[MANY]
    text = f"changed copies among {MANY * SLICES} slices, from the rows above"
    yield _row(text, f"{more / 60:.1f} min")


def _hu(slices: list[Any], patient: int) -> Any:
    return slices[patient]


def _search(n_patients: int) -> float:
    """Seconds for the candidates among small pictures of noise."""
    n = n_patients * SLICES
    rng = np.random.default_rng(0)
    pictures = list(rng.standard_normal((n, _FRAMES, SIDE_PX**2), np.float32))
    patients = np.repeat(np.arange(n_patients), SLICES)
    return _seconds(lambda: candidates(pictures, patients, patients % 3))


def _digests() -> float:
    """Seconds for the digest of a GB of slice files, which lie in the system's cache."""
    with tempfile.NamedTemporaryFile() as file:
        file.write(np.random.default_rng(0).bytes(_PART))
        file.flush()
        return _seconds(lambda: file_digest(Path(file.name))) * 2**30 / _PART


def _seconds(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def _row(work: str, ours: str) -> Row:
    return Row(work, ours, "", "", "", None)
