"""Patients and their volumes out of single images, and the order of slices along their normal.

What is wrong with a whole series is a warning; an image that is left out is a rejection with its
reason. Neither names a tag's value.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from lungaug.sources.geometry import (
    SAME_POSITION_MM,
    SAME_SPACING,
    angle,
    gaps,
    is_multiple,
    normal_of,
    positions,
    steps_of,
    usual_step,
)
from lungaug.sources.image import Image, Rejection
from lungaug.sources.sheet import Sheet
from lungaug.sources.volumes import acquisition_order

TILT_DEGREES = 0.5
MAX_DUPLICATES = 2
"""Images at positions of others, above which a series holds two volumes that cannot be parted."""
AXIAL_DEGREES = 45.0
"""Angle of the slice normal to the z axis up to which an image is axial; gantries tilt by 30."""


@dataclass(frozen=True)
class Series:
    """Images of one volume of a patient in the order of their positions along the slice normal.

    Attributes:
        patient: PatientID, or what stands for it.
        name: SeriesInstanceUID, or what stands for it; of a part of a series, with a suffix.
        uid: SeriesInstanceUID, '' if there is none.
        images: ordered.
        z_mm: position of each along the normal; NaN where unknown.
        warnings: what is odd about it.
    """

    patient: str
    name: str
    images: tuple[Image, ...]
    z_mm: tuple[float, ...]
    warnings: tuple[str, ...]

    @property
    def uid(self) -> str:
        return self.images[0].header.series_uid

    @property
    def derived(self) -> int:
        """The worst kind among its images: 0 original, 1 derived, 2 projections."""
        return max(image.header.derived for image in self.images)

    @property
    def has_gap(self) -> bool:
        """Whether positions or instance numbers say that an image is missing."""
        numbers = [image.header.instance for image in self.images]
        known = sorted(float(number) for number in numbers if number is not None)
        return bool(gaps(self.z_mm)[0] or gaps(known)[0])


def group(images: Iterable[Image], sheet: Sheet) -> dict[str, dict[str, list[Image]]]:
    """Group images by patient, then by series, both named by their identifiers.

    The sheet's patient of a folder comes first, then PatientID, then the folder itself: two
    patients without an identifier must not become one, and whoever split one patient's scans over
    two folders has to say so in the sheet. An empty SeriesInstanceUID is replaced by study and
    folder; an invalid one is as good as any. Two studies under one series UID are two series.
    """
    patients: dict[str, dict[tuple[str, str], list[Image]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        header = image.header
        name = header.series_uid or f"folder:{header.study_uid}:{image.folder}"
        patients[patient_of(image, sheet)][name, header.study_uid].append(image)
    return {patient: _named(_filled(by_series)) for patient, by_series in patients.items()}


def patient_of(image: Image, sheet: Sheet) -> str:
    """Return the name under which :func:`group` files an image."""
    named = sheet.patient_of(image.path) if sheet.patients else ""
    return named or image.header.patient_id or f"folder:{image.folder}"


def _filled(
    by_series: dict[tuple[str, str], list[Image]],
) -> dict[tuple[str, str], list[Image]]:
    """Give images with a blank study or series UID to the only series that they can be of."""
    found: dict[tuple[str, str], list[Image]] = defaultdict(list)
    for (name, study), images in by_series.items():
        others = [key for key in by_series if key != (name, study) and all(key)]
        if not images[0].header.series_uid:
            folders = {image.folder for image in images}
            homes = [
                key
                for key in others
                if by_series[key][0].header.series_uid
                and study in (key[1], "")
                and folders <= {image.folder for image in by_series[key]}
            ]
        else:
            homes = [key for key in others if key[0] == name and not study]
        found[homes[0] if len(homes) == 1 else (name, study)] += images
    return found


def _named(by_series: dict[tuple[str, str], list[Image]]) -> dict[str, list[Image]]:
    """Name series by their UID, with the study's only where one UID stands for several."""
    counts = Counter(name for name, _ in by_series)
    return {
        name if counts[name] == 1 else f"{name}|study {study}": images
        for (name, study), images in by_series.items()
    }


