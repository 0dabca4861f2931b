"""cost: what every training took, in one table."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import write_table, write_text
from lungaug.evaluation.collect import rounded
from lungaug.evaluation.cost import CAPTION, blocks, cost_table, read_costs, shown
from lungaug.evaluation.layout import latex_blocks, markdown_blocks
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """The table has none."""


def run(*, costs: list[Path], output: Path, settings: Settings, provenance: Provenance) -> None:
    """Write ``cost.tsv``, ``.md`` and ``.tex``.

    Args:
        costs: ``cost.tsv`` of every training.
        output: a folder.
        settings: none.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: there is no cost, or two of one training.
    """
    rows = read_costs(costs)
    table = cost_table(rows)
    parts = blocks(shown(table))
    write_table(output / "cost.tsv", rounded(table))
    write_text(output / "cost.md", markdown_blocks(parts, CAPTION))
    write_text(output / "cost.tex", latex_blocks(parts, CAPTION))
    logger.info("%d trainings", len(rows))
