"""Train one segmenter on one arm, choose its best step, and predict validation and test slices.

Bad input is found before torch is imported, which takes ten seconds.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lungaug.cohort import SLICE_COLUMNS, read_table
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.audit_outcome import check_audit
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.segmenters import factory
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.settings import setting
from lungaug.store import Provenance, SliceWriter, StorageSettings
from lungaug.training.history import write_history
from lungaug.training.settings import OnlineSettings, TrainingSettings

if TYPE_CHECKING:
    import pandas as pd

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.data import Door
    from lungaug.training.loop import Fit

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How segmenters are built and trained."""

    seed: int = setting(0, "seed of everything that is drawn", minimum=0)
    storage: StorageSettings = setting(StorageSettings, "compression of the slice files")
    contrast: ContrastSettings = setting(ContrastSettings, "HU window and equalisation")
    network: SegmenterSettings = setting(SegmenterSettings, "encoder and decoder")
    training: TrainingSettings = setting(TrainingSettings, "optimiser and choice of the best step")
    online: OnlineSettings = setting(OnlineSettings, "augmentation of arms with online")


@dataclass(frozen=True)
class Tables:
    """The rows of one training, by role."""

    train: pd.DataFrame
    validation: pd.DataFrame
    test: pd.DataFrame


@dataclass(frozen=True)
class Job:
    """One training."""

    name: str  # begins every line of the log
    tables: Tables
    root: Path
    segmenter: str
    seed_index: int
    online: bool
    settings: Settings

    def door(self) -> Door:
        """From HU to the network's input."""
        return functools.partial(network_input, settings=self.settings.contrast)


