"""Rows of the realism table from nodules: distances, diversity, copies, rims, untouched pixels."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lungaug.crops import Crops
from lungaug.evaluation.realism.collect import Changes
from lungaug.evaluation.realism.distances import (
    frechet,
    kernel_distance,
    kolmogorov_smirnov,
    wasserstein,
)
from lungaug.evaluation.realism.diversity import intra_set_similarity
from lungaug.evaluation.realism.features import standardised
from lungaug.evaluation.realism.material import Nodule, as_crops, crops_of
from lungaug.evaluation.realism.memorisation import (
    Nearest,
    Pose,
    copy_rate,
    copy_threshold,
    nearest_training,
)
from lungaug.evaluation.realism.resampling import Group, Sample
from lungaug.evaluation.realism.rim import RimResult, Rings, rim_test, rings_of
from lungaug.evaluation.realism.rows import (
    HELD_OUT,
    PATCHES,
    POWER,
    REAL,
    Measure,
    PowerSettings,
    Row,
    judged,
    measured,
)
from lungaug.evaluation.statistics import ANY, MINIMUM_PATIENTS
from lungaug.settings import setting

Features = NDArray[np.float64]
Featurise = Callable[[Sequence[Nodule]], Features]

_HU_UNIT = "in HU"


@dataclass(frozen=True)
class RimSettings:
    """The classifier that sees the rim only."""

    n_repeats: int = setting(5, "cuts of the patients into halves", minimum=1)
    n_permutations: int = setting(
        200, "permutations of the labels that give the interval", minimum=20
    )


@dataclass(frozen=True)
class CopySettings:
    """What counts as a copy of a training nodule."""

    percentile: float = setting(
        5.0,
        "copies are nearer to a training nodule than so many percent of held-out real ones are",
        exclusiveMinimum=0,
        maximum=50,
    )
    turns: int = setting(
        24, "angles at which copies are looked for, with and without a flip", minimum=4, maximum=72
    )
    n_closest: int = setting(24, "closest pairs that are written", minimum=1)


@dataclass(frozen=True)
class Sets:
    """Nodules by set: the variants of the insertion, ``real`` (training) and ``held_out``."""

    nodules: dict[str, list[Nodule]]
    groups: dict[str, Group]
    seed: int

    @classmethod
    def of(cls, nodules: dict[str, list[Nodule]], n_resamples: int, *, seed: int) -> Sets:
        """Patients of each set resampled by a generator of its own: the real ones are resampled
        alike beside every generator."""
        groups = {
            name: Group.of(
                [nodule.owner for nodule in found],
                n_resamples,
                rng=np.random.default_rng([seed, *name.encode()]),
            )
            for name, found in nodules.items()
        }
        return cls(nodules, groups, seed)

    @property
    def variants(self) -> list[str]:
        return [name for name in self.nodules if name not in (REAL, HELD_OUT)]


def hu_rows(sets: Sets, level: float, power: PowerSettings = POWER) -> list[Row]:
    """KS and Wasserstein distance of pixels, of nodule means and of nodule SDs.

    Args:
        sets: of nodules.
        level: of the intervals.
        power: what the KS distance must be able to notice.
    """
    rows = []
    values = {name: [n.values for n in found] for name, found in sets.nodules.items()}
    spaces: dict[str, dict[str, Sample]] = {
        "pixels": {k: sets.groups[k].pooled(v) for k, v in values.items()},
        "mean": {k: sets.groups[k].sample([x.mean() for x in v]) for k, v in values.items()},
        "sd": {k: sets.groups[k].sample([x.std() for x in v]) for k, v in values.items()},
    }
    for space, samples in spaces.items():
        for measure in (
            Measure("ks", space, kolmogorov_smirnov, gate=True, bounds=(0.0, 1.0)),
            Measure("wasserstein", space, wasserstein, note=_HU_UNIT),
        ):
            rows += _rows_of(measure, samples, sets, level, power)
    return rows


def feature_rows(
    sets: Sets,
    space: str,
    featurise: Featurise,
    level: float,
    *,
    needs_crop: bool,
    with_frechet: bool = False,
    standardise: bool = True,
) -> list[Row]:
    """KID, and Frechet distance where asked for, in one feature space.

    Args:
        sets: of nodules.
        space: its name.
        featurise: from nodules to (N, D).
        level: of the intervals.
        needs_crop: nodules without a crop are left out, and counted in the note.
        with_frechet: for few features only.
        standardise: by mean and SD of all real nodules.
    """
    chosen = {
        name: np.array([not needs_crop or n.crop is not None for n in found], np.bool_)
        for name, found in sets.nodules.items()
    }
    kept = {
        k: [n for n, use in zip(v, chosen[k], strict=True) if use] for k, v in sets.nodules.items()
    }
    features = _together(kept, featurise)
    reference = np.concatenate([features[REAL], features[HELD_OUT]])
    if standardise and len(reference):
        features = {k: standardised(v, reference) for k, v in features.items()}
    samples = {k: sets.groups[k].take(chosen[k]).sample(v) for k, v in features.items()}
    lost = sum(int((~used).sum()) for used in chosen.values())
    note = f"{lost} nodules of all sets have no crop" if lost else ""
    measures = [Measure("kid", space, kernel_distance, bounds=ANY, note=note)]
    if with_frechet:
        measures.insert(0, Measure("frechet", space, frechet, note=note))
    return [row for measure in measures for row in _rows_of(measure, samples, sets, level)]


def diversity_rows(patches: Crops, rois: Crops, n_pairs: int, *, seed: int) -> list[Row]:
    """MS-SSIM within the patches, beside that within the training crops."""
    found = [
        intra_set_similarity(
            crops.hu, crops.patient.tolist(), n_pairs, rng=np.random.default_rng([seed, i])
        )
        for i, crops in enumerate((patches, rois))
    ]
    note = f"of at most {n_pairs} pairs, without interval: they share crops; real: training crops"
    rows = []
    for variant, crops, value in ((PATCHES, patches, found[0]), (REAL, rois, found[1])):
        missing = "no pair of different patients; " if math.isnan(value) else ""
        n_patients = len(set(crops.patient) - {""})
        real = found[1] if variant == PATCHES else math.nan
        rows.append(
            Row(
                variant,
                "ms_ssim",
                "patches",
                value,
                real_value=real,
                n=len(crops),
                n_patients=n_patients,
                note=missing + note,
            )
        )
    return rows


@dataclass(frozen=True)
class Copies:
    """Nearest training crops of patches and of held-out nodules, and what counts as a copy.

    Attributes:
        patches, held_out: what was looked up.
        n_patients: whose the held-out nodules are.
        threshold: relative distance below which one is a copy; NaN where there is none.
        percentile: of the held-out nodules, that the threshold is.
    """

    patches: Nearest
    held_out: Nearest
    n_patients: int
    threshold: float
    percentile: float

    def rows(self, n_patients: int) -> list[Row]:
        """Copy rate and median distance of patches of so many patients, beside those of held-out
        nodules."""
        found = {PATCHES: self.patches, REAL: self.held_out}
        how = (
            f"copies: relative distance below {self.threshold:.3f}, percentile "
            f"{self.percentile:g} of held-out nodules; no interval"
            if not math.isnan(self.threshold)
            else f"no value: nodules of {self.n_patients} held-out patients, {MINIMUM_PATIENTS} "
            "needed, or training crops of one patient only"
        )
        rates = {k: copy_rate(v, self.threshold) for k, v in found.items()}
        medians = {k: _median(v.relative) for k, v in found.items()}
        rows = []
        for metric, values, note in (
            ("copy_rate", rates, how),
            (
                "nearest_distance",
                medians,
                "median, relative to crops of other patients; real: held-out nodules; no interval",
            ),
        ):
            for variant, nearest in found.items():
                real = values[REAL] if variant == PATCHES else math.nan
                rows.append(
                    Row(
                        variant,
                        metric,
                        "patches",
                        values[variant],
                        real_value=real,
                        n=len(nearest.distance),
                        n_patients=n_patients if variant == PATCHES else self.n_patients,
                        n_held_out=len(self.held_out.distance),
                        note=note,
                    )
                )
        return rows


def copies_of(
    patches: Crops,
    rois: Crops,
    held_out: Sequence[Nodule],
    poses: Sequence[Pose],
    percentile: float,
) -> Copies:
    """Look up patches and held-out nodules in the training crops."""
    generated = as_crops(patches)
    everything = [*generated, *crops_of(held_out)]
    both = nearest_training(everything, as_crops(rois), rois.patient.tolist(), poses)
    n = len(generated)
    first, second = both.take(slice(n)), both.take(slice(n, None))
    n_patients = len({nodule.patient for nodule in held_out if nodule.crop is not None})
    threshold = copy_threshold(second, percentile, n_patients)
    return Copies(first, second, n_patients, threshold, percentile)


def rim_rows(sets: Sets, settings: RimSettings, level: float, *, seed: int) -> list[Row]:
    """AUC of the rim test: of all nodules, and of those that lie free of walls and vessels."""
    rows = []
    rings = {name: rings_of(found) for name, found in sets.nodules.items()}
    for space, chosen in (
        ("ring", rings),
        ("ring_free", {name: r.freely_lying() for name, r in rings.items()}),
    ):
        real = _joined(chosen[REAL], chosen[HELD_OUT])
        yardstick = _auc(chosen[REAL], chosen[HELD_OUT], settings, level, seed)
        for variant in sets.variants:
            result = _auc(real, chosen[variant], settings, level, seed)
            row = _rim_row(variant, space, result, chosen[variant])
            rows.append(_beside(row, yardstick, len(chosen[HELD_OUT])))
        row = _rim_row(REAL, space, yardstick, chosen[REAL])
        rows.append(dataclasses.replace(row, n_held_out=len(chosen[HELD_OUT])))
    return rows


def change_rows(changes: dict[str, Changes]) -> list[Row]:
    """Pixels changed outside masks and feathers, by variant."""
    return [
        Row(
            variant,
            "changed_outside",
            "slices",
            float(found.n_pixels) if found.n_slices else math.nan,
            n=found.n_slices,
            n_patients=found.n_patients,
            note="pixels beyond mask and feather that differ from the host, all slices; a count"
            if found.n_slices
            else "no value: nothing was inserted",
        )
        for variant, found in changes.items()
    ]


def _rows_of(
    measure: Measure,
    samples: dict[str, Sample],
    sets: Sets,
    level: float,
    power: PowerSettings = POWER,
) -> list[Row]:
    generated = {name: samples[name] for name in sets.variants}
    sizes = {name: len(found) for name, found in sets.nodules.items()}
    real, held_out = samples[REAL], samples[HELD_OUT]
    return measured(measure, generated, real, held_out, sizes, level, seed=sets.seed, power=power)


def _together(kept: dict[str, list[Nodule]], featurise: Featurise) -> dict[str, Features]:
    """Features of all sets in one call."""
    everything = [nodule for found in kept.values() for nodule in found]
    if not everything:
        return {name: np.empty((0, 1)) for name in kept}
    ends = np.cumsum([len(found) for found in kept.values()])[:-1]
    return dict(zip(kept, np.split(featurise(everything), ends), strict=True))


def _auc(first: Rings, second: Rings, settings: RimSettings, level: float, seed: int) -> RimResult:
    return rim_test(
        first,
        second,
        rng=np.random.default_rng([seed, 1]),
        n_repeats=settings.n_repeats,
        n_permutations=settings.n_permutations,
        level=level,
    )


def _rim_row(variant: str, space: str, found: RimResult, rings: Rings) -> Row:
    notes = [
        "interval: of labels permuted by patient; real: training against held-out patients; "
        f"{found.n_tested} judgements in all cuts together"
    ]
    if math.isnan(found.auc):
        notes.append("no value: too few patients whose nodules can be kept apart")
    elif math.isnan(found.interval.low):
        notes.append(f"no interval: fewer than {MINIMUM_PATIENTS} patients on one side")
    return Row(
        variant,
        "rim_auc",
        space,
        found.auc,
        found.interval.low,
        found.interval.high,
        n=len(rings),
        n_patients=len(set(rings.group)),
        note="; ".join(notes),
    )


def _beside(row: Row, real: RimResult, n_held_out: int) -> Row:
    """An insertion's row beside the yardstick, judged by its own interval."""
    return dataclasses.replace(
        row,
        real_value=real.auc,
        real_low=real.interval.low,
        real_high=real.interval.high,
        n_held_out=n_held_out,
        within=judged(row.value, row.high),
    )


def _joined(first: Rings, second: Rings) -> Rings:
    return Rings(
        np.concatenate([first.features, second.features]),
        [*first.patients, *second.patients],
        [*first.group, *second.group],
        np.concatenate([first.free, second.free]),
    )


def _median(values: NDArray[np.float64]) -> float:
    known = values[np.isfinite(values)]
    return float(np.median(known)) if len(known) else math.nan
