"""The leakage audit: no pixel of a validation or test patient trains.

Two independent proofs. Lineage: every training row says whose pixels it holds, and all of them
belong to patients that train. Pixels: applying the recorded parameters to the real slice that a
row names reproduces the row exactly, so that the lineage is true; and no training row shares
unchanged tissue with a held-out slice, so that nothing depends on the lineage alone.

Neither can tell that two different scans under two pseudonyms are of one person, nor what a source
already mixed before it was read.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.cohort import ROLES, write_rows
from lungaug.errors import LeakageError
from lungaug.evaluation.audit_outcome import CHECKS
from lungaug.evaluation.fingerprints import BlockHasher, BlockIndex, FingerprintSettings, Hashes
from lungaug.evaluation.seen import SEEN
from lungaug.listing import Claim, Place, RealSlices, SliceFiles, claim_of, patient_of
from lungaug.settings import setting

Replay = Callable[
    [str, NDArray[np.int16], NDArray[np.uint8], Mapping[str, Any]],
    tuple[NDArray[np.int16], NDArray[np.uint8]],
]
"""(origin, hu, nodule, parameters) to the altered hu and nodule."""

HELD_OUT = ("test", "validation")
AUDIT_COLUMNS = ("check", "subject", "outcome", "detail")
_SHOWN = 5


@dataclass(frozen=True)
class AuditSettings:
    """How strict an audit is, of a fold or of one arm in it."""

    fingerprints: FingerprintSettings = setting(
        FingerprintSettings, "how slices are compared by their pixels"
    )


@dataclass(frozen=True)
class Finding:
    """A row of ``audit.tsv``; the outcome is passed, failed or note."""

    check: str
    subject: str
    outcome: str
    detail: str


def failed(check: str, subject: str, detail: str) -> Finding:
    """A finding that stops the run."""
    return Finding(check, subject, "failed", detail)


@dataclass(frozen=True)
class Evidence:
    """What the audit of one fold reads.

    Attributes:
        split: the whole ``split.tsv``.
        fold: the fold.
        table: rows of ``SLICE_COLUMNS`` that claim to train, validate or test.
        held_out: places of the validation and test slices that are scored, by role.
        files: the slice files.
        real: the real slices, by key.
    """

    split: pd.DataFrame
    fold: str
    table: pd.DataFrame
    held_out: Mapping[str, Collection[Place]]
    files: SliceFiles
    real: RealSlices

    @classmethod
    def of(
        cls,
        files: SliceFiles,
        preprocess: Iterable[Path],
        split: pd.DataFrame,
        fold: str,
        table: pd.DataFrame,
    ) -> Evidence:
        """The evidence in these files; all that the table validates or tests with is scored."""
        real = RealSlices(files, map(files.name, sorted(preprocess)))
        held_out = {role: places_of(table, role) for role in HELD_OUT}
        return cls(split, fold, table, held_out, files, real)

    @property
    def roles(self) -> dict[str, str]:
        """Role by patient, in this fold."""
        rows = self.split[self.split["fold"] == self.fold]
        return dict(zip(rows["patient"], rows["role"], strict=True))


def audit(
    evidence: Evidence,
    training: Iterable[Place],
    replay: Replay,
    settings: FingerprintSettings,
    *,
    unscored: bool,
) -> list[Finding]:
    """All findings of a fold: failures, notes, and a line for every check that passed.

    Args:
        evidence: the tables and files.
        training: places of all rows that may train.
        replay: applies recorded parameters.
        settings: of the fingerprints.
        unscored: also compare with those slices of held-out patients that are not scored.
    """
    findings = [*check_split(evidence), *check_roles(evidence), *check_table(evidence)]
    hasher = BlockHasher(settings)
    indices = _held_out_indices(evidence, hasher, settings.sample if unscored else 0)
    counts: Counter[str] = Counter()
    roles = evidence.roles
    for place in sorted(training):  # file by file, so that each is opened once
        claim = claim_of(place, evidence.files.fields(place))
        hu = evidence.files.hu(place)
        hashes = hasher(hu)
        counts["rows"] += 1
        counts["smooth"] += not len(hashes)
        findings.extend(check_lineage(claim, roles))
        findings.extend(check_pixels(claim, hu, evidence.files, evidence.real, replay))
        findings.extend(check_fingerprint(claim, hashes, indices, settings.shared_blocks))
    for place in sorted(evidence.held_out.get("validation", ())):
        claim = claim_of(place, evidence.files.fields(place))
        hashes = hasher(evidence.files.hu(place))
        only_test = {"test": indices["test"]}
        findings.extend(check_fingerprint(claim, hashes, only_test, settings.shared_blocks))
    return [*findings, *_summary(evidence, findings, counts, indices)]


def check_split(evidence: Evidence) -> Iterator[Finding]:
    """Every patient has one role in the fold, and every role has a patient."""
    rows = evidence.split[evidence.split["fold"] == evidence.fold]
    for patient, own in rows.groupby("patient"):
        if len(own) > 1:
            yield failed("split", str(patient), f"has the roles {', '.join(own['role'])}")
    for role in sorted(set(rows["role"]) - set(ROLES)):
        yield failed("split", role, f"no role; accepted: {', '.join(ROLES)}")
    for role in sorted(set(ROLES) - set(rows["role"])):
        yield failed("split", evidence.fold, f"no patient for {role}")


def check_roles(evidence: Evidence) -> Iterator[Finding]:
    """Every row of the table has the role that the split gives its patient."""
    roles = evidence.roles
    columns = (evidence.table[c] for c in ("key", "patient", "role", "file"))
    for key, patient, role, file in zip(*columns, strict=True):
        given = roles.get(patient, "no role")
        if role != given:
            yield failed("roles", f"{key} in {file}", f"listed for {role}; {patient} has {given}")


def check_table(evidence: Evidence) -> Iterator[Finding]:
    """Every row of the table says of a slice what the slice file says."""
    for row in evidence.table.sort_values(["file", "group", "row"]).to_dict("records"):
        place = (str(row["file"]), str(row["group"]), int(row["row"]))
        claim = claim_of(place, evidence.files.fields(place))
        for name in ("key", "patient", "origin", "host", "donor"):
            told, held = row[name], getattr(claim, name)
            if told != held:
                yield failed("table", _subject(claim), f"{name}: the table says '{told}'")


def check_lineage(claim: Claim, roles: Mapping[str, str]) -> Iterator[Finding]:
    """Everybody whose pixels a training row admits to hold trains in this fold."""
    for patient in sorted(claim.patients):
        role = roles.get(patient, "no role")
        if role != "train":
            yield failed("lineage", _subject(claim), f"holds pixels of {patient}, who has {role}")


def check_pixels(
    claim: Claim,
    hu: NDArray[np.int16],
    files: SliceFiles,
    real: RealSlices,
    replay: Replay,
) -> Iterator[Finding]:
    """The row's pixels are those that its lineage yields."""
    source = claim.key if claim.origin == "real" else claim.host
    found = real.find(source)
    if found is None:
        yield failed("pixels", _subject(claim), f"no real slice '{source}'")
        return
    if found == claim.place:
        return
    expected = files.hu(found), files.nodule(found)
    if claim.origin != "real":
        try:
            expected = replay(claim.origin, *expected, claim.parameters)
        except Exception as error:  # whatever forged parameters provoke is a finding
            detail = f"cannot be replayed on {source}: {type(error).__name__}: {error}"
            yield failed("pixels", _subject(claim), detail)
            return
    yield from _compared(claim, "hu", expected[0], hu, source)
    yield from _compared(claim, "nodule", expected[1], files.nodule(claim.place), source)