def run(
    *,
    arm: Path,
    slices: Path,
    audit: Path,
    root: Path,
    segmenter: str,
    seed_index: int,
    online: str,
    device: str,
    model: Path,
    history: Path,
    predictions: Path,
    checkpoint: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Train, then write the model, its history and its predictions.

    Args:
        arm: table of the training slices.
        slices: table of the fold's real slices: validation and test are taken from it.
        audit: outcome of the leakage audit.
        root: folder that the tables' paths are relative to.
        segmenter: name of the network.
        seed_index: which of an arm's trainings; equal ones have equal first weights in every arm.
        online: yes or no.
        device: auto, cpu or cuda.
        model, history, predictions: what is written, the last of validation and test slices.
        checkpoint: written while training, removed at the end.
        settings: of this stage.
        provenance: stored in the predictions; a checkpoint of another one is not used.

    Raises:
        SettingError: unknown segmenter, encoder or device.
        LeakageError: the audit failed, or a held-out patient is among the training slices.
        InputError: no nodule to learn from, or no validation patients to choose the best step on.
    """
    factory.check_name(segmenter)
    if online not in ("yes", "no"):
        raise SettingError(f"online: got {online!r}; accepted: yes, no")
    check_audit(audit)
    tables = read_tables(arm, slices)
    check_tables(tables, arm, settings.training)
    name = f"{slices.parent.name}/{arm.stem}/{segmenter}/seed{seed_index}"
    job = Job(name, tables, root, segmenter, seed_index, online == "yes", settings)

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.loop import make_fabric, reproducible

    fabric = make_fabric(device)
    saved = Checkpoint(checkpoint, identity_of(job, provenance))
    with reproducible(settings.training.torch_threads, fabric):
        fitted = train(job, fabric, saved)
        write_model(model, job, fitted)
        write_history(history, fitted.history, fitted.step)
        # Only now, with the kept step on disk, are test slices opened.
        write_predictions(predictions, job, fitted, fabric, provenance)
    saved.remove()


def read_tables(arm: Path, slices: Path) -> Tables:
    """The arm's training rows and the fold's held-out rows, each in the order of its keys."""
    training, real = read_table(arm, SLICE_COLUMNS), read_table(slices, SLICE_COLUMNS)
    held_out = real.sort_values(["group", "key"], kind="stable")
    return Tables(
        training[training["role"] == "train"].reset_index(drop=True),
        held_out[held_out["role"] == "validation"].reset_index(drop=True),
        held_out[held_out["role"] == "test"].reset_index(drop=True),
    )


def check_tables(tables: Tables, arm: Path, settings: TrainingSettings) -> None:
    """Nothing, for tables that a network can be trained on and judged by.

    Raises:
        InputError: no training nodule, or no validation slices though they choose the best step.
        LeakageError: a training slice has anything of a held-out patient.
    """
    import pandas as pd

    from lungaug.evaluation.audit import refuse_held_out

    n_slices, n_pixels = len(tables.train), int(tables.train["n_nodule_px"].sum())
    if n_pixels == 0:
        raise InputError(
            f"{arm}: {n_slices} training slices, none with a nodule: there is nothing to learn; "
            "add patients with nodules, or lower split's test patients a class"
        )
    if settings.select == "best" and tables.validation.empty:
        raise InputError(
            "no validation slices, which choose the best step; add patients, give split more "
            "validation patients, or set train_segmenter.training.select: last"
        )
    refuse_held_out(tables.train, pd.concat([tables.validation, tables.test]))


def identity_of(job: Job, provenance: Provenance) -> str:
    """Digest of all that decides the weights: settings, code, the tables and their pixels."""
    from lungaug.training.data import SliceRows

    used = [job.tables.train, job.tables.validation]
    parts = {
        "provenance": [provenance.stage, provenance.settings, provenance.code],
        "training": [job.segmenter, job.seed_index, job.online],
        "tables": [table.to_csv(sep="\t", index=False) for table in used],
        "files": [SliceRows(table, job.root).digests() for table in used],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def seeds_of(seed: int, seed_index: int) -> list[int]:
    """Seeds of weights, order and augmentation.

    Neither arm nor fold enters: arms are compared from the same weights.
    """
    return [int(s) for s in np.random.SeedSequence([seed, seed_index]).generate_state(3)]


def train(job: Job, fabric: Any, checkpoint: Checkpoint) -> Fit:
    """The fitted network of a job; its test rows are not touched."""
    from lungaug.training.checkpoint import seed_generators
    from lungaug.training.data import SliceRows, Slices
    from lungaug.training.loop import fit
    from lungaug.training.losses import LOSSES
    from lungaug.training.order import BatchOrder

    how = job.settings.training
    weight_seed, order_seed, online_seed = seeds_of(job.settings.seed, job.seed_index)
    rows = SliceRows(job.tables.train, job.root)
    training = Slices(
        rows,
        job.door(),
        cache_mb=how.cache_mb / max(1, how.workers),
        online=job.settings.online if job.online else None,
        seed=(online_seed,),
    )
    held_out = None
    if len(job.tables.validation):
        validation_rows = SliceRows(job.tables.validation, job.root)
        held_out = Slices(validation_rows, job.door(), cache_mb=how.cache_mb)
    order = BatchOrder(
        rows.groups, how.batch_size, order=how.order, classes=rows.classes, seed=(order_seed,)
    )
    seed_generators(weight_seed)
    network = factory.build(job.segmenter, job.settings.network, objective=LOSSES[how.loss])
    logger.info("%s: %d training slices on %s", job.name, len(rows), fabric.device)
    return fit(
        network,
        training,
        held_out,
        order,
        settings=how,
        fabric=fabric,
        checkpoint=checkpoint,
        name=job.name,
    )


def write_model(path: Path, job: Job, fitted: Fit) -> None:
    """Write ``model.pt``: what :func:`lungaug.segmenters.factory.load` reads."""
    from lungaug.training.checkpoint import save_tensors
    from lungaug.training.loop import weights_of

    description = factory.describe(job.segmenter, job.settings.network)
    save_tensors(path, {**description, "step": fitted.step, "weights": weights_of(fitted.module)})


def write_predictions(
    path: Path, job: Job, fitted: Fit, fabric: Any, provenance: Provenance
) -> None:
    """Write ``predictions.h5``: validation and test slices, sorted by patient, series, index."""
    import pandas as pd

    from lungaug.training.data import SliceRows, Slices
    from lungaug.training.inference import predict

    table = pd.concat([job.tables.validation, job.tables.test]).sort_values(["group", "key"])
    slices = Slices(SliceRows(table, job.root), job.door())
    batch_size = job.settings.training.batch_size
    with SliceWriter(path, provenance, job.settings.storage) as writer:
        for indices, probability, nodule in predict(fitted.module, slices, batch_size, fabric):
            records = np.array([slices.rows.record(index) for index in indices])
            writer.append(records, probability=probability, nodule=nodule)
    logger.info("%s: %d predictions from step %d", job.name, len(slices), fitted.step)
