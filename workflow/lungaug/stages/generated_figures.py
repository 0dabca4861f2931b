"""generated_figures: pictures and plots of generated nodules, one PNG each, always all of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungaug.cohort import read_table, write_rows
from lungaug.crops import Crops, read_crops
from lungaug.errors import SettingError
from lungaug.figures.generated import (
    InsertedExample,
    ShownCrop,
    ShownSlice,
    inserted_figure,
    pairs_figure,
    posed,
    samples_figure,
)
from lungaug.figures.generated_charts import generator_curves, realism_figure
from lungaug.figures.generated_selection import (
    alike,
    closest,
    counterpart,
    evenly,
    examples_of,
    generator_of,
    inserted_rows,
    real_like,
)
from lungaug.figures.style import save
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile

logger = logging.getLogger(__name__)

NAMES = ("generated", "inserted", "closest_pairs", "realism", "generator_curves")
REAL_CROPS = "real crops"


@dataclass(frozen=True)
class Settings:
    """What the figures show."""

    n_samples: int = setting(8, "crops a row", minimum=1, maximum=16)
    n_inserted: int = setting(2, "inserted nodules a generator", minimum=1, maximum=4)
    n_pairs: int = setting(4, "closest pairs a generator", minimum=1, maximum=8)
    low_hu: int = setting(-1000, "HU shown as black", minimum=-4096, maximum=4096)
    high_hu: int = setting(400, "HU shown as white", minimum=-4096, maximum=4096)

    def __post_init__(self) -> None:
        if self.low_hu >= self.high_hu:
            raise SettingError(
                f"low_hu: got {self.low_hu}; accepted: below high_hu, which is {self.high_hu}"
            )

    @property
    def window_hu(self) -> tuple[int, int]:
        return self.low_hu, self.high_hu


@dataclass(frozen=True)
class Files:
    """Files of one fold: one for each generator, and those that all share."""

    fold: str
    root: Path
    rois: Path | None
    slices: Path | None
    patches: dict[str, Path]
    inserted: dict[str, Path]
    published: dict[str, Path]
    pairs: dict[str, Path]


def run(
    *,
    root: Path,
    rois: list[Path],
    patches: list[Path],
    inserted: list[Path],
    published: list[Path],
    pairs: list[Path],
    slices: list[Path],
    preprocess: list[Path],
    realism: Path,
    history: list[Path],
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write every figure of ``NAMES`` and ``generated_notes.tsv``, which says what each shows.

    Pictures show the first fold, plots all of them.

    Args:
        root: ``results/<cohort>``, where the paths in ``slices.tsv`` start.
        rois, slices: ``rois.h5`` and ``slices.tsv`` of every fold.
        patches, history: of every generator, ``<fold>/generators/<generator>/``.
        inserted, published: ``<fold>/inserted/<generator>.h5`` and ``<generator>.published.h5``.
        pairs: ``<fold>/realism/<generator>.pairs.tsv``.
        preprocess: unused; the files that ``slices`` names.
        realism: ``tables/realism.tsv``.
        output: a folder.
        settings: of the figures.
        provenance: unused; a picture carries no attributes.
    """
    fold = min((generator_of(p)[0] for p in [*patches, *inserted]), default="")
    files = Files(
        fold,
        root,
        _of_fold(rois, fold),
        _of_fold(slices, fold),
        *(_by_generator(paths, fold) for paths in (patches, inserted, published, pairs)),
    )
    words = f"Fold {fold}; HU {settings.low_hu} to {settings.high_hu}." if fold else ""
    drawn = {
        "generated": (_samples(files, settings), words),
        "inserted": (_inserted(files, settings), words),
        "closest_pairs": (_pairs(files, settings), words),
        "realism": (realism_figure(read_table(realism, ("variant", "ratio"))), ""),
        "generator_curves": (generator_curves(_histories(history)), ""),
    }
    for name in NAMES:
        save(drawn[name][0], output / f"{name}.png")
    notes = [{"figure": name, "note": drawn[name][1]} for name in NAMES]
    write_rows(output / "generated_notes.tsv", ("figure", "note"), notes)
    logger.info("%d figures of %d generators", len(NAMES), len(files.patches))


def _of_fold(paths: Iterable[Path], fold: str) -> Path | None:
    return next((path for path in paths if path.parent.name == fold), None)


