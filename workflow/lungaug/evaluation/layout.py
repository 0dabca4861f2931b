"""The main table as people read it: one text, in TSV, Markdown and LaTeX."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from lungaug.cohort import CLASSES
from lungaug.evaluation.chosen_by import BY_DEFAULT
from lungaug.evaluation.paired import PATIENTS, Test
from lungaug.evaluation.scores import ANY_CONVENTION, BASELINES, TESTED, arm_order

OVERLAP_TITLES = {
    "iou": "IoU",
    "precision": "precision",
    "recall": "recall",
    "empty_rate": "empty predictions",
}
LESION_TITLES = {
    "lesion_sensitivity": "lesion sensitivity",
    "false_positives": "false positives a slice",
    "specificity": "specificity",
    "false_positive_mm2": "false area (mm²)",
    "hd95_mm": "HD95 (mm)",
    "asd_mm": "ASD (mm)",
}
LESION_CLASSES = CLASSES[1:]  # LR1 is a patient without a nodule
MISSING = "–"
NOT_TESTED = "no test patient"
NO_LESION = "no test lesion"
CAPTION_WIDTH = 110
LATEX_WIDTH = 95  # characters of a small table that a page holds side by side
_LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": "$<$",
        ">": "$>$",
        "→": r"$\to$",
        "²": "$^2$",
        MISSING: "--",
        **{sign: "\\" + sign for sign in "&%_#${}"},
    }
)


@dataclass(frozen=True)
class Block:
    """Columns of the main table that are shown side by side.

    ``columns`` maps the names in ``main.tsv`` to headings.
    """

    title: str
    columns: dict[str, str]


@dataclass(frozen=True)
class View:
    """How scores are shown.

    Attributes:
        convention: of the overlap scores.
        decimals: of scores and intervals.
        level: of the intervals.
        minimum: patients below which there is no interval.
        threshold: of the predicted masks; None where it was chosen on validation patients.
        unchosen: the folds whose validation slices have no nodule to choose it on.
        pseudo_patients: whether the data name no patients.
        test: of the pooled Dice.
    """

    convention: str = "standard"
    decimals: int = 2
    level: float = 0.95
    minimum: int = 5
    threshold: float | None = None
    unchosen: tuple[str, ...] = ()
    pseudo_patients: bool = False
    test: Test = "sign_flip"


@dataclass(frozen=True)
class Trained:
    """How often an arm was trained, and the thresholds of those trainings."""

    seeds: int
    lowest: float
    highest: float
    by_default: bool = False


def trainings_of(metrics: pd.DataFrame) -> dict[tuple[str, str], Trained]:
    """The trainings of each segmenter and arm, read off the rows of ``metrics.tsv``."""
    return {
        (str(segmenter), str(arm)): Trained(
            part["seed"].nunique(),
            float(part["threshold"].min()),
            float(part["threshold"].max()),
            bool(_by_default(part).any()),
        )
        for (segmenter, arm), part in metrics.groupby(["segmenter", "arm"])
    }


def unchosen_folds(metrics: pd.DataFrame) -> tuple[str, ...]:
    """The folds whose trainings had no validation nodule to choose a threshold on."""
    return tuple(sorted(map(str, metrics.loc[_by_default(metrics), "fold"].unique())))


def _by_default(metrics: pd.DataFrame) -> pd.Series:
    """Rows whose threshold nothing has chosen; tables of earlier versions do not say."""
    if "threshold_by" not in metrics:
        return pd.Series(False, metrics.index)
    return metrics["threshold_by"] == BY_DEFAULT


def main_table(
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    trainings: Mapping[tuple[str, str], Trained],
    tested: Mapping[str, int],
    view: View,
) -> pd.DataFrame:
    """One row a segmenter and arm, cells as text.

    Args:
        scores: ``scores.tsv``.
        comparisons: ``comparisons.tsv``.
        trainings: from :func:`trainings_of`.
        tested: number of test patients by Lung-RADS class.
        view: how scores are shown.
    """
    shown = scores[scores["convention"].isin([view.convention, ANY_CONVENTION])]
    cells: dict[tuple[str, str], dict[tuple[str, str], object]] = {}
    for r in shown.itertuples(index=False):
        own = cells.setdefault((str(r.segmenter), str(r.arm)), {})
        own[str(r.metric), str(r.group)] = r
    differences = paired_differences(comparisons)
    rows = []
    for segmenter, arm in _in_order(list(trainings)):
        trained = trainings[segmenter, arm]
        row = {"segmenter": segmenter, "arm": arm, "seeds": str(trained.seeds)}
        row["threshold"] = _range(trained.lowest, trained.highest)
        if trained.by_default:
            row["threshold"] += (
                f" ({'some ' if trained.lowest != trained.highest else ''}by default)"
            )
        row |= _score_cells(cells.get((segmenter, arm), {}), tested, view.decimals)
        for baseline in BASELINES:
            found = differences.get((segmenter, arm, baseline))
            row[f"difference_{baseline}"] = difference_cell(found, view.decimals)
            row[f"p_uncorrected_{baseline}"] = p_cell(found, "p")
            row[f"p_{baseline}"] = p_cell(found)
        rows.append(row)
    return pd.DataFrame(rows)


def _score_cells(
    cells: Mapping[tuple[str, str], object], tested: Mapping[str, int], decimals: int
) -> dict[str, str]:
    """The scores of one segmenter and arm, by metric and group."""
    dice = cells.get(("dice", "pooled"))
    present = [c for c in CLASSES if ("dice", c) in cells]
    row = {"patients": str(getattr(dice, "n_patients", 0))}
    row["slices"] = str(getattr(dice, "n_slices", 0))
    row["dice"] = score_cell(dice, decimals)
    row["dice_macro"] = score_cell(cells.get(("dice", "macro")), decimals)
    for name in (c for c in CLASSES if c in present or c in LESION_CLASSES):
        row[f"dice_{name}"] = class_cell(cells.get(("dice", name)), name, tested, decimals)
    row["macro_classes"] = " ".join(present)
    row["seed_sd"] = _number(getattr(dice, "seed_sd", math.nan), decimals + 1)
    for metric in (*OVERLAP_TITLES, *LESION_TITLES):
        row[metric] = score_cell(cells.get((metric, "pooled")), decimals, expected=row["patients"])
    return row


def paired_differences(comparisons: pd.DataFrame) -> dict[tuple[str, str, str], object]:
    """The rows that have a test, by segmenter, arm and baseline."""
    return {
        (str(r.segmenter), str(r.arm), str(r.baseline)): r
        for r in comparisons.itertuples(index=False)
        if (r.metric, r.group) == TESTED
    }


def lesion_classes(scores: pd.DataFrame) -> list[str]:
    """The classes that have a lesion score, in order."""
    found = set(scores.loc[scores["metric"] == "dice", "group"])
    return [c for c in CLASSES if c in found]


def blocks(main: pd.DataFrame) -> list[Block]:
    """The main table in parts that fit a screen and a page."""
    dice = [c for c in main.columns if c.startswith("dice")]
    names = {c: c.removeprefix("dice_") for c in dice}
    names |= {"dice": "pooled", "dice_macro": _macro_title(main)}
    counts = {c: c for c in ("seeds", "threshold", "patients", "slices")}
    against = {
        name: title
        for b in BASELINES
        for name, title in (
            (f"difference_{b}", f"minus {b}"),
            (f"p_uncorrected_{b}", "p"),
            (f"p_{b}", "p (Holm)"),
        )
    }
    return [
        Block("Dice", {"patients": "patients", **names}),
        Block("Other overlaps, pooled", OVERLAP_TITLES),
        Block("Lesions, false positives and outlines, pooled", LESION_TITLES),
        Block("Difference of the pooled Dice", {**counts, "seed_sd": "SD over seeds", **against}),
    ]


def _macro_title(main: pd.DataFrame) -> str:
    """A mean that lacks a class says which it is over."""
    spoken = [str(text).split() for text in main["macro_classes"].unique()]
    if all(set(LESION_CLASSES) <= set(classes) for classes in spoken) or not any(spoken):
        return "macro"
    return "macro of " + " or ".join(", ".join(classes) for classes in spoken if classes)


def as_markdown(main: pd.DataFrame, text: str) -> str:
    """Aligned Markdown, readable as plain text: a block after the other."""
    return markdown_blocks([(b.title, block_table(main, b)) for b in blocks(main)], text)


def markdown_blocks(tables: list[tuple[str, pd.DataFrame]], text: str) -> str:
    """Titled tables of text, and what to know of them below."""
    parts = ["\n".join([f"**{title}**", "", *markdown_lines(table)]) for title, table in tables]
    return "\n\n".join([*parts, textwrap.fill(text, CAPTION_WIDTH)]) + "\n"


def markdown_lines(table: pd.DataFrame) -> list[str]:
    """The lines of a table of text, its columns aligned."""
    rows = _text_rows(table)
    widths = _widths(rows)
    return [_line(row, widths) for row in (rows[0], ["-" * w for w in widths], *rows[1:])]


def as_latex(main: pd.DataFrame, text: str) -> str:
    """A table environment a block (needs the packages booktabs and graphicx)."""
    return latex_blocks([(b.title, block_table(main, b)) for b in blocks(main)], text)


def latex_blocks(tables: list[tuple[str, pd.DataFrame]], text: str) -> str:
    """A table environment a titled table; the first caption has the text too."""
    parts = []
    for number, (title, table) in enumerate(tables):
        parts += latex_lines(table, f"{title}. {text}" if number == 0 else f"{title}.")
    return "\n".join(parts)


def latex_lines(table: pd.DataFrame, caption: str) -> list[str]:
    """The lines of a table environment around a table of text; a wide one is shrunk to the page."""
    rows = _text_rows(table)
    lines = [" & ".join(escaped(cell) for cell in row) + r" \\" for row in rows]
    wide = sum(_widths(rows)) + 2 * len(rows[0]) > LATEX_WIDTH
    return [
        r"\begin{table}\centering\small",
        rf"\caption{{{escaped(caption)}}}",
        *([r"\resizebox{\linewidth}{!}{%"] if wide else []),
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]),
        r"\end{tabular}" + ("}" if wide else ""),
        r"\end{table}",
        "",
    ]


def block_table(main: pd.DataFrame, block: Block) -> pd.DataFrame:
    """The block's columns under their headings, without those that say nothing in this run.

    That is the segmenter where there is one, and a comparison that no arm has.
    """
    keys = {"segmenter": "segmenter"} if main["segmenter"].nunique() > 1 else {}
    names = {**keys, "arm": "arm", **block.columns}
    table = main[list(names)].astype(str)
    table.columns = pd.Index(list(names.values()))
    empty = [
        i
        for i, c in enumerate(names)
        if c.startswith(("difference_", "p_")) and (main[c] == MISSING).all()
    ]
    return table.iloc[:, [i for i in range(len(names)) if i not in empty]]


def score_cell(row: object | None, decimals: int, expected: str | None = None) -> str:
    """``0.41 [0.33, 0.49]``, or ``0.41 (n=4)``; n is also shown where it is not as expected."""
    if row is None:
        return MISSING
    value, low, high, n = (getattr(row, f) for f in ("estimate", "low", "high", "n_patients"))
    if math.isnan(value):
        return MISSING
    if math.isnan(low):
        return f"{value:.{decimals}f} (n={n})"
    count = f" (n={n})" if expected not in (None, str(n)) else ""
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]{count}"


def class_cell(row: object | None, name: str, tested: Mapping[str, int], decimals: int) -> str:
    """The score of a class; a class without one says why."""
    if row is not None:
        return score_cell(row, decimals)
    return NO_LESION if tested.get(name) else NOT_TESTED


def difference_cell(row: object | None, decimals: int) -> str:
    """Return ``+0.05 [+0.01, +0.09]``, or ``+0.05 (n=4)``."""
    if row is None:
        return MISSING
    value, low, high, n = (getattr(row, f) for f in ("difference", "low", "high", "n_patients"))
    if math.isnan(low):
        return f"{value:+.{decimals}f} (n={n})"
    return f"{value:+.{decimals}f} [{low:+.{decimals}f}, {high:+.{decimals}f}]"


def p_cell(row: object | None, name: str = "p_holm") -> str:
    """Return the p of a difference; where it covers patients only, ``0.031 (patients)``.

    Args:
        row: of ``comparisons.tsv``.
        name: ``p_holm``, or ``p`` before the correction.
    """
    p = math.nan if row is None else float(getattr(row, name))
    if math.isnan(p):
        return MISSING
    only = f" ({PATIENTS})" if getattr(row, "covers", PATIENTS) == PATIENTS else ""
    return ("<0.001" if p < 0.001 else f"{p:.3f}") + only


def escaped(text: str) -> str:
    """Plain text for LaTeX, sign by sign."""
    return text.translate(_LATEX)


def _in_order(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    order = arm_order(arm for _, arm in pairs)
    return sorted(pairs, key=lambda pair: (pair[0], order.index(pair[1])))


def _number(value: float, decimals: int) -> str:
    return MISSING if math.isnan(value) else f"{value:.{decimals}f}"


def _range(lowest: float, highest: float) -> str:
    return f"{lowest:g}" if lowest == highest else f"{lowest:g} to {highest:g}"


def _text_rows(table: pd.DataFrame) -> list[list[str]]:
    """The headings, then the rows."""
    rows = [list(table.columns), *map(list, table.itertuples(index=False))]
    return [[str(cell) for cell in row] for row in rows]


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]


def _line(cells: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"
