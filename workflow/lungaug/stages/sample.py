"""Sample new nodules from a generator, and keep those whose mask can be one.

Every crop that is wanted has a training crop whose type, class and diameter it is asked for, so
that rejection changes how often the generator is asked, not what the nodules are like. A nodule
keeps the diameter that was asked for, to which its insertion stretches the mask: how large nodules
are is decided by the training crops, and not by a generator that draws all of them too small.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import write_rows
from lungaug.crops import (
    GENERATED,
    NODULE_TYPES,
    ROIS,
    Conditions,
    Crops,
    equivalent_diameter_mm,
    read_crops,
    write_crops,
)
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.imaging.copied_crop import as_stored
from lungaug.insertion.quality import (
    QualitySettings,
    count_reasons,
    reject_reason,
)
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile, StorageSettings

if TYPE_CHECKING:
    from lungaug.generators.protocol import Generator, Samples

logger = logging.getLogger(__name__)

REJECTED_COLUMNS = ("reason", "n", "round")
OTHER_SIZE = "not of the asked size"


@dataclass(frozen=True)
class Settings:
    """How many nodules are sampled, which, and what they must be."""

    seed: int = setting(0, "seed of everything drawn", minimum=0)
    storage: StorageSettings = setting(StorageSettings, "how the patches are compressed")
    n: int | None = setting(None, "nodules to sample; null: per_crop of all crops", minimum=1)
    per_crop: float = setting(1.0, "nodules for each crop of rois.h5", exclusiveMinimum=0)
    jitter: float = setting(
        0.1, "largest change of a diameter, as a share of it", minimum=0, maximum=0.25
    )
    kind: Literal["solid", "part_solid", "ground_glass"] | None = setting(
        None, "only this nodule type"
    )
    lung_rads: str | None = setting(None, "only this Lung-RADS class, such as LR3")
    diameter_mm: tuple[float, float] | None = setting(
        None, "only diameters from the first to the second, mm"
    )
    oversample: float = setting(
        1.0, "samples drawn a round, as a multiple of those still wanted", minimum=1
    )
    max_rounds: int = setting(
        20, "rounds after which fewer nodules than wanted are enough", minimum=1
    )
    torch_threads: int = setting(
        1, "threads; samples repeat to the bit at the same number on one processor", minimum=1
    )
    quality: QualitySettings = setting(QualitySettings, "which masks are rejected")
    diameter_factor: float = setting(
        2.0,
        "largest ratio of the asked diameter and the mask's own, either way; beyond it is rejected",
        exclusiveMinimum=1,
    )

    def __post_init__(self) -> None:
        if self.kind is not None and self.kind not in NODULE_TYPES:
            raise SettingError(f"kind: got '{self.kind}'; accepted: {', '.join(NODULE_TYPES)}")
        if self.diameter_mm is not None and self.diameter_mm[0] > self.diameter_mm[1]:
            raise SettingError(
                f"diameter_mm: got {list(self.diameter_mm)}; accepted: smallest, largest"
            )


@dataclass(frozen=True)
class Wanted:
    """What is to be sampled: for each nodule the training crop whose conditions it gets.

    Attributes:
        crops: training crops.
        rows: (n,), of the crops.
        diameter_mm: smallest and largest that is asked for.
    """

    crops: Crops
    rows: NDArray[np.intp]
    diameter_mm: tuple[float, float]

    def conditions(
        self, slots: NDArray[np.intp], jitter: float, *, rng: np.random.Generator
    ) -> Conditions:
        """Of some of the wanted nodules, their diameters changed anew."""
        rows = self.rows[slots]
        change = 1 + jitter * rng.uniform(-1, 1, len(rows))
        diameter = np.clip(self.crops.diameter_mm[rows] * change, *self.diameter_mm)
        kind, lung_rads = self.crops.kind[rows], self.crops.lung_rads[rows]
        return Conditions(diameter.astype(np.float32), kind, lung_rads)


@dataclass(frozen=True)
class Patch:
    """One accepted nodule, its pixels (S, S)."""

    hu: NDArray[np.int16]
    mask: NDArray[np.bool_]
    diameter_mm: float  # that was asked for; the mask's own may be another
    donor: str
    label: int
    pose: str


@dataclass(frozen=True)
class Outcome:
    """What the rounds gave: patches by their place among the wanted, and rejections."""

    patches: dict[int, Patch]
    rejected: list[dict[str, Any]]


def run(
    *,
    model: Path,
    rois: Path,
    generator: str,
    device: str,
    output: Path,
    rejected: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write the accepted nodules, and how many were rejected why.

    Args:
        model: of a generator that was fitted to ``rois``.
        rois: crops of training patients.
        generator: name of the generator that the model must be of.
        device: auto, cpu or cuda.
        output: patches to write, a file of crops.
        rejected: table to write, one row a reason and round.
        settings: of this stage.
        provenance: stored in the patches.

    Raises:
        FileFormatError: the model was fitted to other crops than ``rois``, whose patients may be
            held out here.
        LeakageError: the model keeps crops that are not those of ``rois``, whatever it says.
        InputError: the model is of another generator, no crop passes the filters, or nothing that
            was sampled is accepted.
    """
    with SliceFile(rois) as file:
        digest = file.content_digest
    crops = read_crops(rois)
    wanted = choose(crops, settings)

    from lungaug.generators import factory
    from lungaug.training.devices import make_fabric, reproducible

    fabric = make_fabric(device)
    loaded = factory.load(model)
    if loaded.name != generator:
        raise InputError(f"{model}: a model of '{loaded.name}'; accepted: '{generator}'")
    if loaded.rois != digest:
        raise FileFormatError(
            f"{model}: fitted to other crops ({loaded.rois[:12]}) than those of {rois} "
            f"({digest[:12]}); {factory.remedy(model)}"
        )
    check_kept(loaded.generator, crops, model, rois)
    loaded.generator.to(fabric.device)
    with reproducible(settings.torch_threads, fabric):
        outcome = sample_all(loaded.generator, wanted, settings)
    report(outcome, wanted, generator, settings)
    write_rows(rejected, REJECTED_COLUMNS, outcome.rejected)
    patches = as_crops(outcome, wanted, f"{GENERATED}:{generator}")
    write_crops(output, patches, provenance, settings.storage, sources={ROIS: digest})


