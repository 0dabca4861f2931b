"""A publication's tables in their own layout, our figures beside the published ones.

``arms``: a row an arm, a pair of columns a score; arms of ours that the publication has nowhere
stand below. ``before_after``: a row a segmenter, each cell from the first arm to the second. Both
show our paired difference from either baseline.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from lungaug.cohort import CLASSES
from lungaug.evaluation.layout import (
    MISSING,
    class_cell,
    difference_cell,
    p_cell,
    paired_differences,
    score_cell,
)
from lungaug.evaluation.paired import PATIENTS
from lungaug.evaluation.published import (
    POOLED,
    Key,
    caption,
    our_scores,
    published_cell,
    scores_of,
    title,
    told_scores,
)
from lungaug.evaluation.scores import BASELINES, arm_order

_PUBLISHED = " (published)"
_SCORES_A_BLOCK = {"arms": 4, "before_after": 2}


@dataclass(frozen=True)
class PublishedTable:
    """One table of the publication: text as in its TSV file, and what to know of it."""

    name: str
    cells: pd.DataFrame
    blocks: list[tuple[str, pd.DataFrame]]
    caption: str


@dataclass(frozen=True)
class _Figures:
    """What the cells of a table are looked up in."""

    ours: Mapping[Key, object]
    told: Mapping[Key, float]
    differences: Mapping[tuple[str, str, str], object]
    baselines: Sequence[str]
    unpublished: Sequence[tuple[str, str]]
    tested: Mapping[str, int]
    decimals: int

    def cell(self, segmenter: str, arm: str, metric: str, group: str) -> str:
        """Our score; what was not trained is –, a class that was not tested says so."""
        found = self.ours.get((segmenter, arm, metric, group))
        trained = any(key[:2] == (segmenter, arm) for key in self.ours)
        if group == POOLED or not trained:
            return score_cell(found, self.decimals)
        return class_cell(found, group, self.tested, self.decimals)

    def published(self, segmenter: str, arm: str, metric: str, group: str) -> str:
        return published_cell(self.told.get((segmenter, arm, metric, group)))

    def differences_of(self, segmenter: str, arm: str) -> dict[str, str]:
        """From each baseline: the difference and its p."""
        cells: dict[str, str] = {}
        for baseline in self.baselines:
            found = self.differences.get((segmenter, arm, baseline))
            told = difference_cell(found, self.decimals), p_cell(found)
            cells |= dict(zip(_difference_titles(baseline), told, strict=True))
        return cells


def _difference_titles(baseline: str) -> tuple[str, str]:
    return f"pooled Dice minus {baseline}", f"p against {baseline} (Holm)"


def published_tables(
    scores: pd.DataFrame,
    comparisons: pd.DataFrame,
    published: pd.DataFrame,
    decimals: int,
    level: float,
    *,
    pseudo_patients: bool = False,
) -> list[PublishedTable]:
    """Every table that the published scores name, in their order.

    Args:
        scores: ``scores.tsv``.
        comparisons: ``comparisons.tsv``.
        published: from :func:`lungaug.evaluation.published.read_published`.
        decimals: of our scores.
        level: of the intervals.
        pseudo_patients: whether the data name no patients.
    """
    ours, differences = our_scores(scores), paired_differences(comparisons)
    tested, basis = _tested(scores), caption(level, pseudo_patients=pseudo_patients)
    tables = []
    for name, part in published[published["table"] != ""].groupby("table", sort=False):
        figures = _Figures(
            ours,
            told_scores(part),
            differences,
            _baselines(part, differences),
            _unpublished(ours, published, part),
            tested,
            decimals,
        )
        layout = str(part["layout"].iloc[0])
        rows = _arm_rows if layout == "arms" else _before_after_rows
        cells = pd.DataFrame(list(rows(part, figures)))
        blocks = [
            (f"Table {name}, {what}", cells[columns])
            for what, columns in _blocks(cells, scores_of(part), layout, figures.baselines)
        ]
        text = f"{basis} {_statistics(layout, part)} {_notes(part)}".strip()
        tables.append(PublishedTable(str(name), cells, blocks, text))
    return tables


def _tested(scores: pd.DataFrame) -> dict[str, int]:
    """Test patients by class: all of them have a number of false positives."""
    rows = scores[(scores["metric"] == "false_positives") & scores["group"].isin(CLASSES)]
    return {str(name): int(n) for name, n in rows.groupby("group")["n_patients"].max().items()}


def _baselines(part: pd.DataFrame, differences: Mapping[tuple[str, str, str], object]) -> list[str]:
    """``none``, and ``online`` where some arm of the table's segmenters is compared with it."""
    shown = set(part["segmenter"])
    compared = {baseline for segmenter, _, baseline in differences if segmenter in shown}
    return [b for b in BASELINES if b == BASELINES[0] or b in compared]


