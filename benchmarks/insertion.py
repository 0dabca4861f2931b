"""Insertion beside the published search, and a whole stage with reading and writing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.harness import Row, compare
from benchmarks.memory import peak_of
from benchmarks.slices import SIDE, CtSlice, Material, drawn_slice
from lungaug.cohort import SLICE_COLUMNS, SPLIT_COLUMNS, write_table
from lungaug.crops import Crops, equivalent_diameter_mm, write_crops
from lungaug.imaging.lungs import segment_lungs
from lungaug.imaging.obstacles import find_obstacles
from lungaug.insertion import nodule, published
from lungaug.insertion.blend import FeatherSettings, measured
from lungaug.insertion.donors import Donor, Donors, values_of
from lungaug.insertion.nodule import InsertionSettings
from lungaug.insertion.protocol import Host, Pair, Patch, Refused, rng_of
from lungaug.listing import SliceFiles
from lungaug.stages import insert
from lungaug.store import Provenance, SliceFile, SliceWriter, empty_slices, slice_key

LEAST_RATIO = 200
MOST_MS = 20
MOST_SECONDS = 30
MOST_MB = 1000
GROWTH = 1.1  # of the peak from one file of hosts to four
N_STAGE = 800
N_REAL = 24  # slices with a nodule, whose HU are taken
N_SEARCHED = 3  # slices for the peer, which takes seconds for each
PATCH_SIDE, FOV_MM = 64, 48.0
MADE_BY = Provenance("benchmark", "{}", "")
SETTINGS = InsertionSettings()


@dataclass(frozen=True, eq=False)
class Work:
    """A host and the nodule to insert."""

    host: Host
    patch: Patch
    donors: Donors


def search(material: Material, repeats: int) -> Iterator[Row]:
    """The place of a patch, and then all of the insertion, beside the published search alone."""
    work = _work(material)[:N_SEARCHED]
    found = compare(_flat, _dense_search, work, repeats)
    yield found.row("published insertion / its dense search alone, 512x512", LEAST_RATIO)
    whole = compare(_tissue, _dense_search, work, repeats)
    yield whole.row("insertion of tissue / published dense search alone", LEAST_RATIO)


def stage(material: Material) -> Iterator[Row]:
    """A whole run of the stage: hosts, crops and tables read, slices written."""
    # As many as are wanted, and room for those that fit nowhere.
    settings = insert.Settings(ratio=1.1 * N_STAGE / N_REAL, compare_published=0)
    with TemporaryDirectory() as folder:
        arguments = _write_cohort(Path(folder), material)
        start = time.process_time()
        insert.run(**arguments, settings=settings, provenance=MADE_BY)
        seconds = time.process_time() - start
        with SliceFile(arguments["output"]) as file:
            n = len(file)
    mean_ms, met = seconds / n * 1e3, n >= N_STAGE
    work = "insertion, a slice with everything, reading and writing too"
    yield Row(work, f"{mean_ms:.1f} ms", "", "", f"< {MOST_MS} ms", mean_ms < MOST_MS)
    wanted = f"< {MOST_SECONDS} s"
    yield Row(
        f"{n} insertions in one run",
        f"{seconds:.1f} s",
        "",
        "",
        wanted,
        met and seconds < MOST_SECONDS,
    )


def peaks(material: Material) -> Iterator[Row]:
    """Peak memory of the stage: four files of hosts and slices to make, beside one."""
    found = {}
    for n_files in (1, 4):
        with TemporaryDirectory() as folder:
            arguments = _write_cohort(Path(folder), material, n_files)
            settings = {"ratio": n_files * N_STAGE / 4 / N_REAL, "compare_published": 0}
            options = {name: value for name, value in arguments.items() if name != "preprocess"}
            found[n_files] = peak_of(
                "insert", settings, preprocess=arguments["preprocess"], **options
            )
    work = f"peak memory of insert: 4 files of hosts, {N_STAGE} slices / 1 file, {N_STAGE // 4}"
    several, single = found[4], found[1]
    wanted = f"< {MOST_MB} MB, <= {GROWTH}x"
    met = several < MOST_MB and several <= GROWTH * single
    ratio = f"{several / single:.2f}"
    yield Row(work, f"{several:.0f} MB", f"{single:.0f} MB", ratio, wanted, met)


def _dense_search(work: Work) -> tuple[int, int] | None:
    """The published search: at every place of the image, the sum of mask times obstacles."""
    side = 64 // int(_rng(work).integers(1, 4, endpoint=True))
    shape = published.pasted_shape(work.patch, side).astype(np.uint8)
    taken = (work.host.lung != 1).astype(np.uint8)
    free = []
    for row in range(taken.shape[0] - side + 1):
        for col in range(taken.shape[1] - side + 1):
            if np.sum(taken[row : row + side, col : col + side] * shape) == 0:
                free.append((row, col))
    if len(free) < 2:
        return None
    return free[int(_rng(work).integers(1, len(free)))]


def _flat(work: Work) -> Pair | Refused:
    drawn = published.draw(work.host, work.patch, rng=_rng(work))
    if isinstance(drawn, Refused):
        return drawn
    return published.apply(work.host.hu, work.host.nodule, work.patch, drawn)


def _tissue(work: Work) -> Pair | Refused:
    host = work.host
    drawn = nodule.draw(host, work.patch, work.donors, settings=SETTINGS, rng=_rng(work))
    if isinstance(drawn, Refused):
        return drawn
    donor_hu = work.donors.hu_of(drawn["donor"], drawn["label"])
    return nodule.apply(host.hu, host.nodule, work.patch, donor_hu, host.spacing_mm, drawn)


def _rng(work: Work) -> np.random.Generator:
    return rng_of(work.host.key)


def _lung(each: CtSlice) -> NDArray[np.uint8]:
    found = segment_lungs(each.hu, np.array(each.spacing_mm), None).mask
    return found.astype(np.uint8) + find_obstacles(each.hu, found)


def _work(material: Material) -> list[Work]:
    """Hosts with much lung, each with a patch of its own."""
    hosts = [
        Host(str(i), each.hu, each.nodule, _lung(each), each.spacing_mm)
        for i, each in enumerate(material.chest)
        if each.hu.shape == (SIDE, SIDE) and not each.nodule.any()
    ]
    hosts = hosts or [_healthy(seed) for seed in range(N_SEARCHED)]
    hosts.sort(key=lambda host: -int((host.lung == 1).sum()))
    real = drawn_slice(0)
    lung = _lung(real)
    rim, fall = measured(real.hu, real.nodule, lung, 1, FeatherSettings())
    donor = Donor("real", 1, values_of(real.hu, real.nodule, 1), rim, fall)
    donors = Donors(np.array([9.0], np.float32), np.array(["solid"]), [donor])
    crops = _patches(len(hosts))
    return [Work(host, Patch.of(crops, i), donors) for i, host in enumerate(hosts)]


def _healthy(seed: int) -> Host:
    each = drawn_slice(seed)
    lung = _lung(each)
    hu = np.where(each.nodule > 0, np.int16(-860), each.hu)
    return Host(str(seed), hu, np.zeros_like(each.nodule), lung, each.spacing_mm)


def _patches(n: int) -> Crops:
    """Blobs of 4 to 14 mm in crops of 48 mm, as generators make them."""
    spacing = FOV_MM / PATCH_SIDE
    rows, cols = (np.indices((PATCH_SIDE, PATCH_SIDE)) - (PATCH_SIDE - 1) / 2) * spacing
    diameters = np.linspace(4, 14, n)
    away = np.hypot(rows, cols * 1.2) - diameters[:, None, None] / 2
    noise = np.random.default_rng(0).normal(0, 30, away.shape)
    hu = -860 + 900 / (1 + np.exp(away / 0.5)) + noise
    mask = away <= 0
    return Crops(
        diameter_mm=np.array(
            [equivalent_diameter_mm(m, (spacing, spacing)) for m in mask], np.float32
        ),
        kind=np.full(n, "solid"),
        lung_rads=np.full(n, "LR3"),
        hu=np.rint(hu).astype(np.int16),
        mask=mask,
        patient=np.full(n, ""),
        donor=np.full(n, ""),
        label=np.zeros(n, np.int64),
        spacing_mm=np.full((n, 2), spacing, np.float32),
        origin=np.full(n, "generated:benchmark"),
    )


def _write_cohort(root: Path, material: Material, n_files: int = 1) -> dict[str, Any]:
    """The stage's arguments: hosts of one patient a file, drawn slices with a nodule of another."""
    hosts = [work.host for work in _work(material)]
    ill = [drawn_slice(seed) for seed in range(N_REAL)]
    spacings = [host.spacing_mm for host in hosts] + [each.spacing_mm for each in ill]
    fields = empty_slices(len(hosts) + N_REAL)
    fields["patient"] = [b"healthy"] * len(hosts) + [b"ill"] * N_REAL
    fields["series"], fields["status"] = b"s", b"ok"
    fields["index"], fields["spacing_mm"] = np.arange(len(fields)), spacings
    fields["diameter_mm"][len(hosts) :] = 9
    hu = np.stack([*(host.hu for host in hosts), *(each.hu for each in ill)])
    labels = np.stack([*(host.nodule for host in hosts), *(each.nodule for each in ill)])
    lung = np.stack([*(host.lung for host in hosts), *(_lung(each) for each in ill)])
    healthy = ["healthy" if number == 0 else f"healthy{number}" for number in range(n_files)]
    paths = [root / f"{patient}.h5" for patient in healthy]
    for path, patient in zip(paths, healthy, strict=True):
        end = len(fields) if patient == "healthy" else len(hosts)
        own = fields[:end].copy()
        own["patient"][: len(hosts)] = patient.encode()
        with SliceWriter(path, MADE_BY) as writer:
            writer.append(own, hu=hu[:end], nodule=labels[:end], lung=lung[:end])
    keys = [slice_key(row) for row in fields[len(hosts) :]]
    real = replace(_patches(N_REAL), donor=np.array(keys), label=np.ones(N_REAL, np.int64))
    write_crops(root / "rois.h5", real, MADE_BY)
    write_crops(root / "patches.h5", _patches(N_STAGE), MADE_BY)
    with SliceFiles(root) as files:
        rows = [files.describe(place, "train") for place, _ in files.places(paths[0].name)]
    write_table(root / "slices.tsv", pd.DataFrame(rows, columns=list(SLICE_COLUMNS)))
    split = [("fixed", patient, "", "train") for patient in (*healthy, "ill")]
    write_table(root / "split.tsv", pd.DataFrame(split, columns=list(SPLIT_COLUMNS)))
    files_in = {name: root / f"{name}.h5" for name in ("patches", "rois")}
    files_out = {name: root / f"{name}.h5" for name in ("output", "published")}
    tables = {name: root / f"{name}.tsv" for name in ("slices", "split", "skipped")}
    names = {"fold": "fixed", "generator": "benchmark", "root": root, "preprocess": paths}
    return {**files_in, **files_out, **tables, **names}
