"""Which PNG mask belongs to which image.

A match must be unambiguous and of the same patient. In this order a mask is found by: the sheet; a
name that is the image's SOPInstanceUID; the image's own path with another suffix; the image's name
in another folder, where that folder names the patient or is the folder of masks itself.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from lungaug.errors import InputError
from lungaug.sources.image import Image
from lungaug.sources.sheet import Sheet

SUFFIXES = ("_mask", "-mask", ".mask", "_seg", "_segmentation", "_label", "_nodule")
"""What people put behind an image's name to name its mask."""
_ZEROS = re.compile(r"(?<!\d)0+(?=\d)")
IMAGE_SUFFIXES = (".dcm", ".dicom", ".ima", ".png")

NO_IMAGE = "mask of no image, by sheet, SOPInstanceUID or file name"
OF_FRAMES = "mask of a multi-frame file, whose frames cannot have PNG masks"
SEVERAL = "mask whose name fits several images"
SEVERAL_PATIENTS = "mask in a folder that names several patients"
CONFLICT = "another mask of the same image differs"
CHANCE = "mask of no certain image: other masks of its folder fit several images"
SHEET_WINS = "the sheet names another mask of its image"
SHEET_MISSES = "the sheet names it for an image that is not here"
OTHER_PATIENT = "mask of one patient's image in the folder of another patient"
ZEROS = "mask whose name fits an image but for zeros in numbers"

HELP = (
    "a mask is a PNG that the sheet names; or is called as the image's SOPInstanceUID "
    "(masks/1.2.840.1.png); or has the image's path with another suffix (masks/P1/IM01.png or "
    "P1/IM01_mask.png for P1/IM01.dcm; scan.mask_suffixes); or has the image's name in a folder "
    "of the patient (masks/P1/IM01.png for P1/CT/IM01.dcm) or in the folder of masks itself "
    "(masks/IM01.png, if only one image has that name)"
)


@dataclass(frozen=True)
class Candidate:
    """An image that may have a mask, whether it can be used or not.

    Attributes:
        image: its path, digest and header.
        patient: as :func:`lungaug.sources.series.group` names it.
        key: equal for copies of one image.
    """

    image: Image
    patient: str
    key: Hashable


@dataclass(frozen=True)
class MaskFile:
    """A PNG file: path relative to the tree of masks, and the digest of its bytes."""

    path: str
    digest: str


@dataclass
class Matching:
    """Which mask each image has, and why the other masks are used by none.

    Attributes:
        masks: mask by path of the image; copies of an image share its mask.
        how: by mask, the way in which it was found.
        reasons: by mask that is not used, why.
        patients: by mask that is not used, the patients that may miss it.
    """

    masks: dict[str, MaskFile] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    patients: dict[str, set[str]] = field(default_factory=dict)


def match(
    candidates: Sequence[Candidate],
    masks: Sequence[MaskFile],
    sheet: Sheet,
    resolve: Callable[[str], str | None],
    suffixes: Sequence[str] = SUFFIXES,
) -> Matching:
    """Match the masks of a whole cohort.

    Args:
        candidates: every image of the cohort, also those that cannot be used: a name must be
            unique among all of them, and whoever loses an annotated image must be known.
        masks: the PNG files.
        sheet: the sample sheet.
        resolve: finds the path, in terms of ``masks``, of a mask that the sheet names.
        suffixes: endings of a mask's name that are not part of the image's name.

    Raises:
        InputError: the sheet names a mask that does not exist, or one UID of several images.
    """
    finder = _Finder(candidates, suffixes)
    found = Matching()
    by_path = {mask.path: mask for mask in masks}
    named = _named(candidates, sheet, resolve)
    spoken_for = {resolve(one.path) for one in sheet.masks.values()} - set(named.values())
    claims: dict[Hashable, list[tuple[MaskFile, str]]] = defaultdict(list)
    for key, path in named.items():
        claims[key].append((by_path[path], "sheet"))
    for mask in sorted(masks, key=lambda mask: mask.path):
        if mask.path in named.values():
            continue
        if mask.path in spoken_for:
            found.reasons[mask.path] = SHEET_MISSES
            found.patients[mask.path] = finder.owners_of(mask)
            continue
        keys, how = finder.find(mask)
        owners = finder.named_by(mask)
        if len(keys) == 1 and owners and not finder.patients_of(keys) & owners:
            found.reasons[mask.path] = OTHER_PATIENT
            found.patients[mask.path] = finder.patients_of(keys) | owners
        elif len(keys) == 1:
            claims[keys.pop()].append((mask, how))
        else:
            found.reasons[mask.path] = how
            found.patients[mask.path] = finder.patients_of(keys) or finder.owners_of(mask)
    _withdraw_chance(claims, found, finder)
    for key, of_image in claims.items():
        _settle(key, of_image, found, finder)
    return found


