"""realism_tables: what the realism stage found of every generator, side by side."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import write_table, write_text
from lungaug.evaluation.realism.layout import as_latex, as_markdown, main_rows, realism_table
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the table is shown."""

    decimals: int = setting(2, "decimals of distances and ratios", minimum=1, maximum=6)


def run(*, realism: list[Path], output: Path, settings: Settings, provenance: Provenance) -> None:
    """Write ``realism.tsv``, which has everything, and ``realism_main.tsv``, ``.md``, ``.tex``.

    Args:
        realism: tables of all folds and generators.
        output: a folder.
        settings: of the layout.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: there is no table, or two of one generator and fold.
    """
    table = realism_table(realism)
    main = main_rows(table, settings.decimals)
    write_table(output / "realism.tsv", table)
    write_table(output / "realism_main.tsv", main)
    write_text(output / "realism_main.md", as_markdown(main))
    write_text(output / "realism_main.tex", as_latex(main))
    logger.info("%d generators, %d rows", table["generator"].nunique(), len(table))
