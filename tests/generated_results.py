"""What the stages of DeepLungSynth leave behind, drawn and small: for tests of what shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lungaug.cohort import write_table
from lungaug.crops import Crops, write_crops
from lungaug.evaluation.realism.rows import COLUMNS
from lungaug.store import SliceFile, SliceWriter, pack_parameters
from synthetic_results import MADE_BY, Plan, build

SIDE = 16
PLAN = Plan(classes=("LR1", "LR2", "LR4B"), patients=2, n_slices=3, arms=(), operations=())


def build_generated(
    root: Path, generators: tuple[str, ...] = ("copypaste", "gaussian"), plan: Plan = PLAN
) -> dict[str, Any]:
    """Write the folder; returns the arguments of the stage ``generated_figures``."""
    real = build(root, plan)
    made: dict[str, Any] = {
        "rois": [],
        "patches": [],
        "inserted": [],
        "published": [],
        "pairs": [],
        "history": [],
        "slices": real["slices"],
        "preprocess": real["preprocess"],
        "realism": root / "tables" / "realism.tsv",
    }
    for fold in plan.folds:
        rows = pd.read_csv(root / fold / "slices.tsv", sep="\t", keep_default_na=False)
        training = rows[rows["role"] == "train"].reset_index(drop=True)
        made["rois"].append(root / fold / "rois.h5")
        write_crops(made["rois"][-1], crops(9, "cut:scaled", seed=0), MADE_BY)
        for seed, generator in enumerate(generators, 1):
            _write_generator(root / fold, generator, made, training, seed)
    table = [row for g in generators for f in plan.folds for row in realism_rows(g, f)]
    write_table(made["realism"], pd.DataFrame(table, columns=list(COLUMNS)))
    return made


def crops(n: int, origin: str, *, seed: int) -> Crops:
    """Bright discs of several sizes in a noisy lung; real ones name their patient and slice."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((SIDE, SIDE)) - (SIDE - 1) / 2
    radius = np.linspace(2, 5, n)
    mask = np.hypot(y, x) < radius[:, None, None]
    hu = np.where(mask, 0, -850) + rng.normal(0, 20, mask.shape)
    real = origin.startswith("cut")
    return Crops(
        diameter_mm=(2 * radius * 48 / SIDE).astype(np.float32),
        kind=np.array(["solid", "part_solid", "ground_glass"])[np.arange(n) % 3],
        lung_rads=np.repeat("LR3", n),
        hu=hu.round().astype(np.int16),
        mask=mask,
        patient=np.repeat("p0" if real else "", n),
        donor=np.array([f"p0/s0/{i:04d}" if real else "" for i in range(n)]),
        label=np.repeat(int(real), n),
        pose=np.full(n, ""),
        spacing_mm=np.full((n, 2), 48 / SIDE, np.float32),
        origin=np.repeat(origin, n),
    )


def _write_generator(
    folder: Path, generator: str, made: dict[str, Any], training: pd.DataFrame, seed: int
) -> None:
    own = folder / "generators" / generator
    made["patches"].append(own / "patches.h5")
    write_crops(own / "patches.h5", crops(7, f"generated:{generator}", seed=seed), MADE_BY)
    steps = [{"phase": "fit", "step": s, "epoch": s // 2, "loss": 1 / s} for s in range(1, 6)]
    steps[-1]["note"] = "collapse"
    made["history"].append(own / "history.tsv")
    write_table(own / "history.tsv", pd.DataFrame(steps))
    healthy = training[training["n_nodule_px"] == 0]
    for name, level in (("inserted", 30), ("published", 1)):
        suffix = "" if name == "inserted" else ".published"
        path = folder / "inserted" / f"{generator}{suffix}.h5"
        made[name].append(path)
        write_inserted(path, generator, made["preprocess"][0], healthy, level)
    made["pairs"].append(folder / "realism" / f"{generator}.pairs.tsv")
    pairs = [
        {"generator": generator, "patch": i, "roi": 8 - i, "distance": 9.0 - i} for i in range(7)
    ]
    write_table(made["pairs"][-1], pd.DataFrame(pairs))


def write_inserted(
    path: Path, generator: str, preprocess: Path, hosts: pd.DataFrame, level: int
) -> Path:
    """Two copies of every host, each with a disc of its own size."""
    with SliceFile(preprocess) as file, SliceWriter(path, MADE_BY) as writer:
        for number, host in enumerate(hosts.to_dict("records")):
            for copy, radius in enumerate((1.5, 5)):
                row, group = int(host["row"]), str(host["group"])
                hu = file.image("hu", group, row)
                y, x = np.indices(hu.shape)
                column = hu.shape[1] // 4 + number % 3
                nodule = np.hypot(y - hu.shape[0] // 2, x - column) < radius
                fields = file.slices(group)[row : row + 1].copy()
                fields["origin"] = f"inserted:{generator}".encode()
                fields["host"] = str(host["key"]).encode()
                fields["diameter_mm"] = 6 * radius
                nodules = [{"patch": (2 * number + copy) % 7}]
                fields["parameters"] = pack_parameters({"nodules": nodules})
                hu = np.where(nodule, level, hu).astype(np.int16)
                writer.append(fields, hu=hu[None], nodule=nodule[None].astype(np.uint8))
    return path


def realism_rows(generator: str, fold: str) -> list[dict[str, Any]]:
    """Two measures of the stage's insertion and of the published one."""
    shared = {"generator": generator, "fold": fold, "space": "", "n": 7, "n_patients": 4}
    real = {"real_value": 0.1, "real_low": 0.08, "real_high": 0.15}
    rows = []
    for variant, ratio in (("tissue", 1.1), ("published", 6.0)):
        for metric in ("pixel_ks", "mean_ks"):
            spread = {"ratio": ratio, "ratio_low": ratio * 0.8, "ratio_high": ratio * 1.3}
            values = {"value": ratio / 10, "low": ratio * 0.08, "high": ratio * 0.13}
            names = {"variant": variant, "metric": metric, "within": ratio < 1.5, "note": ""}
            rows.append(shared | names | values | real | spread)
    return rows
