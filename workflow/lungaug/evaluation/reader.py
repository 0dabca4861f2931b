"""The blinded reading: which nodules a reader is shown, and how key and answers are written."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from lungaug.errors import InputError

REAL, INSERTED = "real", "inserted"
ANSWERS = (REAL, INSERTED)
CONFIDENCES = (1, 2, 3, 4, 5)
KEY_COLUMNS = (
    "case",
    "truth",
    "generator",
    "key",
    "file",
    "group",
    "row",
    "label",
    "diameter_mm",
)
ANSWER_COLUMNS = ("sheet", "reader", "case", "answer", "confidence", "seconds")


@dataclass(frozen=True)
class Candidate:
    """A nodule on a slice that could be shown.

    Attributes:
        generator: what made it; '' for a real one.
        patient: whose slice it is.
        key, file, group, row, label: where it is.
        diameter_mm: of the circle with its area on this slice.
    """

    generator: str
    patient: str
    key: str
    file: str
    group: str
    row: int
    label: int
    diameter_mm: float

    @property
    def truth(self) -> str:
        """Of ``ANSWERS``."""
        return INSERTED if self.generator else REAL


def choose(
    candidates: Sequence[Candidate],
    edges_mm: Sequence[float],
    n_each: int,
    *,
    rng: np.random.Generator,
) -> list[Candidate]:
    """Equally many real and inserted nodules in every size bin, shuffled.

    Generators take turns, and the same patient is shown again only when nobody else is left: a
    face that comes back tells the reader more than its texture.

    Args:
        candidates: real and inserted.
        edges_mm: rising limits of the size bins in mm; what lies outside is not shown.
        n_each: real cases wanted, and inserted ones; fewer where the bins hold fewer.
        rng: of the choice and the order.

    Raises:
        InputError: no bin holds both a real and an inserted nodule.
    """
    shuffled = [candidates[i] for i in rng.permutation(len(candidates))]
    bins: list[dict[str, list[Candidate]]] = [{a: [] for a in ANSWERS} for _ in edges_mm[1:]]
    for one in shuffled:
        place = int(np.searchsorted(edges_mm, one.diameter_mm, side="right")) - 1
        if 0 <= place < len(bins):
            bins[place][one.truth].append(one)
    pairs = [min(map(len, found.values())) for found in bins]
    if not sum(pairs):
        raise InputError(_no_pairs(candidates, edges_mm))
    used: Counter[str] = Counter()
    chosen: list[Candidate] = []
    for found, n in zip(bins, shares(pairs, n_each), strict=True):
        chosen += [one for answer in ANSWERS for one in _spread(found[answer], n, used)]
    return [chosen[i] for i in rng.permutation(len(chosen))]


def shares(available: Sequence[int], wanted: int) -> list[int]:
    """``wanted`` divided over bins in proportion to what they hold, never more than that."""
    total = sum(available)
    wanted = min(wanted, total)
    exact = [wanted * n / total for n in available]
    parts = [math.floor(share) for share in exact]
    order = sorted(range(len(exact)), key=lambda i: (parts[i] - exact[i], i))
    for i in order[: wanted - sum(parts)]:
        parts[i] += 1
    return parts


def _spread(found: Sequence[Candidate], n: int, used: Counter[str]) -> list[Candidate]:
    """The ``n`` of the least used generators, slices and patients, earlier ones first."""
    waiting, taken = list(found), []
    for _ in range(n):
        best = min(waiting, key=lambda one: [used[name] for name in _names(one)])
        waiting.remove(best)
        used.update(_names(best))
        taken.append(best)
    return taken


def _names(one: Candidate) -> tuple[str, str, str]:
    return f"generator {one.generator}", f"slice {one.key}", f"patient {one.patient}"


def _no_pairs(candidates: Sequence[Candidate], edges_mm: Sequence[float]) -> str:
    counts = Counter(one.truth for one in candidates)
    return (
        f"{counts[REAL]} real and {counts[INSERTED]} inserted nodules, none of the same size; "
        f"accepted: at least one of each in a bin of {', '.join(f'{e:g}' for e in edges_mm)} mm"
    )


def sheet_id(rows: Iterable[Mapping[str, Any]]) -> str:
    """Names a sheet by its key: a digest that does not depend on how the table is written."""
    columns = [name for name in KEY_COLUMNS if name != "diameter_mm"]
    lines = sorted("\t".join(str(row[name]) for name in columns) for row in rows)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
