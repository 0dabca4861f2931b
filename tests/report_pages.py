"""Everything that the report shows, drawn and small: results, pictures and tables of all kinds."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lungaug.cohort import write_rows, write_table, write_text
from lungaug.evaluation.audit import Finding, write_findings
from lungaug.stages import figures, generated_figures, report, tables
from synthetic_results import MADE_BY, Plan, build

TEXT = Path(report.__file__).parents[2] / "report"
PLAN = Plan(patients=1, n_slices=1, seeds=1)
REASON = "not CT: modality <script>alert(1)</script> & more"
COST = """**Cost**

| arm | seconds | Dice |
|---|---|---|
| blur | 1,200 (900 to 1,300) | 0.61 [0.52, 0.70] |
| mirror | 98.5 | – |
| noise | 7 | 0.7 (n=4) |
| none | 100 | 0.09 [0.01, 0.2] |

What it
took.
"""


def build_report(root: Path, plan: Plan = PLAN) -> dict[str, Any]:
    """Write a results folder; returns the arguments of the stage ``report``, but for ``output``."""
    inputs = build(root, plan)
    tables.run(
        metrics=inputs["metrics"],
        split=root / "split.tsv",
        output=root / "tables",
        settings=tables.Settings(n_resamples=1000),
        provenance=MADE_BY,
    )
    write_text(root / "tables/cost.md", COST)
    write_text(root / "tables/detection.md", "| arm | AP50 |\n|---|---|\n| none | <0.5> |\n")
    _write_pictures(root / "figures")
    skipped = _write_skipped(root)
    write_findings(root / "fixed/audit.tsv", [Finding("patients", "fixed", "passed", "9 rows")])
    return {
        "root": root,
        "tables": root / "tables",
        "figures": root / "figures",
        "text": TEXT,
        "cohort": root / "cohort.tsv",
        "split": root / "split.tsv",
        "audit": [root / "fixed/audit.tsv"],
        "splits": [root / "split.tsv"],
        "metrics": inputs["metrics"],
        "arms": [],
        "slice_files": [*inputs["preprocess"], *inputs["expansions"]],
        "skipped": skipped,
        "history": inputs["history"],
        "classifiers": [_write_classifier(root, arm) for arm in ("none", "mirror")],
        "generators": [write_generator(root, name) for name in ("copypaste", "dcgan", "vqvae")],
        "predictions": inputs["predictions"],
        "asked": json.dumps({"train_generator dcgan": {"dcgan": {"steps": 40}}}),
        "realism": _write_realism(root / "tables"),
        "sheets": [root / "fixed/reader/sheet.html"],
        "texts": [root / "tables/detection.md", root / "tables/cost.md"],
        "pictures": [root / f"figures/{name}.png" for name in ("froc", "sizes", "calibration")],
        "settings": report.Settings(),
        "provenance": MADE_BY,
    }


def png(width: int, height: int) -> bytes:
    """A grey picture of that many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress((b"\0" + b"\x99" * width) * height)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def _write_pictures(folder: Path) -> None:
    folder.mkdir()
    for name in (*figures.NAMES, *generated_figures.NAMES, "froc", "sizes", "calibration"):
        (folder / f"{name}.png").write_bytes(png(1200, 500))
    for name, names in (("notes", figures.NAMES), ("generated_notes", generated_figures.NAMES)):
        rows = [{"figure": figure, "note": "Fold fixed."} for figure in names]
        write_rows(folder / f"{name}.tsv", ("figure", "note"), rows)


def _write_skipped(root: Path) -> list[Path]:
    rejected = [{"file": f"f{i:04d}", "reason": REASON} for i in range(2100)]
    paths = [root / "ingest/b00.rejected.tsv", root / "ingest/b01.rejected.tsv"]
    write_rows(paths[0], ("file", "reason"), rejected)
    write_rows(paths[1], ("file", "reason"), rejected[:7])
    return paths


def _write_realism(folder: Path) -> Path:
    row = {"fold": "fixed", "generator": "dcgan", "variant": "tissue", "nodules": "9"}
    row["KS pixels"] = "0.91"
    write_rows(folder / "realism_main.tsv", tuple(row), [row])
    write_text(folder / "realism_main.md", "**Table**\n\n| a |\n\nWhat it says.\n")
    return folder / "realism_main.tsv"


def _steps(n: int) -> dict[str, Any]:
    steps = np.arange(1, n + 1) * 10
    return {"step": steps, "epoch": steps / 20}


def _write_classifier(root: Path, arm: str) -> Path:
    path = root / "fixed/presence" / arm / "seed0/history.tsv"
    table = pd.DataFrame(_steps(30))
    table["train_loss"] = 5 / table["step"]
    table["validation_loss"] = 6 / table["step"]
    table["validation_auc"] = 1 - 4 / table["step"]
    table["learning_rate"] = 1e-3
    table["best"] = (table["step"] == 210).astype(int)
    write_table(path, table)
    return path


def write_generator(root: Path, name: str) -> Path:
    """The history of a fit, as generators of that kind write it."""
    path = root / "fixed/generators" / name / "history.tsv"
    table = pd.DataFrame(_steps(40))
    if name == "copypaste":
        table = pd.DataFrame({"phase": ["fit"], "step": 0, "epoch": 0, "n_crops": 22, "note": ""})
    elif name == "dcgan":
        table = table.assign(phase="gan", loss_d=1.2, loss_g=table["step"] / 100)
        table = table.assign(real_score=0.6, drawn_score=0.4, spread=0.8, note="")
        table.loc[table["step"] > 300, "note"] = "the samples are alike"
    else:
        codes = table.assign(phase="codes", reconstruction=90 / table["step"] ** 2, codes_used=40)
        table = pd.concat([codes, table.assign(phase="prior", nll=3.0)]).assign(note="")
    write_table(path, table)
    return path
