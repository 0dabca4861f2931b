"""published: one file of published scores, all the tables that it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungaug.stages import published, tables
from published_figures import write_published
from synthetic_results import MADE_BY, Plan, build

THESIS = Path(__file__).resolve().parents[2] / "workflow/presets/thesis.tables.tsv"
FILES = ["published.md", "published.tex", "published.tsv"]
TABLES = ("table5", "table7", "table8")


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("results") / "phantom"
    plan = Plan(patients=3, n_slices=1, seeds=1, arms=("none", "metalung"), roles=("test",))
    inputs = build(root, plan)
    tables.run(
        metrics=inputs["metrics"],
        split=root / "split.tsv",
        output=root / "tables",
        settings=tables.Settings(n_resamples=1000),
        provenance=MADE_BY,
    )
    return root / "tables"


def run(scored: Path, told: Path, output: Path, **settings: Any) -> list[str]:
    published.run(
        scores=scored / "scores.tsv",
        comparisons=scored / "comparisons.tsv",
        published=told,
        output=output,
        settings=published.Settings(**settings),
        provenance=MADE_BY,
    )
    return sorted(path.name for path in output.iterdir())


def test_the_tables_that_the_file_names_are_written(scored: Path, tmp_path: Path) -> None:
    expected = {f"{name}.{kind}" for name in TABLES for kind in ("tsv", "md", "tex")}
    assert set(run(scored, THESIS, tmp_path)) == {*FILES, *expected}
    seven = (tmp_path / "table7.tsv").read_text().splitlines()
    assert seven[0].split("\t")[:3] == ["segmenter", "Dice", "Dice (published)"]
    assert seven[1].startswith("unet\t0.")
    assert seven[2].startswith("deeplabv3\t–\t0.3308 → 0.4136")
    assert "no test patient" in (tmp_path / "table8.md").read_text()  # LR3 and LR4A
    assert "probably exchanged" in " ".join((tmp_path / "table5.md").read_text().split())
    assert r"\caption{Table 5, by class" in (tmp_path / "table5.tex").read_text()


def test_a_file_without_tables_is_shown_as_before(scored: Path, tmp_path: Path) -> None:
    told = write_published(tmp_path, "unet\tnone\tdice\tpooled\t0.3709\n")
    assert run(scored, told, tmp_path / "out") == FILES
    text = (tmp_path / "out" / "published.md").read_text()
    assert "0.3709" in text
    assert "unless the run is on the published data" in " ".join(text.split())
    latex = (tmp_path / "out" / "published.tex").read_text()
    assert latex.startswith(r"\begin{table}")
    assert "unet & none & published & 0.3709" in latex
    assert latex.count("{") == latex.count("}")


def test_pseudo_patients_are_told_beside_every_table(scored: Path, tmp_path: Path) -> None:
    run(scored, THESIS, tmp_path / "known")
    run(scored, THESIS, tmp_path / "guessed", pseudo_patients=True)
    for folder, expected in (("known", set()), ("guessed", {"published", *TABLES})):
        for kind in ("md", "tex"):
            files = (tmp_path / folder).glob(f"*.{kind}")
            assert {f.stem for f in files if "pseudo-patients" in f.read_text()} == expected
