"""Read a pickled pandas frame of arrays without running anything that the pickle asks for.

A pickle names functions and classes and has them called with arguments of its choice; even those of
NumPy and pandas do harm with hostile arguments (a dtype's state can make raw bytes pass for object
pointers). So no name of a pickle becomes what it names: each admitted name becomes an inert
:class:`_Record` that keeps what it was called with, every other name is refused, and the frame is
read off the records, in the layouts of pandas 0.25 to 3. The result does not depend on the
installed pandas, which is not imported.
"""

from __future__ import annotations

import math
import os
import pickle
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError

Column = list[Any]
"""Texts, numbers, and arrays as read-only views of the pickle's bytes, one a row."""

_NUMPY = {
    "numpy": ("ndarray", "dtype"),
    "numpy.core.multiarray": ("_reconstruct",),
    "numpy._core.multiarray": ("_reconstruct",),
    "numpy.core.numeric": ("_frombuffer",),
    "numpy._core.numeric": ("_frombuffer",),
}
_INDEXES = ("Index", "RangeIndex", "Int64Index", "Float64Index", "UInt64Index")
_STRINGS = ("StringArray", "ArrowStringArray")
_PANDAS = {
    "pandas": ("DataFrame", "StringDtype", *_INDEXES),
    "pandas.arrays": _STRINGS,
    "pandas.core.frame": ("DataFrame",),
    "pandas.core.internals": ("BlockManager",),
    "pandas.core.internals.managers": ("BlockManager",),
    "pandas._libs.internals": ("_unpickle_block", "BlockManager"),
    "pandas._libs.arrays": ("__pyx_unpickle_NDArrayBacked",),
    "pandas.core.indexes.base": ("_new_Index", "Index"),
    "pandas.core.indexes.range": ("RangeIndex",),
    "pandas.core.indexes.numeric": ("Int64Index", "Float64Index", "UInt64Index"),
    "pandas.core.arrays.string_": ("StringArray", "StringDtype"),
    "pandas.core.arrays.string_arrow": ("ArrowStringArray",),
    "pyarrow": ("chunked_array",),
    "pyarrow.lib": ("_restore_array", "chunked_array", "py_buffer", "type_for_alias"),
}
_BUILTINS = {
    "builtins": ("slice", "bytearray"),
    "__builtin__": ("slice", "bytearray"),
    "_codecs": ("encode",),
}
ADMITTED = {
    (module, name)
    for names in (_NUMPY, _PANDAS, _BUILTINS)
    for module, held in names.items()
    for name in held
}
"""What a frame of arrays asks for, by module and name."""

_DTYPES = frozenset({"b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"})
_OBJECTS = frozenset({"O", "O4", "O8"})
_ORDERS = {"<": "<", ">": ">", "|": "|", "=": "="}
_TOLD = 80
_FAULTS = (
    pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError, AttributeError,
    ImportError, MemoryError, OverflowError, RecursionError,
)  # fmt: skip


class _Record:
    """What a name of a pickle becomes: it keeps the arguments and the state, and does nothing."""

    __slots__ = ("args", "state")
    name = ""
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any) -> Self:
        record = super().__new__(cls)
        record.args, record.state = args, None
        return record

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Refused(pickle.UnpicklingError):
    """The pickle asks for something that no frame needs."""


