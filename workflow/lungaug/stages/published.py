"""published: our scores beside those of a publication, arm by arm and in its own tables."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import read_table, write_table, write_text
from lungaug.evaluation.layout import latex_blocks, markdown_blocks
from lungaug.evaluation.published import beside, caption, read_published
from lungaug.evaluation.published_layout import published_tables
from lungaug.evaluation.scores import COMPARISON_COLUMNS, SCORE_COLUMNS
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the comparison is shown."""

    level: float = setting(0.95, "coverage of the intervals; as in tables")
    decimals: int = setting(2, "decimals of our scores; as in tables", minimum=1, maximum=6)
    pseudo_patients: bool = setting(False, "whether the data name no patients; told in captions")


def run(
    *,
    scores: Path,
    comparisons: Path,
    published: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``published`` and a ``table<name>`` for each table, as ``.tsv``, ``.md`` and ``.tex``.

    Args:
        scores, comparisons: from the tables stage.
        published: segmenter, arm, metric, group, value; and table, layout, note where scores stand
            in tables of the publication that are to be laid out as there.
        output: a folder.
        settings: of the layout.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: the published table holds a value that is no number, or a score twice, or a
            table that is no table.
    """
    told, ours = read_published(published), read_table(scores, SCORE_COLUMNS)
    differences = read_table(comparisons, COMPARISON_COLUMNS)
    table = beside(ours, told, settings.decimals)
    write_table(output / "published.tsv", table)
    blocks = [("Published and ours", table)]
    text = caption(settings.level, pseudo_patients=settings.pseudo_patients)
    write_text(output / "published.md", markdown_blocks(blocks, text))
    write_text(output / "published.tex", latex_blocks(blocks, text))
    tables = published_tables(
        ours,
        differences,
        told,
        settings.decimals,
        settings.level,
        pseudo_patients=settings.pseudo_patients,
    )
    for one in tables:
        path = output / f"table{one.name}.tsv"
        write_table(path, one.cells)
        write_text(path.with_suffix(".md"), markdown_blocks(one.blocks, one.caption))
        write_text(path.with_suffix(".tex"), latex_blocks(one.blocks, one.caption))
    logger.info("%d arms beside %s, %d tables", len(table) // 2, published.name, len(tables))
