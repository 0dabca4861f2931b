"""The main table as people read it: one text, in TSV, Markdown and LaTeX."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass

import pandas as pd

from lungaug.cohort import CLASSES
from lungaug.evaluation.scores import ANY_CONVENTION, BASELINES, TESTED, arm_order

OVERLAP_TITLES = {"iou": "IoU", "precision": "precision", "recall": "recall"}
PLAIN_TITLES = {
    "empty_rate": "empty predictions",
    "specificity": "specificity",
    "false_positives": "false positives a slice",
    "hd95_mm": "HD95 (mm)",
}
MISSING = "–"
CAPTION_WIDTH = 110


@dataclass(frozen=True)
class Block:
    """Columns of the main table that are shown side by side.

    ``columns`` maps the names in ``main.tsv`` to headings.
    """

    title: str
    columns: dict[str, str]


def main_table(
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    seeds: pd.Series,
    convention: str,
    decimals: int,
) -> pd.DataFrame:
    """One row a segmenter and arm, cells as text.

    Args:
        scores: ``scores.tsv``.
        comparisons: ``comparisons.tsv``.
        seeds: number of seeds by (segmenter, arm).
        convention: that of dice, iou, precision and recall.
        decimals: of scores and intervals.
    """
    shown = scores[scores["convention"].isin([convention, ANY_CONVENTION])]
    cells = {(r.segmenter, r.arm, r.metric, r.group): r for r in shown.itertuples(index=False)}
    differences = {
        (r.segmenter, r.arm, r.baseline): r
        for r in comparisons.itertuples(index=False)
        if (r.metric, r.group) == TESTED
    }
    classes = lesion_classes(scores)
    rows = []
    for segmenter, arm in _in_order(list(seeds.index)):
        dice = cells.get((segmenter, arm, "dice", "pooled"))
        row = {"segmenter": segmenter, "arm": arm, "seeds": str(seeds[(segmenter, arm)])}
        row["patients"] = str(getattr(dice, "n_patients", 0))
        row["slices"] = str(getattr(dice, "n_slices", 0))
        for group in ("pooled", "macro", *classes):
            name = "dice" if group == "pooled" else f"dice_{group}"
            row[name] = score_cell(cells.get((segmenter, arm, "dice", group)), decimals)
        row["seed_sd"] = _number(getattr(dice, "seed_sd", math.nan), decimals + 1)
        for metric in (*OVERLAP_TITLES, *PLAIN_TITLES):
            cell = cells.get((segmenter, arm, metric, "pooled"))
            row[metric] = score_cell(cell, decimals, expected=row["patients"])
        for baseline in BASELINES:
            found = differences.get((segmenter, arm, baseline))
            row[f"difference_{baseline}"] = _signed_cell(found, decimals)
            row[f"p_{baseline}"] = _p_value(found)
        rows.append(row)
    return pd.DataFrame(rows)


def lesion_classes(scores: pd.DataFrame) -> list[str]:
    """The classes that have a lesion score, in order."""
    found = set(scores.loc[scores["metric"] == "dice", "group"])
    return [c for c in CLASSES if c in found]


def blocks(main: pd.DataFrame) -> list[Block]:
    """The main table in parts that fit a screen and a page."""
    dice = [c for c in main.columns if c.startswith("dice")]
    names = {c: c.removeprefix("dice_") for c in dice} | {"dice": "pooled"}
    counts = {"seeds": "seeds", "patients": "patients", "slices": "slices"}
    against = {
        name: title
        for b in BASELINES
        for name, title in ((f"difference_{b}", f"minus {b}"), (f"p_{b}", "p (Holm)"))
    }
    return [
        Block("Dice", {"patients": "patients", **names}),
        Block("Other scores, pooled", {**OVERLAP_TITLES, **PLAIN_TITLES}),
        Block("Difference of the pooled Dice", {**counts, "seed_sd": "SD over seeds", **against}),
    ]


def caption(
    tested: dict[str, int], convention: str, level: float, minimum: int, absent: list[str]
) -> str:
    """What the reader must know to read the main table.

    Args:
        tested: number of test patients by Lung-RADS class.
        convention: of the overlap scores.
        level: of the intervals.
        minimum: patients below which there is no interval.
        absent: Lung-RADS classes of the cohort without a tested lesion.
    """
    percent = f"{100 * level:g} %"
    counts = ", ".join(f"{name or 'unknown'} {n}" for name, n in sorted(tested.items()))
    text = (
        f"Test patients by class: {counts}. Convention '{convention}'. Dice, IoU, precision, "
        "recall and the rate of empty predictions are over slices with a nodule; specificity is "
        "the share of slices without a nodule where nothing is predicted; false positives are "
        "predicted components that touch no nodule, on all slices; HD95 is the 95 % Hausdorff "
        "distance of the outlines, the lower the better, over slices where a nodule is and "
        "something is predicted: a missed nodule has none. Slices, then seeds, are "
        f"averaged within a patient; brackets are {percent} intervals over patients (bootstrap "
        f"within Lung-RADS classes, expanded percentiles), given from {minimum} patients on. "
        "Pooled weighs patients equally, macro classes. p: paired sign-flip test of the pooled "
        "Dice, Holm's correction over the arms of a segmenter; classes are descriptive."
    )
    if absent:
        text += f" No tested lesion of class {', '.join(absent)}: macro is over the others."
    return text


def as_markdown(main: pd.DataFrame, text: str) -> str:
    """Aligned Markdown, readable as plain text: a block after the other."""
    parts = []
    for block in blocks(main):
        lines = markdown_lines(block_table(main, block))
        parts.append("\n".join([f"**{block.title}**", "", *lines]))
    return "\n\n".join([*parts, textwrap.fill(text, CAPTION_WIDTH)]) + "\n"


def markdown_lines(table: pd.DataFrame) -> list[str]:
    """The lines of a table of text, its columns aligned."""
    widths = [max(len(v) for v in [c, *table[c]]) for c in table.columns]
    lines = [_line(list(table.columns), widths), _line(["-" * w for w in widths], widths)]
    return lines + [_line(list(map(str, row)), widths) for row in table.itertuples(index=False)]


def as_latex(main: pd.DataFrame, text: str) -> str:
    """A table environment a block (needs the package booktabs)."""
    parts = []
    for number, block in enumerate(blocks(main)):
        words = f"{block.title}. {text}" if number == 0 else f"{block.title}."
        parts += latex_lines(block_table(main, block), words)
    return "\n".join(parts)


def latex_lines(table: pd.DataFrame, caption: str) -> list[str]:
    """The lines of a table environment around a table of text."""
    rows = [list(table.columns), *map(list, table.itertuples(index=False))]
    lines = [" & ".join(_escaped(str(v)) for v in row) + r" \\" for row in rows]
    return [
        r"\begin{table}\centering\small",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.columns)}}}",
        "\n".join([r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule"]),
        r"\end{tabular}",
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
    if math.isnan(low):
        return f"{value:.{decimals}f} (n={n})"
    count = f" (n={n})" if expected not in (None, str(n)) else ""
    return f"{value:.{decimals}f} [{low:.{decimals}f}, {high:.{decimals}f}]{count}"


def _in_order(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    order = arm_order(arm for _, arm in pairs)
    return sorted(pairs, key=lambda pair: (pair[0], order.index(pair[1])))


def _number(value: float, decimals: int) -> str:
    return MISSING if math.isnan(value) else f"{value:.{decimals}f}"


def _signed_cell(row: object | None, decimals: int) -> str:
    if row is None:
        return MISSING
    value, low, high, n = (getattr(row, f) for f in ("difference", "low", "high", "n_patients"))
    if math.isnan(low):
        return f"{value:+.{decimals}f} (n={n})"
    return f"{value:+.{decimals}f} [{low:+.{decimals}f}, {high:+.{decimals}f}]"


def _p_value(row: object | None) -> str:
    p = math.nan if row is None else float(getattr(row, "p_holm"))  # noqa: B009
    if math.isnan(p):
        return MISSING
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _line(cells: list[str], widths: list[int]) -> str:
    return "| " + " | ".join(c.ljust(w) for c, w in zip(cells, widths, strict=True)) + " |"


def _escaped(text: str) -> str:
    for sign in ("&", "%", "_", "#", "$"):
        text = text.replace(sign, "\\" + sign)
    return text.replace(MISSING, "--").replace("<", "$<$")
