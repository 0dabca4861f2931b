"""``make mutants``: break a folder of the package at random, and count what its tests notice.

    PYTHONPATH=tests python -m mutants --folder evaluation --n 40 --seed 0 [--output mutants.tsv]

A folder of ``workflow/lungaug``, or one module of it. The table has a row a mutant; a survivor is a
behaviour that no test checks, or a change that changes nothing (``equivalent.tsv``).
"""

from __future__ import annotations

import argparse
import csv
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

from mutants import runs
from mutants.sites import Site

REPOSITORY = Path(__file__).resolve().parents[2]
EQUIVALENT = Path(__file__).with_name("equivalent.tsv")
COLUMNS = ("module", "line", "kind", "was", "now", "result", "by", "seconds")


def main() -> int:
    parser = argparse.ArgumentParser(prog="mutants", description="Break lines, run their tests.")
    parser.add_argument("--folder", nargs="+", required=True, help="of workflow/lungaug")
    parser.add_argument("--n", type=int, default=40, help="mutants of all these folders")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=300, help="seconds a mutant, at most")
    parser.add_argument("--output", type=Path, help="the table; standard output without it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = runs.copied(REPOSITORY, Path(folder))
        paths = [path for name in given.folder for path in runs.modules(root, name)]
        drawn = runs.chosen(root, paths, given.n, given.seed)
        counts = _written(given.output, root, drawn, given.limit)
    counted = given.n - counts["equivalent"]
    print(f"{counted - counts['survived']} of {counted} killed, {counts['equivalent']} equivalent")
    return 0


def _written(
    output: Path | None, root: Path, drawn: list[tuple[Path, Site]], limit_s: float
) -> Counter[str]:
    counts: Counter[str] = Counter()
    same = equivalent()
    stream: Any = output.open("w", encoding="utf-8", newline="") if output else sys.stdout
    table = csv.writer(stream, delimiter="\t", lineterminator="\n")
    table.writerow(COLUMNS)
    for module, site, outcome in runs.outcomes(root, drawn, limit_s):
        name = module.relative_to(runs.PACKAGE).as_posix()
        line = (root / module).read_text("utf-8").splitlines()[site.line - 1].strip()
        result, by = outcome.result, outcome.by
        if result == "survived" and (name, line, site.now) in same:
            result, by = "equivalent", same[name, line, site.now]
        counts[result] += 1
        texts = (" ".join(text.split()) for text in (site.was, site.now))
        table.writerow([name, site.line, site.kind, *texts, result, by, f"{outcome.seconds:.1f}"])
        stream.flush()
    if output:
        stream.close()
    return counts


def equivalent() -> dict[tuple[str, str, str], str]:
    """Return the reason by module, line of text and change, of mutants that change nothing."""
    with EQUIVALENT.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    return {(row["module"], row["line"], row["now"]): row["reason"] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
