"""figures: pictures and plots of a finished run, one PNG each, always all of them."""

from __future__ import annotations

import dataclasses
import logging
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungaug.cohort import read_table, write_rows
from lungaug.evaluation.counts import predicted_mask
from lungaug.evaluation.scores import arm_order
from lungaug.evaluation.trainings import Training, read_histories, training_of
from lungaug.figures import selection
from lungaug.figures.charts import main_figure, positions_figure, training_curves
from lungaug.figures.pictures import (
    ExpandedSlice,
    OutlinedSlice,
    PredictedSlice,
    metalung_figure,
    overlays_figure,
    predictions_figure,
)
from lungaug.figures.selection import Choice, Place
from lungaug.figures.style import save
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile

logger = logging.getLogger(__name__)

NAMES = ("main", "predictions", "training_curves", "metalung", "positions", "overlays")


@dataclass(frozen=True)
class Settings:
    """What the figures show."""

    contrast: ContrastSettings = setting(ContrastSettings, "as the networks see the slices")
    n_overlays: int = setting(12, "patients in the overlays", minimum=1, maximum=100)
    n_arms: int = setting(6, "arms in the predictions, baselines first", minimum=1, maximum=6)
    n_positions: int = setting(
        3000, "slices before, and at most as many of the expansion, in the heat map", minimum=1
    )


