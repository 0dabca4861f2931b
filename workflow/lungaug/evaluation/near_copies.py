"""Slices of two patients that are changed copies of one slice: shifted, turned, of other HU.

Fingerprints find copies whose pixels kept their order; this finds those whose every pixel changed.
Each slice is compared with one slice of each of the patients that look most like it in one pose
(see :mod:`lungaug.evaluation.alignment`): one of the same role, two of others, so that a copy that
may be there does not hide one that may not. Patients are alike in small images, where edges fill
what is compared, and in pictures without noise. How much, the size says, and a patient drawn at
random, whom copies do not change.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.evaluation.alignment import MIRRORED, WORKING_PX, View, likeness, mirrored
from lungaug.evaluation.audit import Evidence, Finding, failed
from lungaug.evaluation.audit_outcome import COPIES
from lungaug.settings import setting

_AT_ONCE = 256  # slices that are looked up together
_VIEWS = 1000  # kept in memory: 100 kB each
_HIGHEST = 0.95
_TOO_ALIKE = 0.8
_N_PATIENTS = {True: 1, False: 2}  # of the same role, of others
_LOOKED_AT = 16  # slices among which those of different patients are taken


@dataclass(frozen=True)
class NearCopySettings:
    """How alike slices of two patients may be."""

    likeness: float = setting(
        0.45,
        "correlation of the fine structure of two aligned slices from which one is a copy; more "
        "in images below 128 pixels and where the cohort's patients are more alike than that",
        minimum=0.3,
        maximum=0.95,
    )


def check_copies(evidence: Evidence, settings: NearCopySettings) -> Iterator[Finding]:
    """Compare the real slices of all patients that have a role in the fold.

    Args:
        evidence: of the fold; the slices are those of its table.
        settings: how alike they may be.

    Yields:
        A failure for every pair of slices that are one and whose patients have different roles, a
        note where they have the same role, since two patients may be one person then, and a line
        that says what was compared and from which likeness a pair counts. A note alone where the
        patients cannot be told apart, as pictures without noise or vessels.
    """
    slices = _slices(evidence)
    nearest = nearest_of_others(slices)
    limits = limits_of(nearest, settings)
    if limits is None:
        detail = f"{len(slices)} slices are too alike, and were compared by fingerprints only"
        yield Finding(COPIES, evidence.fold, "note", detail)
        return
    leaks = 0
    for pair, limit in copies(nearest, limits):
        first, second = slices[pair.first], slices[pair.second]
        detail = (
            f"is the {second.role} slice {second.key}, changed: their fine structure correlates by "
            f"{pair.likeness:.2f}; accepted: below {limit:.2f}; where these are two persons, raise "
            "audit.copies.likeness"
        )
        if first.role != second.role:
            leaks += 1
            yield failed(COPIES, f"{first.role} slice {first.key}", detail)
        else:
            yield Finding(COPIES, f"{first.role} slice {first.key}", "note", detail)
    if not leaks:
        most = max((pair.likeness for pair in nearest), default=0.0)
        detail = (
            f"{len(slices)} slices with those of other patients; highest likeness {most:.2f}, "
            f"copies from {min(limits, default=settings.likeness):.2f} on"
        )
        yield Finding(COPIES, evidence.fold, "passed", detail)


def _slices(evidence: Evidence) -> list[Slice]:
    """The real slices of the table, in the order of the files, so that each is opened once."""
    roles, table = evidence.roles, evidence.table
    rows = table[table["origin"] == "real"].sort_values(["file", "group", "row"])
    columns = (rows[name] for name in ("file", "group", "row", "key", "patient"))
    return [
        Slice(
            str(key),
            str(patient),
            roles.get(str(patient), ""),
            functools.partial(evidence.files.hu, (str(file), str(group), int(row))),
        )
        for file, group, row, key, patient in zip(*columns, strict=True)
    ]


@dataclass(frozen=True)
class Slice:
    """A slice to compare: its key, patient, role, and how its HU (H, W) are read."""

    key: str
    patient: str
    role: str
    load: Callable[[], NDArray[np.int16]]


@dataclass(frozen=True)
class Nearest:
    """A slice and one of the most similar slices of other patients.

    Attributes:
        first, second: their positions; -1 for no second.
        likeness: of the two.
        by_chance: likeness of the first to a slice drawn from other patients.
        side_px: of a square of as many pixels as are compared; that of the smaller one.
    """

    first: int
    second: int
    likeness: float
    by_chance: float = 0.0
    side_px: int = WORKING_PX


@dataclass(frozen=True)
class Candidate:
    """A slice that looks like another: where, in which frame and pose, and how much."""

    position: int
    frame: int
    pose: int
    correlation: float


def nearest_of_others(slices: Sequence[Slice], *, seed: int = 0) -> list[Nearest]:
    """Return for each slice the most similar slices of other patients, at most three.

    Memory is 12 kB a slice; the time grows with the number of slices, and the search for candidates
    with its square (11,000 slices: see benchmarks/RESULTS.md).

    Args:
        slices: of all patients.
        seed: of the draw of other patients, by which it is known how alike they are by chance.
    """

    @functools.lru_cache(_VIEWS)
    def view(position: int) -> View:
        return View.of(slices[position].load())

    def compared(first: int, one: Candidate) -> float:
        own, other = view(first), view(one.position)
        inverse = np.linalg.inv(own.frames[one.frame])
        start = other.frames[one.frame] @ MIRRORED[one.pose] @ inverse
        return likeness(own, other, start)

    rng = np.random.default_rng(seed)
    pictures = [view(position).pictures() for position in range(len(slices))]
    patients, roles = (
        np.unique(names, return_inverse=True)[1]
        for names in ([one.patient for one in slices], [one.role for one in slices])
    )
    out = []
    for first, found in enumerate(candidates(pictures, patients, roles)):
        side = _side_px(view(first))
        if not found:
            out.append(Nearest(first, -1, 0.0, side_px=side))
            continue
        drawn = int(rng.choice(np.flatnonzero(patients != patients[first])))
        by_chance = compared(first, _best_pose(pictures[first], pictures[drawn], drawn))
        for one in found:
            smaller = min(side, _side_px(view(one.position)))
            out.append(Nearest(first, one.position, compared(first, one), by_chance, smaller))
    return out


def _side_px(view: View) -> int:
    return round(float(np.sqrt(view.hu.size)))


def _best_pose(own: NDArray[np.float32], other: NDArray[np.float32], position: int) -> Candidate:
    """How the small pictures (F, 32 * 32) of two slices are most alike."""
    frames = min(len(own), len(other))
    alike = np.einsum("pfk,fk->pf", mirrored(other[:frames]), own[:frames])
    pose, frame = np.unravel_index(int(alike.argmax()), alike.shape)
    return Candidate(position, int(frame), int(pose), float(alike[pose, frame]))


def limits_of(nearest: Sequence[Nearest], settings: NearCopySettings) -> list[float] | None:
    """Return the likeness from which each pair is one, or None where patients are too alike.

    That of the settings for images of 128 pixels. Of smaller ones more has to be the same, in
    proportion to the pixels they lack: 0.69 at 96 pixels, where different patients, real or drawn,
    reach 0.52, and 0.86 at 64, where they reach 0.71. It is the fourth root of what patients
    drawn at random reach, where that is more: 0.87 for 0.57 of smooth drawn slices, where the most
    alike reach 0.83, and 0.38 for the 0.02 of CT. At most it is 0.95.
    """
    if not nearest:
        return []
    by_chance = float(np.median([one.by_chance for one in nearest]))
    if by_chance > _TOO_ALIKE:
        return None
    lowest = max(by_chance, 0.0) ** (1 / 4)
    shares = np.array([min(one.side_px / WORKING_PX, 1.0) ** 2 for one in nearest])
    by_size = 1 - (1 - settings.likeness) * shares
    limits: list[float] = np.clip(by_size, lowest, _HIGHEST).tolist()
    return limits


def candidates(
    pictures: Sequence[NDArray[np.float32]],
    patients: NDArray[np.intp],
    roles: NDArray[np.intp],
) -> list[list[Candidate]]:
    """Return for each slice those of other patients whose small pictures are most like its own.

    Args:
        pictures: (F, 32 * 32) of each slice, of length 1.
        patients: (N,) number of each slice's patient.
        roles: (N,) number of that patient's role; the best of the same and of others are found.
    """
    found: list[dict[bool, list[Candidate]]] = [{True: [], False: []} for _ in pictures]
    for frame in range(max((len(own) for own in pictures), default=0)):
        having = np.array([i for i, own in enumerate(pictures) if len(own) > frame])
        known = np.stack([pictures[i][frame] for i in having])
        posed = mirrored(known)
        for start in range(0, len(having), _AT_ONCE):
            rows = having[start : start + _AT_ONCE]
            alike = posed @ known[start : start + _AT_ONCE].T
            alike[:, patients[having][:, None] == patients[rows]] = -1
            for same in (True, False):
                wanted = (roles[having][:, None] == roles[rows]) == same
                _keep_best([own[same] for own in found], rows, having, alike, wanted, frame)
    return [
        [one for same, n in _N_PATIENTS.items() for one in _of_patients(own[same], patients, n)]
        for own in found
    ]


def _keep_best(
    found: list[list[Candidate]],
    rows: NDArray[np.intp],
    having: NDArray[np.intp],
    alike: NDArray[np.float32],
    wanted: NDArray[np.bool_],
    frame: int,
) -> None:
    """Add the best wanted (N, B) of a block (4, N, B) of correlations to what was found."""
    best = np.where(wanted, alike.max(axis=0), -1)
    for column, row in enumerate(rows.tolist()):
        for at in np.argsort(-best[:, column], kind="stable")[:_LOOKED_AT].tolist():
            if best[at, column] > -1:
                pose = int(alike[:, at, column].argmax())
                value = float(best[at, column])
                found[row].append(Candidate(int(having[at]), frame, pose, value))


def _of_patients(
    found: list[Candidate], patients: NDArray[np.intp], n_patients: int
) -> list[Candidate]:
    """The best candidate of each of the most similar patients."""
    best: dict[int, Candidate] = {}
    for one in sorted(found, key=lambda one: -one.correlation):
        best.setdefault(int(patients[one.position]), one)
    return list(best.values())[:n_patients]


def copies(nearest: Sequence[Nearest], limits: Sequence[float]) -> Iterator[tuple[Nearest, float]]:
    """Pairs of slices that are one, each once with its limit, most alike first."""
    seen = set()
    pairs = zip(nearest, limits, strict=True)
    for one, limit in sorted(pairs, key=lambda pair: (-pair[0].likeness, pair[0].first)):
        both = frozenset((one.first, one.second))
        if one.likeness >= limit and both not in seen:
            seen.add(both)
            yield one, limit
