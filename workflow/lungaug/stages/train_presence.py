"""Train a presence classifier on one arm, choose its best step, and score validation and test.

Bad input is found before torch is imported, which takes ten seconds.
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import write_table
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.audit_outcome import Audits, check_audited
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.segmenters import factory
from lungaug.segmenters.presence_settings import PresenceSettings
from lungaug.settings import setting
from lungaug.store import Provenance
from lungaug.training.arm_tables import Tables, identity_of, read_tables, seeds_of
from lungaug.training.cost import Training, cost_of, write_cost
from lungaug.training.history import write_history
from lungaug.training.settings import OnlineSettings, RunningSettings, TrainingSettings

if TYPE_CHECKING:
    import pandas as pd

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.data import Slices
    from lungaug.training.loop import Fit

logger = logging.getLogger(__name__)

MODEL_VERSION = 1
NAME = "presence"
SCORE = "validation_auc"
DECIMALS = 9


@dataclass(frozen=True)
class Settings:
    """How presence classifiers are built and trained."""

    seed: int = setting(0, "seed of everything that is drawn", minimum=0)
    contrast: ContrastSettings = setting(ContrastSettings, "HU window and equalisation")
    network: PresenceSettings = setting(PresenceSettings, "encoder, and weight of the nodules")
    training: TrainingSettings = setting(
        TrainingSettings,
        "optimiser and choice of the best step, by the area under the ROC curve of validation "
        "slices; the loss is cross-entropy whatever loss says",
    )
    online: OnlineSettings = setting(OnlineSettings, "augmentation of arms with online")


@dataclass(frozen=True)
class Job:
    """One training."""

    fold: str
    arm: str
    seed_index: int
    online: bool
    tables: Tables
    root: Path
    settings: Settings
    running: RunningSettings

    @property
    def name(self) -> str:
        """What begins every line of the log."""
        return f"{self.fold}/{self.arm}/{NAME}/seed{self.seed_index}"

    def slices(self, table: pd.DataFrame, **options: Any) -> Slices:
        """A table's slices as the network sees them."""
        from lungaug.training.data import SliceRows, Slices

        rows = SliceRows(table, self.root, self.settings.network.neighbours)
        door = functools.partial(network_input, settings=self.settings.contrast)
        return Slices(rows, door, **options)


def run(
    *,
    arm: Path,
    slices: Path,
    audit: Path,
    arm_audit: Path,
    split: Path,
    root: Path,
    seed_index: int,
    online: str,
    device: str,
    model: Path,
    history: Path,
    presence: Path,
    cost: Path,
    checkpoint: Path,
    events: Path,
    settings: Settings,
    provenance: Provenance,
    running: str = "{}",
) -> None:
    """Train, then write the model, its history and the probability of every held-out slice.

    With several processes each runs this; the first validates, scores and writes.

    Args:
        arm: table of the training slices.
        slices: table of the fold's real slices: validation and test are taken from it.
        audit: outcome of the fold's leakage audit.
        arm_audit: outcome of the arm's.
        split: table of roles that holds the fold.
        root: folder that the tables' paths are relative to.
        seed_index: which of an arm's trainings; equal ones have equal first weights in every arm.
        online: yes or no.
        device: auto, cpu or cuda.
        model, history: what is written of the training.
        presence: what is written of validation and test slices.
        cost: what is written of time and memory.
        checkpoint: written while training, removed at the end.
        events: folder of TensorBoard events, where ``running`` asks for them.
        settings: of this stage.
        provenance: a checkpoint of another one is not used.
        running: JSON of :class:`RunningSettings`; no result depends on it.

    Raises:
        SettingError: unknown encoder or device, or one that lacks the precision.
        LeakageError: an audit failed or saw something else than is there now, or a held-out
            patient is among the training slices.
        InputError: training or validation slices are all with a nodule, or all without, or there
            is no file of weights where the settings name one.
    """
    start = time.perf_counter()
    if online not in ("yes", "no"):
        raise SettingError(f"online: got {online!r}; accepted: yes, no")
    tables = read_tables(arm, slices)
    check_tables(tables, arm, slices)
    check = functools.partial(
        check_audited, arm=arm, slices=slices, audits=Audits(audit, arm_audit, split), root=root
    )
    check(tables.learned)
    whose = (slices.parent.name, arm.stem, seed_index, online == "yes")
    job = Job(*whose, tables, root, settings, RunningSettings.of(running))

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.devices import reproducible, start_fabric

    fabric = start_fabric(device, settings.training)
    weights = factory.weights_file(settings.network.unet)
    identity = identity_of(tables, root, provenance, [NAME, seed_index, job.online], weights)
    saved = Checkpoint(checkpoint, identity)
    with reproducible(settings.training.torch_threads, fabric):
        fitted = train(job, fabric, saved, events if job.running.tensorboard else None)
        if not fabric.is_global_zero:
            return
        write_model(model, job, fitted)
        write_history(history, fitted.history, fitted.step, SCORE)
        # Only now, with the kept step on disk, are test slices opened.
        check(tables.test)
        write_presence(presence, job, fitted, fabric)
    training = Training(job.fold, job.arm, NAME, seed_index)
    write_cost(cost, cost_of(training, fitted.effort, fabric, time.perf_counter() - start))
    saved.remove()


