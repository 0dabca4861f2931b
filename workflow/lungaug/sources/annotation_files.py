"""LIDC annotation files of a tree: whose images they are on, and which are on none."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from lungaug.sources.headers import Entry
from lungaug.sources.mask_matching import Candidate
from lungaug.sources.plan import PlannedFile, reference
from lungaug.sources.series import Series

NO_SERIES = "annotation file of no series: neither its SeriesInstanceUID nor its slices are here"
SEVERAL_PATIENTS = "annotation file whose UIDs belong to several patients"
NOT_READ = "LIDC annotation file; only source.kind: lidc reads it"
COPY = "copy of another annotation file"
X_RAY = "X-ray annotations"


@dataclass(frozen=True)
class AnnotationFile:
    """An annotation file.

    Attributes:
        file: its reference and digest.
        series_uid: the series that it was made on.
        slice_uids: the slices that it outlines.
        at_hand: some of these slices are here; else the series' UID says whose it is.
    """

    file: PlannedFile
    series_uid: str
    slice_uids: frozenset[str]
    at_hand: bool


@dataclass
class Contours:
    """The annotation files of a cohort.

    Attributes:
        files: by patient, those that are read.
        reasons: by reference of a file that is not read, why.
        patients: by reference of such a file, the patients that it may be of; empty if unknown.
    """

    files: dict[str, list[AnnotationFile]] = field(default_factory=lambda: defaultdict(list))
    reasons: dict[str, str] = field(default_factory=dict)
    patients: dict[str, set[str]] = field(default_factory=dict)

    def slice_uids(self, patient: str) -> set[str]:
        """SOPInstanceUIDs that a patient's annotation files outline."""
        return {uid for file in self.files.get(patient, ()) for uid in file.slice_uids}

    def of(self, series: Series) -> list[PlannedFile]:
        """The annotation files of a volume: by its slices, else by its SeriesInstanceUID."""
        here = {image.header.sop_uid for image in series.images}
        return [
            one.file
            for one in self.files.get(series.patient, ())
            if one.slice_uids & here or (not one.at_hand and one.series_uid == series.uid)
        ]


def find_contours(
    entries: Iterable[Entry], candidates: Sequence[Candidate], of_masks: bool, read: bool
) -> Contours:
    """Sort the annotation files of a tree by patient.

    Args:
        entries: of the tree.
        candidates: all images of the cohort.
        of_masks: the tree is the folder of masks.
        read: the source is LIDC; otherwise no file is read, and each may be a lost annotation.
    """
    by_uid: dict[str, set[str]] = defaultdict(set)
    by_folder: dict[str, set[str]] = defaultdict(set)
    for one in candidates:
        by_uid[one.image.header.sop_uid].add(one.patient)
        by_uid[one.image.header.series_uid].add(one.patient)
        by_folder[one.image.folder].add(one.patient)
    by_uid.pop("", None)
    found = Contours()
    seen: set[str] = set()
    for entry in (e for e in entries if e.kind == "annotations"):
        name = reference(entry.path, of_masks)
        series_uid, *slices = entry.uids or ("",)
        patients = {p for uid in slices for p in by_uid.get(uid, ())}
        patients = patients or set(by_uid.get(series_uid, ()))
        if entry.fault:
            patients = set() if of_masks else by_folder.get(posixpath.dirname(entry.path), set())
        reason = _reason(entry, patients, seen, read)
        if reason:
            found.reasons[name] = reason
            found.patients[name] = patients
        else:
            file = PlannedFile(name, entry.digest)
            at_hand = any(uid in by_uid for uid in slices)
            found.files[next(iter(patients))].append(
                AnnotationFile(file, series_uid, frozenset(slices), at_hand)
            )
        seen.add(entry.digest)
    return found


def _reason(entry: Entry, patients: set[str], seen: set[str], read: bool) -> str:
    """Why a file is not read; '' if it is."""
    if entry.digest and entry.digest in seen:
        return COPY
    if entry.fault:
        return entry.fault
    if not patients:
        return NO_SERIES
    if len(patients) > 1:
        return SEVERAL_PATIENTS
    return "" if read else NOT_READ
