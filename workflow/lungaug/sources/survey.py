"""Survey a folder of DICOM: patients, volumes, annotations, and what is left out and why.

A patient that loses an annotated image, or any annotation, is never counted as healthy or
complete: that is a problem of the patient, on which the scan stops or leaves the patient out.
"""

from __future__ import annotations

import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from lungaug.errors import InputError
from lungaug.sources import annotation_files as contours_of
from lungaug.sources import mask_matching, series
from lungaug.sources.annotation_files import Contours, find_contours
from lungaug.sources.damaged import Suspect, suspects
from lungaug.sources.dicom_header import bare_header
from lungaug.sources.headers import DANGLING, EMPTY, Entry
from lungaug.sources.image import Image, Rejection
from lungaug.sources.mask_matching import Candidate, MaskFile, image_key
from lungaug.sources.plan import DamagedFile, PlannedFile, reference
from lungaug.sources.rescale_type import NO_HU, of_hu
from lungaug.sources.series import Series
from lungaug.sources.shared_uids import SharedUid, UidKind, shared_uids, sharing
from lungaug.sources.sheet import Sheet
from lungaug.sources.volumes import joined, split

_NOT_USED = "image of a series that is not used"
_COPY = "duplicate slice: a copy of another image"
_PICTURE = "picture that is no mask: it has the size of no image of its folder"
_UNSAID = (
    "lines of the sheet name nobody here, so this patient may not be healthy; if it is, say LR1 in "
    "the sheet"
)
_SLIVER = 3
"""Images below which a volume is a fragment."""
_SEGMENTATIONS = ("not CT: modality SEG", "not CT: modality RTSTRUCT")
_VOLUMES = ("NIfTI", "NRRD", "MetaImage")
_PICTURES = ("JPEG", "GIF", "BMP", "TIFF")
_PACKED = (".xml.gz", ".png.gz")
_WORDS = ("mask", "seg", "label", "nodule", "lesion", "roi")
_UNCERTAIN = (
    "masks or annotation files fit no image, so this patient may not be healthy; if it is, say LR1 "
    "in the sheet"
)


@dataclass(frozen=True)
class Tree:
    """The files of a source and of its folder of masks, if it has one of its own."""

    entries: Sequence[Entry]
    others: Sequence[Entry]
    masks: bool
    """Whether there is a folder of masks of its own."""

    @property
    def of_masks(self) -> Sequence[Entry]:
        """The tree in which masks are looked for."""
        return self.others if self.masks else self.entries


@dataclass(frozen=True)
class Rules:
    """What decides on patients.

    Attributes:
        series: see :func:`lungaug.sources.series.choose`.
        reads_contours: annotation files are read.
        healthy_if_unannotated: who has no annotation and no class counts as healthy.
        mask_suffixes: endings of a mask's name that are not part of the image's.
        rescale_types: further values of RescaleType that mean HU.
        shared_uids: kinds of UIDs that several patients may have.
    """

    series: str
    reads_contours: bool
    healthy_if_unannotated: bool
    mask_suffixes: Sequence[str]
    rescale_types: Sequence[str]
    shared_uids: Sequence[UidKind] = ()


@dataclass
class Found:
    """One patient of the source.

    Attributes:
        name: PatientID, or what stands for it.
        lung_rads: of the sheet, or ''.
        chosen: the volumes that are used; none where no image is left.
        warnings: what is odd.
        damaged: files that may have been images, see :class:`DamagedFile`.
        problems: annotations that are lost, or may be.
        shared: UIDs that other patients have too.
    """

    name: str
    lung_rads: str = ""
    chosen: list[Series] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    damaged: list[DamagedFile] = field(default_factory=list)
    problems: list[DamagedFile] = field(default_factory=list)
    shared: list[SharedUid] = field(default_factory=list)


