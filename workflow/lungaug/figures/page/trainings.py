"""Every training on the report's page: its curves, the step that was kept, and its numbers."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from lungaug.cohort import read_table
from lungaug.evaluation.scores import arm_order
from lungaug.evaluation.trainings import Training
from lungaug.figures.page.curves import Panel, panels, shared_axes
from lungaug.figures.page.tables import Table, shown, thinned
from lungaug.figures.quantities import NO_CURVE

MOST_OPEN = 8  # cards of a group that is open from the start
_ALL_ROWS, _LEAST_ROWS, _MOST_ROWS = 2000, 5, 60
_NAMES = {
    "train_loss": "training",
    "validation_loss": "validation",
    "validation_dice": "validation",
    "validation_auc": "validation",
}
SUMMARY = (
    "segmenter",
    "arm",
    "fold",
    "seed",
    "kept step",
    "validation loss",
    "validation Dice",
    "last step",
    "last training loss",
)


@dataclass(frozen=True)
class Card:
    """What is shown of one training."""

    title: str
    words: str
    panels: list[tuple[str, list[Panel]]]  # for each phase, named where there are several
    numbers: Table
    settings: str = ""  # id of its settings on the page


@dataclass(frozen=True)
class Group:
    """Trainings that share their axes."""

    title: str
    cards: list[Card]

    @property
    def is_open(self) -> bool:
        return len(self.cards) <= MOST_OPEN


def summary(histories: dict[Training, Path]) -> Table:
    """A row a segmenter's training: the step that was kept, and the last one."""
    rows = []
    for training, path in _in_order(histories):
        table = read_table(path, ("step", "validation_loss", "validation_dice", "best"))
        kept = _kept(table)
        numbers = [kept[c].max() for c in ("step", "validation_loss", "validation_dice")]
        names = (training.segmenter, training.arm, training.fold, training.seed)
        last = table["step"].max(), table["train_loss"].dropna().tail(1).max()
        rows.append((*names, *numbers, *last))
    return shown(pd.DataFrame(rows, columns=list(SUMMARY)))


def groups(
    root: Path,
    histories: dict[Training, Path],
    classifiers: list[Path],
    generators: list[Path],
    settings: dict[Training, str],
) -> list[Group]:
    """All trainings: segmenters by network, then classifiers, then generators.

    Args:
        root: of the results: paths are shown from here.
        histories: of segmenters.
        classifiers: ``<fold>/presence/<arm>/seed<k>/history.tsv``.
        generators: ``<fold>/generators/<generator>/history.tsv``.
        settings: id of the settings of each segmenter's training.
    """
    budget = _ALL_ROWS // max(len(histories) + len(classifiers) + len(generators), 1)
    most = min(max(budget, _LEAST_ROWS), _MOST_ROWS)
    found = []
    for segmenter, members in itertools.groupby(_in_order(histories), lambda m: m[0].segmenter):
        ours = [(_title(training), path, settings.get(training, "")) for training, path in members]
        found.append(_group(f"Segmenter {segmenter}", ours, root, most))
    if classifiers:
        names = [(_classifier(path), path, "") for path in sorted(classifiers)]
        found.append(_group("Classifiers of slices", names, root, most))
    by_name = sorted(generators, key=lambda path: (path.parts[-2], path.parts[-4]))
    for generator, paths in itertools.groupby(by_name, lambda path: path.parts[-2]):
        fits = [(f"{generator}, {path.parts[-4]}", path, "") for path in paths]
        found.append(_group(f"Generator {generator}", fits, root, most))
    return found


def _in_order(histories: dict[Training, Path]) -> list[tuple[Training, Path]]:
    """By segmenter, arm (baselines first), fold and seed."""
    order = arm_order(training.arm for training in histories)
    return sorted(
        histories.items(),
        key=lambda item: (item[0].segmenter, order.index(item[0].arm), item[0].fold, item[0].seed),
    )


def _group(title: str, members: list[tuple[str, Path, str]], root: Path, most: int) -> Group:
    tables = [read_table(path, ("step",)) for _, path, _ in members]
    axes = shared_axes(tables)
    cards = []
    for (name, path, settings), table in zip(members, tables, strict=True):
        drawn = [(phase, panels(rows, axes, _NAMES)) for phase, rows in _phases(table)]
        source = path.relative_to(root).as_posix() if path.is_relative_to(root) else path.name
        numbers = shown(thinned(table, most))
        if len(table) > most:
            numbers = Table(numbers.columns, numbers.rows, numbers.numeric, len(table), source)
        cards.append(Card(name, _words(table), drawn, numbers, settings))
    return Group(title, cards)


def _phases(table: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The parts of a fit that have curves, named if there are several."""
    if "phase" not in table:
        return [("", table)]
    parts = [(str(name), rows) for name, rows in table.groupby("phase", sort=False)]
    parts = [(name, rows) for name, rows in parts if rows["step"].nunique() > 1]
    return parts if len(parts) > 1 else [("", rows) for _, rows in parts]


def _words(table: pd.DataFrame) -> str:
    """What a card says below its curves: the step that was kept, what was noted or measured."""
    said = []
    kept = _kept(table) if "best" in table else table.head(0)
    for row in kept.to_dict("records"):
        score = next(name for name in ("validation_dice", "validation_auc") if name in row)
        what = {"validation_dice": "Dice", "validation_auc": "area under the ROC curve"}[score]
        said.append(
            f"Kept: step {row['step']:g} of {table['step'].max():g}, validation {what} "
            f"{row[score]:.3f}, loss {row['validation_loss']:.3f}."
        )
    if "phase" in table and table["step"].nunique() <= 1:
        fitted = table.iloc[0].drop(labels=[n for n in NO_CURVE - {"n_crops"} if n in table])
        values = ", ".join(f"{name} {value:g}" for name, value in fitted.items())
        said.append(f"Fitted in one go, without steps: {values}.")
    said += _notes(table)
    return " ".join(said)


def _notes(table: pd.DataFrame) -> list[str]:
    """What the training itself noted, once each, with the first step that it was noted at."""
    if "note" not in table:
        return []
    noted = table.dropna(subset="note").drop_duplicates("note")
    noted = noted[noted["note"].astype(str) != ""]
    return [
        f"Noted from step {row['step']:g} on: {row['note']}." for row in noted.to_dict("records")
    ]


def _kept(table: pd.DataFrame) -> pd.DataFrame:
    return table[table["best"].astype(str).isin(["1", "1.0", "True", "true"])].tail(1)


def _classifier(path: Path) -> str:
    """Arm, fold and seed of ``<fold>/presence/<arm>/seed<k>/history.tsv``."""
    fold, _, arm, seed = path.parts[-5:-1]
    return f"{arm}, {fold}, seed {seed.removeprefix('seed')}"


def _title(training: Training) -> str:
    return f"{training.segmenter}, {training.arm}, {training.fold}, seed {training.seed}"
