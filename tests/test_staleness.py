"""What makes a stage stale: code that it imports, and nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from lungaug.staleness import ROOT, code_hash, fingerprint, hashed_once, import_closure, text_hash


@pytest.fixture
def library(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "",
        "stages/__init__.py": "",
        "stages/mask.py": "from lungaug.imaging import lungs\n\n\ndef run():\n    lungs.find()\n",
        "imaging/__init__.py": "",
        "imaging/lungs.py": "import lungaug.imaging.shapes\n\n\ndef find():\n    return 1\n",
        "imaging/shapes.py": "def fill():\n    return 2\n",
        "imaging/other.py": "def other():\n    return 3\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_an_edit_of_a_transitive_import_changes_the_hash(library: Path) -> None:
    before = code_hash("mask", library)
    edit(library / "imaging" / "shapes.py", "return 2", "return 20")
    assert code_hash("mask", library) != before


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("imaging/lungs.py", "return 1", "return 1  # a reason"),
        ("imaging/lungs.py", "def find():\n", 'def find():\n    """Find them."""\n'),
        ("imaging/lungs.py", "\n\n\ndef find", "\n\ndef find"),
        ("imaging/other.py", "return 3", "return 30"),
    ],
    ids=["comment", "docstring", "blank line", "module that is not imported"],
)
def test_what_the_stage_does_not_run_changes_nothing(
    library: Path, file: str, old: str, new: str
) -> None:
    before = code_hash("mask", library)
    edit(library / file, old, new)
    assert code_hash("mask", library) == before


def test_the_closure_of_a_real_stage_follows_the_floors() -> None:
    from lungaug.staleness import ROOT

    names = {p.relative_to(ROOT).as_posix() for p in import_closure(ROOT / "stages/preprocess.py")}
    assert {"imaging/lungs.py", "store.py", "settings.py"} <= names
    assert not any(name.startswith(("training", "metalung", "evaluation")) for name in names)


def test_modules_that_a_job_never_runs_can_be_left_out(library: Path) -> None:
    unused = ["imaging.lungs"]
    before = code_hash("mask", library, unused=unused)
    edit(library / "imaging" / "lungs.py", "def find", "def find_all")
    edit(library / "imaging" / "shapes.py", "return 2", "return 20")
    assert code_hash("mask", library, unused=unused) == before
    edit(library / "stages" / "mask.py", "lungs.find()", "lungs.find() or 1")
    assert code_hash("mask", library, unused=unused) != before


def test_an_unknown_stage_is_an_error(library: Path) -> None:
    with pytest.raises(FileNotFoundError):
        code_hash("masks", library)


def test_relative_imports_are_refused_since_they_would_not_be_followed(library: Path) -> None:
    edit(library / "stages" / "mask.py", "from lungaug.imaging", "from ..imaging")
    with pytest.raises(SyntaxError, match="relative import"):
        code_hash("mask", library)


def test_fingerprint_follows_links_as_the_scan_does(tmp_path: Path) -> None:
    elsewhere, root = tmp_path / "elsewhere", tmp_path / "root"
    elsewhere.mkdir()
    root.mkdir()
    (root / "patient").symlink_to(elsewhere)
    (elsewhere / "loop").symlink_to(root)
    before = fingerprint(root)
    (elsewhere / ".hidden").write_text("", encoding="utf-8")
    assert fingerprint(root) == before
    (elsewhere / "new.dcm").write_text("", encoding="utf-8")
    assert fingerprint(root) != before


def test_names_that_are_no_valid_text_count_by_their_bytes(tmp_path: Path) -> None:
    names = [b"m\xfcller.dcm", b"m\xe4ller.dcm"]
    found = []
    for name in names:
        root = tmp_path / str(len(found))
        inner = root / os.fsdecode(b"f\xff")
        inner.mkdir(parents=True)
        file = inner / os.fsdecode(name)
        file.write_bytes(b"x")
        os.utime(file, ns=(1, 1))
        found.append((fingerprint(root), text_hash(root)))
    assert len({tree for tree, _ in found}) == len({text for _, text in found}) == 2
    assert (fingerprint(root), text_hash(root)) == found[-1]


def test_fingerprint_sees_a_new_file_and_text_hash_a_changed_word(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one", encoding="utf-8")
    outside, inside = fingerprint(tmp_path), text_hash(tmp_path)
    assert (fingerprint(tmp_path), text_hash(tmp_path)) == (outside, inside)
    (tmp_path / "a").write_text("two", encoding="utf-8")
    assert text_hash(tmp_path) != inside
    (tmp_path / "b").write_text("", encoding="utf-8")
    assert fingerprint(tmp_path) != outside


def test_fingerprints_stay_what_they_were_since_a_change_reads_every_header_again(
    tmp_path: Path,
) -> None:
    names = [
        "b.dcm",
        "a/z.dcm",
        "a.dcm",
        "a/b/c.dcm",
        "a b/c.dcm",
        "a/ü.dcm",
        "é.dcm",
        ".x/y",
        "a/.z",
    ]
    for number, name in enumerate(names):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x" * number, encoding="utf-8")
        os.utime(path, ns=(number, 1_600_000_000_000_000_000 + number))
    (tmp_path / "nowhere").symlink_to(tmp_path / "missing")
    (tmp_path / "alias.dcm").symlink_to(tmp_path / "b.dcm")
    shown = [path for path in tmp_path.rglob("*") if path.is_file()]
    text = "".join(
        f"{path.relative_to(tmp_path).as_posix()}\0{path.stat().st_size}\0{path.stat().st_mtime_ns}\0"
        for path in sorted(shown)
        if not any(part.startswith(".") for part in path.relative_to(tmp_path).parts)
    )
    assert fingerprint(tmp_path) == hashlib.sha256(text.encode()).hexdigest()[:16]
    alone = tmp_path / "b.dcm"
    assert (
        fingerprint(alone)
        == hashlib.sha256(
            f".\0{alone.stat().st_size}\0{alone.stat().st_mtime_ns}\0".encode()
        ).hexdigest()[:16]
    )


class WatchedFile:
    """A file as Snakemake has it, with a note of every time that it was read."""

    is_storage = False

    def __init__(self, path: Path) -> None:
        self.path = path
        self.read: list[str] = []

    def __fspath__(self) -> str:
        return str(self.path)

    async def checksum(self, threshold: int, algorithm: str = "sha256") -> str | None:
        self.read.append(algorithm)
        if not self.path.exists() or self.path.stat().st_size > threshold:
            return None
        return f"{algorithm}:{self.path.read_text(encoding='utf-8')}"


def test_a_checksum_is_remembered_until_the_file_changes(tmp_path: Path) -> None:
    answer = hashed_once(WatchedFile.checksum)
    file = WatchedFile(tmp_path / "slices.h5")
    assert asyncio.run(answer(file, 10)) is None
    file.path.write_text("one", encoding="utf-8")
    assert [asyncio.run(answer(file, 10)) for _ in range(3)] == ["sha256:one"] * 3
    assert len(file.read) == 2
    assert asyncio.run(answer(file, 2)) is None
    assert asyncio.run(answer(file, 10, algorithm="md5")) == "md5:one"
    file.path.write_text("two", encoding="utf-8")
    os.utime(file.path, ns=(0, 1))
    assert asyncio.run(answer(file, 10)) == "sha256:two"
    file.path.unlink()
    assert asyncio.run(answer(file, 10)) is None


def test_checksums_in_object_storage_are_left_to_it(tmp_path: Path) -> None:
    answer = hashed_once(WatchedFile.checksum)
    file = WatchedFile(tmp_path / "slices.h5")
    file.is_storage = True
    file.path.write_text("one", encoding="utf-8")
    assert [asyncio.run(answer(file, 10)) for _ in range(2)] == ["sha256:one"] * 2
    assert len(file.read) == 2


def test_snakemake_has_the_method_that_is_replaced() -> None:
    io = pytest.importorskip("snakemake.io")
    assert asyncio.iscoroutinefunction(io._IOFile.checksum)


def test_what_was_read_of_modules_is_remembered_by_their_text(
    library: Path, tmp_path: Path
) -> None:
    """Another process takes over what it finds, whatever else the file holds, and nothing old."""
    folder = tmp_path / "memory"
    folder.mkdir()

    def hashed(text: str) -> str:
        command = (
            "from pathlib import Path\n"
            "from lungaug import staleness\n"
            f"staleness.remember(Path({str(folder / 'modules.json')!r}))\n"
            f"{text}\n"
            f"print(staleness.code_hash('mask', Path({str(library)!r})))"
        )
        environment = {**os.environ, "PYTHONPATH": str(ROOT.parent)}
        done = subprocess.run(
            [sys.executable, "-c", command], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    refuse = "def no(*_): raise SystemExit('parsed')\nstaleness._parse = no"
    first = hashed("")
    assert first == code_hash("mask", library)
    assert hashed(refuse) == first
    edit(library / "imaging" / "shapes.py", "return 2", "return 20")
    changed = hashed("")
    assert changed == code_hash("mask", library) != first
    for content in ("", "[1, 2]", '{"a": 5}'):
        (folder / "modules.json").write_text(content, encoding="utf-8")
        assert hashed("") == changed
