"""Fit one generator to the nodule crops of a fold's training patients.

Bad input is found before torch is imported, which takes ten seconds.
"""

from __future__ import annotations

import hashlib
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lungaug.cohort import write_rows
from lungaug.crops import CUT, Crops, read_crops
from lungaug.errors import InputError
from lungaug.evaluation.audit_outcome import check_audit
from lungaug.evaluation.seen import slice_file_digests
from lungaug.generators import factory
from lungaug.generators.all_settings import GeneratorsSettings
from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.dcgan_settings import DcganSettings
from lungaug.generators.gaussian_settings import GaussianSettings
from lungaug.generators.vqvae_settings import VqvaeSettings
from lungaug.settings import setting
from lungaug.store import Provenance, SliceFile
from lungaug.training.cost import Training, cost_of, write_cost

if TYPE_CHECKING:
    from lungaug.generators.protocol import Generator

logger = logging.getLogger(__name__)

SHEET_WINDOW = (-1000.0, 400.0)
_ON_SHEET = 64  # crops and samples on the sheets that every generator has


@dataclass(frozen=True)
class Settings:
    """How each generator is built and fitted."""

    seed: int = setting(0, "seed of everything that is drawn", minimum=0)
    torch_threads: int = setting(
        1,
        "threads of one fit; results repeat to the bit at the same number on one processor",
        minimum=1,
    )
    vqvae: VqvaeSettings = setting(VqvaeSettings, "codes, and a prior over them")
    dcgan: DcganSettings = setting(DcganSettings, "two networks that compete")
    copypaste: CopypasteSettings = setting(CopypasteSettings, "real nodules, turned and scaled")
    gaussian: GaussianSettings = setting(GaussianSettings, "an ellipsoid with texture")

    def generators(self) -> GeneratorsSettings:
        """Those that the factory takes."""
        return GeneratorsSettings(self.vqvae, self.dcgan, self.copypaste, self.gaussian)


def run(
    *,
    rois: Path,
    audit: Path,
    generator: str,
    device: str,
    model: Path,
    history: Path,
    sheets: Path,
    cost: Path,
    checkpoint: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Fit, then write the model, its history, its sample sheets and what it cost.

    Args:
        rois: crops of training patients' nodules, ``<fold>/rois.h5``.
        audit: outcome of the leakage audit.
        generator: name.
        device: auto, cpu or cuda.
        model, history: what is written.
        sheets: folder; ``real.png`` and ``final.png``, and what the generator draws as it learns.
        cost: what is written of time and memory; the arm of its row is ``generator``.
        checkpoint: written while fitting, removed at the end.
        settings: of this stage.
        provenance: a checkpoint of another one is not used.

    Raises:
        SettingError: unknown generator or device.
        LeakageError: the audit failed, is of another fold, or saw other crops.
        InputError: no crops, or some that are none of real nodules.
    """
    start = time.perf_counter()
    factory.check_name(generator)
    fold, results = rois.parent.name, rois.parents[1]
    check_audit(audit, fold, slice_file_digests([f"{fold}/{rois.name}"], results))
    crops = read_crops(rois)
    check_crops(crops, rois)

    from lungaug.generators.loop import effort_of, make_mixed_fabric
    from lungaug.generators.protocol import FitRun
    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.devices import reproducible

    fabric = make_mixed_fabric(device)
    digest = digest_of(rois)
    saved = Checkpoint(checkpoint, identity_of(generator, digest, provenance))
    name = f"{fold}/{generator}"
    logger.info("%s: %d crops on %s", name, len(crops), fabric.device)
    fitted = factory.build(generator, settings.generators())
    with reproducible(settings.torch_threads, fabric):
        fit_run = FitRun(name, settings.seed, fabric, saved, sheets)
        rows = fitted.fit(crops, fit_run)
        draw_sheets(sheets, crops, fitted, settings.seed)
        write_history(history, rows)
        factory.save(model, generator, fitted, digest)
    training = Training(fold, "generator", generator, 0)
    effort = effort_of(fit_run)
    write_cost(cost, cost_of(training, effort, fabric, time.perf_counter() - start))
    saved.remove()


def check_crops(crops: Crops, rois: Path) -> None:
    """Nothing, for real nodules.

    Raises:
        InputError: a crop that a generator made, or one without a nodule.
    """
    for wrong, what in (
        (~np.char.startswith(crops.origin, f"{CUT}:"), "is not cut from a real slice"),
        (~crops.mask.any((1, 2)), "has no nodule"),
    ):
        if wrong.any():
            row = int(np.flatnonzero(wrong)[0])
            raise InputError(
                f"{rois}: crop {row} ({crops.origin[row]} {crops.donor[row]}) {what}; "
                "accepted: crops that stage rois wrote"
            )


def digest_of(rois: Path) -> str:
    """Content digest of a file of crops."""
    with SliceFile(rois) as file:
        return file.content_digest


def identity_of(generator: str, crops: str, provenance: Provenance) -> str:
    """Digest of all that decides a fit: settings (the seed is one), code, generator and crops."""
    parts = [provenance.stage, provenance.settings, provenance.code, crops]
    return hashlib.sha256(json.dumps([generator, *parts]).encode()).hexdigest()


def draw_sheets(folder: Path, crops: Crops, generator: Generator, seed: int) -> None:
    """Write ``real.png``, crops drawn at random, and ``final.png``, samples of their conditions."""
    from lungaug.generators.sheets import write_sheet

    rng = np.random.default_rng(seed)
    shown = crops.take(np.sort(rng.permutation(len(crops))[:_ON_SHEET]))
    real = shown.hu.astype(np.float32), shown.mask.astype(np.float32)
    write_sheet(folder / "real.png", *real, SHEET_WINDOW)
    samples = generator.sample(shown, seed=seed)
    write_sheet(folder / "final.png", samples.hu, samples.mask, SHEET_WINDOW)


def write_history(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write ``history.tsv``: the columns of all phases in their order, ``note`` last."""
    names = dict.fromkeys(name for row in rows for name in row)
    names = {**dict.fromkeys(("phase", "step", "epoch")), **names}
    columns = [*(name for name in names if name != "note"), "note"]
    write_rows(path, columns, [{k: _text(v) for k, v in row.items()} for row in rows])


def _text(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