def identified(images: Iterable[Image]) -> list[Image]:
    """Give images without a PatientID the one of the only patient whose series they belong to."""
    listed = list(images)
    owners: dict[str, set[str]] = defaultdict(set)
    for image in listed:
        if image.header.patient_id and image.header.series_uid:
            owners[image.header.series_uid].add(image.header.patient_id)
    found = []
    for image in listed:
        of = owners.get(image.header.series_uid, set()) if not image.header.patient_id else set()
        header = replace(image.header, patient_id=next(iter(of))) if len(of) == 1 else image.header
        found.append(replace(image, header=header))
    return found


def axial(images: Iterable[Image]) -> tuple[list[Image], list[Rejection]]:
    """Return the axial images, and why the others are left out: reformats along another axis.

    An image without orientation is taken as axial.
    """
    kept, rejections = [], []
    for image in images:
        degrees = angle(normal_of(image.header.orientation), (0.0, 0.0, 1.0))
        if degrees > AXIAL_DEGREES:
            reason = f"not axial: slice normal {degrees:.0f} degrees from the z axis"
            rejections.append(Rejection(image.path, reason))
        else:
            kept.append(image)
    return kept, rejections


def patient_warnings(patient: str, images: Sequence[Image], folders: Counter[str]) -> list[str]:
    """Return what is odd about a patient as a whole.

    Args:
        patient: its name in :func:`group`.
        images: all of them.
        folders: in how many patients' images each folder occurs, see :func:`patients_in_folders`.
    """
    found = []
    if patient.startswith("folder:"):
        found.append("no PatientID: the folder stands for the patient")
        if len({image.header.study_uid for image in images}) > 1:
            found.append("several studies without a PatientID in one folder")
    shared = max(folders[folder] for folder in {image.folder for image in images})
    if shared > 1:
        found.append(f"{shared} patients in one folder")
    return found


def patients_in_folders(patients: dict[str, dict[str, list[Image]]]) -> Counter[str]:
    """Count the patients that have images in each folder."""
    return Counter(
        folder
        for by_series in patients.values()
        for folder in {image.folder for images in by_series.values() for image in images}
    )


def placed(images: Sequence[Image]) -> tuple[list[Image], list[Rejection]]:
    """Leave out the images without a position where at least half of a series has one.

    One screenshot among the slices would otherwise have all of them ordered by their numbers.
    """
    for has_place in (_has_position, _has_location):
        with_place = [image for image in images if has_place(image)]
        if 2 * len(with_place) >= len(images):
            reason = "no position, unlike the rest of its series"
            lost = [image for image in images if not has_place(image)]
            return with_place, [Rejection(image.path, reason) for image in lost]
    return list(images), []


def _has_position(image: Image) -> bool:
    return image.header.position_mm is not None


def _has_location(image: Image) -> bool:
    return image.header.location_mm is not None


def order(
    patient: str,
    name: str,
    images: Sequence[Image],
    annotated: Callable[[Image], bool] = lambda image: False,
) -> tuple[Series | None, list[Rejection]]:
    """Order the images of one volume and look for its faults.

    Of several images at one position the annotated one stays, then a whole one beside a cut one,
    then the first by instance number and path.

    Returns:
        The series, None if its order cannot be known; and the images that are left out.
    """
    images = sorted(images, key=acquisition_order)
    z_mm, source = positions([image.header for image in images])
    if source == "flat":
        reason = "all images of its series claim one position, and SliceLocation does not help"
        return None, [Rejection(image.path, reason) for image in images]
    kept, twice = _without_duplicates(images, z_mm, annotated)
    if len(twice) > MAX_DUPLICATES:
        reason = "its series has several images at many positions, and nothing tells them apart"
        return None, [Rejection(image.path, reason) for image in images]
    reason = "duplicate slice: another image of its series has the same position"
    rejections = [Rejection(images[i].path, reason) for i in twice]
    ordered, spacing = _same_spacing([images[i] for i in kept])
    places = tuple(z_mm[i] for i in kept)
    warnings = (
        *_position_warnings(source), *spacing, *_image_warnings(ordered), *spacing_warnings(places)
    )  # fmt: skip
    return Series(patient, name, tuple(ordered), places, warnings), rejections