def check_kept(generator: Generator, crops: Crops, model: Path, rois: Path) -> None:
    """Raise LeakageError if a generator keeps crops, to copy them, that are not those of a file.

    The digest in a model says to which crops it was fitted; here the crops themselves are compared,
    pixels and donors, since both might have been written by hand.

    Args:
        generator: as it was loaded.
        crops: of the fold's training patients.
        model, rois: where both were read, for the message.
    """
    kept = getattr(generator, "crops", None)
    if not isinstance(kept, Crops):
        return
    names = (field.name for field in fields(Crops))
    others = [n for n in names if not _equal(getattr(kept, n), getattr(crops, n))]
    if others:
        raise LeakageError(
            f"{model}: keeps other crops than those of {rois} ({', '.join(others)} differ), though "
            f"it says otherwise; they may be of held-out patients; {_remedy(model)}"
        )


def _remedy(model: Path) -> str:
    from lungaug.generators import factory

    return factory.remedy(model)


def _equal(one: NDArray[Any], other: NDArray[Any]) -> bool:
    # Unknown spacings are equal too.
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f" == other.dtype.kind)


def choose(crops: Crops, settings: Settings) -> Wanted:
    """Conditions for all wanted nodules: each crop that passes the filters as often as any other.

    Crops smaller than the smallest nodule that is accepted are left out: what is as small as they
    would be rejected every time.

    Raises:
        InputError: none passes.
    """
    large_enough = np.count_nonzero(crops.mask, axis=(1, 2)) >= settings.quality.min_px
    passes = large_enough & np.isfinite(crops.diameter_mm)
    for name in ("kind", "lung_rads"):
        only = getattr(settings, name)
        passes &= (getattr(crops, name) == only) | (only is None)
    low, high = settings.diameter_mm or (0.0, math.inf)
    passes &= (crops.diameter_mm >= low) & (crops.diameter_mm <= high)
    rows = np.flatnonzero(passes)
    if not len(rows):
        raise InputError(
            f"sample: none of {len(crops)} training crops has kind {settings.kind or 'any'}, "
            f"lung_rads {settings.lung_rads or 'any'}, a diameter_mm of {low:g} to {high:g} and "
            f"{settings.quality.min_px} pixels; accepted: {_found(crops)}"
        )
    n = settings.n or max(1, round(len(crops) * settings.per_crop))
    rng = np.random.default_rng(settings.seed)
    rounds = [rng.permutation(rows) for _ in range(math.ceil(n / len(rows)))]
    seen = crops.diameter_mm[large_enough & np.isfinite(crops.diameter_mm)]
    bounds = max(float(seen.min()), low), min(float(seen.max()), high)
    return Wanted(crops, np.concatenate(rounds)[:n], bounds)


def _found(crops: Crops) -> str:
    """What there is: types with their classes and diameters, since not all of them go together."""
    found = []
    pairs = zip(crops.kind.tolist(), crops.lung_rads.tolist(), strict=True)
    for kind, lung_rads in sorted(set(pairs)):
        diameters = crops.diameter_mm[(crops.kind == kind) & (crops.lung_rads == lung_rads)]
        known = diameters[np.isfinite(diameters)]
        size = f"{known.min():.1f} to {known.max():.1f} mm" if len(known) else "size unknown"
        found.append(f"{kind} {lung_rads} {size}")
    return "; ".join(found)


