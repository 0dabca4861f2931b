"""Patients and series out of single images, and the order of slices along their normal.

What is wrong with a whole series is a warning; an image that is left out is a rejection with its
reason. Neither names a tag's value.
"""

from __future__ import annotations

import itertools
import math
import posixpath
import statistics
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from lungaug.sources.dicom_header import Header
from lungaug.sources.sheet import Sheet

SAME_POSITION_MM = 0.01
TILT_DEGREES = 0.5
AXIAL_DEGREES = 45.0
"""Angle of the slice normal to the z axis up to which an image is axial; gantries tilt by 30."""
SAME_SPACING = 0.1
"""Relative difference of slice distances up to which they count as equal."""


@dataclass(frozen=True, slots=True)
class Image:
    """One CT image in its file; ``digest`` is of the whole file."""

    path: str
    digest: str
    header: Header

    @property
    def folder(self) -> str:
        return posixpath.dirname(self.path)


@dataclass(frozen=True)
class Series:
    """Images of one patient in the order of their positions along the slice normal.

    Attributes:
        patient: PatientID, or what stands for it.
        name: SeriesInstanceUID, or what stands for it.
        images: ordered.
        z_mm: position of each along the normal; NaN where unknown.
        warnings: what is odd about it.
    """

    patient: str
    name: str
    images: tuple[Image, ...]
    z_mm: tuple[float, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Rejection:
    """A file, or one of its images, that is not used."""

    path: str
    reason: str


def group(images: Iterable[Image], sheet: Sheet) -> dict[str, dict[str, list[Image]]]:
    """Images by patient, then by series, both named by their identifiers.

    The sheet's patient of a folder comes first, then PatientID, then the folder itself: two
    patients without an identifier must not become one, and whoever split one patient's scans over
    two folders has to say so in the sheet. An empty SeriesInstanceUID is replaced by study and
    folder; an invalid one is as good as any.
    """
    patients: dict[str, dict[str, list[Image]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        header = image.header
        patient = sheet.patient_of(image.path) or header.patient_id or f"folder:{image.folder}"
        name = header.series_uid or f"folder:{header.study_uid}:{image.folder}"
        patients[patient][name].append(image)
    return patients


def axial(images: Iterable[Image]) -> tuple[list[Image], list[Rejection]]:
    """The axial images, and why the others are left out: reformats along another axis.

    An image without orientation is taken as axial.
    """
    kept, rejections = [], []
    for image in images:
        normal = normal_of(image.header.orientation)
        angle = _angle(normal, (0.0, 0.0, 1.0))
        if angle > AXIAL_DEGREES:
            reason = f"not axial: slice normal {angle:.0f} degrees from the z axis"
            rejections.append(Rejection(image.path, reason))
        else:
            kept.append(image)
    return kept, rejections


def patient_warnings(patient: str, images: Sequence[Image], folders: Counter[str]) -> list[str]:
    """What is odd about a patient as a whole.

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
    """How many patients have images in each folder."""
    return Counter(
        folder
        for by_series in patients.values()
        for folder in {image.folder for images in by_series.values() for image in images}
    )


def order(patient: str, name: str, images: Sequence[Image]) -> tuple[Series, list[Rejection]]:
    """Order the images of one series and look for its faults.

    Images of another size or orientation than most are left out, and so are images at the position
    of another one; the first by instance number, then by path, stays, but no cut one beside a
    whole one.
    """
    images = sorted(images, key=_acquisition_order)
    rejections: list[Rejection] = []
    for key, what in ((_size, "size"), (_direction, "orientation")):
        images, odd = _most_common(images, key)
        reason = f"{what} differs from the rest of its series"
        rejections += [Rejection(image.path, reason) for image in odd]
    z_mm, source = _positions(images)
    kept, twice = _without_duplicates(images, z_mm)
    reason = "duplicate slice: another image of its series has the same position"
    rejections += [Rejection(images[i].path, reason) for i in twice]
    ordered = tuple(images[i] for i in kept)
    places = tuple(z_mm[i] for i in kept)
    warnings = (*_position_warnings(source), *_image_warnings(ordered), *spacing_warnings(places))
    return Series(patient, name, ordered, places, warnings), rejections


def choose(
    series: Sequence[Series], which: str, annotated: Callable[[Series], bool]
) -> list[Series]:
    """The series of one patient to use, ordered by name.

    Args:
        series: at least one.
        which: ``all``, or ``largest``: the annotated one with the most slices, or without
            annotation the one with the most.
        annotated: whether a series has masks or contours.
    """
    by_name = sorted(series, key=lambda s: s.name)
    if which == "all":
        return by_name
    return [max(by_name, key=lambda s: (annotated(s), len(s.images)))]


def normal_of(orientation: Sequence[float] | None) -> tuple[float, float, float]:
    """The slice normal, rows' direction times columns' direction; axial where unknown."""
    if orientation is None:
        return (0.0, 0.0, 1.0)
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def spacing_warnings(z_mm: Sequence[float]) -> Iterator[str]:
    """Gaps and changes of the distance between slices.

    Args:
        z_mm: ascending positions; NaN says nothing.
    """
    steps = [b - a for a, b in itertools.pairwise(z_mm) if math.isfinite(b - a)]
    if len(steps) < 2:
        return
    usual = _usual_step(steps)
    odd = [step for step in steps if abs(step / usual - 1) > SAME_SPACING]
    gaps = [step for step in odd if _is_multiple(step, usual)]
    if gaps and len(gaps) <= len(steps) / 4:
        missing = sum(round(step / usual) - 1 for step in gaps)
        yield f"{missing} missing slices in {len(gaps)} gaps, the largest {max(gaps):.2f} mm"
        odd = [step for step in odd if not _is_multiple(step, usual)]
    if odd:
        yield f"slice spacing varies from {min(steps):.2f} to {max(steps):.2f} mm"


def _usual_step(steps: Sequence[float]) -> float:
    """The most common step, the smaller of two that are: a median may lie between two."""
    counts = Counter(round(step, 1) for step in steps)
    most = max(counts.items(), key=lambda item: (item[1], -item[0]))[0]
    return statistics.median(step for step in steps if round(step, 1) == most)


def _is_multiple(step: float, usual: float) -> bool:
    times = round(step / usual)
    return times > 1 and abs(step / usual - times) <= SAME_SPACING


def _acquisition_order(image: Image) -> tuple[float, str, int]:
    number = image.header.instance
    return (math.inf if number is None else number, image.path, image.header.frame)


def _size(image: Image) -> tuple[int, int]:
    return image.header.rows, image.header.columns


def _direction(image: Image) -> tuple[float, ...]:
    return tuple(round(cosine, 2) + 0.0 for cosine in image.header.orientation or ())


def _most_common(
    images: Sequence[Image], key: Callable[[Image], Any]
) -> tuple[list[Image], list[Image]]:
    most = Counter(key(image) for image in images).most_common(1)[0][0]
    kept = [image for image in images if key(image) == most]
    return kept, [image for image in images if key(image) != most]


def _positions(images: Sequence[Image]) -> tuple[list[float], str]:
    """Position of each image along the normal in mm, and where it is from."""
    headers = [image.header for image in images]
    if all(header.position_mm is not None for header in headers):
        normal = normal_of(headers[0].orientation)
        source = "position" if headers[0].orientation else "position without orientation"
        return [_dot(header.position_mm or (), normal) for header in headers], source
    if all(header.location_mm is not None for header in headers):
        return [header.location_mm or 0.0 for header in headers], "location"
    return [math.nan] * len(headers), "number"


def _without_duplicates(
    images: Sequence[Image], z_mm: Sequence[float]
) -> tuple[list[int], list[int]]:
    """Indices of the images to keep, by position, and of those at a position taken before."""
    if any(map(math.isnan, z_mm)):
        return list(range(len(images))), []
    kept: list[int] = []
    twice: list[int] = []
    places = [round(z / SAME_POSITION_MM) for z in z_mm]
    whole_first = [
        (place, bool(image.header.cut)) for place, image in zip(places, images, strict=True)
    ]
    for i in sorted(range(len(images)), key=lambda i: (*whole_first[i], i)):
        taken = bool(kept) and z_mm[i] - z_mm[kept[-1]] < SAME_POSITION_MM
        (twice if taken else kept).append(i)
    return kept, twice


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
    tilt = max(_tilt(headers), max(abs(header.tilt) for header in headers))
    if tilt > TILT_DEGREES:
        yield f"gantry tilted by {tilt:.1f} degrees"
    if any(header.lossy for header in headers):
        yield "pixels were compressed with loss"


def _rounded(spacing_mm: tuple[float, ...] | None) -> tuple[float, ...] | None:
    return spacing_mm and tuple(round(value, 4) for value in spacing_mm)


def _tilt(headers: Sequence[Header]) -> float:
    """Angle in degrees between the normal and the line through the first and last position."""
    first, last = headers[0], headers[-1]
    if first.position_mm is None or last.position_mm is None or first.orientation is None:
        return 0.0
    along = [b - a for a, b in zip(first.position_mm, last.position_mm, strict=True)]
    return _angle(along, normal_of(first.orientation))


def _angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Angle in degrees between two lines, 0 to 90; 0 for a line without direction."""
    length = math.hypot(*a) * math.hypot(*b)
    if length == 0:
        return 0.0
    return math.degrees(math.acos(min(1.0, abs(_dot(a, b)) / length)))


def _dot(a: Sequence[float], b: Sequence[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))
