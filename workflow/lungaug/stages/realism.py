"""realism: what generated nodules are like beside real ones of held-out patients."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from lungaug.cohort import SLICE_COLUMNS, read_table, write_rows
from lungaug.crops import Crops, read_crops
from lungaug.errors import InputError
from lungaug.evaluation.realism.collect import (
    Changes,
    changes_of,
    inserted_nodules,
    real_nodules,
)
from lungaug.evaluation.realism.compare import (
    Copies,
    CopySettings,
    Features,
    RimSettings,
    Sets,
    change_rows,
    copies_of,
    diversity_rows,
    feature_rows,
    hu_rows,
    rim_rows,
)
from lungaug.evaluation.realism.features import texture_features
from lungaug.evaluation.realism.material import Cutter, Nodule, crops_of
from lungaug.evaluation.realism.memorisation import Pose, all_poses
from lungaug.evaluation.realism.rows import (
    COLUMNS,
    HELD_OUT,
    PUBLISHED,
    REAL,
    TISSUE,
    PowerSettings,
    Row,
    as_records,
)
from lungaug.imaging.contrast import ContrastSettings
from lungaug.imaging.crop import CropSettings
from lungaug.listing import RealSlices, SliceFiles
from lungaug.segmenters import factory
from lungaug.settings import setting
from lungaug.store import Provenance

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

PAIR_COLUMNS = (
    "patch",
    "roi",
    "distance",
    "absolute",
    "flip",
    "degrees",
    "copy",
    "roi_key",
    "roi_label",
)
TRAIN = "train"


@dataclass(frozen=True)
class Settings:
    """How many nodules are compared, and how."""

    seed: int = setting(0, "seed of everything that is drawn", minimum=0)
    contrast: ContrastSettings = setting(
        ContrastSettings, "HU window and equalisation; as the segmenter was trained with"
    )
    crop: CropSettings = setting(CropSettings, "how nodules are cut out; as rois.h5")
    n_nodules: int = setting(
        300, "most nodules of each set: training, held-out and inserted", minimum=2
    )
    min_diameter_mm: float = setting(
        3.0, "real nodules below this diameter on the slice in mm are left out; as rois", minimum=0
    )
    n_resamples: int = setting(1000, "bootstrap resamples of the patients", minimum=100)
    level: float = setting(
        0.95, "nominal coverage of the intervals", exclusiveMinimum=0.5, exclusiveMaximum=1
    )
    n_pairs: int = setting(300, "pairs of crops for MS-SSIM", minimum=1)
    view_px: Literal[64, 96, 128] = setting(
        64, "side of what the encoder sees of a nodule, in the slice's own pixels"
    )
    feather_px: int = setting(
        3, "widest feather of the insertion, px: beyond it nothing may change", minimum=0
    )
    copies: CopySettings = setting(CopySettings, "what counts as a copy")
    power: PowerSettings = setting(
        PowerSettings, "what the distances of HU must notice before a yes is written"
    )
    rim: RimSettings = setting(RimSettings, "the classifier that sees the rim only")
    inception_weights: str | None = setting(
        None, "file with a state dict of torchvision's Inception v3; null: no such KID"
    )


@dataclass(frozen=True)
class Material:
    """What is compared."""

    nodules: dict[str, list[Nodule]]
    changes: dict[str, Changes]
    patches: Crops
    rois: Crops


def run(
    *,
    fold: str,
    generator: str,
    rois: Path,
    patches: Path,
    inserted: Path,
    published: Path,
    slices: Path,
    preprocess: list[Path],
    model: Path,
    root: Path,
    output: Path,
    pairs: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Compare one generator's nodules with real ones; write the table and the closest pairs.

    Args:
        fold, generator: go into the table.
        rois: crops of training nodules.
        patches: the generator's.
        inserted, published: those patches in healthy slices, our way and theirs.
        slices: table of the fold's real slices.
        preprocess: files of the real slices.
        model: a segmenter trained without synthetic slices; its encoder is a feature space.
        root: folder that the tables' paths are relative to.
        output: the table, in long form.
        pairs: patches nearest to a training crop.
        settings: of this stage.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: a host that is not found, or a model without an encoder. Sets without a nodule
            are none: their rows have no numbers and say why.
    """
    variants = {TISSUE: inserted, PUBLISHED: published}
    material = read_material(variants, rois, patches, slices, preprocess, root, settings)
    for name, found in material.nodules.items():
        if not found:
            logger.warning("%s/%s: no nodule of the set '%s': no distance", fold, generator, name)
    sets = Sets.of(material.nodules, settings.n_resamples, seed=settings.seed)
    poses = all_poses(settings.copies.turns)
    copies = copies_of(
        material.patches,
        material.rois,
        material.nodules[HELD_OUT],
        poses,
        settings.copies.percentile,
    )
    rows = [
        *hu_rows(sets, settings.level, settings.power),
        *_feature_rows(sets, model, settings),
        *diversity_rows(material.patches, material.rois, settings.n_pairs, seed=settings.seed),
        *copies.rows(len(set(material.patches.patient) - {""})),
        *rim_rows(sets, settings.rim, settings.level, seed=settings.seed),
        *change_rows(material.changes),
    ]
    write_rows(output, COLUMNS, as_records(rows, generator, fold))
    write_pairs(pairs, copies, material.rois, poses, settings.copies.n_closest)
    log_gates(rows, generator, fold)


