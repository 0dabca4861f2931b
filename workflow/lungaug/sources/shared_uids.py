"""UIDs that occur under two patients: one scan, or one person, under two identifiers.

DICOM makes an image, a series, a study and a frame of reference unique in the world. Two patients
that have one in common are most likely one person who was de-identified twice, or whose identifier
has two spellings; divided into training and test, such a person would be on both sides.

References:
    DICOM PS3.3 2024e, C.7.2.1 (study), C.7.3.1 (series), C.7.4.1 (frame of reference),
    C.12.1 (SOP common); PS3.5, chapter 9 (unique identifiers).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Literal

from lungaug.cohort import Pseudonyms
from lungaug.sources.dicom_header import Header
from lungaug.sources.image import Image
from lungaug.sources.plan import DamagedFile, PlannedFile

UidKind = Literal["sop", "series", "study", "frame_of_reference"]
Patients = Mapping[str, Mapping[str, list[Image]]]

NAMES: Mapping[UidKind, str] = {
    "study": "StudyInstanceUID",
    "series": "SeriesInstanceUID",
    "frame_of_reference": "FrameOfReferenceUID",
    "sop": "SOPInstanceUID",
}
_FIELDS: Mapping[UidKind, Callable[[Header], str]] = {
    "study": attrgetter("study_uid"),
    "series": attrgetter("series_uid"),
    "frame_of_reference": attrgetter("frame_uid"),
    "sop": attrgetter("sop_uid"),
}
_OF_THE_STANDARD = "1.2.840.10008."
"""Well-known frames of reference, such as those of atlases, are anybody's."""
_SHORTEST = 16
"""Characters below which a value is a placeholder (0, 1.2.3, REMOVED), which says nothing."""
_SHOWN = 20  # groups of patients in the message
_TOGETHER = 4  # patients of one group
COLUMNS = ("tag", "uid", "pseudonym", "patient_id", "file")


@dataclass(frozen=True)
class SharedUid:
    """A UID under several patients.

    Attributes:
        kind: of ``NAMES``.
        uid: as it stands.
        images: the first image by patient, at least two of them.
    """

    kind: UidKind
    uid: str
    images: Mapping[str, Image]


def shared_uids(patients: Patients, accepted: Collection[UidKind] = ()) -> list[SharedUid]:
    """Return the UIDs that occur under two patients, sorted by kind and UID.

    The time is linear in the number of images.

    Args:
        patients: images by patient and series, see :func:`lungaug.sources.series.group`.
        accepted: kinds that patients may share.
    """
    return [found for kind in NAMES if kind not in accepted for found in _shared_of(kind, patients)]


def sharing(found: Collection[SharedUid]) -> dict[str, list[SharedUid]]:
    """Return what each patient shares with others, by patient."""
    by_patient: dict[str, list[SharedUid]] = defaultdict(list)
    for one in found:
        for patient in one.images:
            by_patient[patient].append(one)
    return by_patient


def damaged_files(
    patient: str, shared: Sequence[SharedUid], names: Pseudonyms
) -> list[DamagedFile]:
    """Return what a patient shares as a reason to leave it out, one for each tag.

    Args:
        patient: its name in the source.
        shared: see :func:`sharing`.
        names: the reason holds pseudonyms.
    """
    by_kind = {one.kind: one for one in shared}
    found = []
    for kind, one in sorted(by_kind.items()):
        others = sorted(names.patient(other) for other in one.images if other != patient)
        reason = f"{NAMES[kind]} that another patient has too: {_listed(others)}"
        image = one.images[patient]
        found.append(DamagedFile(PlannedFile(image.path, image.digest), reason))
    return found


def rows(shared: Sequence[SharedUid], names: Pseudonyms) -> list[tuple[str, ...]]:
    """Return the rows of the private table, with the columns ``COLUMNS``."""
    return [
        (NAMES[one.kind], one.uid, names.patient(patient), patient, image.path)
        for one in shared
        for patient, image in sorted(one.images.items())
    ]


def message(shared: Sequence[SharedUid], names: Pseudonyms, private: Path) -> str:
    """Return who shares what, by pseudonym, and what to do about it."""
    groups: dict[tuple[str, ...], list[SharedUid]] = defaultdict(list)
    for one in shared:
        groups[tuple(sorted(one.images))].append(one)
    lines = [_line(group, members, names) for group, members in groups.items()]
    if len(lines) > _SHOWN:
        lines[_SHOWN:] = [f"  and {len(lines) - _SHOWN} more groups"]
    n_patients = len({patient for group in groups for patient in group})
    kinds = ", ".join(kind for kind in NAMES if kind in {one.kind for one in shared})
    return "\n".join(
        [
            f"scan: {n_patients} patients have UIDs that belong to one patient only. They are most "
            "likely one person under two identifiers, who would be divided into training and test:",
            *lines,
            f"{private / 'shared_uids.tsv'} has the UIDs, identifiers and files. If they are one "
            "person, give their folders one patient_id in the sheet. If this collection gives one "
            f"UID to several persons, set scan.shared_uids: [{kinds}]. Or set ingest.on_bad_input: "
            "skip, which leaves these patients out.",
        ]
    )


def _line(group: Sequence[str], members: Sequence[SharedUid], names: Pseudonyms) -> str:
    counts = Counter(NAMES[one.kind] for one in members)
    listed = ", ".join(f"{n} {tag}" for tag, n in counts.items())
    files = [names.file(members[0].images[patient].path) for patient in group]
    return f"  {_listed([*map(names.patient, group)])}: {listed}, in files {_listed(files)}"


def _listed(values: Sequence[str]) -> str:
    more = len(values) - _TOGETHER
    return ", ".join(values[:_TOGETHER]) + (f" and {more} more" if more > 0 else "")


def _images(patients: Patients) -> Iterator[tuple[str, Image]]:
    for patient, by_series in patients.items():
        for images in by_series.values():
            for image in images:
                yield patient, image


def _shared_of(kind: UidKind, patients: Patients) -> list[SharedUid]:
    """The UIDs of one kind that occur under two patients."""
    uid_of = _FIELDS[kind]
    owner: dict[str, str] = {}
    shared: dict[str, dict[str, Image]] = {}
    for patient, image in _images(patients):
        uid = uid_of(image.header)
        if owner.setdefault(uid, patient) != patient and _is_unique(uid):
            shared.setdefault(uid, {})
    # Once more, since only what was found to be shared is worth a record of its images.
    for patient, image in _images(patients) if shared else ():
        images = shared.get(uid_of(image.header))
        if images is not None:
            images.setdefault(patient, image)
    return [SharedUid(kind, uid, images) for uid, images in sorted(shared.items())]


def _is_unique(uid: str) -> bool:
    return len(uid) >= _SHORTEST and not uid.startswith(_OF_THE_STANDARD)
