"""published: our scores beside those of a publication, arm by arm."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from lungaug.cohort import read_table, write_table, write_text
from lungaug.evaluation.layout import markdown_lines
from lungaug.evaluation.published import beside, caption, read_published
from lungaug.evaluation.scores import SCORE_COLUMNS
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """How the comparison is shown."""

    level: float = setting(0.95, "coverage of the intervals; as in tables")
    decimals: int = setting(2, "decimals of our scores", minimum=1, maximum=6)


def run(
    *,
    scores: Path,
    published: Path,
    output: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write ``published.tsv`` and ``published.md``.

    Args:
        scores: from the tables stage.
        published: segmenter, arm, metric, group, value.
        output: a folder.
        settings: of the layout.
        provenance: unused; a table carries no attributes.

    Raises:
        InputError: the published table holds a value that is no number, or a score twice.
    """
    table = beside(read_table(scores, SCORE_COLUMNS), read_published(published), settings.decimals)
    write_table(output / "published.tsv", table)
    lines = [*markdown_lines(table), "", caption(settings.level), ""]
    write_text(output / "published.md", "\n".join(lines))
    logger.info("%d arms beside %s", len(table) // 2, published.name)
