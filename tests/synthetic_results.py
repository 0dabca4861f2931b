"""A results folder as the stages before evaluation leave it: drawn, not trained, and small."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.cohort import write_rows, write_table
from lungaug.evaluation.detection import boxes_of
from lungaug.stages import evaluate
from lungaug.store import (
    Provenance,
    SliceFile,
    SliceWriter,
    empty_slices,
    pack_parameters,
    slice_key,
)

DIAMETER_MM = {"LR1": 0.0, "LR2": 5.0, "LR3": 7.0, "LR4A": 12.0, "LR4B": 20.0}
MADE_BY = Provenance("test", "{}", "0")
SKILL = {"none": 0.5, "online": 0.6, "metalung": 0.75}


@dataclass(frozen=True)
class Plan:
    """What to draw."""

    classes: tuple[str, ...] = ("LR1", "LR2", "LR4B")
    patients: int = 2  # a class and role
    n_slices: int = 2
    arms: tuple[str, ...] = ("none", "online", "metalung")
    seeds: int = 2
    folds: tuple[str, ...] = ("fixed",)
    segmenters: tuple[str, ...] = ("unet",)
    operations: tuple[str, ...] = ("mirror", "noise_slice")
    sizes: tuple[tuple[int, int], ...] = ((48, 64),)
    roles: tuple[str, ...] = ("train", "validation", "test")
    silent: bool = False  # segmenters that predict nothing
    spacing_mm: float = 3.0


def build(root: Path, plan: Plan) -> dict[str, Any]:
    """Write the folder; returns the arguments of the figures and tables stages."""
    patients = [
        (f"p{c.lower()}{r[:2]}{i:03d}", c, r)
        for c in plan.classes
        for r in plan.roles
        for i in range(plan.patients)
    ]
    ingest, preprocess = root / "ingest/b00.h5", root / "preprocess/b00.h5"
    _write_ingest(ingest, patients, plan)
    _write_preprocess(preprocess, ingest)
    write_table(root / "split.tsv", _split(patients, plan))
    write_table(root / "cohort.tsv", _cohort(patients))
    expansions = [_write_expansion(root, ingest, op, patients) for op in plan.operations]
    made: dict[str, list[Path]] = {"slices": [], "history": [], "predictions": [], "metrics": []}
    for fold in plan.folds:
        made["slices"].append(root / fold / "slices.tsv")
        write_table(made["slices"][-1], _slice_rows(preprocess, _roles(patients, fold, plan)))
        for arm in plan.arms:
            for segmenter in plan.segmenters:
                for seed in range(plan.seeds):
                    _write_training(root, ingest, made, fold, arm, segmenter, seed, plan)
    return {"preprocess": [preprocess], "expansions": expansions, **made}


def thorax(
    shape: tuple[int, int], diameter_px: float, rng: np.random.Generator
) -> tuple[NDArray[np.int16], NDArray[np.uint8], NDArray[np.uint8]]:
    """HU, nodule and lung, (H, W) each."""
    rows, columns = (np.linspace(-1, 1, n) for n in shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    hu = np.full(shape, -1000.0)
    hu[(x / 0.92) ** 2 + (y / 0.85) ** 2 < 1] = 40
    lung = ((np.abs(x) - 0.45) / 0.32) ** 2 + (y / 0.6) ** 2 < 1
    hu[lung] = -850
    row, column = rng.integers(int(shape[0] * 0.35), int(shape[0] * 0.65)), rng.choice([0.25, 0.75])
    centre = int(column * shape[1])
    yy, xx = np.ogrid[: shape[0], : shape[1]]
    distance = np.hypot(yy - row, xx - centre)
    nodule = (distance < diameter_px / 2) if diameter_px else np.zeros(shape, bool)
    hu[nodule] = 20
    hu += rng.normal(0, 25, shape)
    return hu.round().astype(np.int16), nodule.astype(np.uint8), lung.astype(np.uint8)


def _write_ingest(path: Path, patients: list[tuple[str, str, str]], plan: Plan) -> None:
    rng = np.random.default_rng(1)
    with SliceWriter(path, MADE_BY) as writer:
        for number, (patient, name, _) in enumerate(sorted(patients)):
            shape = plan.sizes[number % len(plan.sizes)]
            slices = empty_slices(plan.n_slices)
            slices["patient"], slices["series"] = patient.encode(), f"s{patient}".encode()[:13]
            slices["index"] = np.arange(plan.n_slices)
            slices["spacing_mm"], slices["lung_rads"] = plan.spacing_mm, name.encode()
            slices["diameter_mm"] = DIAMETER_MM[name]
            drawn = [thorax(shape, DIAMETER_MM[name] / 2, rng) for _ in range(plan.n_slices)]
            writer.append(
                slices,
                hu=np.stack([d[0] for d in drawn]),
                nodule=np.stack([d[1] for d in drawn]),
            )


def _write_preprocess(path: Path, ingest: Path) -> None:
    with SliceFile(ingest) as file, SliceWriter(path, MADE_BY, parent=ingest) as writer:
        for group in file.groups:
            slices = file.slices(group).copy()
            slices["status"] = b"ok"
            hu = np.stack([file.image("hu", group, i) for i in range(len(slices))])
            writer.append(slices, lung=np.stack([_lung(h) for h in hu]))


def _lung(hu: NDArray[np.int16]) -> NDArray[np.uint8]:
    """Two ellipses, where :func:`thorax` has them."""
    rows, columns = (np.linspace(-1, 1, n) for n in hu.shape)
    y, x = np.meshgrid(rows, columns, indexing="ij")
    return (((np.abs(x) - 0.45) / 0.32) ** 2 + (y / 0.6) ** 2 < 1).astype(np.uint8)


def _write_expansion(
    root: Path, ingest: Path, operation: str, patients: list[tuple[str, str, str]]
) -> Path:
    path = root / "metalung" / operation / "b00.h5"
    training = {p.encode() for p, _, role in patients if role == "train"}
    rng = np.random.default_rng(2)
    with SliceFile(ingest) as file, SliceWriter(path, MADE_BY) as writer:
        for group in file.groups:
            for i, row in enumerate(file.slices(group)):
                if row["patient"] not in training or row["diameter_mm"] == 0:
                    continue
                slices = file.slices(group)[i : i + 1].copy()
                slices["origin"] = f"metalung:{operation}".encode()
                slices["host"] = slice_key(row).encode()
                slices["parameters"] = pack_parameters({"copy": 0})
                hu, nodule = file.image("hu", group, i), file.image("nodule", group, i)
                if operation == "mirror":
                    hu, nodule = hu[:, ::-1], nodule[:, ::-1]
                else:
                    hu = hu + rng.integers(-20, 21, hu.shape).astype(np.int16)
                writer.append(slices, hu=hu[None], nodule=nodule[None])
    return path


def _roles(patients: list[tuple[str, str, str]], fold: str, plan: Plan) -> dict[str, str]:
    """Roles move on from fold to fold, so that a patient is tested once."""
    shift = plan.folds.index(fold)
    order = list(plan.roles)
    return {p: order[(order.index(r) + shift) % len(order)] for p, _, r in patients}


def _split(patients: list[tuple[str, str, str]], plan: Plan) -> pd.DataFrame:
    rows = [
        (fold, p, c, _roles(patients, fold, plan)[p]) for fold in plan.folds for p, c, _ in patients
    ]
    return pd.DataFrame(rows, columns=["fold", "patient", "lung_rads", "role"])


def _cohort(patients: list[tuple[str, str, str]]) -> pd.DataFrame:
    rows = [(p, "b00", "d" + p, c, 1, 20, "") for p, c, _ in patients]
    rows[0] = (*rows[0][:-1], "two spacings in a series; <b>missing</b> slices")
    columns = ["patient", "batch", "digest", "lung_rads", "n_series", "n_files", "warnings"]
    return pd.DataFrame(rows, columns=columns)


def _slice_rows(preprocess: Path, roles: dict[str, str]) -> pd.DataFrame:
    rows = []
    with SliceFile(preprocess) as file:
        for group in file.groups:
            for i, row in enumerate(file.slices(group)):
                patient = row["patient"].decode()
                rows.append(
                    {
                        "role": roles[patient],
                        "file": "preprocess/b00.h5",
                        "group": group,
                        "row": i,
                        "key": slice_key(row),
                        "patient": patient,
                        "lung_rads": row["lung_rads"].decode(),
                        "diameter_mm": float(row["diameter_mm"]),
                        "n_nodule_px": int(np.count_nonzero(file.image("nodule", group, i))),
                        "origin": "real",
                        "host": "",
                        "donor": "",
                    }
                )
    return pd.DataFrame(rows)


def _write_training(
    root: Path,
    ingest: Path,
    made: dict[str, list[Path]],
    fold: str,
    arm: str,
    segmenter: str,
    seed: int,
    plan: Plan,
) -> None:
    folder = root / fold / "segmentation" / arm / segmenter / f"seed{seed}"
    slices = pd.read_csv(made["slices"][-1], sep="\t", keep_default_na=False)
    held_out = set(slices.loc[slices["role"] != "train", "key"])
    _write_predictions(folder / "predictions.h5", ingest, held_out, SKILL.get(arm, 0.5), plan, seed)
    write_table(folder / "history.tsv", _history(arm, seed))
    write_rows(folder / "cost.tsv", *_cost(fold, arm, segmenter, seed))
    evaluate.run(
        predictions=folder / "predictions.h5",
        detections=folder / "detections.tsv",
        slices=made["slices"][-1],
        fold=fold,
        arm=arm,
        segmenter=segmenter,
        seed_index=seed,
        metrics=folder / "metrics.tsv",
        lesions=folder / "lesions.tsv",
        detected=folder / "detected.tsv",
        calibration=folder / "calibration.tsv",
        settings=evaluate.Settings(),
        provenance=MADE_BY,
    )
    for name, suffix in (("history", "tsv"), ("predictions", "h5"), ("metrics", "tsv")):
        made[name].append(folder / f"{name}.{suffix}")


def siblings(paths: list[Path], name: str) -> list[Path]:
    """The files of that name beside those of some trainings."""
    return [path.with_name(name) for path in paths]


def _cost(fold: str, arm: str, segmenter: str, seed: int) -> tuple[list[str], list[dict[str, Any]]]:
    """Columns and the one row of ``cost.tsv``; a seed takes ten seconds longer than the last."""
    seconds = 100.0 + 10 * seed
    row = {
        "fold": fold,
        "arm": arm,
        "segmenter": segmenter,
        "seed": seed,
        "device": "cpu",
        "precision": "32-true",
        "processes": 1,
        "steps": 400,
        "samples": 2400,
        "seconds": seconds,
        "samples_per_second": 2400 / seconds,
        "peak_mb": 512.0,
        "peak_gpu_mb": "nan",
        "n_parameters": 18_252_881,
        "total_seconds": seconds + 9,
    }
    return list(row), [row]


def _write_predictions(
    path: Path, ingest: Path, keys: set[str], skill: float, plan: Plan, seed: int
) -> None:
    rng = np.random.default_rng(1000 * seed + int(100 * skill))
    rows: list[tuple[object, ...]] = []
    with SliceFile(ingest) as file, SliceWriter(path, MADE_BY) as writer:
        for group in file.groups:
            for i, row in enumerate(file.slices(group)):
                if slice_key(row) not in keys:
                    continue
                nodule = file.image("nodule", group, i)
                moved = np.roll(nodule, int(rng.integers(0, 3)), axis=1) > 0
                probability = np.where(moved & (rng.random() < skill), 0.9, 0.05)
                if rng.random() < 0.3:
                    r, c = rng.integers(5, min(nodule.shape) - 8, 2)
                    probability[r : r + 3, c : c + 3] = 0.8
                if plan.silent:
                    probability[:] = 0.01
                boxes, scores = boxes_of(probability, 0.1)
                found = zip(boxes.tolist(), scores.tolist(), strict=True)
                rows += [(slice_key(row), *box, score) for box, score in found]
                row_slices = file.slices(group)[i : i + 1]
                writer.append(row_slices, probability=probability[None], nodule=nodule[None])
    columns = ["key", "top", "left", "bottom", "right", "score"]
    write_table(path.with_name("detections.tsv"), pd.DataFrame(rows, columns=columns))


def _history(arm: str, seed: int) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    steps = np.arange(20, 420, 20)
    dice = SKILL.get(arm, 0.5) * (1 - np.exp(-steps / 120)) + rng.normal(0, 0.02, len(steps))
    loss = 1 - dice + rng.normal(0, 0.01, len(steps))
    return pd.DataFrame(
        {
            "step": steps,
            "epoch": steps // 40,
            "train_loss": loss - 0.1,
            "validation_loss": loss,
            "validation_dice": dice,
            "learning_rate": 1e-3,
            "best": (steps == steps[np.argmin(loss)]).astype(int),
        }
    )