class _Bounded:
    """A file of which nobody reads more than there is: a hostile length takes no memory.

    A hostile index into the memo still does; it wastes memory and runs nothing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._size = file, os.fstat(file.fileno()).st_size

    def read(self, n: int) -> bytes:
        return self._file.read(min(n, self._size - self._file.tell()))

    def readline(self) -> bytes:
        return self._file.readline()


class _Reader(pickle.Unpickler):
    """Gives out records only. Their classes are made anew for each reader: a pickle that tampers
    with one reaches no other reading."""

    def __init__(self, file: _Bounded) -> None:
        super().__init__(file, encoding="latin1")
        self._made: dict[str, type[_Record]] = {}

    def find_class(self, module: str, name: str) -> type[_Record]:
        if (module, name) not in ADMITTED:
            raise _Refused(_told(f"{module}.{name}"))
        if name not in self._made:
            self._made[name] = type(name, (_Record,), {"__slots__": (), "name": name})
        return self._made[name]

    def persistent_load(self, pid: Any) -> Any:
        raise _Refused("an object outside the file")


def read_frame(path: Path, columns: Sequence[str]) -> dict[str, Column]:
    """The named columns of a pickled DataFrame, in the order asked for, rows in the frame's.

    Args:
        path: the pickle, uncompressed, of any protocol from 2 on.
        columns: those to return; others are left out.

    Raises:
        InputError: the file is no whole pickle, asks for what no frame of arrays needs, or holds
            something else than a frame with these columns; the message names the file.
    """
    try:
        frame = _load(path)
        return _columns(frame, columns)
    except _Refused as error:
        raise InputError(
            f"{path}: the pickle asks for {error}; accepted: only what a pandas frame of NumPy "
            "arrays needs, since anything else could run code"
        ) from None
    except _FAULTS as error:
        told = str(error) or type(error).__name__
        raise InputError(f"{path}: not a whole pickled pandas frame of arrays ({told})") from None


def _load(path: Path) -> Any:
    """The records of a pickle."""
    try:
        with path.open("rb") as file:
            return _Reader(_Bounded(file)).load()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _columns(frame: Any, wanted: Sequence[str]) -> dict[str, Column]:
    state = _state(frame, "DataFrame")
    manager = state.get("_mgr", state.get("_data"))
    axes, blocks = _parts(manager)
    names = _values(axes[0])
    missing = [name for name in wanted if name not in names]
    if missing or len(set(map(_told, names))) < len(names):
        held = ", ".join(map(_told, names))
        raise ValueError(f"columns {held}; accepted: each of {', '.join(wanted)} once")
    places = {names.index(name): name for name in wanted}
    found: dict[str, Column] = {}
    for values, placement in blocks:
        of_block = _rows_of_block(values, len(placement)) if set(placement) & set(places) else []
        for place, column in zip(placement, of_block, strict=False):
            if place in places:
                found[places[place]] = [_value(value) for value in column]
    lengths = {len(column) for column in found.values()}
    if len(found) < len(wanted) or len(lengths) != 1:
        raise ValueError("blocks that do not make up the columns")
    return {name: found[name] for name in wanted}


def _parts(manager: Any) -> tuple[list[Any], list[tuple[Any, list[int]]]]:
    """Axes, and (values, placement) of the blocks, of a manager of pandas >= 1.3 or before."""
    _expect(manager, "BlockManager")
    if manager.args:
        blocks, axes = manager.args[:2]
        found = [_expect(block, "_unpickle_block").args[:2] for block in blocks]
    else:
        state = manager.state[-1]["0.14.1"]
        axes = state["axes"]
        found = [(block["values"], block["mgr_locs"]) for block in state["blocks"]]
    n_columns = len(_values(axes[0]))
    return axes, [(values, _placement(place, n_columns)) for values, place in found]


def _placement(place: Any, n_columns: int) -> list[int]:
    if _is(place, "slice"):
        return list(range(n_columns))[slice(*place.args)]
    return [int(position) for position in _array(place)]


def _rows_of_block(values: Any, n_columns: int) -> list[Column]:
    """The columns of a block: (columns, rows), or one column of a pandas array."""
    if _is(values, "__pyx_unpickle_NDArrayBacked", "StringArray", "ArrowStringArray"):
        return [_values(values)]
    shape, cells = _cells(values)
    if len(shape) != 2 or shape[0] != n_columns:
        raise ValueError(f"a block of shape {shape}")
    return [cells[i * shape[1] : (i + 1) * shape[1]] for i in range(shape[0])]


def _values(holder: Any) -> Column:
    """The values of an index or a one-dimensional array, whatever wraps them."""
    for _ in range(4):  # an index holds an array that holds an array
        if _is(holder, "_new_Index"):
            holder = holder.args[1]["data"]
        elif _is(holder, "__pyx_unpickle_NDArrayBacked"):
            holder = holder.state[1]
        elif _is(holder, "StringArray") and isinstance(holder.state, dict):
            holder = holder.state["_ndarray"]
        elif _is(holder, "ArrowStringArray"):
            return _arrow_texts(holder.state)
        else:
            break
    return _cells(holder)[1]


def _value(value: Any) -> Any:
    """A cell: an array if it is one, else as it is."""
    return _array(value) if _is(value, "_reconstruct", "_frombuffer") else value


def _cells(record: Any) -> tuple[tuple[int, ...], list[Any]]:
    """Shape and flat values, in row-major order, of an array of objects or of numbers."""
    if _is(record, "_reconstruct") and _type(record.state[2]) in _OBJECTS:
        _, shape, _, _, cells = record.state  # row-major even where the array was not
        if not isinstance(cells, list) or len(cells) != math.prod(_shape(shape)):
            raise ValueError("an array of another number of values than its shape has")
        return shape, cells
    array = _array(record)
    return array.shape, array.ravel().tolist()


def _array(record: Any) -> NDArray[Any]:
    """An array of numbers as a view of its bytes."""
    if _is(record, "_frombuffer"):
        raw, kind, shape, order = record.args
        is_fortran = order == "F"
    else:
        _expect(record, "_reconstruct")
        _, shape, kind, is_fortran, raw = record.state
    dtype = _dtype(kind)
    flat = np.frombuffer(_bytes(raw), dtype)
    array = flat.reshape(_shape(shape), order="F" if is_fortran else "C")
    array.flags.writeable = False
    return array


def _type(record: Any) -> str:
    """A dtype's code, such as f8; fields, shapes and the like are not for a frame of arrays."""
    _expect(record, "dtype")
    code, state = record.args[0], record.state
    if code in _OBJECTS:
        return str(code)
    plain = state is None or not any(state[2:5])
    if code not in _DTYPES or not plain:
        raise ValueError(f"an array of type {_told(code)}")
    return str(code)