def sample_all(fitted: Generator, wanted: Wanted, settings: Settings) -> Outcome:
    """Ask in rounds for what is still wanted, until there is nothing or the rounds are over."""
    outcome = Outcome({}, [])
    for number in range(settings.max_rounds):
        missing = np.array([i for i in range(len(wanted.rows)) if i not in outcome.patches])
        if not len(missing):
            break
        slots = np.resize(missing, math.ceil(len(missing) * settings.oversample))
        _one_round(fitted, wanted, slots, number, settings, outcome)
    return outcome


def _one_round(
    fitted: Generator,
    wanted: Wanted,
    slots: NDArray[np.intp],
    number: int,
    settings: Settings,
    outcome: Outcome,
) -> None:
    """Sample once for each of the slots, which may repeat; the first that is accepted is kept."""
    jitter_seed, seed = np.random.SeedSequence([settings.seed, number]).generate_state(2)
    rng = np.random.default_rng(jitter_seed)
    conditions = wanted.conditions(slots, settings.jitter, rng=rng)
    samples = fitted.sample(conditions, seed=int(seed))
    spacing_mm = wanted.crops.spacing_mm[wanted.rows[slots]]
    reasons = reasons_of(samples, conditions, spacing_mm, settings)
    for i, slot in enumerate(slots.tolist()):
        if reasons[i] is None and slot not in outcome.patches:
            outcome.patches[slot] = _patch(samples, i, float(conditions.diameter_mm[i]))
    counts = {**count_reasons(reasons), OTHER_SIZE: reasons.count(OTHER_SIZE)}
    rows = [{"reason": reason, "n": n, "round": number} for reason, n in counts.items() if n]
    outcome.rejected.extend(rows)


def reasons_of(
    samples: Samples,
    conditions: Conditions,
    spacing_mm: NDArray[np.float32],
    settings: Settings,
) -> list[str | None]:
    """Why each of (N,) samples is rejected; None where it is not.

    Args:
        samples: as the generator made them.
        conditions: that they were asked for.
        spacing_mm: (N, 2), of their pixels; where it is unknown, sizes are not compared.
        settings: what is accepted.
    """
    reasons = [
        reject_reason(mask, settings.quality, hu)
        for mask, hu in zip(samples.mask, samples.hu, strict=True)
    ]
    limit = math.log(settings.diameter_factor)
    for i, reason in enumerate(reasons):
        if reason is None:
            _, mask = as_stored(samples.hu[i], samples.mask[i])
            own_mm = equivalent_diameter_mm(mask, spacing_mm[i])
            if abs(math.log(own_mm / float(conditions.diameter_mm[i]))) > limit:
                reasons[i] = OTHER_SIZE
    return reasons


def _patch(samples: Samples, i: int, diameter_mm: float) -> Patch:
    hu, mask = as_stored(samples.hu[i], samples.mask[i])
    donor, label, pose = str(samples.donor[i]), int(samples.label[i]), str(samples.pose[i])
    return Patch(hu, mask, diameter_mm, donor, label, pose)


def report(outcome: Outcome, wanted: Wanted, generator: str, settings: Settings) -> None:
    """Log the counts, as a warning where nodules are missing.

    Raises:
        InputError: all are.
    """
    n, n_wanted = len(outcome.patches), len(wanted.rows)
    counts: dict[str, int] = {}
    for row in outcome.rejected:
        counts[row["reason"]] = counts.get(row["reason"], 0) + row["n"]
    told = ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "none"
    words = f"{generator}: {n} of {n_wanted} nodules accepted; rejected: {told}"
    if not n:
        raise InputError(
            f"{words}, after {settings.max_rounds} rounds; accepted: at least one nodule; train "
            "the generator for longer, or loosen sample.quality"
        )
    logger.log(logging.INFO if n == n_wanted else logging.WARNING, "%s", words)


def as_crops(outcome: Outcome, wanted: Wanted, origin: str) -> Crops:
    """The accepted nodules in the order in which they were wanted, of the asked diameters."""
    slots = sorted(outcome.patches)
    patches = [outcome.patches[slot] for slot in slots]
    asked = wanted.crops.take(wanted.rows[slots])
    donor = np.array([patch.donor for patch in patches])
    return Crops(
        diameter_mm=np.array([patch.diameter_mm for patch in patches], np.float32),
        kind=asked.kind,
        lung_rads=asked.lung_rads,
        hu=np.stack([patch.hu for patch in patches]),
        mask=np.stack([patch.mask for patch in patches]),
        patient=np.array([key.split("/")[0] for key in donor.tolist()]),
        donor=donor,
        label=np.array([patch.label for patch in patches], np.int64),
        pose=np.array([patch.pose for patch in patches]),
        spacing_mm=asked.spacing_mm,
        origin=np.full(len(patches), origin),
    )