def read_material(
    variants: dict[str, Path],
    rois: Path,
    patches: Path,
    slices: Path,
    preprocess: list[Path],
    root: Path,
    settings: Settings,
) -> Material:
    """Everything that is compared; of the slices, the nodules alone are kept in memory."""
    table = read_table(slices, SLICE_COLUMNS)
    cutter = Cutter(settings.crop, settings.contrast, settings.view_px)
    nodules, changes = {}, {}
    with SliceFiles(root) as files:
        real = RealSlices(files, [files.name(path) for path in sorted(preprocess)])
        for i, (variant, path) in enumerate(variants.items()):
            name, rng = files.name(path), np.random.default_rng([settings.seed, 2 + i])
            nodules[variant] = inserted_nodules(files, name, cutter, settings.n_nodules, rng=rng)
            changes[variant] = changes_of(files, real, name, settings.feather_px)
        trains = table["role"] == TRAIN
        for i, (kind, rows) in enumerate({REAL: table[trains], HELD_OUT: table[~trains]}.items()):
            rng = np.random.default_rng([settings.seed, i])
            nodules[kind] = real_nodules(
                files, rows, cutter, settings.n_nodules, settings.min_diameter_mm, rng=rng
            )
    return Material(nodules, changes, read_crops(patches), read_crops(rois))


def write_pairs(
    path: Path, copies: Copies, rois: Crops, poses: Sequence[Pose], n_closest: int
) -> None:
    """Write the patches nearest to a training crop, relative to other crops; nearest first."""
    nearest = copies.patches
    order = np.argsort(nearest.relative, kind="stable")[:n_closest].tolist()
    rows = []
    for i in order:
        roi, pose = int(nearest.crop[i]), poses[int(nearest.pose[i])]
        distance, relative = float(nearest.distance[i]), float(nearest.relative[i])
        rows.append(
            {
                "patch": i,
                "roi": roi,
                "distance": "" if math.isnan(relative) else round(relative, 6),
                "absolute": round(distance, 6),
                "flip": "yes" if pose.flip else "no",
                "degrees": pose.degrees,
                "copy": _is_copy(relative, copies.threshold),
                "roi_key": rois.donor[roi],
                "roi_label": int(rois.label[roi]),
            }
        )
    write_rows(path, PAIR_COLUMNS, rows)


def _is_copy(relative: float, threshold: float) -> str:
    """'' where nothing can be told."""
    if math.isnan(relative) or math.isnan(threshold):
        return ""
    return "yes" if relative < threshold else "no"


def log_gates(rows: Sequence[Row], generator: str, fold: str) -> None:
    """One line: which distances lie within what real patients show."""
    told = [
        f"{row.metric} of {row.space} {row.value:.3f} ({row.within or 'not judged'})"
        for row in rows
        if row.variant == TISSUE and row.metric == "ks"
    ]
    logger.info("%s/%s: within what real patients show: %s", fold, generator, ", ".join(told))


def _feature_rows(sets: Sets, model: Path, settings: Settings) -> list[Row]:
    encoder = _encoder_of(model)

    from lungaug.evaluation.realism.encoder import encoder_features, inception_features

    def seen(nodules: Sequence[Nodule]) -> Features:
        return encoder_features(encoder, np.stack([nodule.view for nodule in nodules]))

    def texture(nodules: Sequence[Nodule]) -> Features:
        return texture_features(crops_of(nodules))

    rows = feature_rows(
        sets, "texture", texture, settings.level, needs_crop=True, with_frechet=True
    )
    rows += feature_rows(sets, "encoder", seen, settings.level, needs_crop=False)
    if settings.inception_weights is not None:
        weights = Path(settings.inception_weights)

        def pictured(nodules: Sequence[Nodule]) -> Features:
            return inception_features(weights, np.stack([c.hu for c in crops_of(nodules)]))

        rows += feature_rows(
            sets, "inception", pictured, settings.level, needs_crop=True, standardise=False
        )
    return rows


def _encoder_of(model: Path) -> Callable[[Tensor], list[Tensor]]:
    """Feature maps of views, (N, 1, S, S); where a network sees neighbours too, of the view thrice.

    Raises:
        InputError: the segmenter has no encoder that can be asked alone.
    """
    from torch import nn

    network = getattr(factory.load(model), "network", None)
    encoder = getattr(network, "encoder", None)
    if not isinstance(encoder, nn.Module) or isinstance(encoder, nn.ModuleList):
        raise InputError(
            f"{model}: a segmenter without an encoder that can be asked alone; accepted as the "
            "first of segmenters: unet, unetplusplus, deeplabv3, segformer"
        )
    channels = next(m.in_channels for m in encoder.modules() if isinstance(m, nn.Conv2d))

    def maps(batch: Tensor) -> list[Tensor]:
        found: list[Tensor] = encoder(batch.expand(-1, channels, -1, -1))
        return found

    return maps
