"""LIDC-IDRI annotation files: what up to four readers marked on one CT series.

A file holds reading sessions, one a reader; a session holds nodules, outlined slice by slice where
they are 3 mm or larger and marked by one point where smaller, and non-nodules, marked by one point.
Messages of errors name the fault only: file names and UIDs identify patients, so that the caller
adds a pseudonym of the file.

References:
    Armato SG III et al., Med Phys 2011;38:915-931; the annotated XML example of the LIDC-IDRI
    collection at TCIA.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml.ElementTree
import numpy as np
from defusedxml.common import DefusedXmlException
from numpy.typing import NDArray

from lungaug.errors import InputError

ROOT = "LidcReadMessage"
MAX_BYTES = 16 << 20
"""Of a file; the largest of LIDC-IDRI has a tenth of a megabyte for each nodule of a reader."""
MAX_MARKS = 1000
"""Nodules and non-nodules of a file, over all readers; each is compared with each."""


@dataclass(frozen=True, eq=False)
class Contour:
    """One region of interest on one slice.

    Attributes:
        sop_uid: SOPInstanceUID of the slice.
        z_mm: position of the slice as the file states it.
        inclusion: False for a hole in the nodule.
        points: int32 (N, 2), x = column, y = row; the first pixels outside the nodule, in order
            along the outline. One point marks a nodule below 3 mm.
    """

    sop_uid: str
    z_mm: float
    inclusion: bool
    points: NDArray[np.int32]


@dataclass(frozen=True, eq=False)
class Nodule:
    """A nodule as one reader marked it; ``characteristics`` is empty below 3 mm."""

    nodule_id: str
    characteristics: Mapping[str, int]
    contours: tuple[Contour, ...]

    @property
    def is_point(self) -> bool:
        """Marked by points only: below 3 mm in the reader's judgement, without an outline."""
        return all(len(contour.points) == 1 for contour in self.contours)


@dataclass(frozen=True)
class NonNodule:
    """What a reader marked as 3 mm or larger but no nodule; ``locus`` is (column, row)."""

    sop_uid: str
    z_mm: float
    locus: tuple[int, int]


@dataclass(frozen=True, eq=False)
class Reading:
    """One reading session: the marks of one reader."""

    nodules: tuple[Nodule, ...]
    non_nodules: tuple[NonNodule, ...]


@dataclass(frozen=True, eq=False)
class Annotations:
    """All marks on one series, with the identifiers that match them to its DICOM files."""

    series_uid: str
    study_uid: str
    readings: tuple[Reading, ...]


def read_annotations(xml: Path) -> Annotations:
    """Read one LIDC-IDRI annotation file.

    Raises:
        InputError: the file is no XML, annotates radiographs instead of CT, or lacks an element;
            the message holds neither its name nor its content.
    """
    root = _root(xml)
    name = _local_name(root)
    if name != ROOT:
        known = "X-ray annotations" if name == "IdriReadMessage" else "not LIDC annotations"
        raise InputError(f"{known} (root element {name[:40]}); accepted: {ROOT}, made on CT")
    document = _Document(root.tag.removesuffix(ROOT))
    header = document.child(root, "ResponseHeader")
    readings = tuple(document.readings(root))
    if sum(len(one.nodules) + len(one.non_nodules) for one in readings) > MAX_MARKS:
        raise InputError(f"malformed annotations: more than {MAX_MARKS} marks")
    return Annotations(
        document.text(header, "SeriesInstanceUid", "SeriesInstanceUID"),
        document.text(header, "StudyInstanceUID", "StudyInstanceUid"),
        readings,
    )


def _root(xml: Path) -> Element:
    try:
        if xml.stat().st_size > MAX_BYTES:
            raise InputError(f"annotation file of more than {MAX_BYTES >> 20} MiB")
        root = defusedxml.ElementTree.parse(xml).getroot()
    except ParseError as error:
        raise InputError(f"malformed XML: {error}") from None
    except DefusedXmlException as error:
        kind = type(error).__name__
        raise InputError(f"XML with {kind}; accepted: no entities or external parts") from None
    except (OSError, ValueError) as error:
        raise InputError(f"annotation file cannot be read: {type(error).__name__}") from None
    if root is None:
        raise InputError("malformed XML: no root element")
    return root


def _local_name(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


@dataclass(frozen=True)
class _Document:
    """Walks the elements of one file; ``namespace`` is the prefix ``{…}`` of its tags, or ''."""

    namespace: str

    def child(self, element: Element, tag: str) -> Element:
        found = element.find(self.namespace + tag)
        if found is None:
            raise InputError(f"malformed annotations: {_local_name(element)} without {tag}")
        return found

    def children(self, element: Element, tag: str) -> list[Element]:
        return element.findall(self.namespace + tag)

    def text(self, element: Element, *tags: str) -> str:
        """The text below the first of ``tags`` that is there: spellings differ between files."""
        for tag in tags:
            text = (element.findtext(self.namespace + tag) or "").strip()
            if text:
                return text
        raise InputError(f"malformed annotations: {_local_name(element)} without {tags[0]}")

    def number(self, element: Element, tag: str) -> float:
        try:
            number = float(self.text(element, tag))
        except ValueError:
            raise InputError(f"malformed annotations: {tag} is not a number") from None
        if not np.isfinite(number):
            raise InputError(f"malformed annotations: {tag} is not finite")
        return number

    def point(self, element: Element) -> tuple[int, int]:
        x, y = (round(self.number(element, tag)) for tag in ("xCoord", "yCoord"))
        if not (0 <= x < 2**15 and 0 <= y < 2**15):
            raise InputError("malformed annotations: a coordinate lies outside any image")
        return x, y

    def readings(self, root: Element) -> Iterator[Reading]:
        for session in self.children(root, "readingSession"):
            yield Reading(
                tuple(self.nodule(e) for e in self.children(session, "unblindedReadNodule")),
                tuple(self.non_nodule(e) for e in self.children(session, "nonNodule")),
            )

    def nodule(self, element: Element) -> Nodule:
        contours = tuple(self.contour(roi) for roi in self.children(element, "roi"))
        if not contours:
            raise InputError("malformed annotations: unblindedReadNodule without roi")
        listed = element.find(self.namespace + "characteristics")
        names = [] if listed is None else [_local_name(e) for e in listed if (e.text or "").strip()]
        values = {} if listed is None else {n: int(self.number(listed, n)) for n in names}
        return Nodule(self.text(element, "noduleID"), values, contours)

    def contour(self, roi: Element) -> Contour:
        points = [self.point(edge) for edge in self.children(roi, "edgeMap")]
        if not points:
            raise InputError("malformed annotations: roi without edgeMap")
        inclusion = self.text(roi, "inclusion").upper()
        if inclusion not in ("TRUE", "FALSE"):
            raise InputError("malformed annotations: inclusion is neither TRUE nor FALSE")
        return Contour(
            self.text(roi, "imageSOP_UID"),
            self.number(roi, "imageZposition"),
            inclusion == "TRUE",
            np.array(points, np.int32),
        )

    def non_nodule(self, element: Element) -> NonNodule:
        return NonNodule(
            self.text(element, "imageSOP_UID"),
            self.number(element, "imageZposition"),
            self.point(self.child(element, "locus")),
        )
