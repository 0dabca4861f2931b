"""What the headers of one DICOM file say, and why an image cannot be used.

Reasons hold no value of a tag that a person may have typed into. DICOM in the wild breaks its own
rules; a tag whose value does not parse counts as absent.

References:
    DICOM PS3.3 2024e, C.8.2.1 (CT image), A.38 (enhanced CT), C.7.6.16 (functional groups).
"""

from __future__ import annotations

import logging
import math
import operator
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from typing import Any, BinaryIO

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
    RLELossless,
)

from lungaug.errors import InputError
from lungaug.sources.deflated import check_items, inflated
from lungaug.sources.dicom_values import (
    READ_ERRORS,
    identifier_of,
    integer_of,
    numbers_of,
    text_of,
    texts_of,
)

CT_CLASS = "1.2.840.10008.5.1.4.1.1.2"
ENHANCED_CLASSES = frozenset({"1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.2.2"})

MAX_SIDE = 4096
"""Rows and columns that a CT image may have; today's scanners make up to 2048."""

_MODALITIES = frozenset(
    """
    MR PT NM US CR DX MG XA RF SC OT SR SEG PR KO DOC REG RTSTRUCT RTDOSE RTPLAN RTIMAGE
    """.split()  # noqa: SIM905
)
_SYNTAXES = frozenset(
    [
        ImplicitVRLittleEndian, ExplicitVRLittleEndian, DeflatedExplicitVRLittleEndian,
        ExplicitVRBigEndian, RLELossless, *JPEGTransferSyntaxes, *JPEGLSTransferSyntaxes,
        JPEG2000,
        JPEG2000Lossless,
    ]
)  # fmt: skip
_FLOAT_PIXELS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09")
"""Tags of FloatPixelData and DoubleFloatPixelData in both byte orders."""
_PROJECTIONS = frozenset(
    "MIP MINIP MAXIP AVERAGE MEAN MAX_IP MIN_IP MAXIMUM MINIMUM".split()  # noqa: SIM905
)
_NO_CLASS = "not CT: neither Modality nor SOPClassUID says so"
_NO_SIZE = "missing tag: Rows or Columns"
_LOCALISER = "localiser"
_LONGEST_TYPE = 64  # letters
_TAGS = [
    "SOPClassUID", "SOPInstanceUID", "Modality", "ImageType", "PatientID", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "InstanceNumber", "Rows", "Columns",
    "SamplesPerPixel", "PixelSpacing",
    "ImagePositionPatient", "ImageOrientationPatient", "SliceLocation", "GantryDetectorTilt",
    "RescaleSlope", "RescaleIntercept", "RescaleType", "PixelRepresentation", "BitsAllocated",
    "PixelPaddingValue", "PixelPaddingRangeLimit", "NumberOfFrames", "LossyImageCompression",
    "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence", "AcquisitionNumber",
    "TemporalPositionIdentifier", "TemporalPositionIndex", "ConvolutionKernel", "StackID",
    "NominalPercentageOfCardiacPhase",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Header:
    """One CT image: a file, or a frame of a multi-frame file. None and '' where nothing is said.

    Attributes:
        frame: index of the frame, -1 for a file of one image.
        sop_uid, study_uid, series_uid, patient_id: as they stand, without outer blanks.
        instance: InstanceNumber.
        rows, columns: size in pixels.
        spacing_mm: distance of rows, distance of columns.
        position_mm: centre of the first pixel, patient coordinates.
        orientation: direction cosines of a row and of a column.
        location_mm: SliceLocation.
        tilt: GantryDetectorTilt in degrees.
        slope, intercept: HU = stored * slope + intercept.
        padding: first and last stored value that is padding.
        lossy: pixels were compressed with loss at some time.
        compressed: pixels are stored as JPEG, JPEG-LS or JPEG 2000.
        cut: how the file ends before its pixels do; '' for a whole one.
        acquisition: AcquisitionNumber, '' if absent.
        phase: temporal position and stack, as text; images of two phases are two volumes.
        kernel: ConvolutionKernel.
        derived: 0 for an original image, 1 for a derived one, 2 for a projection of several slices
            (such as a maximum intensity projection).
        rescale_type: unit of the values, in the file's spelling.
        frame_uid: FrameOfReferenceUID, without outer blanks.
    """

    frame: int
    sop_uid: str
    study_uid: str
    series_uid: str
    patient_id: str
    instance: int | None
    rows: int
    columns: int
    spacing_mm: tuple[float, ...] | None
    position_mm: tuple[float, ...] | None
    orientation: tuple[float, ...] | None
    location_mm: float | None
    tilt: float
    slope: float
    intercept: float
    padding: tuple[int, ...] | None
    lossy: bool
    compressed: bool
    cut: str = ""
    acquisition: str = ""
    phase: str = ""
    kernel: str = ""
    derived: int = 0
    rescale_type: str = ""
    frame_uid: str = ""

    def as_list(self) -> list[Any]:
        """The values in order, for JSON."""
        return list(_values(self))

    @classmethod
    def from_list(cls, values: list[Any]) -> Header:
        """The inverse of :meth:`as_list`; repeated texts are shared, which keeps an index small."""
        return cls(*(_shared(value) for value in values))


def bare_header(rows: int, columns: int, spacing_mm: tuple[float, float] | None = None) -> Header:
    """The header of an image that is not DICOM and says no more of itself."""
    return Header(
        frame=-1, sop_uid="", study_uid="", series_uid="", patient_id="", instance=None,
        rows=rows, columns=columns, spacing_mm=spacing_mm, position_mm=None, orientation=None,
        location_mm=None, tilt=0.0, slope=1.0, intercept=0.0, padding=None, lossy=False,
        compressed=False,
    )  # fmt: skip


_values = operator.attrgetter(*(field.name for field in fields(Header)))


def _shared(value: Any) -> Any:
    if isinstance(value, str):
        return sys.intern(value)
    return tuple(value) if isinstance(value, list) else value


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pydicom's warnings and log lines in: they quote the values of tags."""
    logger = logging.getLogger("pydicom")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def decoder_of(syntax: UID) -> str:
    """Which decoder reads a transfer syntax: one only, so that pixels are the same everywhere."""
    if not syntax.is_transfer_syntax or not syntax.is_encapsulated:
        return ""
    return "pydicom" if syntax == RLELossless else "gdcm"


def looks_like_dicom(start: bytes) -> bool:
    """Whether a file beginning with ``start`` may be DICOM, with a preamble or (old) without."""
    if start[128:132] == b"DICM":
        return True
    group, element = int.from_bytes(start[:2], "little"), int.from_bytes(start[2:4], "little")
    return len(start) > 132 and group in (2, 8) and element <= 0x60


def read_headers(file: BinaryIO, size: int) -> tuple[str, list[Header]]:
    """Read the headers of a DICOM file, not its pixels.

    Args:
        file: the open file.
        size: its bytes.

    Returns:
        Why it cannot be used, or '', and its images. With a fault: one header that holds only the
        identifiers, so that the patient is known who loses the image. Neither: a DICOM file that
        is no image and no fault either (bytes that only began like DICOM).

    Raises:
        InputError: the headers are damaged, so that nobody knows what is lost with the file.
    """
    file.seek(0)
    try:
        with quiet():
            plain, size = inflated(file, size)
            check_items(plain)
            dataset = pydicom.dcmread(
                plain, stop_before_pixels=True, force=True, specific_tags=list(_TAGS)
            )
            if "MediaStorageSOPClassUID" not in dataset.file_meta and not _says_something(dataset):
                return "", []
            left = size - plain.tell()
            fault, headers = _described(dataset)
            if not fault and plain.read(4) in _FLOAT_PIXELS:
                fault = "pixels are floating-point numbers; accepted: integers with a rescale"
            if fault and fault != _LOCALISER and _ends_early(dataset, left):
                raise InputError(f"headers end early ({fault})")
            if fault in (_NO_CLASS, _NO_SIZE) and _class(dataset) in (CT_CLASS, *ENHANCED_CLASSES):
                raise InputError(f"headers are damaged ({fault})")
            if fault:
                return fault, [_identity(dataset)]
            cut = _cut(dataset, left)
            return "", [replace(header, cut=cut) for header in headers] if cut else headers
    except READ_ERRORS as error:
        raise InputError(f"headers cannot be read ({type(error).__name__})") from error
    except OSError as error:
        if error.errno is not None:
            raise
        reason = "headers cannot be read (no tag where one must be)"  # pydicom's own
        raise InputError(reason) from error


def _described(dataset: Dataset) -> tuple[str, list[Header]]:
    fault = _not_ct(dataset) or _unusable(dataset)
    return (fault, []) if fault else _images(dataset)


def _identity(dataset: Dataset) -> Header:
    """Return the header of an image that cannot be used: identifiers and size only."""
    header = bare_header(integer_of(dataset, "Rows") or 0, integer_of(dataset, "Columns") or 0)
    sop, study, series, patient = _identifiers(dataset)
    return replace(header, sop_uid=sop, study_uid=study, series_uid=series, patient_id=patient)


def _identifiers(dataset: Dataset) -> tuple[str, str, str, str]:
    """Image, study, series and patient."""
    names = ("SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "PatientID")
    image, study, series, patient = (sys.intern(identifier_of(dataset, name)) for name in names)
    return image, study, series, patient


def _says_something(dataset: Dataset) -> bool:
    return any(name in dataset for name in ("SOPClassUID", "Modality", "Rows"))


def _not_ct(dataset: Dataset) -> str:
    sop_class, modality = text_of(dataset, "SOPClassUID"), text_of(dataset, "Modality").upper()
    is_ct_class = sop_class == CT_CLASS or sop_class in ENHANCED_CLASSES
    if modality and modality != "CT":
        return f"not CT: modality {modality if modality in _MODALITIES else 'unknown'}"
    if not modality and not is_ct_class:
        return _NO_CLASS
    kinds = {text.upper() for text in texts_of(dataset, "ImageType")}
    return _LOCALISER if kinds & {"LOCALIZER", "SCOUT", "TOPOGRAM"} else ""


def _unusable(dataset: Dataset) -> str:
    if (integer_of(dataset, "SamplesPerPixel") or 1) != 1:
        return "colour image"
    rows, columns = (integer_of(dataset, name, 0) for name in ("Rows", "Columns"))
    if min(rows, columns) <= 0:
        return _NO_SIZE
    syntax = _transfer_syntax(dataset)
    if syntax not in _SYNTAXES:
        known = syntax.name if syntax.is_transfer_syntax else "private or unknown"
        return f"transfer syntax is not supported: {known}"
    if max(rows, columns) > MAX_SIDE:
        return f"rows or columns beyond any CT; accepted: at most {MAX_SIDE}"
    return ""


def _ends_early(dataset: Dataset, left: int) -> bool:
    """Whether a file ends within its headers, which may have been those of a CT image."""
    if left > 0:
        return False
    # The last value before the end may itself be cut.
    ct = any(known.startswith(_class(dataset)) for known in (CT_CLASS, *ENHANCED_CLASSES))
    return ct and "CT".startswith(text_of(dataset, "Modality").upper())


def _class(dataset: Dataset) -> str:
    meta = text_of(dataset.file_meta, "MediaStorageSOPClassUID")
    return text_of(dataset, "SOPClassUID") or meta


def _cut(dataset: Dataset, left: int) -> str:
    """How the file ends early, as far as its size tells; '' if it does not.

    Args:
        dataset: its headers.
        left: bytes from the tag of the pixels on.
    """
    syntax = _transfer_syntax(dataset)
    if left <= 0:
        return "no pixel data"
    if not syntax.is_transfer_syntax or syntax.is_compressed:
        return ""
    n_pixels = integer_of(dataset, "Rows", 0) * integer_of(dataset, "Columns", 0)
    n_bytes = n_pixels * math.ceil((integer_of(dataset, "BitsAllocated") or 16) / 8)
    expected = n_bytes * (integer_of(dataset, "NumberOfFrames") or 1)
    found = left - (8 if syntax == ImplicitVRLittleEndian else 12)  # after the tag
    return f"{found} of {expected} bytes of pixels" if found < expected else ""


def _transfer_syntax(dataset: Dataset) -> UID:
    """The file's; without meta information DICOM's default."""
    return UID(dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian))


def _images(dataset: Dataset) -> tuple[str, list[Header]]:
    n_frames = integer_of(dataset, "NumberOfFrames") or 1
    if text_of(dataset, "SOPClassUID") not in ENHANCED_CLASSES:
        if n_frames > 1:
            return "multi-frame file that is no enhanced CT", []
        return _image(dataset, -1, [dataset])
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    frames = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])
    if len(frames) != n_frames:
        return "multi-frame file without the functional groups of every frame", []
    headers = []
    for index, frame in enumerate(frames):
        fault, header = _image(dataset, index, [*_groups([frame, *shared]), dataset])
        if fault:
            return fault, []
        headers.extend(header)
    return "", headers


