"""A small cohort with crops and patches, and a run of the stage on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from insertion.scene import crops_of, patch
from lungaug.cohort import SLICE_COLUMNS, write_table
from lungaug.crops import ROIS, Crops, write_crops
from lungaug.imaging.crop import cut
from lungaug.insertion.hosts import HostSettings
from lungaug.listing import SliceFiles
from lungaug.stages import insert
from lungaug.store import SliceFile, SliceWriter
from small_cohort import MADE_BY, SmallCohort

FOLD = "fixed"
GENERATOR = "dcgan"
DONOR = "p0/s0/0002"
ANY_HOST = HostSettings(distance_mm=0)
SETTINGS = insert.Settings(hosts=ANY_HOST, compare_published=3)


def patches(n: int = 5, **changes: Any) -> Crops:
    made = [patch(3.0 + 0.4 * i, index=i, **changes) for i in range(n)]
    return crops_of(made, origin=f"generated:{GENERATOR}")


def crop_of(cohort: SmallCohort, key: str) -> Crops:
    """The first nodule of a real slice, cut as the settings' defaults have it."""
    patient, _, index = key.split("/")
    row, hu, nodule = cohort.slice(patient, int(index))
    crop = cut(hu, nodule, 1, row["spacing_mm"])
    return Crops(
        diameter_mm=np.array([crop.diameter_mm], np.float32),
        kind=np.array([crop.kind]),
        lung_rads=np.array([row["lung_rads"].decode()]),
        hu=crop.hu[None],
        mask=crop.mask[None],
        patient=np.array([patient]),
        donor=np.array([key]),
        label=np.array([1]),
        pose=np.full(1, ""),
        spacing_mm=np.array([crop.spacing_mm], np.float32),
        origin=np.array(["cut:scaled"]),
    )


def write_patches(path: Path, made: Crops, fitted_to: str = "") -> None:
    """Write patches of a model that was fitted to the fold's crops, or to those of a digest."""
    with SliceFile(path.parents[2] / "rois.h5") as file:
        digest = fitted_to or file.content_digest
    write_crops(path, made, MADE_BY, sources={ROIS: digest})


def write_inputs(cohort: SmallCohort, made: Crops | None = None) -> dict[str, Any]:
    """The arguments of the stage; its inputs are written below the cohort's root."""
    folder = cohort.root / FOLD
    write_crops(folder / "rois.h5", crop_of(cohort, DONOR), MADE_BY)
    patches_file = folder / "generators" / GENERATOR / "patches.h5"
    write_patches(patches_file, patches() if made is None else made)
    with SliceFiles(cohort.root) as files:
        rows = [
            files.describe(place, cohort.roles[fields["patient"].decode()])
            for path in cohort.preprocess
            for place, fields in files.places(files.name(path))
            if fields["diameter_mm"] > 0
        ]
    write_table(folder / "slices.tsv", pd.DataFrame(rows, columns=list(SLICE_COLUMNS)))
    inserted = folder / "inserted"
    return {
        "patches": patches_file,
        "rois": folder / "rois.h5",
        "slices": folder / "slices.tsv",
        "split": cohort.split,
        "fold": FOLD,
        "generator": GENERATOR,
        "preprocess": cohort.preprocess,
        "root": cohort.root,
        "output": inserted / f"{GENERATOR}.h5",
        "published": inserted / f"{GENERATOR}.published.h5",
        "skipped": inserted / f"{GENERATOR}.skipped.tsv",
    }


def run(arguments: dict[str, Any], **changes: Any) -> Path:
    insert.run(**arguments, settings=replace(SETTINGS, **changes), provenance=MADE_BY)
    return Path(arguments["output"])


def rewrite(cohort: SmallCohort, *, lung: int, diameter_mm: float | None = None) -> None:
    """Write the preprocess files anew: every pixel of their lungs, and what the rows say."""
    for path in cohort.preprocess:
        ingest = cohort.root / "ingest" / path.name
        with SliceFile(ingest) as source, SliceWriter(path, MADE_BY, parent=ingest) as writer:
            for stack in source.stacks():
                slices, shape = stack.slices.copy(), source.images("hu", stack).shape
                if diameter_mm is not None:
                    slices["diameter_mm"] = diameter_mm
                writer.append(slices, lung=np.full(shape, lung, np.uint8))