def _by_generator(paths: Iterable[Path], fold: str) -> dict[str, Path]:
    told = sorted((generator_of(path), path) for path in paths)
    return {generator: path for (of_fold, generator), path in told if of_fold == fold}


def _samples(files: Files, settings: Settings) -> Figure:
    """Rows of crops; in every column the one nearest in size to the real crop at its top."""
    rows: dict[str, list[ShownCrop]] = {}
    sets = {g: read_crops(path) for g, path in files.patches.items()}
    if sets and files.rois is not None:
        sets = {REAL_CROPS: read_crops(files.rois), **sets}
    sizes = evenly(next(iter(sets.values())).diameter_mm, settings.n_samples) if sets else []
    for name, crops in sets.items():
        rows[name] = [_crop(crops, i) for i in alike(sizes, crops.diameter_mm)]
    return samples_figure(rows, settings.window_hu)


def _crop(crops: Crops, i: int, before: str = "", after: str = "") -> ShownCrop:
    words = after or str(crops.kind[i]).replace("_", " ")
    title = f"{before} {crops.diameter_mm[i]:.1f} mm, {words}".strip()
    return ShownCrop(title, crops.hu[i], crops.mask[i])


def _pairs(files: Files, settings: Settings) -> Figure:
    if files.rois is None:
        return pairs_figure({}, settings.window_hu)
    real = read_crops(files.rois)
    rows = {}
    for generator, path in files.pairs.items():
        if generator in files.patches:
            made = read_crops(files.patches[generator])
            table = read_table(path, ("patch", "roi", "distance"))
            chosen = closest(table, settings.n_pairs)
            rows[generator] = [_pair(made, real, row) for row in chosen]
    return pairs_figure({name: pairs for name, pairs in rows.items() if pairs}, settings.window_hu)


def _pair(made: Crops, real: Crops, row: dict[str, Any]) -> tuple[ShownCrop, ShownCrop]:
    """A patch and its training crop, the latter in the pose in which they are nearest."""
    patch = _crop(made, int(row["patch"]), after=f"distance {row['distance']:.2f}")
    roi = _crop(real, int(row["roi"]), "training")
    degrees = float(row.get("degrees", 0.0))
    return patch, posed(roi, row.get("flip") == "yes", degrees)


def _inserted(files: Files, settings: Settings) -> Figure:
    rows = {}
    table = pd.DataFrame() if files.slices is None else read_table(files.slices)
    for generator, path in files.inserted.items():
        chosen = examples_of(inserted_rows(path), settings.n_inserted)
        real = real_like(table, [r["diameter_mm"] for r in chosen]) if len(table) else []
        theirs = files.published.get(generator)
        pasted = inserted_rows(theirs) if theirs else None
        rows[generator] = [
            InsertedExample(
                _slice(files.root / beside["file"], beside, "real"),
                _slice(Path(row["path"]), row, "inserted"),
                _published(row, pasted),
            )
            for row, beside in zip(chosen, real, strict=False)
        ]
    return inserted_figure(rows, settings.window_hu)


def _published(row: dict[str, Any], pasted: pd.DataFrame | None) -> ShownSlice | None:
    found = None if pasted is None else counterpart(row, pasted)
    return None if found is None else _slice(Path(found["path"]), found, "published paste")


def _slice(path: Path, row: dict[str, Any], words: str) -> ShownSlice:
    with SliceFile(path) as file:
        hu, nodule = (file.image(n, str(row["group"]), int(row["row"])) for n in ("hu", "nodule"))
    size = row["diameter_mm"]
    title = f"{words}, {size:.1f} mm" if np.isfinite(size) else words
    return ShownSlice(title, hu, _largest(nodule))


def _largest(nodule: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The nodule with most pixels; of an empty slice the middle pixel, for something to show."""
    counts = np.bincount(nodule[nodule > 0], minlength=2)
    if counts.any():
        return np.asarray(nodule == counts.argmax())
    middle = np.zeros(nodule.shape, bool)
    middle[nodule.shape[0] // 2, nodule.shape[1] // 2] = True
    return middle


def _histories(paths: Iterable[Path]) -> pd.DataFrame:
    tables = []
    for path in sorted(paths):
        fold, generator = generator_of(path)
        tables.append(read_table(path, ("phase", "step")).assign(fold=fold, generator=generator))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()
