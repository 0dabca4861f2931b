"""report: tables, figures, failures and settings of a run in one page that needs no network."""

from __future__ import annotations

import json
import logging
import os
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd
import yaml

from lungaug import __version__
from lungaug.cohort import CLASSES, ROLES, read_table, write_text
from lungaug.contradictions import contradictions
from lungaug.contradictions import first as first_of
from lungaug.evaluation.layout import block_table, blocks
from lungaug.evaluation.realism.layout import main_blocks
from lungaug.evaluation.scores import TESTED
from lungaug.evaluation.seen import SEEN
from lungaug.evaluation.trainings import Training, training_of
from lungaug.figures.page import trainings
from lungaug.figures.page.curves import DASHES, HEIGHT, WIDTH
from lungaug.figures.page.images import Picture, picture, pictures_of
from lungaug.figures.page.surroundings import surroundings
from lungaug.figures.page.tables import ABSENT, MOST_ROWS, markdown, shown
from lungaug.store import Provenance, SliceFile

logger = logging.getLogger(__name__)

SECTIONS = (
    ("summary", "Summary"),
    ("main-table", "Main table"),
    ("comparisons", "Comparisons"),
    ("figures", "Pictures"),
    ("generated", "Generated nodules"),
    ("published", "Beside published figures"),
    ("detection", "Detection, size, calibration"),
    ("learning-curve", "Learning curves"),
    ("presence", "Presence of nodules"),
    ("cost", "Cost"),
    ("trainings", "Trainings"),
    ("rejected", "Rejected and skipped"),
    ("split", "Split and audit"),
    ("provenance", "Software and settings"),
)

MORE = {
    "published": (r"table\d+|published", ()),
    "detection": ("detection", ("froc", "sizes", "calibration")),
    "learning-curve": ("learning_curve", ("learning_curve",)),
    "presence": ("presence", ("roc",)),
    "cost": ("cost", ()),
}
"""Sections of tables that are told as Markdown: names of these tables, and of their figures."""

ELSEWHERE = {"main": "main-table", "training_curves": "trainings"}
"""Figures that stand in another section than that of the figures."""

AUDITS = "audit.tsv of each fold and arms/<arm>.audit.tsv of each arm"
_MOST_LEFT_OUT = 2000  # rows of files left out that the page holds in all


@dataclass(frozen=True)
class Settings:
    """The page has none."""


