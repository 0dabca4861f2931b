"""The slice file: HU, masks and lineage of CT slices in HDF5. The only module that opens HDF5.

Slices of one size lie in one group, named ``<H>x<W>``; row ``i`` of every dataset in a group is one
slice. A file may have a parent (``preprocess/b03.h5`` has ``ingest/b03.h5``): images that it does
not hold itself are read from the same group and row of the parent, whose content digest must be
the recorded one.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import h5py
import hdf5plugin
import numpy as np
from numpy.typing import NDArray

from lungaug import __version__
from lungaug.aside import written_aside
from lungaug.errors import FileFormatError
from lungaug.hdf5 import outside
from lungaug.settings import setting

SCHEMA_VERSION = 1

IMAGE_TYPES: dict[str, np.dtype[Any]] = {
    "hu": np.dtype("<i2"),  # Hounsfield units, floor -1024
    "nodule": np.dtype("u1"),  # 0 background, k the k-th nodule of that slice
    "lung": np.dtype("u1"),  # 0 outside, 1 lung, 2 vessel or other obstacle
    "probability": np.dtype("<f2"),  # a segmenter's output, 0 to 1
}

SLICE_TYPE = np.dtype(
    [
        ("patient", "S16"),
        ("series", "S16"),
        ("index", "<i4"),  # position in its series, along the slice normal
        ("z_mm", "<f8"),
        ("spacing_mm", "<f4", (2,)),  # row, column; NaN where unknown
        ("lung_rads", "S8"),
        ("diameter_mm", "<f4"),  # largest nodule of the slice; 0 without, NaN where unknown
        ("status", "S24"),  # what preprocess says of the lungs: ok, no_lungs, …
        ("origin", "S40"),  # real, metalung:<operation>, inserted:<generator>
        ("host", "S48"),  # slice_key of the slice that was altered
        ("donor", "S48"),  # slice_key of the slice whose nodule was used
        ("parameters", "S1024"),  # JSON of what was drawn
    ]
)


@dataclass(frozen=True)
class StorageSettings:
    """How slice files are compressed."""

    compression: Literal["zstd", "gzip"] = setting(
        "zstd", "zstd reads twice as fast; gzip can be read without hdf5plugin"
    )


@dataclass(frozen=True)
class Provenance:
    """What made a file: stage, its settings as canonical JSON, and the hash of its code."""

    stage: str
    settings: str
    code: str


@dataclass(frozen=True)
class Stack:
    """Consecutive rows of one series in one group: the unit that stages work through."""

    group: str
    rows: range
    slices: NDArray[np.void]

    @property
    def patient(self) -> str:
        return str(self.slices["patient"][0].decode())


def empty_slices(n: int) -> NDArray[np.void]:
    """``n`` blank rows of the ``slices`` table: unknown spacing, origin ``real``."""
    slices = np.zeros(n, SLICE_TYPE)
    slices["spacing_mm"] = np.nan
    slices["origin"] = b"real"
    return slices


def slice_key(row: np.void) -> str:
    """The identity of a slice, ``patient/series/index``, as used in ``host`` and ``donor``."""
    return f"{row['patient'].decode()}/{row['series'].decode()}/{int(row['index']):04d}"


def pack_parameters(parameters: Mapping[str, Any]) -> bytes:
    """Drawn parameters as canonical JSON for the ``parameters`` field.

    Raises:
        ValueError: they need more bytes than the field holds.
    """
    packed = json.dumps(parameters, sort_keys=True, separators=(",", ":")).encode()
    limit = SLICE_TYPE["parameters"].itemsize
    if len(packed) > limit:
        raise ValueError(f"parameters need {len(packed)} bytes; accepted: at most {limit}")
    return packed


def unpack_parameters(row: np.void) -> dict[str, Any]:
    """The inverse of :func:`pack_parameters`; empty for a real slice.

    Raises:
        ValueError: they are no JSON object.
    """
    packed = row["parameters"].decode()
    parameters = json.loads(packed) if packed else {}
    if not isinstance(parameters, dict):
        raise ValueError(f"parameters are {packed[:20]}; accepted: a JSON object")
    return parameters


@dataclass(frozen=True)
class Place:
    """How far a slice file is written: rows by group, and the digest of what they hold."""

    rows: Mapping[str, int]
    digest: Any


class SliceWriter:
    """Writes a slice file aside and renames it when the ``with`` block ends without an error.

    Args:
        path: the final name.
        provenance: stored as attributes.
        storage: compression.
        parent: the slice file whose images this one refers to, row for row.
        sources: digests of what the rows were made from, by name.
    """

    def __init__(
        self,
        path: Path,
        provenance: Provenance,
        storage: StorageSettings | None = None,
        parent: Path | None = None,
        sources: Mapping[str, str] | None = None,
    ) -> None:
        self.path = path
        self._provenance = provenance
        self._storage = storage or StorageSettings()
        self._parent = parent
        self._sources = dict(sources or {})
        self._digest = hashlib.sha256()

    def append(self, slices: NDArray[np.void], **images: NDArray[Any]) -> None:
        """Append slices of one size.

        Args:
            slices: (N,) of ``SLICE_TYPE``.
            images: (N, H, W) each, by names of ``IMAGE_TYPES``; every call for one size names the
                same images.

        Raises:
            ValueError: shapes disagree, or values do not fit the image's type.
        """
        shapes = {name: image.shape for name, image in images.items()}
        shape = next(iter(shapes.values()))
        if len(shape) != 3 or set(shapes.values()) != {shape} or len(slices) != shape[0]:
            raise ValueError(f"got {len(slices)} slices and {shapes}; accepted: (N, H, W) each")
        group = self._file.require_group(f"{shape[1]}x{shape[2]}")
        self._digest.update(f"{group.name} {sorted(images)}".encode())
        for name in sorted(images):
            self._extend(group, name, _as_type(name, images[name]))
        self._extend(group, "slices", np.ascontiguousarray(slices, SLICE_TYPE))
        lengths = {len(dataset) for dataset in group.values()}
        if len(lengths) != 1:
            raise ValueError(f"group {group.name}: every append needs the same images")

    def place(self) -> Place:
        """Where the file ends now, to go back to."""
        rows = {name: len(group["slices"]) for name, group in self._file.items()}
        return Place(rows, self._digest.copy())

    def go_back(self, place: Place) -> None:
        """Drop whatever was appended since."""
        for name in list(self._file):
            if name not in place.rows:
                del self._file[name]
                continue
            for dataset in self._file[name].values():
                dataset.resize(place.rows[name], axis=0)
        self._digest = place.digest.copy()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            part = stack.enter_context(written_aside(self.path))
            self._file = stack.enter_context(h5py.File(part, "w", libver="v110"))
            self._write_attributes()
            stack.push(self._sign)
            self._finish = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._finish.__exit__(kind, error, trace)

    def _sign(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._file.attrs["content_digest"] = self._digest.hexdigest()

    def _write_attributes(self) -> None:
        attributes = self._file.attrs
        attributes["schema_version"] = SCHEMA_VERSION
        attributes["stage"] = self._provenance.stage
        attributes["settings"] = self._provenance.settings
        attributes["code"] = self._provenance.code
        attributes["software"] = json.dumps(
            {"lungaug": __version__, "numpy": np.__version__, "h5py": h5py.__version__},
            sort_keys=True,
        )
        if self._parent is not None:
            attributes["parent"] = os.path.relpath(self._parent, self.path.parent)
            with SliceFile(self._parent) as file:
                attributes["parent_digest"] = file.content_digest
        attributes["sources"] = json.dumps(self._sources, sort_keys=True)

    def _extend(self, group: h5py.Group, name: str, values: NDArray[Any]) -> None:
        if name not in group:
            self._create(group, name, values)
        dataset = group[name]
        start = len(dataset)
        dataset.resize(start + len(values), axis=0)
        dataset[start:] = values
        self._digest.update(name.encode())
        self._digest.update(np.ascontiguousarray(values).view(np.uint8).data)

    def _create(self, group: h5py.Group, name: str, values: NDArray[Any]) -> None:
        image = values.ndim == 3
        group.create_dataset(
            name,
            shape=(0, *values.shape[1:]),
            maxshape=(None, *values.shape[1:]),
            chunks=(1, *values.shape[1:]) if image else (64,),
            dtype=values.dtype,
            track_times=False,
            **_filters(self._storage),
        )


class SliceFile:
    """Reads a slice file; opened lazily by whoever needs it, one process each.

    Raises:
        FileFormatError: the file is missing, damaged, of another schema version, or its parent has
            changed; the message names the file and how to rebuild it.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self._parent: SliceFile | None = None
        self._slices: dict[str, NDArray[np.void]] = {}
        try:
            self._file = h5py.File(self.path, "r")
        except FileNotFoundError as error:
            raise FileFormatError(f"{path}: no such file; {_rebuild(self.path)}") from error
        except OSError as error:
            message = f"{path}: not a whole HDF5 file ({error}); {_rebuild(self.path)}"
            raise FileFormatError(message) from error
        self._check_version()
        self._check_inside()

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self._file.attrs)

    @property
    def content_digest(self) -> str:
        """SHA-256 over everything appended, in order."""
        return str(self._file.attrs["content_digest"])

    @property
    def sources(self) -> dict[str, str]:
        """Digests of what the rows were made from, by name."""
        return dict(json.loads(str(self._file.attrs.get("sources", "{}"))))

    @property
    def groups(self) -> list[str]:
        return sorted(self._file)

    def slices(self, group: str) -> NDArray[np.void]:
        """(N,) of ``SLICE_TYPE``, kept in memory after the first call."""
        if group not in self._slices:
            self._slices[group] = self._read(group, "slices", slice(None))
        return self._slices[group]

    def __len__(self) -> int:
        return sum(len(self.slices(group)) for group in self.groups)

    def image(self, name: str, group: str, row: int) -> NDArray[Any]:
        """One image, (H, W), here or in the parent."""
        return self._holder(name, group)._read(group, name, row)

    def images(self, name: str, stack: Stack) -> NDArray[Any]:
        """The images of a stack, (N, H, W), here or in the parent."""
        rows = slice(stack.rows.start, stack.rows.stop)
        return self._holder(name, stack.group)._read(stack.group, name, rows)

    def stacks(self) -> Iterator[Stack]:
        """Series after series, in file order: what keeps memory independent of the cohort."""
        for group in self.groups:
            slices = self.slices(group)
            change = slices["series"][1:] != slices["series"][:-1]
            change |= slices["patient"][1:] != slices["patient"][:-1]
            edges = [0, *(np.flatnonzero(change) + 1).tolist(), len(slices)]
            for start, stop in itertools.pairwise(edges):
                yield Stack(group, range(start, stop), slices[start:stop])

    def close(self) -> None:
        if self._parent is not None:
            self._parent.close()
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check_version(self) -> None:
        found = self._file.attrs.get("schema_version")
        if found != SCHEMA_VERSION:
            self._file.close()
            raise FileFormatError(
                f"{self.path}: schema version {found}; accepted: {SCHEMA_VERSION}; "
                f"{_rebuild(self.path)}"
            )

    def _check_inside(self) -> None:
        """Refuse links and data in other files, which HDF5 would read without a word."""
        reason = outside(self._file)
        if reason:
            self._file.close()
            raise FileFormatError(f"{self.path}: {reason}; {_rebuild(self.path)}")

    def _holder(self, name: str, group: str) -> SliceFile:
        if name in self._file[group]:
            return self
        if "parent" not in self._file.attrs:
            raise FileFormatError(f"{self.path}: holds no '{name}'; {_rebuild(self.path)}")
        if self._parent is None:
            self._parent = self._open_parent()
        return self._parent

    def _open_parent(self) -> SliceFile:
        path = Path(os.path.normpath(self.path.parent / str(self._file.attrs["parent"])))
        parent = SliceFile(path)
        if parent.content_digest != self._file.attrs["parent_digest"]:
            parent.close()
            raise FileFormatError(
                f"{self.path}: made from another version of {path}; {_rebuild(self.path)}"
            )
        return parent

    def _read(self, group: str, name: str, rows: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._file[group][name][rows])
        except OSError as error:
            message = f"{self.path}: '{name}' cannot be read ({error}); {_rebuild(self.path)}"
            raise FileFormatError(message) from error


def _rebuild(path: Path) -> str:
    target = shlex.quote(str(path))
    return f"rebuild it with: snakemake --force {target} (and the --configfile of the run)"


def _as_type(name: str, image: NDArray[Any]) -> NDArray[Any]:
    if name not in IMAGE_TYPES:
        raise ValueError(f"image '{name}'; accepted: {', '.join(IMAGE_TYPES)}")
    wanted = IMAGE_TYPES[name]
    if image.dtype != wanted and np.issubdtype(wanted, np.integer):
        limits = np.iinfo(wanted)
        if image.size and (image.min() < limits.min or image.max() > limits.max):
            raise ValueError(f"'{name}': values outside {limits.min} to {limits.max}")
    return np.ascontiguousarray(image, wanted)


def _filters(storage: StorageSettings) -> dict[str, Any]:
    if storage.compression == "gzip":
        return {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    return {"shuffle": True, **hdf5plugin.Zstd(clevel=3)}
