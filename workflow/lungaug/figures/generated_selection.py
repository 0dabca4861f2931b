"""Which generated nodules the pictures show, by rules that are fixed before anybody looks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from lungaug.store import SliceFile, unpack_parameters

INSERTED_COLUMNS = ("host", "diameter_mm", "patch", "path", "group", "row")


def generator_of(path: Path) -> tuple[str, str]:
    """Fold and generator that a path tells, such as ``fixed/generators/dcgan/patches.h5``.

    ``<fold>/inserted/<generator>[.published].h5``, ``<fold>/realism/<generator>.pairs.tsv`` too.
    """
    if path.parent.parent.name == "generators":
        return path.parents[2].name, path.parent.name
    return path.parents[1].name, path.name.partition(".")[0]


def evenly(diameters_mm: ArrayLike, n: int) -> list[float]:
    """``n`` sizes from the small to the large end, evenly over what there is."""
    values = np.sort(np.asarray(diameters_mm, np.float64))
    if not len(values):
        return []
    shares = (np.arange(n) + 0.5) / n
    return [float(v) for v in np.quantile(values, shares, method="nearest")]


def alike(wanted_mm: Sequence[float], diameters_mm: ArrayLike) -> list[int]:
    """For each size the position of the nearest one that is not taken; fewer if they run out."""
    left = {i: float(d) for i, d in enumerate(np.asarray(diameters_mm, np.float64))}
    found = []
    for size in wanted_mm:
        if not left:
            break
        best = min(left, key=lambda i: (abs(left[i] - size), i))
        found.append(best)
        del left[best]
    return found


def inserted_rows(path: Path) -> pd.DataFrame:
    """Rows of a file of inserted slices, with the first patch that each one holds."""
    rows: list[dict[str, Any]] = []
    with SliceFile(path) as file:
        for group in file.groups:
            for i, fields in enumerate(file.slices(group)):
                nodules = unpack_parameters(fields).get("nodules") or [{}]
                rows.append(
                    {
                        "host": fields["host"].decode(),
                        "diameter_mm": float(fields["diameter_mm"]),
                        "patch": int(nodules[0].get("patch", -1)),
                        "path": path,
                        "group": group,
                        "row": i,
                    }
                )
    return pd.DataFrame(rows, columns=list(INSERTED_COLUMNS))


def examples_of(rows: pd.DataFrame, n: int) -> list[dict[str, Any]]:
    """``n`` inserted slices, large before small, evenly over the sizes."""
    sizes = evenly(rows["diameter_mm"], n)[::-1]
    return _records(rows.iloc[alike(sizes, rows["diameter_mm"])])


def counterpart(row: dict[str, Any], published: pd.DataFrame) -> dict[str, Any] | None:
    """The published insertion of the same patch, in the same host if there is one."""
    same = published[published["patch"] == row["patch"]]
    if same.empty:
        same = published[published["host"] == row["host"]]
    order = same.assign(other=same["host"] != row["host"]).sort_values(
        ["other", "group", "row"], kind="stable"
    )
    return next(iter(_records(order)), None)


def real_like(slices: pd.DataFrame, sizes_mm: Iterable[float]) -> list[dict[str, Any]]:
    """For each size a real training slice with such a nodule, another patient each if it can be."""
    lesions = slices[(slices["role"] == "train") & (slices["n_nodule_px"] > 0)]
    lesions = lesions.dropna(subset="diameter_mm")
    used: dict[str, int] = {}
    found = []
    for size in sizes_mm:
        order = lesions.assign(
            used=lesions["patient"].map(lambda name: used.get(str(name), 0)),
            distance=(lesions["diameter_mm"] - size).abs(),
        ).sort_values(["used", "distance", "key"], kind="stable")
        best = next(iter(_records(order)), None)
        if best is None:
            break
        used[str(best["patient"])] = used.get(str(best["patient"]), 0) + 1
        found.append(best)
    return found


def closest(pairs: pd.DataFrame, n: int) -> list[dict[str, Any]]:
    """The ``n`` patches that are nearest to a training crop."""
    order = pairs.sort_values(["distance", "patch"], kind="stable").drop_duplicates("patch")
    return _records(order.head(n))


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
