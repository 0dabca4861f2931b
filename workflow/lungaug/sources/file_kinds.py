"""What a file is that is neither a DICOM image nor an annotation, in the words of its row."""

from __future__ import annotations

import posixpath

_UNPACK = "; accepted: its content, unpacked"
_MAGIC = (
    (b"\x1f\x8b", f"gzip archive{_UNPACK}"),
    (b"BZh", f"bzip2 archive{_UNPACK}"),
    (b"\xfd7zXZ", f"xz archive{_UNPACK}"),
    (b"7z\xbc\xaf", f"7-Zip archive{_UNPACK}"),
    (b"Rar!", f"RAR archive{_UNPACK}"),
    (b"\x28\xb5\x2f\xfd", f"Zstandard archive{_UNPACK}"),
    (b"PK\x03\x04", f"zip archive{_UNPACK}"),
    (b"\xd0\xcf\x11\xe0", "office document"),
    (b"%PDF", "PDF document"),
    (b"\x89HDF", "HDF5 file"),
    (b"NRRD", "NRRD volume, not DICOM"),
    (b"\xff\xd8\xff", "JPEG picture; accepted as mask: PNG"),
    (b"GIF8", "GIF picture; accepted as mask: PNG"),
    (b"BM", "BMP picture; accepted as mask: PNG"),
    (b"II*\x00", "TIFF picture; accepted as mask: PNG"),
    (b"MM\x00*", "TIFF picture; accepted as mask: PNG"),
)
_BY_SUFFIX = {
    ".nii": "NIfTI volume, not DICOM",
    ".mha": "MetaImage volume, not DICOM",
    ".mhd": "MetaImage header, not DICOM",
    ".xlsx": "spreadsheet",
    ".docx": "office document",
}


def kind_of(name: str, start: bytes) -> str:
    """Return what a file is, as a reason for leaving it out.

    Args:
        name: of the file.
        start: its first bytes, 400 or more where it has so many.
    """
    lower = posixpath.basename(name).lower()
    if lower == "dicomdir":
        return "DICOM directory, not an image"
    if not start:
        return "empty file"
    if lower.endswith(".nii.gz") or start[344:348] in (b"n+1\0", b"ni1\0"):
        return _BY_SUFFIX[".nii"]
    by_suffix = _BY_SUFFIX.get(posixpath.splitext(lower)[1])
    if by_suffix:
        return by_suffix
    magic = next((reason for head, reason in _MAGIC if start.startswith(head)), None)
    if magic:
        return magic
    if start[257:262] == b"ustar":
        return f"tar archive{_UNPACK}"
    return "text or table, not an image" if _is_text(start) else "not a DICOM file"


def png_size(start: bytes) -> tuple[int, int] | None:
    """Return rows and columns that a PNG file announces; None for what is no PNG."""
    if start[:8] != b"\x89PNG\r\n\x1a\n" or start[12:16] != b"IHDR":
        return None
    return int.from_bytes(start[20:24], "big"), int.from_bytes(start[16:20], "big")


def _is_text(start: bytes) -> bool:
    if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return True
    controls = sum(byte < 32 and byte not in b"\t\n\r\f\x1b" for byte in start)
    return controls == 0
