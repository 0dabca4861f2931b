"""The reader of pickled frames: every pandas layout is read, nothing else is admitted."""

from __future__ import annotations

import io
import os
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from frame_streams import STREAMS, stream
from lungaug.errors import InputError
from lungaug.sources import pickles
from lungaug.sources.pickles import read_frame

COLUMNS = ("label1", "mask", "hu_array_old")


class Name:
    """A class or function by name, for a stream that asks for it."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name


class Made:
    """What a stream makes: a name called with arguments, then given a state."""

    def __init__(self, name: Name, args: tuple[Any, ...], state: Any = None, new: bool = False):
        self.name, self.args, self.state, self.new = name, args, state, new


class Crafter(pickle._Pickler):  # type: ignore[name-defined]
    """Writes names that need not exist here."""

    dispatch: ClassVar[dict[Any, Any]] = dict(pickle._Pickler.dispatch)  # type: ignore[attr-defined]

    def save_name(self, name: Name) -> None:
        if self.proto >= 4:
            self.save(name.module)
            self.save(name.name)
            self.write(pickle.STACK_GLOBAL)
        else:
            self.write(pickle.GLOBAL + f"{name.module}\n{name.name}\n".encode())

    def save_made(self, made: Made) -> None:
        self.save(made.name)
        self.save(made.args)
        self.write(pickle.NEWOBJ if made.new else pickle.REDUCE)
        if made.state is not None:
            self.save(made.state)
            self.write(pickle.BUILD)

    dispatch[Name] = save_name
    dispatch[Made] = save_made


def craft(path: Path, value: Any, protocol: int = 2) -> Path:
    with path.open("wb") as file:
        Crafter(file, protocol).dump(value)
    return path


def array_of_objects(values: list[Any], shape: tuple[int, ...]) -> Made:
    kind = Made(Name("numpy", "dtype"), ("O8", 0, 1), (3, "|", None, None, None, -1, -1, 63))
    made = Name("numpy.core.multiarray", "_reconstruct")
    start = (Name("numpy", "ndarray"), (0,), b"b")
    return Made(made, start, (1, shape, kind, False, values))


def array(raw: bytes, shape: Any, code: str = "f8", state: Any = None) -> Made:
    state = state or (3, "<", None, None, None, -1, -1, 0)
    kind = Made(Name("numpy", "dtype"), (code, 0, 1), state)
    made = Name("numpy.core.multiarray", "_reconstruct")
    return Made(made, (Name("numpy", "ndarray"), (0,), b"b"), (1, shape, kind, False, raw))


def old_frame(columns: dict[str, list[Any]], key: str = "_data", index: str = "Index") -> Made:
    """A frame as pandas 0.25 to 1.2 pickled it: a manager with axes, values and places."""
    n_rows = len(next(iter(columns.values())))
    flat = [value for column in columns.values() for value in column]
    values = array_of_objects(flat, (len(columns), n_rows))
    place = Made(Name("__builtin__", "slice"), (0, len(columns), 1))
    new_index = Name("pandas.core.indexes.base", "_new_Index")
    kind = Name("pandas.core.indexes.base", "Index")
    rows = Name("pandas.core.indexes.numeric", "Int64Index")
    names = array_of_objects(list(columns), (len(columns),))
    axes = [
        Made(new_index, (kind, {"data": names, "name": None})),
        Made(new_index, (rows, {"data": np.arange(n_rows), "name": None})),
    ]
    blocks = {"axes": axes, "blocks": [{"values": values, "mgr_locs": place}]}
    state = (axes, [values], [axes[0]], {"0.14.1": blocks})
    manager = Made(Name("pandas.core.internals.managers", "BlockManager"), (), state, new=True)
    frame = Name("pandas.core.frame", "DataFrame")
    return Made(frame, (), {key: manager, "_typ": "dataframe", "_metadata": []}, new=True)


def rows_as_frame(n: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    hu = [rng.normal(-500, 100, (4, 3)) for _ in range(n)]
    mask = [(image > -450).astype(np.int8) for image in hu]
    labels = ["LR2", "LR4A", "LR3"][:n]
    return pd.DataFrame({"label1": labels, "mask": mask, "hu_array_old": hu, "hu_array": hu})


def assert_same(found: dict[str, list[Any]], frame: pd.DataFrame) -> None:
    assert list(found) == list(COLUMNS)
    assert found["label1"] == list(frame["label1"])
    for name in ("mask", "hu_array_old"):
        for one, other in zip(found[name], frame[name], strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def frame_in(path: Path) -> dict[str, list[Any]]:
    return read_frame(path, COLUMNS)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_todays_frames_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    frame = rows_as_frame()
    frame.to_pickle(tmp_path / "f.pkl", protocol=protocol)
    assert_same(frame_in(tmp_path / "f.pkl"), frame)


def test_frames_put_together_or_with_other_columns(tmp_path: Path) -> None:
    frame = rows_as_frame()
    frame.insert(0, "age", [1, 2, 3])
    frame["size"] = 0.5
    frame["mask"] = [np.asfortranarray(mask) for mask in frame["mask"]]
    frame["label1"] = frame["label1"].astype(object)
    chosen = pd.concat([frame.iloc[[2, 0]], frame], ignore_index=False)
    chosen.to_pickle(tmp_path / "f.pkl")
    assert_same(frame_in(tmp_path / "f.pkl"), chosen)


@pytest.mark.parametrize("name", sorted(STREAMS))
def test_frames_of_other_pandas(tmp_path: Path, name: str) -> None:
    (tmp_path / "f.pkl").write_bytes(stream(name))
    found = frame_in(tmp_path / "f.pkl")
    assert found["label1"] == ["LR2", "LR4A"]
    for i in range(2):
        mask = np.zeros((3, 2), np.int8)
        mask[i, 1] = 1
        np.testing.assert_array_equal(found["mask"][i], mask)
        hu = np.arange(6.0).reshape(3, 2) - 600.5 + i
        np.testing.assert_array_equal(found["hu_array_old"][i], hu)


@pytest.mark.parametrize("key", ["_data", "_mgr"])
def test_frames_of_the_oldest_pandas(tmp_path: Path, key: str) -> None:
    frame = rows_as_frame()
    old = old_frame({name: list(frame[name]) for name in frame.columns}, key)
    assert_same(frame_in(craft(tmp_path / "f.pkl", old)), frame)


def test_missing_column_is_named(tmp_path: Path) -> None:
    rows_as_frame().rename(columns={"mask": "nodule"}).to_pickle(tmp_path / "f.pkl")
    with pytest.raises(InputError, match=r"columns label1, nodule, .* each of label1, mask, hu_"):
        frame_in(tmp_path / "f.pkl")


ATTACKS = [
    ("os", "system"), ("posix", "system"), ("nt", "system"), ("subprocess", "Popen"),
    ("builtins", "eval"), ("builtins", "exec"), ("builtins", "getattr"), ("builtins", "__import__"),
    ("__builtin__", "eval"), ("builtins", "object"), ("functools", "partial"),
    ("operator", "attrgetter"), ("importlib", "import_module"), ("pandas", "read_pickle"),
    ("pandas.io.pickle", "read_pickle"), ("pandas", "eval"), ("pandas", "read_csv"),
    ("numpy", "load"), ("numpy", "fromfile"), ("numpy", "memmap"),
    ("numpy.testing._private.utils", "runstring"), ("numpy.f2py", "compile"),
    ("numpy", "lib.npyio.load"), ("numpy", "ndarray.tofile"), ("pandas", "DataFrame.to_csv"),
    ("pandas.core.frame", "DataFrame.eval"), ("builtins", "slice.__class__"),
    ("_codecs", "decode"), ("codecs", "open"), ("copyreg", "_reconstructor"),
    ("lungaug.sources.pickles", "_Record"),
]  # fmt: skip


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(("module", "name"), ATTACKS, ids=[".".join(a) for a in ATTACKS])
def test_whatever_no_frame_needs_is_refused_by_name(
    tmp_path: Path, module: str, name: str, protocol: int
) -> None:
    hidden = Made(Name(module, name), (f"touch {tmp_path / 'ran'}",))
    path = craft(tmp_path / "f.pkl", old_frame({"label1": [hidden]}), protocol)
    with pytest.raises(InputError) as caught:
        frame_in(path)
    assert str(path) in str(caught.value)
    assert f"asks for {module}.{name};" in str(caught.value)
    assert not (tmp_path / "ran").exists()


def test_an_object_that_runs_code_on_reading_does_not(tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "ran"),)

    frame = rows_as_frame()
    frame["hu_array"] = [Runs() for _ in range(3)]
    frame.to_pickle(tmp_path / "f.pkl")
    with pytest.raises(InputError, match=r"asks for \w+\.mkdir"):
        frame_in(tmp_path / "f.pkl")
    assert not (tmp_path / "ran").exists()


def test_names_are_told_without_what_a_terminal_would_obey(tmp_path: Path) -> None:
    path = craft(tmp_path / "f.pkl", Made(Name("os", "\x1b[2Jsystem" + "x" * 500), ()), 4)
    with pytest.raises(InputError, match=r"os\.\\x1b\[2Jsystemx{50}") as caught:
        frame_in(path)
    assert len(str(caught.value)) < len(str(path)) + 300


def test_every_admitted_name_is_inert(tmp_path: Path) -> None:
    """Called with hostile arguments and given a hostile state, none of them does anything."""
    hostile = [
        Made(Name(module, name), (f"touch {tmp_path}/ran", "rot13"), {"__class__": 1, "args": 2})
        for module, name in sorted(pickles.ADMITTED)
    ]
    frame = rows_as_frame(1)
    columns = {name: list(frame[name]) for name in frame.columns} | {"other": [hostile]}
    assert_same(frame_in(craft(tmp_path / "f.pkl", old_frame(columns), 4)), frame)
    assert list(tmp_path.iterdir()) == [tmp_path / "f.pkl"]


def test_a_pickle_cannot_change_the_reader(tmp_path: Path) -> None:
    """BUILD with a state for slots sets attributes of what it is given, classes included."""
    admitted = Name("numpy", "ndarray")
    state = (None, {"__setstate__": Name("_codecs", "encode"), "name": "DataFrame"})
    tampering = pickle.PROTO + b"\x02" + _body(admitted) + _body(state) + pickle.BUILD + b"."
    (tmp_path / "f.pkl").write_bytes(tampering)
    with pytest.raises(InputError, match="not a whole pickled pandas frame"):
        frame_in(tmp_path / "f.pkl")
    frame = rows_as_frame()
    frame.to_pickle(tmp_path / "g.pkl")
    assert_same(frame_in(tmp_path / "g.pkl"), frame)


def _body(value: Any) -> bytes:
    file = io.BytesIO()
    Crafter(file, 2).dump(value)
    return file.getvalue()[2:-1]


HOSTILE_ARRAYS = {
    "bytes for object pointers": array(b"A" * 48, (2, 3), "O8"),
    "fields of objects": array(
        b"A" * 48, (2, 3), "V8",
        (3, "|", None, ("x",), {"x": (Made(Name("numpy", "dtype"), ("O8", 0, 1)), 0)}, 8, 1, 0),
    ),
    "fields hidden in a number": array(
        b"A" * 48, (2, 3), "f8", (3, "|", None, ("x",), {"x": 1}, 8, 1, 0)
    ),
    "more pixels than bytes": array(b"A" * 8, (512, 512)),
    "negative size": array(b"A" * 48, (-2, -3)),
    "size that overflows": array(b"A" * 48, (2**62, 2**62, 0)),
    "size that is no tuple": array(b"A" * 48, {"a": 1}),
    "another encoding": array(Made(Name("_codecs", "encode"), ("A", "rot13")), (1,)),  # type: ignore[arg-type]
    "unknown byte order": array(b"A" * 48, (2, 3), "f8", (3, "?", None, None, None, -1, -1, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(HOSTILE_ARRAYS))
def test_hostile_arrays_are_no_arrays(tmp_path: Path, name: str) -> None:
    columns = {
        "label1": ["LR2"],
        "mask": [np.ones((2, 3), np.int8)],
        "hu_array_old": [HOSTILE_ARRAYS[name]],
    }
    with pytest.raises(InputError, match="not a whole pickled pandas frame of arrays"):
        frame_in(craft(tmp_path / "f.pkl", old_frame(columns)))


def test_an_array_within_an_array_stays_a_record(tmp_path: Path) -> None:
    nested = array_of_objects([array(b"A" * 48, (2, 3))], (1,))
    columns = {"label1": [nested], "mask": [nested], "hu_array_old": [nested]}
    with pytest.raises(InputError, match="an array of objects where numbers must be"):
        frame_in(craft(tmp_path / "f.pkl", old_frame(columns)))


def test_truncated_files_are_refused_wherever_they_end(tmp_path: Path) -> None:
    rows_as_frame().to_pickle(tmp_path / "f.pkl")
    whole = (tmp_path / "f.pkl").read_bytes()
    for length in [*range(0, len(whole), 97), len(whole) - 1]:
        (tmp_path / "g.pkl").write_bytes(whole[:length])
        with pytest.raises(InputError, match=r"g\.pkl"):
            frame_in(tmp_path / "g.pkl")


def test_a_length_beyond_the_file_takes_no_memory(tmp_path: Path) -> None:
    bomb = pickle.PROTO + b"\x04" + pickle.BINBYTES8 + struct.pack("<Q", 2**40) + b"few bytes"
    (tmp_path / "f.pkl").write_bytes(bomb)
    with pytest.raises(InputError, match="not a whole"):
        frame_in(tmp_path / "f.pkl")


def test_nested_lists_are_not_told_at_length(tmp_path: Path) -> None:
    """A list of lists of lists … that a message would spell out takes the memory by its text."""
    bomb: list[Any] = ["x"] * 10
    for _ in range(12):
        bomb = [bomb] * 10
    old = old_frame({"label1": ["LR2"]})
    old.state["_data"].state[-1]["0.14.1"]["axes"] = [array_of_objects([bomb, bomb], (2,))]
    with pytest.raises(InputError, match="columns list, list") as caught:
        frame_in(craft(tmp_path / "f.pkl", old))
    assert len(str(caught.value)) < len(str(tmp_path)) + 300


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 an archive", b"\x89HDF\r\n", b"label1,mask\nLR2,1\n", pickle.dumps([1, 2])],
)
def test_other_files_are_no_frames(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.pkl").write_bytes(content)
    with pytest.raises(InputError, match=r"f\.pkl"):
        frame_in(tmp_path / "f.pkl")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.pkl: cannot be read"):
        frame_in(tmp_path / "absent.pkl")


def test_crafted_streams_are_what_they_claim(tmp_path: Path) -> None:
    """Without the reader the attack would run: the tests above do not refuse a harmless file."""
    path = craft(tmp_path / "f.pkl", Made(Name("os", "mkdir"), (str(tmp_path / "ran"),)), 4)
    assert any(op.name == "STACK_GLOBAL" for op, _, _ in pickletools.genops(path.read_bytes()))
    pickle.loads(path.read_bytes())
    assert (tmp_path / "ran").is_dir()