def run(
    *,
    root: Path,
    slices: list[Path],
    preprocess: list[Path],
    expansions: list[Path],
    history: list[Path],
    predictions: list[Path],
    metrics: list[Path],
    scores: Path,
    comparisons: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write every figure of ``NAMES`` and ``notes.tsv``, which says what each one shows.

    Args:
        root: ``results/<cohort>``, where the paths in ``slices.tsv`` start.
        slices: ``slices.tsv`` of every fold.
        preprocess, expansions: slice files of real slices and of the operations.
        history, predictions, metrics: of every training.
        scores, comparisons: from the tables stage.
        output: a folder.
        settings: of the figures.
        provenance: unused; a picture carries no attributes.
    """
    drawn = {
        "main": _main(scores, comparisons),
        "predictions": _predictions(root, slices, predictions, metrics, settings),
        "training_curves": (training_curves(read_histories(history)), ""),
        "metalung": _metalung(preprocess, expansions, settings),
        "positions": _positions(root, slices, preprocess, expansions, settings.n_positions),
        "overlays": _overlays(preprocess, settings),
    }
    notes = []
    for name in NAMES:
        figure, words = drawn[name]
        save(figure, output / f"{name}.png")
        notes.append({"figure": name, "note": words})
    write_rows(output / "notes.tsv", ("figure", "note"), notes)
    logger.info("%d figures", len(NAMES))


def _main(scores: Path, comparisons: Path) -> tuple[Figure, str]:
    return main_figure(read_table(scores), read_table(comparisons)), ""


def _predictions(
    root: Path, slices: list[Path], paths: list[Path], metrics: list[Path], settings: Settings
) -> tuple[Figure, str]:
    """The segmenter with most trainings, its first seed, and at most ``n_arms`` arms."""
    trainings = {training_of(path): path for path in sorted(paths)}
    if not trainings:
        return predictions_figure([]), ""
    counts = Counter(training.segmenter for training in trainings)
    segmenter = min(counts, key=lambda name: (-counts[name], name))
    ours = {t: p for t, p in trainings.items() if t.segmenter == segmenter}
    everyone = arm_order(t.arm for t in ours)
    arms = everyone[: settings.n_arms]
    seed = min(t.seed for t in ours)
    tables = [read_table(p) for p in sorted(metrics)]
    rows = pd.concat([t[t["role"] == "test"] for t in tables]) if tables else pd.DataFrame()
    if len(rows):
        rows = rows[(rows["segmenter"] == segmenter) & rows["arm"].isin(arms)]
    where = _slice_places(root, slices)
    shown = {t: p for t, p in ours.items() if t.seed == seed and t.arm in arms}
    thresholds = _thresholds(rows)
    examples = [
        _predicted(choice, where[choice.key], shown, arms, thresholds, settings)
        for choice in selection.choose_predictions(rows)
    ]
    of_all = f" (of {len(everyone)})" if len(everyone) > len(arms) else ""
    words = f"Segmenter {segmenter}, seed {seed}; arms {', '.join(arms)}{of_all}."
    return predictions_figure(examples), words


def _thresholds(rows: pd.DataFrame) -> dict[Training, float]:
    """What each training's probability is cut at, as its metrics were."""
    if rows.empty:
        return {}
    first = rows.drop_duplicates(["fold", "segmenter", "arm", "seed"])
    return {
        Training(str(r["fold"]), str(r["segmenter"]), str(r["arm"]), int(r["seed"])): r["threshold"]
        for r in first.to_dict("records")
    }


def _slice_places(root: Path, slices: list[Path]) -> dict[str, Place]:
    """Where every validation and test slice lies."""
    found: dict[str, Place] = {}
    for path in slices:
        table = read_table(path, ("role", "file", "group", "row", "key"))
        found |= _real_places(root, table[table["role"] != "train"])
    return found


def _real_places(root: Path, table: pd.DataFrame) -> dict[str, Place]:
    records = table[["key", "file", "group", "row"]].to_dict("records")
    return {str(r["key"]): Place(root / r["file"], r["group"], int(r["row"])) for r in records}


def _predicted(
    choice: Choice,
    place: Place,
    trainings: dict[Training, Path],
    arms: list[str],
    thresholds: dict[Training, float],
    settings: Settings,
) -> PredictedSlice:
    hu, nodule = _images(place, "hu", "nodule")
    reference = nodule > 0
    probabilities, masks, scores = {}, {}, {}
    cuts: dict[str, float] = {}
    for arm in arms:
        found = [t for t in trainings if t.arm == arm and t.fold == choice.fold]
        probability = _probability([trainings[t] for t in found], choice.key)
        if probability is None:
            probability, mask = np.zeros(reference.shape), np.zeros(reference.shape, bool)
            scores[arm] = "no prediction"
        else:
            cuts[arm] = thresholds[found[0]]
            mask = predicted_mask(probability, cuts[arm])
            scores[arm] = _words(mask, reference)
        probabilities[arm], masks[arm] = probability, mask
    image = network_input(hu, settings.contrast)
    return PredictedSlice(choice.label, image, reference, probabilities, masks, cuts, scores)


def _probability(paths: list[Path], key: str) -> NDArray[Any] | None:
    found = selection.places(paths, {key})
    return _images(found[key], "probability")[0].astype(float) if key in found else None


def _words(predicted: NDArray[np.bool_], reference: NDArray[np.bool_]) -> str:
    if not reference.any():
        return f"{np.count_nonzero(predicted)} px false"
    total = np.count_nonzero(predicted) + np.count_nonzero(reference)
    return f"Dice {2 * np.count_nonzero(predicted & reference) / total:.2f}"


def _images(place: Place, *names: str) -> list[NDArray[Any]]:
    with SliceFile(place.path) as file:
        return [file.image(name, place.group, place.row) for name in names]


def _metalung(
    preprocess: list[Path], expansions: list[Path], settings: Settings
) -> tuple[Figure, str]:
    chosen = selection.choose_expansions(selection.expanded_rows(expansions))
    hosts = selection.places(preprocess, {host for _, host, _ in chosen})
    examples = []
    for operation, host, place in chosen:
        if host in hosts:
            before, after = _pair(hosts[host]), _pair(place)
            examples.append(ExpandedSlice(operation, before, after))
    window = settings.contrast.low_hu, settings.contrast.high_hu
    return metalung_figure(examples, window), ""


def _pair(place: Place) -> tuple[NDArray[Any], NDArray[Any]]:
    hu, nodule = _images(place, "hu", "nodule")
    return hu, nodule


def _positions(
    root: Path, slices: list[Path], preprocess: list[Path], expansions: list[Path], limit: int
) -> tuple[Figure, str]:
    """The training slices of the first fold, and their expansions."""
    if not slices:
        return positions_figure(np.empty((0, 2)), np.empty((0, 2))), ""
    table = read_table(sorted(slices)[0])
    training = table[(table["role"] == "train") & (table["n_nodule_px"] > 0)]
    fold = sorted(slices)[0].parent.name
    real = _real_places(root, selection.thinned(training, limit))
    rows = selection.expanded_rows(expansions)
    rows = selection.thinned(rows[rows["host"].isin(list(real))], limit)
    before = [p for place in real.values() for p in _centres(place, place)]
    after = list(before)
    for r in rows.to_dict("records"):
        after += _centres(Place(r["path"], r["group"], int(r["row"])), real[r["host"]])
    words = f"Training patients of fold {fold}: {len(real)} slices, {len(rows)} expanded ones."
    return positions_figure(_points(before), _points(after)), words


def _points(centres: list[tuple[float, float]]) -> NDArray[np.float64]:
    return np.array(centres, np.float64).reshape(-1, 2)


def _centres(nodule_at: Place, lung_at: Place) -> list[tuple[float, float]]:
    nodule, lung = _images(nodule_at, "nodule")[0], _images(lung_at, "lung")[0]
    return selection.nodule_positions(nodule, lung)


def _overlays(preprocess: list[Path], settings: Settings) -> tuple[Figure, str]:
    """A plain window, not the networks' equalised one: what a radiologist would look at."""
    plain = dataclasses.replace(settings.contrast, equalise=False, scale="window")
    examples = []
    for label, place in selection.choose_overlays(sorted(preprocess), settings.n_overlays):
        hu, nodule, lung = _images(place, "hu", "nodule", "lung")
        examples.append(OutlinedSlice(label, network_input(hu, plain), nodule, lung))
    words = f"HU {plain.low_hu} to {plain.high_hu}; {len(examples)} patients."
    return overlays_figure(examples), words