def check_fingerprint(
    claim: Claim, hashes: Hashes, indices: Mapping[str, BlockIndex], shared_blocks: int
) -> Iterator[Finding]:
    """The row shares no unchanged tissue with a slice of the indices."""
    for role, index in indices.items():
        other, n = next(index.matches(hashes), ("", 0))
        if n >= shared_blocks:
            detail = f"shares {n} of {len(hashes)} blocks with the {role} slice {other}"
            yield failed("fingerprint", _subject(claim), detail)


def expansion_places(
    files: SliceFiles,
    names: Iterable[str],
    origins: Collection[str],
    split: pd.DataFrame,
    fold: str,
) -> tuple[list[Place], list[Finding]]:
    """The rows of expansion files that belong to a fold, and what is wrong with the others.

    A row belongs to the fold if anybody whose pixels it admits to hold trains there; whether all of
    them do is for the lineage check. A row of patients that train in other folds only is left out.

    Args:
        files: where they lie.
        names: of the expansion files.
        origins: accepted origins.
        split: the whole ``split.tsv``.
        fold: the fold.

    Returns:
        Places, file by file; and a failure for each row of another origin, and for each row of a
        patient that trains in no fold at all.
    """
    trains = split[split["role"] == "train"]
    here = set(trains.loc[trains["fold"] == fold, "patient"])
    anywhere = set(trains["patient"])
    places, findings = [], []
    for name in sorted(names):
        for place, fields in files.places(name):
            claim = claim_of(place, fields)
            if claim.origin not in origins:
                detail = f"origin '{claim.origin}'; accepted: {', '.join(sorted(origins))}"
                findings.append(failed("lineage", _subject(claim), detail))
            elif claim.patients & here:
                places.append(place)
            elif not claim.patients <= anywhere:
                lost = ", ".join(sorted(claim.patients - anywhere))
                detail = f"holds pixels of {lost}, who trains in no fold"
                findings.append(failed("lineage", _subject(claim), detail))
    return places, findings


