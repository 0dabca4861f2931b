"""Which recorded values of a training may share an axis, and which are no curve at all."""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

LOSS = "loss"
_SHARES = "score, 0 to 1"
_CODES = "codes in use"
_SPREAD = "spread, 1 as the crops"
_UNITS = {
    "real_score": _SHARES,
    "drawn_score": _SHARES,
    "validation_dice": "Dice",
    "validation_auc": "area under the ROC curve",
    "perplexity": _CODES,
    "codes_used": _CODES,
    "spread": _SPREAD,
}
MANY_FOLD = 50.0  # from this ratio of the largest to the smallest on, an axis is logarithmic
FROM_0_TO_1 = frozenset({_SHARES, _UNITS["validation_dice"], _UNITS["validation_auc"]})
NO_CURVE = frozenset(
    {"phase", "step", "epoch", "n_crops", "note", "best", "learning_rate"}
    | {"fold", "generator", "segmenter", "arm", "seed"}
)


def curves_of(rows: pd.DataFrame) -> list[str]:
    """The columns that are curves over the steps: numbers, of which there is one."""
    numbers = rows.select_dtypes("number")
    return [str(c) for c in numbers if c not in NO_CURVE and numbers[c].notna().any()]


def by_unit(names: Iterable[str]) -> dict[str, list[str]]:
    """The curves of each axis, losses first: what no unit is known of is a loss."""
    found: dict[str, list[str]] = {LOSS: []}
    for name in names:
        found.setdefault(_UNITS.get(name, LOSS), []).append(name)
    return {unit: members for unit, members in found.items() if members}
