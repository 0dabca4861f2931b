"""report: tables, figures, failures and settings of a run in one page that needs no network."""

from __future__ import annotations

import base64
import json
import logging
import os
import re
import struct
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from lungaug import __version__
from lungaug.cohort import CLASSES, read_table, write_text
from lungaug.evaluation.layout import block_table, blocks
from lungaug.evaluation.realism.layout import main_blocks
from lungaug.evaluation.scores import TESTED
from lungaug.evaluation.trainings import Training, training_of
from lungaug.store import Provenance, SliceFile

logger = logging.getLogger(__name__)

SECTIONS = (
    ("summary", "Summary"),
    ("main-table", "Main table"),
    ("comparisons", "Comparisons"),
    ("figures", "Figures"),
    ("generated", "Generated nodules"),
    ("published", "Published figures beside ours"),
    ("detection", "Detection, sizes, calibration"),
    ("learning-curve", "Learning curves"),
    ("presence", "Presence before segmentation"),
    ("cost", "Cost"),
    ("trainings", "Trainings"),
    ("rejected", "Rejected and skipped"),
    ("split", "Split"),
    ("provenance", "Software, code and settings"),
)


MORE = {
    "published": (r"table\d+|published", ()),
    "detection": ("detection", ("froc", "sizes", "calibration")),
    "learning-curve": ("learning_curve", ("learning_curve",)),
    "presence": ("presence", ("roc",)),
    "cost": ("cost", ()),
}
"""Sections of tables that are told as Markdown: names of these tables, and of their figures."""


@dataclass(frozen=True)
class Settings:
    """The page has none."""


@dataclass(frozen=True)
class Table:
    """A table as the template draws it: all cells text."""

    columns: list[str]
    rows: list[list[str]]
    numeric: list[bool]


@dataclass(frozen=True)
class Picture:
    """A figure of the page; ``data`` is the PNG in base64, empty if there is none."""

    name: str
    title: str
    caption: str
    alt: str
    note: str
    data: str
    width: int
    height: int


