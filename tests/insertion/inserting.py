"""A small cohort with crops and patches, and a run of the stage on it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from insertion.scene import crops_of, patch
from lungaug.cohort import SLICE_COLUMNS, write_table
from lungaug.crops import Crops, write_crops
from lungaug.insertion.hosts import HostSettings
from lungaug.listing import SliceFiles
from lungaug.stages import insert
from lungaug.store import SliceFile, SliceWriter
from small_cohort import MADE_BY, SmallCohort

FOLD = "fixed"
GENERATOR = "copypaste"
DONOR = "p0/s0/0002"
ANY_HOST = HostSettings(distance_mm=0)
SETTINGS = insert.Settings(hosts=ANY_HOST, compare_published=3)


def patches(n: int = 5, **changes: Any) -> Crops:
    made = [patch(3.0 + 0.4 * i, index=i, **changes) for i in range(n)]
    return crops_of(made, origin=f"generated:{GENERATOR}")


def write_inputs(cohort: SmallCohort, made: Crops | None = None) -> dict[str, Any]:
    """The arguments of the stage; its inputs are written below the cohort's root."""
    folder = cohort.root / FOLD
    rois = crops_of([patch(4.0)], donor=DONOR, label=1, origin="cut:scaled")
    write_crops(folder / "rois.h5", rois, MADE_BY)
    patches_file = folder / "generators" / GENERATOR / "patches.h5"
    write_crops(patches_file, patches() if made is None else made, MADE_BY)
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