def _unpublished(
    ours: Mapping[Key, object], published: pd.DataFrame, part: pd.DataFrame
) -> list[tuple[str, str]]:
    """Segmenter and arm of ours that stand in no table, of the segmenters of this one."""
    shown, told = list(dict.fromkeys(part["segmenter"])), set(published["arm"])
    own = {key[:2] for key in ours if key[0] in shown and key[1] not in told}
    arms = arm_order(arm for _, arm in own)
    return [(name, arm) for name in shown for arm in arms if (name, arm) in own]


def _arm_rows(part: pd.DataFrame, figures: _Figures) -> Iterator[dict[str, str]]:
    marks = _marks(part)
    told = zip(part["segmenter"].astype(str), part["arm"].astype(str), strict=True)
    for segmenter, arm in dict.fromkeys([*told, *figures.unpublished]):
        row = {"segmenter": segmenter, "arm": f"{arm}{marks.get(arm, '')}"}
        for score in scores_of(part):
            row[title(*score)] = figures.cell(segmenter, arm, *score)
            row[title(*score) + _PUBLISHED] = figures.published(segmenter, arm, *score)
        yield row | figures.differences_of(segmenter, arm)


def _before_after_rows(part: pd.DataFrame, figures: _Figures) -> Iterator[dict[str, str]]:
    before, after = dict.fromkeys(part["arm"].astype(str))
    for segmenter in dict.fromkeys(part["segmenter"].astype(str)):
        row = {"segmenter": segmenter}
        for score in scores_of(part):
            ours = [figures.cell(segmenter, arm, *score) for arm in (before, after)]
            told = [figures.published(segmenter, arm, *score) for arm in (before, after)]
            row[title(*score)] = _from_to(*ours)
            row[title(*score) + _PUBLISHED] = _from_to(*told)
        yield row | figures.differences_of(segmenter, after)


def _from_to(before: str, after: str) -> str:
    return before if before == after and not before[:1].isdigit() else f"{before} → {after}"


def _blocks(
    cells: pd.DataFrame, scores: list[tuple[str, str]], layout: str, baselines: Sequence[str]
) -> Iterator[tuple[str, list[str]]]:
    """What is shown side by side: scores by class, scores of all classes, the differences."""
    keys = [c for c in ("segmenter", "arm") if c in cells]
    if "arm" in keys and cells["segmenter"].nunique() == 1:
        keys.remove("segmenter")
    kinds = {
        "by class": [title(*s) for s in scores if s[1] != POOLED],
        "all classes": [title(*s) for s in scores if s[1] == POOLED],
    }
    size = _SCORES_A_BLOCK[layout]
    for kind, titles in kinds.items():
        for start in range(0, len(titles), size):
            some = titles[start : start + size]
            heading = f"{kind}: {', '.join(some)}"
            yield heading, [*keys, *(c for name in some for c in (name, name + _PUBLISHED))]
    differences = (title for baseline in baselines for title in _difference_titles(baseline))
    yield "difference", [*keys, *differences]


def _statistics(layout: str, part: pd.DataFrame) -> str:
    first, *others = dict.fromkeys(part["arm"].astype(str))
    arrow = (
        f"Arrows lead from arm {first} to {others[0]}; differences are those of {others[0]}. "
        if layout == "before_after"
        else ""
    )
    return (
        f"{arrow}{MISSING}: not published, not trained in this run, or too few patients. The "
        "difference of the pooled Dice weighs patients equally and is paired by patient; p has "
        "Holm's correction over every segmenter, arm and baseline of this run, those that are not "
        f"shown here too. Marked ({PATIENTS}): an arm has one training, so p and bracket cover the "
        "patients only. The main table's caption says what is tested."
    )


def _notes(part: pd.DataFrame) -> str:
    """The notes of the published figures, in the order of their marks."""
    notes = [note for note in dict.fromkeys(part["note"]) if note]
    return " ".join(f"({m}) {n}" for m, n in zip(string.ascii_lowercase, notes, strict=False))


def _marks(part: pd.DataFrame) -> dict[str, str]:
    """The mark of each arm that a note is about."""
    notes = [note for note in dict.fromkeys(part["note"]) if note]
    noted = part[part["note"] != ""]
    return {
        str(arm): f" ({string.ascii_lowercase[notes.index(note)]})"
        for arm, note in zip(noted["arm"], noted["note"], strict=True)
    }