def places_of(table: pd.DataFrame, role: str) -> list[Place]:
    """Places of the rows of one role, in the table's order."""
    rows = table[table["role"] == role]
    return [
        (str(f), str(g), int(r))
        for f, g, r in zip(rows["file"], rows["group"], rows["row"], strict=True)
    ]


def refuse_held_out(training: pd.DataFrame, slices: pd.DataFrame) -> None:
    """The last look, at the door of a training: tables only, no pixels.

    Args:
        training: the rows that are about to train.
        slices: ``slices.tsv`` of the fold.

    Raises:
        LeakageError: a training row is, or comes from, a patient that validates or tests.
    """
    held_out = set(slices.loc[slices["role"] != "train", "patient"])
    columns = (training[c] for c in ("file", "row", "patient", "key", "host", "donor"))
    findings = []
    for file, row, patient, *keys in zip(*columns, strict=True):
        named = {patient, *(patient_of(key) for key in keys if key)} & held_out
        if named:
            subject = f"{keys[0]} ({file}, row {row})"
            detail = f"holds pixels of {', '.join(sorted(named))}"
            findings.append(failed("lineage", subject, detail))
    stop_if_failed(findings)


def seen_findings(digests: Mapping[str, str]) -> list[Finding]:
    """Return what was seen as rows of ``audit.tsv``, for the trainings that read the same."""
    return [Finding(SEEN, subject, "passed", digest) for subject, digest in digests.items()]


def stop_if_failed(findings: Collection[Finding], path: Path | None = None) -> None:
    """Stop the run if anything failed.

    Args:
        findings: all of them.
        path: where they are written if so, for a person to look.

    Raises:
        LeakageError: names the first failures and the file.
    """
    failures = [finding for finding in findings if finding.outcome == "failed"]
    if path is not None:
        path.unlink(missing_ok=True)
    if not failures:
        return
    if path is not None:
        write_findings(path, findings)
    lines = [f"{f.check}: {f.subject}: {f.detail}" for f in failures[:_SHOWN]]
    if len(failures) > _SHOWN:
        lines.append(f"and {len(failures) - _SHOWN} more")
    where = f"; all of them: {path}" if path is not None else ""
    raise LeakageError("\n  ".join([f"{len(failures)} failures of the audit{where}", *lines]))


def write_findings(path: Path, findings: Iterable[Finding]) -> None:
    """Write findings as a table."""
    write_rows(path, AUDIT_COLUMNS, map(asdict, findings))


def _held_out_indices(
    evidence: Evidence, hasher: BlockHasher, sample: int
) -> dict[str, BlockIndex]:
    roles = evidence.roles
    indices = {}
    for role in HELD_OUT:
        index = indices[role] = BlockIndex()
        scored = set(evidence.held_out.get(role, ()))
        patients = {p for p, own in roles.items() if own == role} if sample else set()
        others = set(evidence.real.of_patients(patients)) - scored
        for place in sorted(scored | others):
            most = None if place in scored else sample
            key = claim_of(place, evidence.files.fields(place)).key
            index.add(key, hasher(evidence.files.hu(place)), most)
    return indices


def _compared(
    claim: Claim, name: str, expected: NDArray[Any], held: NDArray[Any], source: str
) -> Iterator[Finding]:
    if expected.shape != held.shape:
        detail = f"{name}: {held.shape}, but {source} yields {expected.shape}"
        yield failed("pixels", _subject(claim), detail)
    elif not np.array_equal(expected, held):
        n = int(np.count_nonzero(expected != held))
        yield failed("pixels", _subject(claim), f"{name}: {n} pixels are not what {source} yields")


def _summary(
    evidence: Evidence,
    findings: Collection[Finding],
    counts: Mapping[str, int],
    indices: Mapping[str, BlockIndex],
) -> Iterator[Finding]:
    wrong = {finding.check for finding in findings}
    checked = {"split": f"{len(evidence.roles)} patients", "roles": f"{len(evidence.table)} rows"}
    checked["table"] = checked["roles"]
    held = ", ".join(f"{len(index)} {role}" for role, index in indices.items())
    for check in CHECKS:
        detail = checked.get(check, f"{counts['rows']} training rows")
        detail += f" against {held} slices" if check == "fingerprint" else ""
        if check not in wrong:
            yield Finding(check, evidence.fold, "passed", detail)
    smooth = {"training": counts["smooth"], **{r: i.n_empty for r, i in indices.items()}}
    for name, n in smooth.items():
        if n:
            detail = f"{n} {name} slices have no rough block and were not compared"
            yield Finding("fingerprint", evidence.fold, "note", detail)


def _subject(claim: Claim) -> str:
    file, _, row = claim.place
    return f"{claim.key} ({file}, row {row})"