def choose(
    series: Sequence[Series], which: str, annotated: Callable[[Series], bool]
) -> list[Series]:
    """Return the series of one patient to use, ordered by name.

    Args:
        series: at least one.
        which: ``all``, or ``largest``: every annotated one, since no annotation may be lost; or
            without annotation the one with the most slices, where original images go before
            derived ones that are up to three times as many, and projections come last.
        annotated: whether a series has masks or contours.
    """
    by_name = sorted(series, key=lambda s: s.name)
    if which == "all":
        return by_name
    marked = [one for one in by_name if annotated(one)]
    if marked:
        return marked
    slices = [one for one in by_name if one.derived < 2] or by_name
    most = max(len(one.images) for one in slices)
    enough = [one for one in slices if 3 * len(one.images) >= most]
    return [max(enough, key=lambda s: (-s.derived, len(s.images)))]


def spacing_warnings(z_mm: Sequence[float]) -> Iterator[str]:
    """Yield gaps and changes of the distance between slices.

    Args:
        z_mm: ascending positions; NaN says nothing.
    """
    steps = steps_of(z_mm)
    if len(steps) < 2:
        return
    usual = usual_step(steps)
    odd = [step for step in steps if abs(step / usual - 1) > SAME_SPACING]
    missing = [step for step in odd if is_multiple(step, usual)]
    if missing and len(missing) <= len(steps) / 4:
        n_missing = sum(round(step / usual) - 1 for step in missing)
        yield (
            f"{n_missing} missing slices in {len(missing)} gaps, the largest {max(missing):.2f} mm"
        )
        odd = [step for step in odd if not is_multiple(step, usual)]
    if odd:
        yield f"slice spacing varies from {min(steps):.2f} to {max(steps):.2f} mm"


def _without_duplicates(
    images: Sequence[Image], z_mm: Sequence[float], annotated: Callable[[Image], bool]
) -> tuple[list[int], list[int]]:
    """Indices of the images to keep, by position, and of those at a position taken by another."""
    if any(map(math.isnan, z_mm)):
        return list(range(len(images))), []
    by_place: list[list[int]] = []
    for i in sorted(range(len(images)), key=lambda i: (z_mm[i], i)):
        if by_place and z_mm[i] - z_mm[by_place[-1][0]] < SAME_POSITION_MM:
            by_place[-1].append(i)
        else:
            by_place.append([i])
    kept = [
        min(together, key=lambda i: (not annotated(images[i]), bool(images[i].header.cut), i))
        for together in by_place
    ]
    return kept, sorted({i for together in by_place for i in together} - set(kept))


def _same_spacing(images: Sequence[Image]) -> tuple[list[Image], list[str]]:
    """Give images without pixel spacing that of all others, if those agree."""
    known = {image.header.spacing_mm for image in images} - {None}
    lacking = sum(image.header.spacing_mm is None for image in images)
    if len({_rounded(spacing) for spacing in known}) != 1 or not lacking:
        return list(images), []
    (spacing, *_) = known
    filled = [
        replace(image, header=replace(image.header, spacing_mm=image.header.spacing_mm or spacing))
        for image in images
    ]
    return filled, [f"pixel spacing of {lacking} images taken from the rest of their series"]


def _position_warnings(source: str) -> Iterator[str]:
    if source == "location":
        yield "no positions: ordered by SliceLocation"
    elif source == "number":
        yield "no positions: ordered by instance number, distances unknown"
    elif source == "position without orientation":
        yield "no orientation: taken as axial"


def _image_warnings(images: Sequence[Image]) -> Iterator[str]:
    headers = [image.header for image in images]
    spacings = {_rounded(header.spacing_mm) for header in headers}
    if None in spacings:
        yield "pixel spacing unknown"
    if len(spacings - {None}) > 1:
        yield f"{len(spacings - {None})} pixel spacings in one series"
    tilt = max(_tilt(images), max(abs(header.tilt) for header in headers))
    if tilt > TILT_DEGREES:
        yield f"gantry tilted by {tilt:.1f} degrees"
    if any(header.lossy for header in headers):
        yield "pixels were compressed with loss"


def _rounded(spacing_mm: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return spacing_mm and tuple(round(value, 4) for value in spacing_mm)


def _tilt(images: Sequence[Image]) -> float:
    """Angle in degrees between the normal and the line through the first and last position."""
    first, last = images[0].header, images[-1].header
    if first.position_mm is None or last.position_mm is None or first.orientation is None:
        return 0.0
    along = [b - a for a, b in zip(first.position_mm, last.position_mm, strict=True)]
    return angle(along, normal_of(first.orientation))
