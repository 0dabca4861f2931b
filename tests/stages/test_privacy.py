"""No stage up to the arms says who anybody is: not in a table, a slice file, a log or an error."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from dicom_files import ct_dataset, uid, write, write_series, write_unreadable
from imaging.thorax import ellipse, thorax
from lungaug.cli import main
from lungaug.cohort import read_table
from lungaug.metalung.operations import DEFAULT_OPERATIONS
from lungaug.store import SliceFile

NAMES = ("XYZZY", "PLUGHSMITH", "FROBOZZ", "ACC4711X", "GRUEFOLDER", "LANTERNFILE", "MAILBOX")
SECRET_UID = uid(66664242)
N_PATIENTS, N_SLICES = 6, 3
SHAPE = (96, 128)
NODULE = ellipse(SHAPE, 0.6, 0.27, 0.05, 0.04)


class Stages:
    """The stages by hand, on a folder whose tags, folders and names all tell who it is."""

    def __init__(self, folder: Path) -> None:
        self.root, self.out, self.private = folder / "in", folder / "out", folder / "private"
        self.sheet = self.root / "sheet.tsv"

    def source(self) -> dict[str, Path]:
        keys = {"private": self.private, "key": self.private / "key"}
        return {"root": self.root, "sheet": self.sheet, **keys}

    def scan(self, on_bad_input: str) -> int:
        rejected = self.out / "scan.rejected.tsv"
        options = self.source() | {"output": self.out / "cohort.tsv", "rejected": rejected}
        settings = f'{{"n_batches": 1, "on_bad_input": "{on_bad_input}"}}'
        return run("scan", settings, options)

    def ingest(self, on_bad_input: str) -> int:
        names = {"output": "h5", "rejected": "rejected.tsv", "nodules": "nodules.tsv"}
        results = {name: self.out / f"ingest/b00.{end}" for name, end in names.items()}
        options = {"cohort": self.out / "cohort.tsv", "batch": "b00", **self.source(), **results}
        settings = f'{{"on_bad_input": "{on_bad_input}", "storage": {{"compression": "gzip"}}}}'
        return run("ingest", settings, options)

    def expand(self) -> list[Path]:
        """Lungs, division, chosen slices and every operation; the expansions."""
        ingest, preprocess = self.out / "ingest/b00.h5", self.out / "preprocess/b00.h5"
        split, fold = self.out / "split.tsv", {"fold": "fixed", "root": self.out}
        skipped = preprocess.with_name("b00.skipped.tsv")
        options = {"ingest": ingest, "output": preprocess, "skipped": skipped}
        assert run("preprocess", "{}", options) == 0
        ledger = {"ledger": self.out / "ledger.tsv"}
        left = {"output": split, "left-out": self.out / "split.left_out.tsv"}
        assert run("split", "{}", {"preprocess": preprocess, **ledger, **left}) == 0
        chosen = {"preprocess": preprocess, "split": split, **fold}
        assert run("select", "{}", {**chosen, "output": self.out / "fixed/slices.tsv"}) == 0
        patients = read_table(split).query("role == 'train'")["patient"].tolist()
        paths = [self.out / f"metalung/{name}/b00.h5" for name in DEFAULT_OPERATIONS]
        for path in paths:
            table = {"output": path, "skipped": path.with_name("b00.skipped.tsv")}
            worked = {"operation": path.parent.name, "preprocess": preprocess, **table}
            assert run("metalung", "{}", worked | {"patients": patients}) == 0
        return paths

    def train_on(self, expansions: Sequence[Path], stage: str, **options: str) -> int:
        """The audit or an arm of the fold."""
        fold = self.out / "fixed"
        output = fold / (f"arms/{options['arm']}.tsv" if options else "audit.tsv")
        tables = {"slices": fold / "slices.tsv", "split": self.out / "split.tsv", "fold": "fixed"}
        files = {"preprocess": self.out / "preprocess/b00.h5", "expansions": expansions}
        more: dict[str, Any] = {"root": self.out, "output": output, **options}
        if options:
            origins = [f"metalung:{name}" for name in DEFAULT_OPERATIONS]
            findings = output.with_suffix(".audit.tsv")
            more |= {"origins": origins, "patches": [], "findings": findings}
        return run(stage, "{}", {**tables, **files, **more})


def run(stage: str, settings: str, options: dict[str, Any]) -> int:
    arguments = [stage, "--settings", settings]
    for name, value in options.items():
        values = value if isinstance(value, list) else [value]
        arguments += [f"--{name}", *map(str, values)]
    return main(arguments)


def test_nothing_names_anybody(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stages = Stages(tmp_path)
    _write_telltale(stages.root)
    capfd.readouterr()
    caplog.set_level("DEBUG")
    assert stages.scan("stop") == 1  # at the broken annotations
    assert stages.scan("skip") == 0
    assert stages.ingest("stop") == 1  # at the unreadable file
    assert stages.ingest("skip") == 0
    expansions = stages.expand()
    assert stages.train_on(expansions, "audit") == 0
    assert stages.train_on(expansions, "arm", arm="metalung") == 0
    assert set(read_table(stages.out / "fixed/arms/metalung.tsv")["origin"]) == {
        "real", *(f"metalung:{name}" for name in DEFAULT_OPERATIONS)
    }  # fmt: skip
    assert stages.train_on([], "arm", arm="mirror") == 1
    stages.sheet.write_text("patient_id\tlung_rads\nXYZZYJOHN0\tFROBOZZ\n")
    assert stages.scan("skip") == 1
    said = "".join(capfd.readouterr()) + caplog.text + "".join(map(str, caplog.records))
    for error in (
        "1 patient loses annotations",
        "unreadable pixels",
        "adds no slice",
        "unknown lung_rads",
    ):
        assert error in said
    _assert_nothing_told(said.encode())
    for content in _contents(stages.out):
        _assert_nothing_told(content)


def _write_telltale(root: Path) -> None:
    """Good files of six patients, bad ones of the first, who is left out."""
    told = {
        "PatientName": "PLUGHSMITH^FROBOZZ", "AccessionNumber": "ACC4711X",
        "InstitutionName": "MAILBOX",
        "StudyDescription": "FROBOZZ",
    }  # fmt: skip
    for i in range(N_PATIENTS):
        told |= {"patient_id": f"XYZZYJOHN{i}", "SeriesInstanceUID": f"{SECRET_UID}.3.{i}"}
        told["StudyInstanceUID"] = f"{SECRET_UID}.2.{i}"
        _write_patient(root / f"GRUEFOLDER{i}", i, told)
    told |= {"patient_id": "XYZZYJOHN0", "SeriesInstanceUID": f"{SECRET_UID}.3.0"}
    told["StudyInstanceUID"] = f"{SECRET_UID}.2.0"
    _write_faults(root / "GRUEFOLDER0", told)
    rows = "".join(f"XYZZYJOHN{i}\tLR3\tx\n" for i in range(N_PATIENTS))
    (root / "sheet.tsv").write_text(f"patient_id\tlung_rads\tMAILBOX\n{rows}", encoding="utf-8")


def _write_patient(folder: Path, number: int, told: dict[str, str]) -> None:
    """A chest with a nodule on every slice."""

    def draw(i: int, dataset: Any) -> None:
        name = f"{SECRET_UID}.9.{number}.{i}"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = name
        hu = thorax(SHAPE, seed=N_SLICES * number + i)[0]
        hu[NODULE] += 800
        dataset.PixelData = (hu + 1024).astype(np.uint16).tobytes()
        mask = cv2.imencode(".png", NODULE.astype(np.uint8) * 255)[1]
        (folder / f"{name}.png").write_bytes(bytes(mask))

    folder.mkdir(parents=True)
    stored = np.zeros(SHAPE, np.uint16)
    for path in write_series(folder, N_SLICES, change=draw, stored=stored, **told):
        path.rename(path.with_name(f"LANTERNFILE{path.name}"))


def _write_faults(folder: Path, told: dict[str, str]) -> None:
    first = next(folder.glob("*0001.dcm"))
    (folder / "LANTERNFILE_TWIN").write_bytes(first.read_bytes())
    (folder / "LANTERNFILE_HALF.dcm").write_bytes(first.read_bytes()[:700])
    (folder / "LANTERNFILE_SHORT.dcm").write_bytes(first.read_bytes()[:-9])
    (folder / "LANTERNFILE_EMPTY.dcm").touch()
    (folder / "LANTERNFILE_TEXT.dcm").write_text("XYZZYJOHN " * 50)
    (folder / "LANTERNFILE.xml").write_text("<LidcReadMessage>XYZZYJOHN</oops>")
    write(folder / "LANTERNFILE_MR", ct_dataset(Modality="FROBOZZ", **told))
    write(folder / "LANTERNFILE_TYPE", ct_dataset(RescaleType="PLUGHSMITH", **told))
    coronal: dict[str, Any] = {"ImageOrientationPatient": [1, 0, 0, 0, 0, -1], **told}
    write(folder / "LANTERNFILE_CORONAL", ct_dataset(**coronal))
    stored = np.full(SHAPE, 1, np.uint16)
    path = write(folder / "LANTERNFILE_UID", ct_dataset(z=7, number=99, stored=stored, **told))
    content = path.read_bytes().replace(b".66664242.3", b".MAILBOX1.3")
    path.write_bytes(content)
    (folder / "LANTERNFILE_NUMBER").write_bytes(content.replace(b"-1024", b"XYZZY"))
    write_unreadable(folder / "LANTERNFILE_JPEG.dcm", z=-90.0, number=77, stored=stored, **told)


def _contents(folder: Path) -> Iterator[bytes]:
    """Every byte below a folder, names included, slice files also decompressed."""
    for path in sorted(folder.rglob("*")):
        yield os.fsencode(path.relative_to(folder))
        if path.is_file():
            yield path.read_bytes()
        if path.suffix == ".h5":
            with SliceFile(path) as file:
                yield repr(file.attributes).encode()
                for name in file.groups:
                    yield file.slices(name).tobytes()
                    for i in range(len(file.slices(name))):
                        yield file.image("hu", name, i).tobytes()


def _assert_nothing_told(content: bytes) -> None:
    for name in (*NAMES, SECRET_UID, SECRET_UID.rsplit(".", 1)[1]):
        assert name.lower().encode() not in content.lower(), name
        assert name.encode("utf-16-le") not in content, name