def run(
    *,
    root: Path,
    tables: Path,
    figures: Path,
    text: Path,
    cohort: Path,
    split: Path,
    audit: list[Path],
    splits: list[Path],
    metrics: list[Path],
    arms: list[Path],
    slice_files: list[Path],
    skipped: list[Path],
    history: list[Path],
    classifiers: list[Path],
    generators: list[Path],
    predictions: list[Path],
    ledger: Path | None = None,
    asked: str = "{}",
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
        splits: tables of roles, ``split.tsv`` and those of parts of the training patients.
        metrics: ``metrics.tsv`` and ``presence.tsv`` of every training.
        arms: ``arms/<arm>.tsv`` of every arm.
        slice_files: of ingest, preprocess and the operations: what made them is shown.
        skipped: every table of rejected files and skipped slices.
        history, predictions: of every segmenter's training.
        classifiers, generators: histories of every other training.
        ledger: the ledger, compared with the tables where it is there.
        asked: JSON of the settings of those, by name: their files hold them where only torch reads.
        realism: ``realism_main.tsv``; None in a run without generators.
        sheets: ``<fold>/reader/sheet.html``, where there are any.
        texts: tables as Markdown, of the sections in ``MORE``; those without any are left out.
        pictures: their figures.
        output: the page.
        settings: none.
        provenance: its code is shown beside that of the files.
    """
    loader = jinja2.FileSystemLoader(text)
    environment = jinja2.Environment(
        loader=loader,
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    known = {training_of(path): path for path in sorted(history)}
    made = _made(slice_files, predictions)
    wrong = contradictions(root, [*metrics, *arms], splits, ledger)
    if wrong:
        logger.warning("tables contradict the division of patients: %s", "; ".join(first_of(wrong)))
    page = environment.get_template("report.html.j2").render(
        version=__version__,
        cohort_name=root.name,
        absent=sorted(ABSENT),
        width=WIDTH,
        height=HEIGHT,
        dashes=DASHES,
        contradictions=first_of(wrong),
        landing=_paragraphs(text / "landing.md"),
        figures=_placed(pictures_of(figures, text / "captions.yaml", "notes.tsv")),
        surroundings=surroundings(provenance.code),
        **_sections(texts, pictures, text / "captions.scores.yaml"),
        **_generated(root, realism, sheets, figures, text),
        **_patients(root, cohort, split, audit),
        **_results(root, tables),
        **_failures(root, skipped),
        **_software(made, json.loads(asked)),
        facts=_facts(cohort, split, known, [*classifiers, *generators]),
        trainings=trainings.summary(known),
        groups=trainings.groups(root, known, classifiers, generators, made.links),
    )
    write_text(output, page)
    logger.info("%.1f MB, %d trainings", len(page) / 1e6, len(known))


def _facts(
    cohort: Path, split: Path, known: Mapping[Training, Path], others: list[Path]
) -> list[tuple[int, str]]:
    """What the run is made of: number and name of each."""
    counted = [
        (len(read_table(cohort)), "patient"),
        (read_table(split)["fold"].nunique(), "fold"),
        (len({training.arm for training in known}), "arm"),
        (len({training.segmenter for training in known}), "segmenter"),
        (len(known) + len(others), "training"),
    ]
    return [(n, name if n == 1 else f"{name}s") for n, name in counted]


def _placed(figures: list[Picture]) -> dict[str, list[Picture]]:
    """Figures by the section that they stand in."""
    placed: dict[str, list[Picture]] = {section: [] for section, _ in SECTIONS}
    for figure in figures:
        placed[ELSEWHERE.get(figure.name, "figures")].append(figure)
    return placed


def _paragraphs(path: Path) -> list[str]:
    found = path.read_text(encoding="utf-8").strip().split("\n\n")
    return [" ".join(paragraph.split()) for paragraph in found if paragraph.strip()]


def _patients(root: Path, cohort: Path, split: Path, audit: list[Path]) -> dict[str, Any]:
    people, roles = read_table(cohort), read_table(split)
    counts, checks = _counts(roles), _audits(audit)
    warned = people[people["warnings"] != ""][["patient", "warnings"]]
    return {
        "counts": shown(counts),
        "gaps": _gaps(counts),
        "warnings": shown(warned, _place(root, cohort)),
        "split": shown(roles, _place(root, split)),
        "audit": shown(checks, AUDITS),
        "findings": shown(checks[checks["outcome"] != "passed"], AUDITS),
        "outcomes": _outcomes(checks),
    }


def _counts(roles: pd.DataFrame) -> pd.DataFrame:
    """Patients by fold, role and class; every fold has every role."""
    known = [c for c in (*CLASSES, "") if c in set(roles["lung_rads"])]
    folds = sorted(set(roles["fold"]))
    places = pd.MultiIndex.from_product([folds, ROLES], names=["fold", "role"])
    counts = roles.groupby(["fold", "role", "lung_rads"]).size().unstack("lung_rads")
    counts = counts.reindex(index=places, columns=known).fillna(0).astype(int).reset_index()
    counts.columns = pd.Index([str(c) or "unknown class" for c in counts.columns])
    return counts


def _gaps(counts: pd.DataFrame) -> list[str]:
    """Where a class has nobody in a role: its scores say nothing there."""
    classes = [c for c in counts.columns if c not in ("fold", "role")]
    return [
        f"Fold {row['fold']}: no {row['role']} patient of {', '.join(empty)}."
        for row in counts.to_dict("records")
        if (empty := [c for c in classes if not row[c]])
    ]


def _audits(paths: list[Path]) -> pd.DataFrame:
    """What each check of each fold, and of each arm in it, found, and on how much; passed last."""
    columns = ["check", "outcome", "detail"]
    rows: list[tuple[str, ...]] = []
    for path in sorted(paths):
        table = read_table(path, columns)
        table = table[table["check"] != SEEN]
        arm = path.name.removesuffix("audit.tsv").rstrip(".")
        of = f"{path.parents[1].name}, arm {arm}" if arm else path.parent.name
        rows += [(of, *map(str, row)) for row in table[columns].to_numpy()]
    rows.sort(key=lambda row: row[2] == "passed")
    return pd.DataFrame(rows, columns=["fold", *columns])


def _outcomes(checks: pd.DataFrame) -> str:
    """How many checks ended how: ``12 checks: 11 passed, 1 note.``"""
    counts = Counter(checks["outcome"])
    told = ", ".join(
        f"{counts[name]} {name}" for name in sorted(counts, key=lambda n: (-counts[n], n))
    )
    return f"{len(checks)} checks: {told}." if told else "No check was made."


def _results(root: Path, tables: Path) -> dict[str, Any]:
    main = pd.read_csv(tables / "main.tsv", sep="\t", dtype=str, keep_default_na=False)
    comparisons = read_table(tables / "comparisons.tsv")
    tested = (comparisons["metric"] == TESTED[0]) & (comparisons["group"] == TESTED[1])
    words = (tables / "main.md").read_text(encoding="utf-8").strip().split("\n\n")[-1]
    return {
        "main_blocks": [(b.title, shown(block_table(main, b))) for b in blocks(main)],
        "main_caption": " ".join(words.split()),
        "scores": shown(read_table(tables / "scores.tsv"), _place(root, tables / "scores.tsv")),
        "comparisons": shown(comparisons, _place(root, tables / "comparisons.tsv")),
        "tested": shown(comparisons[tested].drop(columns=["metric", "group"])),
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
        "realism": [(title, shown(block)) for title, block in main_blocks(main)],
        "realism_caption": " ".join(words.split()),
        "generated": pictures_of(figures, text / "captions.generated.yaml", "generated_notes.tsv"),
        "sheets": [os.path.relpath(path, root) for path in sorted(sheets)],
    }


def _sections(texts: list[Path], pictures: list[Path], captions: Path) -> dict[str, Any]:
    """The sections of this page, and what those of ``MORE`` hold; those of nothing are left out."""
    words: dict[str, dict[str, str]] = yaml.safe_load(captions.read_text(encoding="utf-8"))
    drawn = {path.stem: path for path in pictures}
    more = {}
    for section, (pattern, figures) in MORE.items():
        told = [path for path in texts if re.fullmatch(pattern, path.stem)]
        if told:
            found = [picture(drawn[n], words[n], "") for n in figures if n in drawn]
            more[section] = {"texts": [markdown(path) for path in told], "figures": found}
    return {"more": more, "sections": [s for s in SECTIONS if s[0] not in MORE or s[0] in more]}


def _titles(members: list[Training]) -> str:
    arms = ", ".join(sorted({member.arm for member in members}))
    segmenters = ", ".join(sorted({member.segmenter for member in members}))
    return f"{len(members)} trainings: {segmenters}; arms {arms}"


def _place(root: Path, path: Path) -> str:
    """The path as the page shows it: below the results, never the owner's folders."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name


def _failures(root: Path, skipped: list[Path]) -> dict[str, Any]:
    sources, reasons = [], []
    left = _MOST_LEFT_OUT
    for path in sorted(skipped):
        table = read_table(path, ("reason",))
        name = _place(root, path)
        stage = name.rpartition("/")[0] or name.partition(".")[0]
        # Reasons that differ in a number only, such as a patch's, are one.
        reasons += [(stage, re.sub(r"\d+(\.\d+)?", "#", str(reason))) for reason in table["reason"]]
        if len(table):
            sources.append({"title": name, "table": shown(table, name, min(MOST_ROWS, left))})
            left = max(left - len(table), 0)
    rows = [(stage, reason, n) for (stage, reason), n in sorted(Counter(reasons).items())]
    return {
        "reasons": shown(pd.DataFrame(rows, columns=["stage", "reason", "rows"])),
        "skipped": sources,
    }


@dataclass(frozen=True)
class Made:
    """How files were made: stage, code, software and settings.

    Attributes:
        files: how many were made in each way.
        runs: the segmenters' trainings that were made in each way.
    """

    files: Mapping[tuple[str, str, str, str], int]
    runs: Mapping[tuple[str, str, str, str], list[Training]]

    @property
    def links(self) -> dict[Training, str]:
        """The id of each training's settings on the page."""
        numbered = enumerate(sorted(self.runs.items()), 1)
        return {member: f"settings-{n}" for n, (_, members) in numbered for member in members}


def _made(files: list[Path], predictions: list[Path]) -> Made:
    """What the slice files and predictions say of themselves."""
    counts: Counter[tuple[str, str, str, str]] = Counter(_made_by(path) for path in files)
    runs: dict[tuple[str, str, str, str], list[Training]] = {}
    for training, path in sorted((training_of(path), path) for path in predictions):
        runs.setdefault(_made_by(path), []).append(training)
    counts.update({way: len(members) for way, members in runs.items()})
    return Made(counts, runs)


def _software(made: Made, asked: Mapping[str, Any]) -> dict[str, Any]:
    """Stage, code and software of the files, a row a way that they were made, and all settings."""
    rows = [(stage, code, what, n) for (stage, code, what, _), n in sorted(made.files.items())]
    return {
        "provenance": shown(pd.DataFrame(rows, columns=["stage", "code", "software", "files"])),
        "stage_settings": [
            {"title": f"{stage} ({code})", "settings": _indented(settings)}
            for stage, code, _, settings in sorted(made.files)
            if (stage, code, _, settings) not in made.runs
        ],
        "training_settings": [
            {"id": made.links[members[0]], "title": _titles(members), "settings": _indented(way[3])}
            for way, members in sorted(made.runs.items())
        ],
        "other_settings": [
            {"title": name, "settings": json.dumps(values, indent=2, sort_keys=True)}
            for name, values in sorted(asked.items())
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
