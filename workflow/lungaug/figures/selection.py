"""Which slices the pictures show, by rules that are fixed before anybody has seen them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lungaug.cohort import CLASSES
from lungaug.store import SliceFile, slice_key


@dataclass(frozen=True)
class Place:
    """Where a slice lies."""

    path: Path
    group: str
    row: int


@dataclass(frozen=True)
class Choice:
    """A test slice to show, and why."""

    label: str
    fold: str
    key: str


def choose_predictions(metrics: pd.DataFrame) -> list[Choice]:
    """For each class the slice with the median score, and the worst case of all.

    A slice's score is its mean over arms and seeds, so that no arm chooses its own examples: Dice
    where there is a nodule, otherwise minus the number of predicted pixels. Of worst cases that tie
    (all missed), the one with the largest nodule is shown.

    Args:
        metrics: test rows of one segmenter, all arms and seeds shown.
    """
    if metrics.empty:
        return []
    keys = ["lung_rads", "fold", "key"]
    columns = ["dice_standard", "reference_px", "predicted_px"]
    slices = metrics.groupby(keys, as_index=False)[columns].mean()
    lesions = slices[slices["reference_px"] > 0]
    choices = []
    for name in (*CLASSES, ""):
        ours = lesions[lesions["lung_rads"] == name]
        if len(ours):
            choices.append(_median(ours, "dice_standard", 1, name or "unknown class"))
            continue
        healthy = slices[slices["lung_rads"] == name]
        if len(healthy):
            choices.append(_median(healthy, "predicted_px", -1, f"{name} healthy".strip()))
    if len(lesions) > 1:
        order = lesions.sort_values(
            ["dice_standard", "reference_px", "key"], ascending=[True, False, True]
        )
        worst = order.iloc[0]
        choices.append(Choice(f"worst, {worst['lung_rads']}", worst["fold"], worst["key"]))
    return choices


def _median(slices: pd.DataFrame, column: str, sign: int, label: str) -> Choice:
    order = slices.assign(score=sign * slices[column]).sort_values(["score", "key"])
    row = order.iloc[(len(order) - 1) // 2]
    return Choice(f"{label}, median", row["fold"], row["key"])


def places(paths: Iterable[Path], keys: set[str]) -> dict[str, Place]:
    """Where the slices with these keys lie in the files; a slice in two files: the first."""
    found: dict[str, Place] = {}
    for path in paths:
        with SliceFile(path) as file:
            for group in file.groups:
                for i, row in enumerate(file.slices(group)):
                    key = slice_key(row)
                    if key in keys:
                        found.setdefault(key, Place(path, group, i))
    return found


def expanded_rows(paths: Iterable[Path]) -> pd.DataFrame:
    """Rows of expansion files: operation, host, diameter_mm, path, group, row."""
    rows: list[dict[str, Any]] = []
    for path in paths:
        with SliceFile(path) as file:
            for group in file.groups:
                rows += [
                    {
                        "operation": row["origin"].decode().partition(":")[2],
                        "host": row["host"].decode(),
                        "diameter_mm": float(row["diameter_mm"]),
                        "path": path,
                        "group": group,
                        "row": i,
                    }
                    for i, row in enumerate(file.slices(group))
                ]
    columns = ["operation", "host", "diameter_mm", "path", "group", "row"]
    return pd.DataFrame(rows, columns=columns)


def choose_expansions(rows: pd.DataFrame) -> list[tuple[str, str, Place]]:
    """(operation, host, place of the expanded slice): one host for as many operations as can be.

    Among the hosts of most operations the one whose nodule is nearest to the upper quartile of
    size is taken: large enough to see, small enough to be moved.
    """
    if rows.empty:
        return []
    hosts = rows.groupby("host").agg(n=("operation", "nunique"), diameter_mm=("diameter_mm", "max"))
    wanted = float(hosts["diameter_mm"].quantile(0.75))
    hosts["distance"] = (hosts["diameter_mm"] - wanted).abs()
    order = hosts.reset_index().sort_values(
        ["n", "distance", "host"], ascending=[False, True, True]
    )
    rank = {host: i for i, host in enumerate(order["host"])}
    ranked = rows.assign(rank=rows["host"].map(rank)).sort_values(
        ["operation", "rank", "group", "row"], kind="stable"
    )
    first = ranked.drop_duplicates("operation")
    return [
        (r["operation"], r["host"], Place(r["path"], r["group"], int(r["row"])))
        for r in first.to_dict("records")
    ]


def thinned(rows: pd.DataFrame, limit: int) -> pd.DataFrame:
    """At most ``limit`` rows, evenly spaced."""
    if len(rows) <= limit:
        return rows
    return rows.iloc[np.linspace(0, len(rows) - 1, limit).round().astype(int)]


def nodule_positions(nodule: NDArray[Any], lung: NDArray[Any]) -> list[tuple[float, float]]:
    """Row and column of every nodule's centre, in fractions of the lungs' bounding box.

    Args:
        nodule: (H, W) labels, k the k-th nodule.
        lung: (H, W) labels of the slice that the nodule's slice comes from; its box is the frame,
            so that a slice that was turned shows where its nodule has come to lie.

    Returns:
        Empty without lungs or nodules; a position may lie outside 0 to 1.
    """
    rows, columns = np.nonzero(lung)
    if not len(rows):
        return []
    top, left = rows.min(), columns.min()
    height, width = rows.max() - top + 1, columns.max() - left + 1
    centres = []
    for label in np.unique(nodule[nodule > 0]):
        y, x = np.nonzero(nodule == label)
        centres.append((float((y.mean() - top) / height), float((x.mean() - left) / width)))
    return centres


def choose_overlays(paths: Iterable[Path], limit: int) -> list[tuple[str, Place]]:
    """(label, place) of one slice a patient, up to ``limit`` patients, classes taking turns.

    The slice is that with most nodule pixels, or the middle one of a patient without nodules.
    """
    stacks: dict[tuple[str, str], list[Place]] = {}
    for path in paths:
        with SliceFile(path) as file:
            for stack in file.stacks():
                name = stack.slices["lung_rads"][0].decode()
                slot = stacks.setdefault((name, stack.patient), [])
                slot += [Place(path, stack.group, i) for i in stack.rows]
    chosen = _taking_turns(sorted(stacks))[:limit]
    return [_most_nodule(name, patient, stacks[name, patient]) for name, patient in chosen]


def _taking_turns(patients: list[tuple[str, str]]) -> list[tuple[str, str]]:
    turns: dict[str, int] = {}
    ranked = []
    for name, patient in patients:
        turns[name] = turns.get(name, -1) + 1
        ranked.append((turns[name], name, patient))
    return [(name, patient) for _, name, patient in sorted(ranked)]


def _most_nodule(name: str, patient: str, slots: list[Place]) -> tuple[str, Place]:
    areas = list(_nodule_areas(slots))
    best = int(np.argmax(areas)) if max(areas) else len(slots) // 2
    place = slots[best]
    with SliceFile(place.path) as file:
        status = file.slices(place.group)[place.row]["status"].decode()
    words = [patient, name, *([status] if status != "ok" else [])]
    return " ".join(w for w in words if w), place


def _nodule_areas(slots: list[Place]) -> Iterator[int]:
    """Nodule pixels of each slice; slices known to have none are not read."""
    with SliceFile(slots[0].path) as file:
        for place in slots:
            healthy = file.slices(place.group)[place.row]["diameter_mm"] == 0
            area = 0 if healthy else np.count_nonzero(file.image("nodule", place.group, place.row))
            yield int(area)