def _groups(functional: list[Dataset]) -> list[Dataset]:
    """The items of the functional groups that describe an image, a frame's own ones first."""
    names = (
        "PlanePositionSequence",
        "PlaneOrientationSequence",
        "PixelMeasuresSequence",
        "PixelValueTransformationSequence",
        "FrameContentSequence",
        "CTReconstructionSequence",
        "CTImageFrameTypeSequence",
        "TemporalPositionSequence",
        "CardiacSynchronizationSequence",
    )
    found = (item.get(name) for item in functional for name in names)
    return [sequence[0] for sequence in found if sequence]


def _image(dataset: Dataset, frame: int, places: list[Dataset]) -> tuple[str, list[Header]]:
    """The header of one image; what differs between frames is looked up in ``places`` in order."""
    slope = numbers_of(_holder(places, "RescaleSlope"), "RescaleSlope", 1)
    intercept = numbers_of(_holder(places, "RescaleIntercept"), "RescaleIntercept", 1)
    if slope is None or intercept is None or slope[0] == 0:
        return "missing tag: RescaleSlope or RescaleIntercept, so that values are no HU", []
    spacing = numbers_of(_holder(places, "PixelSpacing"), "PixelSpacing", 2)
    location = numbers_of(dataset, "SliceLocation", 1)
    tilt = numbers_of(dataset, "GantryDetectorTilt", 1)
    sop_uid, study_uid, series_uid, patient_id = _identifiers(dataset)
    kernel = texts_of(_holder(places, "ConvolutionKernel"), "ConvolutionKernel")
    header = Header(
        frame=frame,
        sop_uid=sop_uid,
        study_uid=study_uid,
        series_uid=series_uid,
        patient_id=patient_id,
        instance=integer_of(dataset, "InstanceNumber"),
        rows=integer_of(dataset, "Rows") or 0,
        columns=integer_of(dataset, "Columns") or 0,
        spacing_mm=spacing if spacing and min(spacing) > 0 else None,
        position_mm=numbers_of(_holder(places, "ImagePositionPatient"), "ImagePositionPatient", 3),
        orientation=_orientation(_holder(places, "ImageOrientationPatient")),
        location_mm=location[0] if location else None,
        tilt=tilt[0] if tilt else 0.0,
        slope=slope[0],
        intercept=intercept[0],
        padding=_padding(dataset),
        lossy=text_of(dataset, "LossyImageCompression") == "01",
        compressed=decoder_of(_transfer_syntax(dataset)) == "gdcm",
        acquisition=sys.intern(_first_text(places, "FrameAcquisitionNumber", "AcquisitionNumber")),
        phase=sys.intern(_phase(places)),
        kernel=sys.intern("\\".join(kernel)),
        derived=_derived(places),
        rescale_type=text_of(_holder(places, "RescaleType"), "RescaleType")[:_LONGEST_TYPE],
        frame_uid=sys.intern(identifier_of(dataset, "FrameOfReferenceUID")),
    )
    return "", [header]


