"""A folder of DICOM for tests, with the scan and ingest of it."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dicom_files import SHAPE
from lungaug.settings import from_mapping
from lungaug.stages import ingest, scan
from lungaug.store import Provenance, SliceFile, Stack

PROVENANCE = Provenance("scan", "{}", "")


@dataclass
class Ingested:
    """A patient in the slice file: class, slices, those with a nodule, and their HU."""

    lung_rads: str = ""
    n_slices: int = 0
    with_nodule: list[int] = field(default_factory=list)
    hu: list[NDArray[np.int16]] = field(default_factory=list)
    known: bool = True

    def add(self, file: SliceFile, stack: Stack) -> None:
        self.lung_rads = stack.slices["lung_rads"][0].decode()
        nodules = file.images("nodule", stack).any((1, 2))
        self.with_nodule += [self.n_slices + int(i) for i in np.flatnonzero(nodules)]
        self.n_slices += len(stack.slices)
        self.hu += list(file.images("hu", stack))
        self.known &= not np.isnan(stack.slices["diameter_mm"]).any()


class Source:
    """A source folder with its scan's results beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "root"
        self.masks: Path | None = None
        self.sheet: Path | None = None
        self.private = folder / "private"
        self.rejected: list[tuple[str, str]] = []
        self.left_out: list[tuple[str, str]] = []
        self.scanned: dict[str, dict[str, str]] = {}

    def scan(self, **settings: Any) -> dict[str, dict[str, str]]:
        """The cohort's rows by PatientID; ``rejected`` holds (path, reason)."""
        scan.run(
            root=self.root, private=self.private, output=self.folder / "cohort.tsv",
            rejected=self.folder / "rejected.tsv", key=self.folder / "key", sheet=self.sheet,
            masks=self.masks, settings=from_mapping(scan.Settings, settings),
            provenance=PROVENANCE,
        )  # fmt: skip
        paths = {row["file"]: row["path"] for row in table(self.private / "files.tsv")}
        rejected = table(self.folder / "rejected.tsv")
        self.rejected = [(paths[row["file"]], row["reason"]) for row in rejected]
        names = {row["patient"]: row["patient_id"] for row in table(self.private / "mapping.tsv")}
        return {names[row["patient"]]: row for row in table(self.folder / "cohort.tsv")}

    def ingest(self, **settings: Any) -> dict[str, Ingested]:
        """What ingest keeps of each patient, by PatientID; ``left_out`` holds (path, reason)."""
        batches = {row["batch"] for row in table(self.folder / "cohort.tsv")}
        names = {row["patient"]: row["patient_id"] for row in table(self.private / "mapping.tsv")}
        found: dict[str, Ingested] = {}
        self.left_out = []
        for batch in sorted(batches):
            ingest.run(
                cohort=self.folder / "cohort.tsv", batch=batch, root=self.root,
                private=self.private, output=self.folder / f"{batch}.h5",
                rejected=self.folder / f"{batch}.rejected.tsv",
                nodules=self.folder / f"{batch}.nodules.tsv", key=self.folder / "key",
                masks=self.masks, settings=from_mapping(ingest.Settings, settings),
                provenance=PROVENANCE,
            )  # fmt: skip
            with SliceFile(self.folder / f"{batch}.h5") as file:
                for stack in file.stacks():
                    found.setdefault(names[stack.patient], Ingested()).add(file, stack)
            rows = table(self.folder / f"{batch}.rejected.tsv")
            self.left_out += [(names[row["patient"]], row["reason"]) for row in rows]
        return found

    def both(self, **settings: Any) -> dict[str, Ingested]:
        """Scan and ingest with the settings that both have."""
        shared = {k: settings[k] for k in ("on_bad_input", "unannotated", "kind") if k in settings}
        self.scanned = self.scan(**settings)
        return self.ingest(**shared)

    def digests(self, **settings: Any) -> dict[str, str]:
        return {name: row["digest"] for name, row in self.scan(**settings).items()}


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", errors="surrogateescape") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def write_png(path: Path, *pixels: tuple[int, int], shape: tuple[int, int] = SHAPE) -> Path:
    mask = np.zeros(shape, np.uint8)
    for row, column in pixels:
        mask[row, column] = 255
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(cv2.imencode(".png", mask)[1]))
    return path


def write_xml(path: Path, series_uid: str, slice_uids: Sequence[str], readers: int = 3) -> Path:
    """A LIDC annotation file: every reader outlines one nodule of 4 x 4 pixels on these slices."""
    edges = [(x, y) for x in range(2, 8) for y in range(2, 8) if {x, y} & {2, 7}]
    edges.sort(key=lambda edge: math.atan2(edge[1] - 4.5, edge[0] - 4.5))
    points = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for x, y in edges
    )
    rois = "".join(
        f"<roi><imageZposition>-9000</imageZposition><imageSOP_UID>{uid}</imageSOP_UID>"
        f"<inclusion>TRUE</inclusion>{points}</roi>"
        for uid in slice_uids
    )
    nodule = f"<unblindedReadNodule><noduleID>1</noduleID>{rois}</unblindedReadNodule>"
    session = f"<readingSession>{nodule if slice_uids else ''}</readingSession>"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        "<LidcReadMessage><ResponseHeader>"
        f"<SeriesInstanceUid>{series_uid}</SeriesInstanceUid>"
        "<StudyInstanceUID>1.2</StudyInstanceUID></ResponseHeader>"
        f"{session * readers}</LidcReadMessage>"
    )
    return path