def image_key(image: Image, patient: str) -> Hashable:
    """Return what copies of one image have in common: UID, place and how it was made.

    The place is part of it, since careless anonymisers give all slices one UID; without any place
    only the file's bytes count.
    """
    header = image.header
    place = (header.instance, header.position_mm, header.location_mm)
    if not header.sop_uid or place == (None, None, None):
        return image.digest, header.frame
    made = (
        header.rows, header.columns, header.kernel, header.acquisition, header.phase,
        header.slope, header.intercept,
    )  # fmt: skip
    return (patient, header.sop_uid, header.frame, place, made)


def without_suffix(path: str) -> str:
    """Return a path without the suffix of an image; other dots belong to the name."""
    base, suffix = posixpath.splitext(path)
    return base if suffix.lower() in IMAGE_SUFFIXES else path


def normal(text: str) -> str:
    """Return a name in one Unicode normal form: file systems differ."""
    return unicodedata.normalize("NFC", text)


class _Finder:
    """Looks images up by UID, path and name."""

    def __init__(self, candidates: Sequence[Candidate], suffixes: Sequence[str]) -> None:
        self.suffixes = sorted(suffixes, key=len, reverse=True)
        self.of_key: dict[Hashable, list[Candidate]] = defaultdict(list)
        self.by_uid: dict[str, set[Hashable]] = defaultdict(set)
        self.by_path: dict[str, set[Hashable]] = defaultdict(set)
        self.by_name: dict[str, set[Hashable]] = defaultdict(set)
        self.folders: dict[str, set[str]] = defaultdict(set)
        frames: set[str] = set()
        seen: set[tuple[str, str]] = set()
        for one in candidates:
            path = normal(one.image.path)
            if (one.patient, one.image.folder) not in seen:
                seen.add((one.patient, one.image.folder))
                for folder in _ancestors(path):
                    self.folders[folder].add(one.patient)
            if one.image.header.frame >= 0:
                frames.add(without_suffix(path))
                continue
            self.of_key[one.key].append(one)
            self.by_uid[one.image.header.sop_uid].add(one.key)
            for name in {path, without_suffix(path)}:
                self.by_path[name].add(one.key)
                self.by_name[posixpath.basename(name)].add(one.key)
        self.by_uid.pop("", None)
        self.frames = frames
        self.by_loose = {loose(name): keys for name, keys in self.by_name.items()}
        self.people = _people(candidates)
        self.owners = _owners(candidates)

    def find(self, mask: MaskFile) -> tuple[set[Hashable], str]:
        """The images that a mask may belong to, and how; or none or several, and why."""
        path = normal(mask.path)
        folder, base = posixpath.split(without_suffix(path))
        names = self.names(base)
        for how, keys in (
            ("SOPInstanceUID", _any(self.by_uid, names)),
            ("path", _any(self.by_path, [posixpath.join(folder, name) for name in names])),
        ):
            if len(keys) > 1:
                keys = self.narrowed(keys, mask)
            if keys:
                return keys, how if len(keys) == 1 else SEVERAL
        keys = _any(self.by_name, names)
        owners = self.owners_of(mask)
        if not keys and _any(self.by_loose, [loose(name) for name in names]):
            return set(), ZEROS
        if len(owners) > 1 and keys:
            return set(), SEVERAL_PATIENTS
        if owners:
            keys = {key for key in keys if self.patients_of({key}) <= owners}
        elif folder:
            keys = set()
        if keys:
            return keys, "name" if len(keys) == 1 else SEVERAL
        return keys, OF_FRAMES if self.is_of_frames(path) else NO_IMAGE

    def names(self, base: str) -> list[str]:
        """The names that an image of this mask may have, the mask's own first."""
        lower = base.casefold()
        shorter = [base[: -len(end)] for end in self.suffixes if lower.endswith(end.casefold())]
        words = {end.strip("_-.").casefold() for end in self.suffixes}
        heads = [f"{word}{mark}" for word in sorted(words) for mark in "_-." if word]
        shorter += [base[len(head) :] for head in heads if lower.startswith(head)]
        return [base, *(name for name in shorter if name)]

    def narrowed(self, keys: set[Hashable], mask: MaskFile) -> set[Hashable]:
        """Those in the mask's own folder, else of the patient whom its folder names, if any are."""
        folder = posixpath.dirname(normal(mask.path))
        same = {k for k in keys if any(normal(c.image.folder) == folder for c in self.of_key[k])}
        owners = self.owners_of(mask)
        return same or {k for k in keys if self.patients_of({k}) <= owners} or keys

    def patients_of(self, keys: Iterable[Hashable]) -> set[str]:
        return {one.patient for key in keys for one in self.of_key[key]}

    def owners_of(self, mask: MaskFile) -> set[str]:
        """The patients that the folders of a mask name: by PatientID, else by their own folders."""
        folder = posixpath.dirname(normal(mask.path))
        parts = folder.casefold().split("/") if folder else []
        return self.named_by(mask) or {self.owners[p] for p in parts if p in self.owners}

    def named_by(self, mask: MaskFile) -> set[str]:
        """The patients whose PatientID is in a mask's path, or in whose very folder it lies."""
        folder = posixpath.dirname(normal(mask.path))
        for spelling in (str, str.casefold):
            path = f"/{spelling(folder)}/"
            found = [
                patients for name, patients in self.people.items() if f"/{spelling(name)}/" in path
            ]
            if found:
                return set[str]().union(*found)
        exact = self.folders.get(folder, set()) if folder else set()
        return exact if len(exact) == 1 else set()

    def is_of_frames(self, path: str) -> bool:
        base = without_suffix(path)
        return any(base == stem or base.startswith(f"{stem}_") for stem in self.frames)