class Survey:
    """Everything that the scan finds in a folder of DICOM.

    Args:
        tree: the files.
        sheet: the sample sheet.
        resolve: finds the path of a mask that the sheet names.
        rules: what decides on patients.

    Raises:
        InputError: the sheet is wrong, or none of the annotations fits an image.
    """

    def __init__(
        self, tree: Tree, sheet: Sheet, resolve: Callable[[str], str | None], rules: Rules
    ) -> None:
        self.tree, self.sheet, self.rules = tree, sheet, rules
        self.sheet_lines = ""  # that name a class or mask of nobody
        self.rejections: list[Rejection] = []
        images = series.identified(
            Image(e.path, e.digest, h) for e in tree.entries for h in e.images
        )
        usable, self._other_units = of_hu(images, rules.rescale_types)
        self.patients = series.group(usable, sheet)
        self.images = usable
        self.shared = shared_uids(self.patients, rules.shared_uids)
        self._suspects = suspects(tree.entries)
        self.candidates = [
            Candidate(image, patient, image_key(image, patient))
            for image in (*usable, *self._unusable())
            for patient in (self._patient_of(image),)
        ]
        self._masks = {
            e.path: MaskFile(e.path, e.digest) for e in tree.of_masks if e.kind == "mask"
        }
        self.matching = mask_matching.match(
            self.candidates, list(self._masks.values()), sheet, resolve, rules.mask_suffixes
        )
        self.contours = self._find_contours()

    def run(self) -> list[Found]:
        """Look at every patient, in the order of their names; fills ``rejections``."""
        self._reject_files()
        found = [self._look_at(patient) for patient in sorted(self.patients)]
        shared = sharing(self.shared)
        for one in found:
            one.shared = shared.get(one.name, [])
        found += self._absent()
        return found

    def unused_masks(self) -> dict[str, str]:
        """Masks and annotation files that fit no image, with the reason, by reference."""
        masks = {
            self._reference(path): reason
            for path, reason in self.matching.reasons.items()
            if reason != mask_matching.SHEET_WINS and not self._is_picture(path)
        }
        reasons = self.contours.reasons.items()
        harmless: tuple[str, ...] = (contours_of.COPY, contours_of.X_RAY)
        if not self.rules.reads_contours:
            harmless += (EMPTY, DANGLING)
        return masks | {name: text for name, text in reasons if not text.startswith(harmless)}

    def check_annotations(self) -> None:
        """Raise InputError if there are annotations and none of them fits an image."""
        unused = self.unused_masks()
        unused = {name: reason for name, reason in unused.items() if reason != contours_of.NOT_READ}
        if not unused or self.matching.masks or self.contours.files:
            return
        reasons = Counter(unused.values())
        listed = "; ".join(f"{n} times {reason}" for reason, n in reasons.most_common(4))
        raise InputError(
            f"scan: none of {len(unused)} masks and annotation files fits an image: {listed}. "
            f"Accepted: {mask_matching.HELP}"
        )

    # --- images that cannot be used, and whose they are

    def _unusable(self) -> list[Image]:
        """Images with a fault, and files that may have been images: their masks would be lost."""
        faulty = [
            Image(e.path, e.digest, header)
            for e in self.tree.entries
            if e.kind == "image" and e.fault
            for header in (e.headers or (bare_header(0, 0),))
        ]
        faulty += self._other_units
        damaged = [one.damaged.file for files in self._suspects.values() for one in files]
        return faulty + [Image(file.name, file.digest, bare_header(0, 0)) for file in damaged]

    @cached_property
    def _folders(self) -> dict[str, set[str]]:
        """Patients by folder."""
        found: dict[str, set[str]] = defaultdict(set)
        for image in self.images:
            found[image.folder].add(series.patient_of(image, self.sheet))
        return found

    def _patient_of(self, image: Image) -> str:
        named = series.patient_of(image, self.sheet)
        others = self._folders.get(image.folder, ())
        if named == f"folder:{image.folder}" and len(others) == 1:
            return next(iter(others))
        return named

    # --- annotations

    def _find_contours(self) -> Contours:
        found = find_contours(
            self.tree.entries, self.candidates, of_masks=False, read=self.rules.reads_contours
        )
        more = find_contours(
            self.tree.others, self.candidates, of_masks=True, read=self.rules.reads_contours
        )
        digests = {f.file.digest for files in found.files.values() for f in files}
        for patient, files in more.files.items():
            for one in files:
                if one.file.digest in digests:
                    found.reasons[one.file.name] = contours_of.COPY
                else:
                    found.files[patient].append(one)
        found.reasons |= more.reasons
        found.patients |= more.patients
        return found

    def _reference(self, path: str) -> str:
        return reference(path, self.tree.masks)

    def mask_of(self, image: Image) -> PlannedFile | None:
        """The mask of an image as the plan names it."""
        mask = self.matching.masks.get(image.path)
        return PlannedFile(self._reference(mask.path), mask.digest) if mask else None

    def is_annotated(self, patient: str, image: Image) -> bool:
        """Whether an image has a mask, or an outline on it."""
        return image.path in self.matching.masks or (
            image.header.sop_uid in self._outlined(patient)
        )

    def _outlined(self, patient: str) -> set[str]:
        if patient not in self._outlined_slices:
            self._outlined_slices[patient] = self.contours.slice_uids(patient)
        return self._outlined_slices[patient]

    @cached_property
    def _outlined_slices(self) -> dict[str, set[str]]:
        return {}

    def _is_picture(self, path: str) -> bool:
        """Whether a PNG among the images is no mask of them, as its size says."""
        if self.tree.masks or not self._by_path[path].headers:
            return False
        sizes = {(header.rows, header.columns) for header in self._by_path[path].headers}
        patients = self.matching.patients.get(path) or self._sizes.keys()
        return not any(sizes & self._sizes.get(patient, set()) for patient in patients)

    @cached_property
    def _sizes(self) -> dict[str, set[tuple[int, int]]]:
        """Sizes of the images by patient."""
        found: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for one in self.candidates:
            found[one.patient].add((one.image.header.rows, one.image.header.columns))
        return found

    @cached_property
    def _by_path(self) -> dict[str, Entry]:
        return {entry.path: entry for entry in self.tree.of_masks}

    # --- rows

    def _reject(self, path: str, reason: str) -> None:
        self.rejections.append(Rejection(path, reason))

    def _reject_files(self) -> None:
        """A row for every file that is neither a usable image nor a mask or annotation in use."""
        reasons = {
            one.damaged.file.name: one.damaged.reason
            for files in self._suspects.values()
            for one in files
        }
        for entry in self.tree.entries:
            if entry.kind == "mask" and self.tree.masks:
                self._reject(entry.path, "PNG outside the folder of masks")
            elif entry.kind not in ("mask", "annotations") and entry.fault:
                self._reject(entry.path, reasons.get(entry.path, entry.fault))
        self.rejections += [Rejection(path, NO_HU) for path in {i.path for i in self._other_units}]
        for entry in self.tree.others:
            if entry.kind not in ("mask", "annotations", "image"):
                self._reject(reference(entry.path, True), entry.fault)
        for path, reason in self.matching.reasons.items():
            picture = self._is_picture(path) and reason == mask_matching.NO_IMAGE
            self._reject(self._reference(path), _PICTURE if picture else reason)
        for name, reason in self.contours.reasons.items():
            self._reject(name, reason)

    # --- one patient

    def _look_at(self, patient: str) -> Found:
        found = Found(patient)
        by_series = self.patients[patient]
        everything = [image for images in by_series.values() for image in images]
        reasons: dict[str, str] = {}
        ordered = self._ordered(patient, by_series, reasons)
        found.lung_rads = self.sheet.lung_rads_of(patient, sorted({i.path for i in everything}))
        if ordered:
            found.chosen = series.choose(ordered, self.rules.series, self._series_is_annotated)
            self._add_slivers(found, ordered)
        kept = {(i.path, i.header.frame) for one in found.chosen for i in one.images}
        for one in ordered:
            if one not in found.chosen:
                reasons |= {i.path: _NOT_USED for i in one.images if i.path not in reasons}
        found.warnings = [
            *series.patient_warnings(patient, everything, self._n_patients),
            *_left_out(ordered, found.chosen),
            *(text for one in found.chosen for text in one.warnings),
        ]
        self._add_damaged(found)
        self._add_problems(found, kept, reasons)
        self.rejections += [Rejection(path, reason) for path, reason in sorted(reasons.items())]
        return found

    @cached_property
    def _n_patients(self) -> Counter[str]:
        return series.patients_in_folders(self.patients)

    def _series_is_annotated(self, one: Series) -> bool:
        return bool(self.contours.of(one)) or any(
            image.path in self.matching.masks for image in one.images
        )

    def _add_slivers(self, found: Found, ordered: Sequence[Series]) -> None:
        """Annotated images that stand almost alone beside a whole volume without annotation."""
        rest = max((len(one.images) for one in ordered if one not in found.chosen), default=0)
        for one in found.chosen:
            if len(one.images) < _SLIVER <= rest and self._series_is_annotated(one):
                reason = f"annotated image: apart from a volume of {rest} images, which has none"
                image = one.images[0]
                found.problems.append(DamagedFile(PlannedFile(image.path, image.digest), reason))

    def _ordered(
        self, patient: str, by_series: dict[str, list[Image]], reasons: dict[str, str]
    ) -> list[Series]:
        """The volumes of a patient, ordered; fills the reasons of images that are left out."""
        ordered = []
        single, copies = self._without_copies(patient, by_series)
        reasons |= copies
        for name, images in joined(single).items():
            upright, reformats = series.axial(images)
            with_place, lost = series.placed(upright)
            reasons |= {one.path: one.reason for one in (*reformats, *lost)}
            if not with_place:
                continue
            for part, members in split(name, with_place).items():
                volume, out = series.order(
                    patient, part, members, lambda image: self.is_annotated(patient, image)
                )
                reasons |= {one.path: one.reason for one in out}
                if volume:
                    ordered.append(volume)
        return ordered

    def _without_copies(
        self, patient: str, by_series: dict[str, list[Image]]
    ) -> tuple[dict[str, list[Image]], dict[str, str]]:
        """Series in which each image is once: annotated ones, whole ones, lossless ones first."""
        together: dict[Hashable, list[tuple[str, Image]]] = defaultdict(list)
        for name, images in by_series.items():
            for image in images:
                together[image_key(image, patient)].append((name, image))
        kept: dict[str, list[Image]] = defaultdict(list)
        reasons: dict[str, str] = {}
        for copies in together.values():
            name, first = min(copies, key=lambda one: self._preference(patient, one[1]))
            kept[name].append(first)
            reasons |= {image.path: _COPY for _, image in copies if image.path != first.path}
        return kept, reasons

    def _preference(self, patient: str, image: Image) -> tuple[bool, bool, bool, str]:
        header = image.header
        return not self.is_annotated(patient, image), bool(header.cut), header.lossy, image.path

    def _add_damaged(self, found: Found) -> None:
        """Files that may have been images of this patient."""
        places: dict[str, list[Series]] = defaultdict(list)
        for one in found.chosen:
            for folder in {image.folder for image in one.images}:
                # In a folder of several patients nobody can tell whose a damaged file is.
                if self._n_patients[folder] == 1:
                    places[folder].append(one)
        found.damaged = [
            one.damaged
            for folder in sorted(places)
            for one in self._suspects.get(folder, ())
            if self._was_image(one, places[folder])
        ]
        if found.damaged:
            found.warnings.append(f"damaged files among the images: {len(found.damaged)}")

    def _was_image(self, one: Suspect, volumes: Sequence[Series]) -> bool:
        """Whether a file was an image: its content, a gap or masks without images say so."""
        orphans = any(not patients for _, patients in self._unused_of)
        return one.has_content or orphans or any(volume.has_gap for volume in volumes)

    def _add_problems(
        self, found: Found, kept: set[tuple[str, int]], reasons: dict[str, str]
    ) -> None:
        """Annotated images and annotations that a patient loses."""
        used = {
            one.key
            for one in self._of_patient[found.name]
            if (one.image.path, one.image.header.frame) in kept
        }
        for one in self._of_patient[found.name]:
            image = one.image
            if one.key in used or not self.is_annotated(found.name, image):
                continue
            reason = reasons.get(image.path) or self._fault_of(image.path) or _NOT_USED
            found.problems.append(
                DamagedFile(PlannedFile(image.path, image.digest), f"annotated image: {reason}")
            )
        found.problems += self._lost_of.get(found.name, [])
        unannotated = not any(map(self._series_is_annotated, found.chosen))
        if unannotated and not found.lung_rads and self.rules.healthy_if_unannotated:
            found.problems += self._uncertain(found.name)

    @cached_property
    def _of_patient(self) -> dict[str, list[Candidate]]:
        found: dict[str, list[Candidate]] = defaultdict(list)
        for one in self.candidates:
            found[one.patient].append(one)
        return found

    def _fault_of(self, path: str) -> str:
        files = self._suspects.get(posixpath.dirname(path), ())
        damaged = {one.damaged.file.name: one.damaged.reason for one in files}
        return damaged.get(path) or self._faults.get(path, "")

    @cached_property
    def _faults(self) -> dict[str, str]:
        found = {entry.path: entry.fault for entry in self.tree.entries if entry.fault}
        return found | {image.path: NO_HU for image in self._other_units}

    @cached_property
    def _digests(self) -> dict[str, str]:
        return {
            reference(entry.path, of_masks): entry.digest
            for of_masks, entries in ((False, self.tree.entries), (True, self.tree.others))
            for entry in entries
        }

    def _lost(self, name: str, reason: str) -> DamagedFile:
        return DamagedFile(PlannedFile(name, self._digests.get(name, "")), reason)

    @cached_property
    def _lost_of(self) -> dict[str, list[DamagedFile]]:
        """Annotations that fit no image, by the patients that may miss them."""
        found: dict[str, list[DamagedFile]] = defaultdict(list)
        reasons = self.unused_masks()
        for name, patients in self._unused_of:
            reason = reasons[name]
            if reason == contours_of.NOT_READ:
                continue  # what matters is whether the patient would count as healthy
            for patient in sorted(patients):
                # Where readers' outlines are known, PNG masks are not read.
                if patient not in self.contours.files or name in self.contours.reasons:
                    found[patient].append(self._lost(name, reason))
        return found

    def _uncertain(self, patient: str) -> list[DamagedFile]:
        """The reason why a patient without annotations may have some after all, if there is one."""
        files = [name for name, of in self._unused_of if not of or patient in of]
        files += [name for name, of in self._unread if not of or patient in of]
        if not files and self.sheet_lines:
            image = self._of_patient[patient][0].image
            return [self._lost(image.path, f"{_UNSAID} (lines: {self.sheet_lines})")]
        return [self._lost(min(files), f"{len(files)} {_UNCERTAIN}")] if files else []

    @cached_property
    def _unread(self) -> list[tuple[str, set[str]]]:
        """Files that may be annotations in a format that is not read, with their patients.

        They matter only where patients without annotation count as healthy. Empty patients: it may
        be of anybody.
        """
        found: list[tuple[str, set[str]]] = []
        for entry in self.tree.entries:
            patients = self._folders.get(posixpath.dirname(entry.path), set())
            if entry.fault.startswith(_SEGMENTATIONS):
                header = entry.headers[0] if entry.headers else bare_header(0, 0)
                found.append((entry.path, {header.patient_id} if header.patient_id else patients))
            elif patients and (
                entry.fault.startswith(_VOLUMES)
                or entry.path.lower().endswith(_PACKED)
                or self._is_like_a_mask(entry)
            ):
                found.append((entry.path, patients))
        for entry in self.tree.others:
            if entry.kind == "other" and entry.fault.startswith((*_VOLUMES, *_PICTURES)):
                found.append((reference(entry.path, True), set()))
        return found

    def _is_like_a_mask(self, entry: Entry) -> bool:
        """Whether a picture that is not read as a mask is called like an image or like a mask."""
        picture = entry.kind == "mask" or entry.fault.startswith(_PICTURES)
        base = posixpath.splitext(entry.path)[0]
        name = posixpath.basename(base).lower()
        stems = {mask_matching.without_suffix(image.path) for image in self._in_folder(entry)}
        named = base in stems or any(word in name for word in _WORDS)
        read = entry.kind == "mask" and not self.tree.masks and not self._is_picture(entry.path)
        return picture and named and not read

    def _in_folder(self, entry: Entry) -> list[Image]:
        return self._by_folder[posixpath.dirname(entry.path)]

    @cached_property
    def _by_folder(self) -> dict[str, list[Image]]:
        found: dict[str, list[Image]] = defaultdict(list)
        for image in self.images:
            found[image.folder].append(image)
        return found

    @cached_property
    def _unused_of(self) -> list[tuple[str, set[str]]]:
        """Annotations that are not used, with the patients that they may be of."""
        patients = {self._reference(k): v for k, v in self.matching.patients.items()}
        patients |= self.contours.patients
        return [(name, patients.get(name, set())) for name in sorted(self.unused_masks())]

    def _absent(self) -> Iterable[Found]:
        """Patients none of whose images can be used, though some are annotated CT."""
        for patient in sorted(set(self._of_patient) - set(self.patients)):
            found = Found(patient)
            for one in self._of_patient[patient]:
                fault = self._fault_of(one.image.path)
                other = fault.startswith(("not CT", "localiser", "colour"))
                if self.is_annotated(patient, one.image) and not other:
                    file = PlannedFile(one.image.path, one.image.digest)
                    found.problems.append(DamagedFile(file, f"annotated image: {fault}"))
            if found.problems:
                yield found


def _left_out(ordered: Sequence[Series], chosen: Sequence[Series]) -> list[str]:
    rest = [one for one in ordered if one not in chosen]
    n_images = sum(len(one.images) for one in rest)
    return [f"{len(rest)} other series with {n_images} images left out"] if rest else []
