"""The realism table of all generators, and the few numbers of it that people read."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from lungaug.cohort import read_table
from lungaug.errors import InputError
from lungaug.evaluation.layout import CAPTION_WIDTH, MISSING, latex_lines, markdown_lines
from lungaug.evaluation.realism.rows import (
    COLUMNS,
    PATCHES,
    PUBLISHED,
    REAL,
    TISSUE,
    VARIANTS,
)

TEXT = ("generator", "fold", "variant", "metric", "space", "within", "note")
COPYPASTE = "copypaste"
REAL_PATIENTS = "real patients"

_KEYS = ["fold", "generator", "variant"]
_GATES = {"KS pixels": "pixels", "KS mean": "mean", "KS SD": "sd"}
_DISTANCES = {
    "Fréchet": ("frechet", "texture"),
    "KID texture": ("kid", "texture"),
    "KID encoder": ("kid", "encoder"),
    "KID Inception": ("kid", "inception"),
}
_RIMS = {"rim AUC": ("rim_auc", "ring"), "rim AUC, free": ("rim_auc", "ring_free")}
_BLOCKS = {
    "HU: divided by the real-to-real distance; within its interval": list(_GATES),
    "Texture and features: divided by the real-to-real distance": list(_DISTANCES),
    "Diversity, copies, rims": [
        "MS-SSIM",
        "copy rate",
        "copy rate of copypaste",
        *_RIMS,
        "changed outside",
    ],
}
CAPTION = (
    "Distances to held-out patients; 1 is as far as training patients are from them, and the row "
    "'real patients' has that distance itself, with both numbers of nodules. Brackets of distances "
    "and ratios: percentiles over resampled patients, moved by the bootstrap's bias (mean of the "
    "resamples minus the estimate; Efron and Tibshirani 1993), cut at 0; from five patients on. "
    "They cover the expected distance of sets of so many patients, which is above 0 even where "
    "the populations are the same, not the distance of the populations. "
    "Yes: beyond neither the upper end of the real-to-real bracket nor the upper percentile of the "
    "distance between real patients dealt out at random to two sides of the same numbers "
    "(split_high in realism.tsv). Too few: not beyond them, but real patients shifted by "
    "realism.power.shift SDs between patients (1 unless set) would be beyond them in less than "
    "realism.power.least (0.8 unless set) of such deals, so that a yes would say nothing; column "
    "power of realism.tsv has that share. A yes does not say that nodules are alike. "
    "Where the real-to-real distance is not above 0 or "
    "its bracket reaches 0, value and real value stand instead of a ratio of features; KID is "
    "unbiased and may be negative. MS-SSIM: mean of pairs of "
    "patches, higher is less diverse; in parentheses that of training crops. Copy rate: patches "
    "nearer to a training crop than the nearest few percent of held-out nodules are; for real "
    "patients that share itself. Rim AUC: a classifier that sees only the ring around the nodule, "
    "0.5 is best; chance: 95 % of those under permuted labels; free: nodules off walls and "
    "vessels only. HU columns judge the insertion, the others the generator too. "
    "Changed outside: pixels beyond mask and feather that differ from the host."
)


def realism_table(paths: Iterable[Path]) -> pd.DataFrame:
    """All tables of the stage realism, (rows, ``COLUMNS``), in an order that is theirs.

    Raises:
        FileFormatError: one is damaged or lacks a column.
        InputError: there is none, or two of one generator and fold.
    """
    tables = [read_table(path, COLUMNS)[list(COLUMNS)] for path in sorted(paths)]
    if not tables:
        raise InputError("no realism table; accepted: at least one")
    # A column without any text is read as numbers.
    text = [table.assign(**{c: table[c].map(_as_text) for c in TEXT}) for table in tables]
    table = pd.concat(text, ignore_index=True)
    if table.duplicated([*_KEYS, "metric", "space"]).any():
        raise InputError("two realism tables of one generator and fold; accepted: one")
    rank = table["variant"].map({name: i for i, name in enumerate(VARIANTS)})
    order = table.assign(rank=rank).sort_values(["fold", "generator", "rank"], kind="stable")
    return table.loc[order.index].reset_index(drop=True)


def main_rows(table: pd.DataFrame, decimals: int = 2) -> pd.DataFrame:
    """One row a generator and variant of the insertion, cells as text; real patients first.

    Args:
        table: of :func:`realism_table`.
        decimals: of distances and ratios.
    """
    rows: list[dict[str, str]] = []
    for fold, of_fold in table.groupby("fold", sort=True):
        cells = {
            (r["generator"], r["variant"], r["metric"], r["space"]): r
            for r in of_fold.to_dict("records")
        }
        generators = list(dict.fromkeys(of_fold["generator"]))
        rows.append({"fold": str(fold), **_real_row(cells, generators[0], decimals)})
        for generator in generators:
            for variant in (TISSUE, PUBLISHED):
                row = _row(cells, generator, variant, decimals)
                rows.append({"fold": str(fold), **row})
    main = pd.DataFrame(rows)
    return main if main["KID Inception"].ne(MISSING).any() else main.drop(columns="KID Inception")


def as_markdown(main: pd.DataFrame) -> str:
    """Aligned Markdown: a block after the other, then what must be known to read it."""
    parts = [
        "\n".join([f"**{title}**", "", *markdown_lines(block)])
        for title, block in main_blocks(main)
    ]
    return "\n\n".join([*parts, textwrap.fill(CAPTION, CAPTION_WIDTH)]) + "\n"


def as_latex(main: pd.DataFrame) -> str:
    """A table environment a block (needs the package booktabs)."""
    parts = []
    for number, (title, block) in enumerate(main_blocks(main)):
        parts += latex_lines(block, f"{title}. {CAPTION}" if number == 0 else f"{title}.")
    return "\n".join(parts)


def main_blocks(main: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of :func:`main_rows` in parts that fit a page, each with its title."""
    keys = ["fold"] if main["fold"].nunique() > 1 else []
    for title, columns in _BLOCKS.items():
        shown = [c for c in columns if c in main.columns]
        yield title, main[[*keys, "generator", "variant", "nodules", *shown]]


