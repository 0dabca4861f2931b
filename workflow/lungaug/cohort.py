"""Patients, pseudonyms, Lung-RADS classes, and the tables that name them.

Standard library only until a table is read, since pandas is slow to start.
"""

from __future__ import annotations

import csv
import hashlib
import hmac
import io
import math
import os
import secrets
import shlex
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lungaug.aside import part_of, written_aside
from lungaug.errors import FileFormatError, InputError
from lungaug.pseudonym_key import KEY_BYTES, key_in

if TYPE_CHECKING:
    import pandas as pd

CLASSES = ("LR1", "LR2", "LR3", "LR4A", "LR4B")
ROLES = ("train", "validation", "test")

SLICE_COLUMNS = (
    "role",
    "file",
    "group",
    "row",
    "key",
    "patient",
    "lung_rads",
    "diameter_mm",
    "n_nodule_px",
    "origin",
    "host",
    "donor",
)
SPLIT_COLUMNS = ("fold", "patient", "lung_rads", "role")

# Read as they stand: a digest such as 12e45 is no number, and an empty class is no missing value.
TEXT_COLUMNS = frozenset(
    """
    patient series batch digest lung_rads warnings file reason slice nodule kind fold role part
    group key origin host donor check subject outcome detail arm baseline segmenter convention
    metric threshold_by
    """.split()  # noqa: SIM905
)

# Upper limits in mm, exclusive (Lung-RADS of solid nodules at baseline; thesis, data section).
_LIMITS_MM = ((6.0, "LR2"), (8.0, "LR3"), (15.0, "LR4A"), (math.inf, "LR4B"))


def lung_rads_of(diameter_mm: float) -> str:
    """Lung-RADS class of a patient's largest nodule.

    Args:
        diameter_mm: largest diameter in mm; 0 without a nodule, NaN where unknown.

    Returns:
        LR1 without a nodule, LR2 below 6 mm, LR3 below 8, LR4A below 15, else LR4B; '' for NaN.

    Raises:
        ValueError: the diameter is negative.
    """
    if math.isnan(diameter_mm):
        return ""
    if diameter_mm < 0:
        raise ValueError(f"diameter {diameter_mm} mm; accepted: at least 0")
    if diameter_mm == 0:
        return "LR1"
    return next((name for limit, name in _LIMITS_MM if diameter_mm < limit), "LR4B")


def batch_of(patient: str, n_batches: int) -> str:
    """The batch of a patient, ``b00``, ``b01``, …: stable, whoever else is in the cohort."""
    if n_batches < 1:
        raise ValueError(f"{n_batches} batches; accepted: at least 1")
    digest = hashlib.sha256(patient.encode()).digest()
    return f"b{int.from_bytes(digest[:8], 'big') % n_batches:02d}"


class Pseudonyms:
    """Names that tell nothing without the key: HMAC-SHA256, a domain for each kind of name.

    Args:
        key: the secret; whoever has it can test a guessed identifier against a pseudonym.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def patient(self, patient_id: str) -> str:
        """``p`` and 12 hex digits. Outer spaces do not count, as DICOM has it."""
        return "p" + self._code("patient", patient_id.strip())

    def series(self, uid: str) -> str:
        """``s`` and 12 hex digits of a SeriesInstanceUID."""
        return "s" + self._code("series", uid.strip())

    def file(self, relative_path: str) -> str:
        """``f`` and 12 hex digits of a path below the source folder."""
        return "f" + self._code("file", relative_path)

    def _code(self, domain: str, name: str) -> str:
        message = f"{domain}\0{name}".encode("utf-8", "surrogateescape")
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:12]


def load_or_create_key(path: Path) -> bytes:
    """The key of the pseudonyms; a random one, readable by its owner only, if there is none yet.

    Raises:
        InputError: the file does not hold a key.
    """
    if not path.exists():
        _create_key(path)
    key = key_in(path)
    if not key:
        raise InputError(f"{path}: no key; accepted: {KEY_BYTES} bytes as hexadecimal digits")
    return key


def _create_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(secrets.token_hex(KEY_BYTES) + "\n")
    try:
        # A link fails where a rename would replace the key that another run has just made.
        os.link(part, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without hard links
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def read_table(path: Path, columns: Sequence[str] = ()) -> pd.DataFrame:
    """Read a table of a stage: names as text, empty numbers as NaN.

    Args:
        path: tab-separated, with a header.
        columns: those that it must have.

    Raises:
        FileFormatError: it is missing, empty, not a table, or lacks a column.
    """
    import pandas as pd

    try:
        header = list(pd.read_csv(path, sep="\t", nrows=0).columns)
        text = [c for c in header if c in TEXT_COLUMNS]
        frame = pd.read_csv(
            path,
            sep="\t",
            dtype=dict.fromkeys(text, str),
            keep_default_na=False,
            na_values={c: ["", "nan"] for c in header if c not in TEXT_COLUMNS},
        )
    except FileNotFoundError as error:
        raise FileFormatError(f"{path}: no such file; {_rebuild(path)}") from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path}: not a table ({error}); {_rebuild(path)}") from error
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise FileFormatError(f"{path}: no column {_listed(missing)}; {_rebuild(path)}")
    return frame


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a data frame, tab-separated, without its index: aside first, then renamed."""
    write_text(path, frame.to_csv(sep="\t", index=False, lineterminator="\n"))


def write_rows(path: Path, columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> None:
    """Write a table without pandas, for stages that must start fast.

    Raises:
        ValueError: a row has a key that is no column.
    """
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, delimiter="\t", lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_text(path: Path, text: str) -> None:
    """Write a text file aside and rename it: no half file keeps its name."""
    with written_aside(path) as part:
        part.write_bytes(text.encode())


def _rebuild(path: Path) -> str:
    target = shlex.quote(str(path))
    return f"rebuild it with: snakemake --force {target} (and the --configfile of the run)"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)
