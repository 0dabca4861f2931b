"""Train one segmenter on one arm, choose its best step, and predict validation and test slices.

Bad input is found before torch is imported, which takes ten seconds.
"""

from __future__ import annotations

import functools
import logging
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from lungaug.cohort import write_rows
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.audit_outcome import Audits, check_audited
from lungaug.imaging.contrast import ContrastSettings, network_input
from lungaug.segmenters import factory
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.settings import setting
from lungaug.store import Provenance, SliceWriter, StorageSettings
from lungaug.training.arm_tables import Tables, identity_of, read_tables, seeds_of
from lungaug.training.cost import Training, cost_of, write_cost
from lungaug.training.history import write_history
from lungaug.training.settings import OnlineSettings, RunningSettings, TrainingSettings

if TYPE_CHECKING:
    import pandas as pd

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.data import Door, SliceRows
    from lungaug.training.inference import Boxes, Predicted
    from lungaug.training.loop import Fit

DETECTION_COLUMNS = ("key", "top", "left", "bottom", "right", "score")
# Of networks that give maps only, what is this probable or more is a detection.
DETECTION_FLOOR = 0.05

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
class Job:
    """One training."""

    fold: str
    arm: str
    segmenter: str
    seed_index: int
    online: bool
    tables: Tables
    root: Path
    settings: Settings
    running: RunningSettings

    @property
    def name(self) -> str:
        """What begins every line of the log."""
        return f"{self.fold}/{self.arm}/{self.segmenter}/seed{self.seed_index}"

    def rows(self, table: pd.DataFrame) -> SliceRows:
        """A table's slices, with as many neighbours as the network sees."""
        from lungaug.training.data import SliceRows

        return SliceRows(table, self.root, self.settings.network.neighbours)

    def door(self) -> Door:
        """From HU to the network's input."""
        return functools.partial(network_input, settings=self.settings.contrast)


def run(
    *,
    arm: Path,
    slices: Path,
    audit: Path,
    arm_audit: Path,
    split: Path,
    root: Path,
    segmenter: str,
    seed_index: int,
    online: str,
    device: str,
    model: Path,
    history: Path,
    predictions: Path,
    detections: Path,
    cost: Path,
    checkpoint: Path,
    events: Path,
    settings: Settings,
    provenance: Provenance,
    running: str = "{}",
) -> None:
    """Train, then write the model, its history, its predictions and what it cost.

    With several processes each runs this; the first validates, predicts and writes.

    Args:
        arm: table of the training slices.
        slices: table of the fold's real slices: validation and test are taken from it.
        audit: outcome of the fold's leakage audit.
        arm_audit: outcome of the arm's.
        split: table of roles that holds the fold.
        root: folder that the tables' paths are relative to.
        segmenter: name of the network.
        seed_index: which of an arm's trainings; equal ones have equal first weights in every arm.
        online: yes or no.
        device: auto, cpu or cuda.
        model, history: what is written of the training.
        predictions, detections: what is written of validation and test slices.
        cost: what is written of time and memory.
        checkpoint: written while training, removed at the end.
        events: folder of TensorBoard events, where ``running`` asks for them.
        settings: of this stage.
        provenance: stored in the predictions; a checkpoint of another one is not used.
        running: JSON of :class:`RunningSettings`; no result depends on it.

    Raises:
        SettingError: unknown segmenter, encoder or device, or one that lacks the precision.
        LeakageError: an audit failed or saw something else than is there now, or a held-out
            patient is among the training slices.
        InputError: no nodule to learn from, no validation patients to choose the best step on, or
            no file of weights where the settings name one.
    """
    start = time.perf_counter()
    factory.check_name(segmenter)
    if online not in ("yes", "no"):
        raise SettingError(f"online: got {online!r}; accepted: yes, no")
    tables = read_tables(arm, slices)
    check_tables(tables, arm, settings.training)
    check = functools.partial(
        check_audited, arm=arm, slices=slices, audits=Audits(audit, arm_audit, split), root=root
    )
    check(tables.learned)
    fold = slices.parent.name
    whose = (fold, arm.stem, segmenter, seed_index, online == "yes")
    job = Job(*whose, tables, root, settings, RunningSettings.of(running))

    from lungaug.training.checkpoint import Checkpoint
    from lungaug.training.devices import reproducible, start_fabric

    fabric = start_fabric(device, settings.training)
    weights = factory.weights_file(settings.network)
    identity = identity_of(tables, root, provenance, [segmenter, seed_index, job.online], weights)
    saved = Checkpoint(checkpoint, identity)
    with reproducible(settings.training.torch_threads, fabric):
        fitted = train(job, fabric, saved, events if job.running.tensorboard else None)
        if not fabric.is_global_zero:
            return
        write_model(model, job, fitted)
        write_history(history, fitted.history, fitted.step)
        # Only now, with the kept step on disk, are test slices opened.
        check(tables.test)
        write_predictions(predictions, detections, job, fitted, fabric, provenance)
    training = Training(fold, arm.stem, segmenter, seed_index)
    write_cost(cost, cost_of(training, fitted.effort, fabric, time.perf_counter() - start))
    saved.remove()