def check_tables(tables: Tables, arm: Path, slices: Path) -> None:
    """Nothing, for tables that a classifier can be trained on and judged by.

    Raises:
        InputError: training or validation slices are not of both kinds.
        LeakageError: a training slice has anything of a held-out patient.
    """
    from lungaug.evaluation.audit import refuse_held_out

    parts = [
        ("train", "training", arm, tables.train),
        ("evaluate", "validation", slices, tables.validation),
    ]
    for section, name, path, table in parts:
        n_ill = int((table["n_nodule_px"] > 0).sum())
        if 0 < n_ill < len(table):
            continue
        raise InputError(
            f"{path}: of {len(table)} {name} slices {n_ill} have a nodule; accepted: some with and "
            f"some without: add patients, or set select.{section}.which: nodule_and_healthy or all"
        )
    refuse_held_out(tables.train, tables.held_out)


def train(job: Job, fabric: Any, checkpoint: Checkpoint, events: Path | None = None) -> Fit:
    """The fitted classifier of a job; its test rows are not touched."""
    from lungaug.segmenters.presence import Presence
    from lungaug.training.checkpoint import seed_generators
    from lungaug.training.loop import fit
    from lungaug.training.order import BatchOrder

    how, running, tables = job.settings.training, job.running, job.tables
    weight_seed, order_seed, online_seed = seeds_of(job.settings.seed, job.seed_index)
    training = job.slices(
        tables.train,
        cache_mb=running.worker_cache_mb,
        online=job.settings.online if job.online else None,
        seed=(online_seed,),
    )
    rows = training.rows
    order = BatchOrder(
        rows.groups, how.batch_size, order=how.order, classes=rows.classes, seed=(order_seed,)
    )
    seed_generators(weight_seed)
    ill = tables.train["n_nodule_px"] > 0
    network = Presence(job.settings.network, positive_weight=float((~ill).sum() / ill.sum()))
    logger.info("%s: %d training slices on %s", job.name, len(rows), fabric.device)
    return fit(
        network,
        training,
        job.slices(tables.validation, cache_mb=running.cache_mb),
        order,
        settings=how,
        running=running,
        fabric=fabric,
        checkpoint=checkpoint,
        name=job.name,
        judge=judge,
        events=events,
    )


def judge(module: Any, slices: Slices, batch_size: int, fabric: Any) -> tuple[float, float]:
    """Mean loss over validation slices, and AUC, patients weighing equally as in the tables."""
    from lungaug.evaluation.roc import auc

    losses, probability, present = assessed(module, slices, batch_size, fabric)
    return float(losses.mean()), auc(probability, present, slices.rows.patients)


def assessed(
    module: Any, slices: Slices, batch_size: int, fabric: Any
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    """Loss of each slice's batch, probability and truth, (N,) each, in the table's order."""
    import torch

    from lungaug.segmenters.presence import present_of
    from lungaug.training.data import loader
    from lungaug.training.order import fixed_batches

    module.eval()
    batches = fixed_batches(slices.rows.groups, batch_size)
    losses, probability = np.zeros(len(slices)), np.zeros(len(slices))
    present = np.zeros(len(slices), bool)
    with torch.no_grad(), fabric.autocast():
        for tickets, batch in zip(batches, loader(slices, batches), strict=True):
            loss, found = module.assess(fabric.to_device(batch))
            indices = [ticket.row for ticket in tickets]
            losses[indices] = loss.item()
            probability[indices] = found.float().cpu().numpy()
            present[indices] = present_of(batch).numpy()
    return losses, probability, present


def write_model(path: Path, job: Job, fitted: Fit) -> None:
    """Write ``model.pt``: the settings of :class:`Presence`, and its weights."""
    from lungaug.training.checkpoint import save_tensors
    from lungaug.training.loop import weights_of

    description = {"presence_version": MODEL_VERSION, "network": asdict(job.settings.network)}
    save_tensors(path, {**description, "step": fitted.step, "weights": weights_of(fitted.module)})


def write_presence(path: Path, job: Job, fitted: Fit, fabric: Any) -> None:
    """Write ``presence.tsv``: validation and test slices, sorted by role and key."""
    from lungaug.evaluation.presence import PRESENCE_COLUMNS

    table = job.tables.held_out
    slices = job.slices(table)
    batch_size = job.settings.training.batch_size
    _, probability, present = assessed(fitted.module, slices, batch_size, fabric)
    table = table.assign(
        fold=job.fold,
        arm=job.arm,
        seed=job.seed_index,
        present=present.astype(int),
        probability=probability.round(DECIMALS),
    )
    write_table(path, table.sort_values(["role", "key"])[list(PRESENCE_COLUMNS)])
    logger.info("%s: %d slices scored, from step %d", job.name, len(table), fitted.step)