def loose(name: str) -> str:
    """A name without leading zeros in its numbers, in one case."""
    return _ZEROS.sub("", name.casefold())


def _people(candidates: Sequence[Candidate]) -> dict[str, set[str]]:
    """The patients of each PatientID: several where the sheet parts them by folders."""
    found: dict[str, set[str]] = defaultdict(set)
    for name, patient in {(one.image.header.patient_id, one.patient) for one in candidates}:
        if name:
            found[normal(name)].add(patient)
    return found


def _owners(candidates: Sequence[Candidate]) -> dict[str, str]:
    """The patient whom a name of a folder stands for, where it is that of one patient only."""
    seen: dict[str, set[str]] = defaultdict(set)
    for folder, patient in {(one.image.folder, one.patient) for one in candidates}:
        for part in normal(folder).casefold().split("/"):
            seen[part].add(patient)
    return {part: next(iter(of)) for part, of in seen.items() if len(of) == 1 and part}


def _ancestors(path: str) -> list[str]:
    folder, found = posixpath.dirname(path), []
    while folder:
        found.append(folder)
        folder = posixpath.dirname(folder)
    return found


def _any(index: Mapping[str, set[Hashable]], names: Sequence[str]) -> set[Hashable]:
    """What the first of the names that is known stands for."""
    return next((set(index[name]) for name in names if index.get(name)), set())


def _named(
    candidates: Sequence[Candidate], sheet: Sheet, resolve: Callable[[str], str | None]
) -> dict[Hashable, str]:
    """Masks that the sheet names, by key of the image."""
    found: dict[Hashable, str] = {}
    users: dict[int, set[Hashable]] = defaultdict(set)
    for one in candidates:
        named = sheet.mask_of(one.image.path, one.image.header.sop_uid)
        if named is None or one.image.header.frame >= 0:
            continue
        mask = resolve(named.path)
        if mask is None:
            raise InputError(f"sheet: the mask in line {named.line} does not exist")
        users[named.line].add(one.key)
        found[one.key] = mask
    for line, keys in users.items():
        if len(keys) > 1:
            raise InputError(
                f"sheet: line {line} names {len(keys)} images by one SOPInstanceUID; accepted: "
                "the path of the image"
            )
    return found


def _withdraw_chance(
    claims: dict[Hashable, list[tuple[MaskFile, str]]], found: Matching, finder: _Finder
) -> None:
    """Withdraw matches by name in a folder where other masks fit several images."""
    doubtful = {
        posixpath.dirname(path)
        for path, reason in found.reasons.items()
        if reason in (SEVERAL, SEVERAL_PATIENTS, ZEROS)
    }
    for key, of_image in claims.items():
        for mask, how in list(of_image):
            if how == "name" and posixpath.dirname(mask.path) in doubtful:
                of_image.remove((mask, how))
                found.reasons[mask.path] = CHANCE
                found.patients[mask.path] = finder.patients_of({key})


def _settle(
    key: Hashable, of_image: Sequence[tuple[MaskFile, str]], found: Matching, finder: _Finder
) -> None:
    """Give an image its mask, if all masks that claim it are equal."""
    by_sheet = [one for one in of_image if one[1] == "sheet"]
    digests = Counter(mask.digest for mask, _ in by_sheet or of_image)
    for mask, how in of_image:
        if len(digests) > 1:
            found.reasons[mask.path] = CONFLICT
            found.patients[mask.path] = finder.patients_of({key})
        elif by_sheet and how != "sheet" and mask.digest not in digests:
            found.reasons[mask.path] = SHEET_WINS
        else:
            found.how[mask.path] = how
            for one in finder.of_key[key]:
                found.masks.setdefault(one.image.path, mask)