def check_tables(tables: Tables, arm: Path, settings: TrainingSettings) -> None:
    """Nothing, for tables that a network can be trained on and judged by.

    Raises:
        InputError: no training nodule, or no validation slices though they choose the best step
            or end the training.
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
    if settings.patience is not None and tables.validation.empty:
        raise InputError(
            f"no validation slices, though train_segmenter.training.patience is "
            f"{settings.patience}; add patients, give split more validation patients, or set it "
            "to null"
        )
    refuse_held_out(tables.train, pd.concat([tables.validation, tables.test]))


def train(job: Job, fabric: Any, checkpoint: Checkpoint, events: Path | None = None) -> Fit:
    """The fitted network of a job; its test rows are not touched."""
    from lungaug.training.checkpoint import seed_generators
    from lungaug.training.data import Slices
    from lungaug.training.loop import fit
    from lungaug.training.losses import LOSSES
    from lungaug.training.order import BatchOrder

    how, running = job.settings.training, job.running
    weight_seed, order_seed, online_seed = seeds_of(job.settings.seed, job.seed_index)
    rows = job.rows(job.tables.train)
    training = Slices(
        rows,
        job.door(),
        cache_mb=running.worker_cache_mb,
        online=job.settings.online if job.online else None,
        seed=(online_seed,),
    )
    held_out = None
    if len(job.tables.validation):
        held_out = Slices(job.rows(job.tables.validation), job.door(), cache_mb=running.cache_mb)
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
        running=running,
        fabric=fabric,
        checkpoint=checkpoint,
        name=job.name,
        events=events,
    )


def write_model(path: Path, job: Job, fitted: Fit) -> None:
    """Write ``model.pt``: what :func:`lungaug.segmenters.factory.load` reads."""
    from lungaug.training.checkpoint import save_tensors
    from lungaug.training.loop import weights_of

    description = factory.describe(job.segmenter, job.settings.network)
    save_tensors(path, {**description, "step": fitted.step, "weights": weights_of(fitted.module)})


def write_predictions(
    predictions: Path,
    detections: Path,
    job: Job,
    fitted: Fit,
    fabric: Any,
    provenance: Provenance,
) -> None:
    """Write probabilities and detections of validation and test slices.

    Slices are sorted by size, patient, series and index, detections of one by their score.
    """
    from lungaug.training.data import Slices
    from lungaug.training.inference import predict

    slices = Slices(job.rows(job.tables.held_out), job.door())
    found: list[dict[str, Any]] = []
    batch_size = job.settings.training.batch_size
    with SliceWriter(predictions, provenance, job.settings.storage) as writer:
        for batch in predict(fitted.module, slices, batch_size, fabric):
            records = np.array([slices.rows.record(index) for index in batch.indices])
            writer.append(records, probability=batch.probability, nodule=batch.nodule)
            keys = [slices.rows.keys[index] for index in batch.indices]
            for key, (boxes, scores) in zip(keys, boxes_in(batch), strict=True):
                found += detection_rows(key, boxes, scores)
    write_rows(detections, DETECTION_COLUMNS, found)
    logger.info("%s: %d predictions from step %d", job.name, len(slices), fitted.step)


def boxes_in(batch: Predicted) -> list[Boxes]:
    """The network's own boxes of every slice, or those of its map's components."""
    from lungaug.evaluation.detection import boxes_of

    if batch.detections is not None:
        return batch.detections
    return [boxes_of(probability, DETECTION_FLOOR) for probability in batch.probability]


def detection_rows(
    key: str, boxes: NDArray[np.float64], scores: NDArray[np.float64]
) -> list[dict[str, Any]]:
    """Rows of ``detections.tsv`` of one slice, the highest score first."""
    rows = []
    for i in np.argsort(-scores, kind="stable"):
        values = [f"{value:.6g}" for value in (*boxes[i], scores[i])]
        rows.append(dict(zip(DETECTION_COLUMNS, [key, *values], strict=True)))
    return rows