def run(
    *,
    root: Path,
    tables: Path,
    figures: Path,
    text: Path,
    cohort: Path,
    split: Path,
    audit: list[Path],
    slice_files: list[Path],
    skipped: list[Path],
    history: list[Path],
    predictions: list[Path],
    realism: Path | None = None,
    sheets: list[Path],
    texts: list[Path],
    pictures: list[Path],
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``report.html``.

    Args:
        root: ``results/<cohort>``; its name is the title, and paths are shown from here.
        tables, figures: folders of those stages.
        text: folder with the template, the landing text and the captions.
        cohort, split: tables of patients.
        audit: ``audit.tsv`` of every fold, and ``arms/<arm>.audit.tsv`` of every arm.
        slice_files: of ingest, preprocess and the operations: what made them is shown.
        skipped: every table of rejected files and skipped slices.
        history, predictions: of every training.
        realism: ``realism_main.tsv``; None in a run without generators.
        sheets: ``<fold>/reader/sheet.html``, where there are any.
        texts: tables as Markdown, of the sections in ``MORE``; those without any are left out.
        pictures: their figures.
        output: the page.
        settings: none.
        provenance: unused; the page shows that of the files.
    """
    loader = jinja2.FileSystemLoader(text)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    trainings = {training_of(path): path for path in sorted(history)}
    more = _more(texts, pictures, text / "captions.scores.yaml")
    page = environment.get_template("report.html.j2").render(
        sections=[s for s in SECTIONS if s[0] not in MORE or s[0] in more],
        more=more,
        version=__version__,
        cohort_name=root.name,
        landing=_paragraphs(text / "landing.md"),
        figures=_pictures(figures, text / "captions.yaml", "notes.tsv"),
        **_generated(root, realism, sheets, figures, text),
        **_patients(cohort, split, audit),
        **_results(tables),
        **_trainings(trainings),
        **_failures(root, skipped),
        **_software(slice_files, predictions),
    )
    write_text(output, page)
    logger.info("%.1f MB, %d trainings", len(page) / 1e6, len(trainings))


def _paragraphs(path: Path) -> list[str]:
    found = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in found if paragraph.strip()]


def _table(frame: pd.DataFrame) -> Table:
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]
    rows = [[_cell(v) for v in row] for row in frame.itertuples(index=False)]
    return Table([str(c) for c in frame.columns], rows, numeric)


def _cell(value: Any) -> str:
    if not isinstance(value, float):
        return str(value)
    if value != value:
        return ""
    if value.is_integer():
        return str(int(value))
    return f"{value:.4f}" if abs(value) >= 1e-3 else f"{value:.1e}"


def _patients(cohort: Path, split: Path, audit: list[Path]) -> dict[str, Any]:
    people, roles = read_table(cohort), read_table(split)
    known = [c for c in (*CLASSES, "") if c in set(roles["lung_rads"])]
    counts = (
        roles.assign(lung_rads=pd.Categorical(roles["lung_rads"], known))
        .pivot_table(
            index=["fold", "role"],
            columns="lung_rads",
            values="patient",
            aggfunc="count",
            fill_value=0,
            observed=False,
        )
        .reset_index()
    )
    counts.columns = pd.Index([str(c) or "unknown class" for c in counts.columns])
    order = {"train": 0, "validation": 1, "test": 2}
    counts = counts.sort_values(["fold", "role"], key=lambda c: c.map(lambda v: order.get(v, v)))
    warned = people[people["warnings"] != ""][["patient", "warnings"]]
    return {
        "n_patients": len(people),
        "counts": _table(counts),
        "warnings": _table(warned),
        "split": _table(roles),
        "audit": _table(_audits(audit)),
    }


def _audits(paths: list[Path]) -> pd.DataFrame:
    """What each check of each fold, and of each arm in it, found, and on how much."""
    columns = ["check", "outcome", "detail"]
    rows: list[tuple[str, ...]] = []
    for path in sorted(paths):
        table = read_table(path, columns)
        arm = path.name.removesuffix("audit.tsv").rstrip(".")
        of = f"{path.parents[1].name}, arm {arm}" if arm else path.parent.name
        rows += [(of, *map(str, row)) for row in table[columns].to_numpy()]
    return pd.DataFrame(rows, columns=["fold", *columns])


def _results(tables: Path) -> dict[str, Any]:
    main = pd.read_csv(tables / "main.tsv", sep="\t", dtype=str, keep_default_na=False)
    comparisons = read_table(tables / "comparisons.tsv")
    tested = (comparisons["metric"] == TESTED[0]) & (comparisons["group"] == TESTED[1])
    words = (tables / "main.md").read_text(encoding="utf-8").strip().split("\n\n")[-1]
    return {
        "main_blocks": [(b.title, _table(block_table(main, b))) for b in blocks(main)],
        "main_caption": " ".join(words.split()),
        "scores": _table(read_table(tables / "scores.tsv")),
        "comparisons": _table(comparisons),
        "tested": _table(comparisons[tested].drop(columns=["metric", "group"])),
    }


def _generated(
    root: Path, realism: Path | None, sheets: list[Path], figures: Path, text: Path
) -> dict[str, Any]:
    """Realism table and figures of generated nodules; empty in a run without generators."""
    if realism is None:
        return {
            "realism": [],
            "realism_caption": "",
            "generated": [],
            "sheets": [],
        }
    main = pd.read_csv(realism, sep="\t", dtype=str, keep_default_na=False)
    words = realism.with_suffix(".md").read_text(encoding="utf-8").strip().split("\n\n")[-1]
    return {
        "realism": [(title, _table(block)) for title, block in main_blocks(main)],
        "realism_caption": " ".join(words.split()),
        "generated": _pictures(figures, text / "captions.generated.yaml", "generated_notes.tsv"),
        "sheets": [os.path.relpath(path, root) for path in sorted(sheets)],
    }


def _more(texts: list[Path], pictures: list[Path], captions: Path) -> dict[str, Any]:
    """What the sections of ``MORE`` hold, by name; those that hold nothing are left out."""
    words: dict[str, dict[str, str]] = yaml.safe_load(captions.read_text(encoding="utf-8"))
    drawn = {path.stem: path for path in pictures}
    found = {}
    for section, (pattern, figures) in MORE.items():
        told = [path for path in texts if re.fullmatch(pattern, path.stem)]
        if told:
            shown = [_picture(drawn[n], words[n], "") for n in figures if n in drawn]
            found[section] = {"texts": [_markdown(path) for path in told], "figures": shown}
    return found


def _markdown(path: Path) -> dict[str, Any]:
    """The tables of a Markdown file of ours, each with its heading, and its paragraphs."""
    tables: list[tuple[str, Table]] = []
    paragraphs: list[str] = []
    heading = ""
    for block in path.read_text(encoding="utf-8").strip().split("\n\n"):
        lines = block.splitlines()
        if lines[0].startswith("|"):
            cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
            tables.append((heading, Table(cells[0], cells[2:], [False] * len(cells[0]))))
            heading = ""
        elif len(lines) == 1 and re.fullmatch(r"\*\*.+\*\*", lines[0]):
            heading = lines[0].strip("*")
        else:
            paragraphs.append(" ".join(block.split()))
    return {"tables": tables, "paragraphs": paragraphs}


def _pictures(folder: Path, captions: Path, notes_name: str) -> list[Picture]:
    """The figures in the order of the captions, each with what the stage noted of it."""
    words: dict[str, dict[str, str]] = yaml.safe_load(captions.read_text(encoding="utf-8"))
    table = read_table(folder / notes_name, ("figure", "note"))
    told = table["note"].map(lambda note: note if isinstance(note, str) else "")
    notes = dict(zip(table["figure"], told, strict=True))
    return [_picture(folder / f"{n}.png", words[n], notes.get(n, "")) for n in words]


def _picture(path: Path, words: dict[str, str], note: str) -> Picture:
    title = words["title"]
    texts = words["caption"], words["alt"], note
    if not path.is_file():
        return Picture(path.stem, title, *texts, data="", width=0, height=0)
    content = path.read_bytes()
    width, height = struct.unpack(">II", content[16:24])  # the header chunk of every PNG
    data = base64.b64encode(content).decode()
    return Picture(path.stem, title, *texts, data=data, width=width, height=height)


def _trainings(trainings: dict[Training, Path]) -> dict[str, Any]:
    rows, histories = [], []
    for training, path in sorted(trainings.items()):
        table = read_table(path, ("step", "validation_loss", "validation_dice", "best"))
        kept = table[table["best"].astype(str).isin(["1", "1.0", "True", "true"])].tail(1)
        numbers = [kept[c].max() for c in ("step", "validation_loss", "validation_dice")]
        names = (training.segmenter, training.arm, training.fold, training.seed)
        rows.append(
            (*names, *numbers, table["step"].max(), table["train_loss"].dropna().tail(1).max())
        )
        histories.append({"title": _title(training), "table": _table(table)})
    columns = ["segmenter", "arm", "fold", "seed", "kept step", "validation loss"]
    columns += ["validation Dice", "last step", "last training loss"]
    return {
        "n_trainings": len(trainings),
        "trainings": _table(pd.DataFrame(rows, columns=columns)),
        "histories": histories,
    }


def _title(training: Training) -> str:
    return f"{training.segmenter}, {training.arm}, {training.fold}, seed {training.seed}"


def _titles(members: list[Training]) -> str:
    arms = ", ".join(sorted({member.arm for member in members}))
    segmenters = ", ".join(sorted({member.segmenter for member in members}))
    return f"{len(members)} trainings: {segmenters}; arms {arms}"


def _failures(root: Path, skipped: list[Path]) -> dict[str, Any]:
    sources, reasons = [], []
    for path in sorted(skipped):
        table = read_table(path, ("reason",))
        name = path.relative_to(root) if path.is_relative_to(root) else Path(path.name)
        stage = name.parent.as_posix() if len(name.parts) > 1 else name.name.partition(".")[0]
        # Reasons that differ in a number only, such as a patch's, are one.
        reasons += [(stage, re.sub(r"\d+(\.\d+)?", "#", str(reason))) for reason in table["reason"]]
        if len(table):
            sources.append({"title": name.as_posix(), "table": _table(table)})
    rows = [(stage, reason, n) for (stage, reason), n in sorted(Counter(reasons).items())]
    return {
        "reasons": _table(pd.DataFrame(rows, columns=["stage", "reason", "rows"])),
        "skipped": sources,
    }


def _software(files: list[Path], predictions: list[Path]) -> dict[str, Any]:
    """Stage, code and software of the slice files and predictions, and the settings that made them.

    Files that agree in all of it share a row.
    """
    groups: Counter[tuple[str, str, str, str]] = Counter(_made_by(path) for path in files)
    runs: dict[tuple[str, str, str, str], list[Training]] = {}
    for training, path in sorted((training_of(path), path) for path in predictions):
        runs.setdefault(_made_by(path), []).append(training)
    groups.update({made: len(members) for made, members in runs.items()})
    rows = [(stage, code, software, n) for (stage, code, software, _), n in sorted(groups.items())]
    return {
        "provenance": _table(pd.DataFrame(rows, columns=["stage", "code", "software", "files"])),
        "stage_settings": [
            {"title": f"{stage} ({code})", "settings": _indented(settings)}
            for stage, code, _, settings in sorted(groups)
            if (stage, code, _, settings) not in runs
        ],
        "training_settings": [
            {"title": _titles(members), "settings": _indented(made[3])}
            for made, members in sorted(runs.items())
        ],
    }


def _made_by(path: Path) -> tuple[str, str, str, str]:
    with SliceFile(path) as file:
        found = file.attributes
    software = json.loads(str(found.get("software", "{}")))
    versions = ", ".join(f"{name} {version}" for name, version in sorted(software.items()))
    return str(found["stage"]), str(found["code"]), versions, str(found["settings"])


def _indented(settings: str) -> str:
    return json.dumps(json.loads(settings or "{}"), indent=2, sort_keys=True)