def _dtype(record: Any) -> np.dtype[Any]:
    code = _type(record)
    if code in _OBJECTS:
        raise ValueError("an array of objects where numbers must be")
    order = record.state[1] if record.state else "="
    return np.dtype(_ORDERS[order] + code)


def _shape(shape: Any) -> tuple[int, ...]:
    if not isinstance(shape, tuple) or not all(type(n) is int and n >= 0 for n in shape):
        raise ValueError("an array without a shape")
    return shape


def _bytes(raw: Any) -> bytes | bytearray:
    """Raw bytes, as protocols 2 to 5 have them."""
    if _is(raw, "encode"):
        text, encoding = raw.args
        if encoding != "latin1":
            raise ValueError("bytes in another encoding than latin1")
        raw = text
    if _is(raw, "bytearray", "py_buffer"):
        raw = _bytes(raw.args[0]) if raw.args else b""
    if isinstance(raw, str):
        raw = raw.encode("latin1")
    if not isinstance(raw, bytes | bytearray):
        raise ValueError(f"{type(raw).__name__} where bytes must be")
    return raw


def _arrow_texts(state: Any) -> list[str | None]:
    """The texts of a string array of Arrow: one chunk, or several."""
    held = state.get("_pa_array", state.get("_data"))
    chunks = held.args[0] if _is(held, "chunked_array") else [held]
    return [text for chunk in chunks for text in _chunk(chunk)]


def _chunk(chunk: Any) -> Iterator[str | None]:
    kind, length, _, start, buffers, *_ = _expect(chunk, "_restore_array").args[0]
    validity, offsets, texts = buffers
    (name,) = _expect(kind, "type_for_alias").args
    widths = {"string": "<i4", "large_string": "<i8"}
    if name not in widths:
        raise ValueError(f"an Arrow array of type {_told(name)}")
    edges = np.frombuffer(_bytes(offsets), widths[name]).tolist()
    raw = _bytes(texts) if texts is not None else b""
    valid = _bytes(validity) if validity is not None else b"\xff" * len(edges)
    for i in range(start, start + length):
        held = valid[i // 8] >> (i % 8) & 1
        yield raw[edges[i] : edges[i + 1]].decode() if held else None


def _state(record: Any, name: str) -> dict[str, Any]:
    state = _expect(record, name).state
    if not isinstance(state, dict):
        raise ValueError(f"a {name} without its parts")
    return state


def _is(value: Any, *names: str) -> bool:
    return isinstance(value, _Record) and value.name in names


def _expect(value: Any, name: str) -> Any:
    if not _is(value, name):
        held = value.name if isinstance(value, _Record) else type(value).__name__
        raise ValueError(f"{held} where a {name} must be")
    return value


def _told(value: Any) -> str:
    """A value of a pickle for a message: of a hostile one not even the text is to be trusted."""
    text = value if isinstance(value, str) else type(value).__name__
    return text[:_TOLD].encode("unicode_escape").decode("ascii")