Cells = dict[tuple[str, str, str, str], dict[Any, Any]]


def _row(cells: Cells, generator: str, variant: str, decimals: int) -> dict[str, str]:
    def cell(metric: str, space: str, of: str = variant, by: str = generator) -> dict[Any, Any]:
        return cells.get((by, of, metric, space), {})

    copies = [cell("copy_rate", "patches", PATCHES, by) for by in (generator, COPYPASTE)]
    diversity = cell("ms_ssim", "patches", PATCHES)
    return {
        "generator": generator,
        "variant": variant,
        "nodules": str(cell("ks", "pixels").get("n", 0)),
        **{name: _gate(cell("ks", space), decimals) for name, space in _GATES.items()},
        **{name: _ratio(cell(*key), decimals) for name, key in _DISTANCES.items()},
        "MS-SSIM": _beside(diversity, decimals),
        "copy rate": _number(copies[0], "value", decimals),
        "copy rate of copypaste": _number(copies[1], "value", decimals),
        **{name: _against_chance(cell(*key), decimals) for name, key in _RIMS.items()},
        "changed outside": _number(cell("changed_outside", "slices"), "value", 0),
    }


def _real_row(cells: Cells, generator: str, decimals: int) -> dict[str, str]:
    """The distances between real patients, which are the same beside every generator."""

    def cell(metric: str, space: str) -> dict[Any, Any]:
        return cells.get((generator, REAL, metric, space), {})

    pixels = cell("ks", "pixels")
    return {
        "generator": REAL_PATIENTS,
        "variant": "",
        "nodules": f"{pixels.get('n', 0)} / {pixels.get('n_held_out', 0)}",
        **{name: _interval(cell("ks", space), decimals) for name, space in _GATES.items()},
        **{name: _interval(cell(*key), decimals + 1) for name, key in _DISTANCES.items()},
        "MS-SSIM": _number(cell("ms_ssim", "patches"), "value", decimals),
        "copy rate": _number(cell("copy_rate", "patches"), "value", decimals),
        "copy rate of copypaste": MISSING,
        **{name: _against_chance(cell(*key), decimals) for name, key in _RIMS.items()},
        "changed outside": MISSING,
    }


def _number(cell: dict[Any, Any], name: str, decimals: int) -> str:
    value = float(cell.get(name, math.nan))
    return MISSING if math.isnan(value) else f"{value:.{decimals}f}"


def _interval(cell: dict[Any, Any], decimals: int, name: str = "value") -> str:
    """``0.41 [0.33, 0.49]``, without brackets where there is no interval."""
    low, high = ("low", "high") if name == "value" else (f"{name}_low", f"{name}_high")
    value, *ends = (_number(cell, key, decimals) for key in (name, low, high))
    return value if MISSING in ends else f"{value} [{', '.join(ends)}]"


def _against_chance(cell: dict[Any, Any], decimals: int) -> str:
    """``0.90 (chance 0.36-0.67)``: the interval is that of permuted labels, not of the value."""
    value, *ends = (_number(cell, key, decimals) for key in ("value", "low", "high"))
    return value if MISSING in ends else f"{value} (chance {'-'.join(ends)})"


def _gate(cell: dict[Any, Any], decimals: int) -> str:
    within = cell.get("within", "")
    return _number(cell, "ratio", decimals) + (f", {within}" if within else "")


def _ratio(cell: dict[Any, Any], decimals: int) -> str:
    """The ratio where the real distance is clearly above 0, else both distances."""
    bounded = not math.isnan(float(cell.get("real_low", math.nan)))
    if bounded and not float(cell["real_low"]) > 0:
        return _beside(cell, decimals + 1)
    return _interval(cell, decimals, "ratio")


def _beside(cell: dict[Any, Any], decimals: int) -> str:
    value, real = _number(cell, "value", decimals), _number(cell, "real_value", decimals)
    return value if MISSING in (value, real) else f"{value} (real {real})"


def _as_text(value: Any) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else str(value)