def _first_text(places: list[Dataset], *names: str) -> str:
    found = (text_of(place, name) for name in names for place in places if name in place)
    return next(found, "")


def _phase(places: list[Dataset]) -> str:
    """The position in time, and the stack, as text; '' where nothing is said."""
    names = (
        "TemporalPositionIndex", "TemporalPositionIdentifier", "NominalPercentageOfCardiacPhase",
        "StackID",
    )  # fmt: skip
    found = (_first_text(places, name) for name in names)
    return "/".join(found).strip("/")


def _derived(places: list[Dataset]) -> int:
    values = [
        {text.upper() for text in texts_of(place, name)}
        for name in ("FrameType", "ImageType")
        for place in places
        if name in place
    ]
    kinds = values[0] if values else set()
    return 2 if kinds & _PROJECTIONS else int("DERIVED" in kinds)


def _holder(places: list[Dataset], name: str) -> Dataset:
    return next((place for place in places if name in place), places[-1])


def _orientation(dataset: Dataset) -> tuple[float, ...] | None:
    """Six direction cosines, or None where they are not two perpendicular unit vectors."""
    cosines = numbers_of(dataset, "ImageOrientationPatient", 6)
    if cosines is None:
        return None
    row, column = cosines[:3], cosines[3:]
    across = sum(a * b for a, b in zip(row, column, strict=True))
    whole = all(abs(math.hypot(*vector) - 1) < 0.01 for vector in (row, column))
    return cosines if whole and abs(across) < 0.01 else None


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    """First and last stored value that is padding, as the pixels store it.

    Writers disagree on whether the tag is signed: -2000 in signed pixels is found as 63536.
    """
    first = _padding_value(dataset, "PixelPaddingValue")
    if first is None:
        return None
    last = _padding_value(dataset, "PixelPaddingRangeLimit")
    return (first, first) if last is None else (first, last)


def _padding_value(dataset: Dataset, name: str) -> int | None:
    value = dataset.get(name)
    if isinstance(value, bytes) and len(value) == 2:
        value = int.from_bytes(value, "little")
    if not isinstance(value, int):
        return None
    bits = integer_of(dataset, "BitsAllocated") or 16
    value %= 1 << bits
    signed = integer_of(dataset, "PixelRepresentation") == 1
    return value - (1 << bits) if signed and value >= 1 << (bits - 1) else value
