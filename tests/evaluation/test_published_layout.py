"""The thesis' Tables 5, 7 and 8, with our figures beside the published ones."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from lungaug.evaluation import published_layout
from lungaug.evaluation.layout import NOT_TESTED, latex_blocks, markdown_blocks
from lungaug.evaluation.published import read_published
from lungaug.evaluation.published_layout import PublishedTable, published_tables
from lungaug.evaluation.scores import (
    COMPARISON_COLUMNS,
    Resampling,
    comparison_table,
    patient_scores,
    score_table,
)
from published_figures import HEADER, score, write_published
from scored_slices import rows_of

THESIS = Path(__file__).resolve().parents[2] / "workflow/presets/thesis.tables.tsv"
ARMS = ["none", "mirror", "rotate_slice", "rotate_nodule", "noise_slice", "noise_nodule", "blur"]
ARMS += ["vqvae", "dcgan", "mixed"]
MODELS = ["unet", "deeplabv3", "maskrcnn"]
NAMES = ["LR2", "LR3", "LR4A", "LR4B"]
FEW = Resampling(seed=0, n_resamples=100)
COMPARISONS = pd.DataFrame(columns=list(COMPARISON_COLUMNS))
DIFFERENCES = [
    "pooled Dice minus none",
    "p against none (Holm)",
    "pooled Dice minus online",
    "p against online (Holm)",
]


def _dice(base: float, *, odd: int) -> list[float]:
    return [base + 0.06 * odd] * (1 + odd)


def run_of_the_thesis(absent: str = "", *, online: bool = True) -> dict[str, PublishedTable]:
    """Four patients a class, every other with two slices and better by 0.06; each arm and model is
    better than the last by 0.02, and ``online`` than the first by 0.01."""
    pairs = [("unet", arm) for arm in [*ARMS, "metalung"]]
    pairs += [(model, arm) for model in MODELS[1:] for arm in ("none", "metalung")]
    base = {pair: 0.2 + 0.02 * k for k, pair in enumerate(pairs)}
    base |= {(model, "online"): 0.21 for model in MODELS if online}
    patients = {f"{name}{i}": name for name in NAMES if name != absent for i in range(4)}
    rows = [
        rows_of(
            {p: _dice(value, odd=int(p[-1]) % 2) for p in patients},
            segmenter=segmenter,
            arm=arm,
        )
        for (segmenter, arm), value in base.items()
    ]
    values = patient_scores(pd.concat(rows, ignore_index=True), pd.Series(patients))
    shown = ("reference/", "standard/dice", "both/false_positives")
    values = values[values["score"].str.startswith(shown)]
    scores, comparisons = score_table(values, FEW), comparison_table(values, FEW)
    made = published_tables(scores, comparisons, read_published(THESIS), 2, 0.95)
    return {table.name: table for table in made}


@pytest.fixture(scope="module")
def thesis() -> dict[str, PublishedTable]:
    return run_of_the_thesis()


def test_the_thesis_has_three_tables_in_full(thesis: dict[str, PublishedTable]) -> None:
    assert list(thesis) == ["5", "7", "8"]
    five, seven, eight = (thesis[name].cells for name in "578")
    assert [arm.split(" (")[0] for arm in five["arm"]] == [*ARMS, "online"]
    assert list(seven["segmenter"]) == list(eight["segmenter"]) == MODELS
    by_class, overall = [f"Dice {name}" for name in NAMES], ["Dice", "IoU", "precision", "recall"]
    for cells, titles in ((five, [*by_class, *overall]), (seven, overall), (eight, by_class)):
        shown = [c for t in titles for c in (t, f"{t} (published)")]
        assert [c for c in cells if c not in ("segmenter", "arm")] == [*shown, *DIFFERENCES]
        published = cells[cells["arm"] != "online"] if "arm" in cells else cells
        assert not published[shown].isin(["–", ""]).any(axis=None)


def test_published_figures_stand_beside_ours(thesis: dict[str, PublishedTable]) -> None:
    blur = thesis["5"].cells.set_index("arm").loc["blur"]
    # Means over slices, two thirds of which are those of the better patients.
    assert blur["Dice"].startswith("0.36 [")
    assert blur["Dice LR2"] == "0.36 (n=4)"
    assert blur["Dice (published)"] == "0.2171"
    unet = thesis["7"].cells.set_index("segmenter").loc["unet"]
    assert re.fullmatch(r"0\.24 \[\S+ \S+\] → 0\.44 \[\S+ \S+\]", unet["Dice"])
    assert unet["Dice (published)"] == "0.3708 → 0.4004"
    mask = thesis["8"].cells.set_index("segmenter").loc["maskrcnn"]
    assert mask["Dice LR2 (published)"] == "0.0000 → 0.2665"


def test_an_arm_that_was_not_published_stands_below_with_ours_alone(
    thesis: dict[str, PublishedTable],
) -> None:
    own = thesis["5"].cells.set_index("arm").loc["online"]
    assert own["Dice"].startswith("0.25 [")
    assert (own[[name for name in own.index if name.endswith("(published)")]] == "–").all()
    # MetaLung stands in two other tables of the publication.
    assert "metalung" not in set(thesis["5"].cells["arm"])


def test_our_paired_tests_against_both_baselines_stand_beside(
    thesis: dict[str, PublishedTable],
) -> None:
    five = thesis["5"].cells.set_index("arm")[DIFFERENCES]
    assert five.loc["none"].to_list() == ["–"] * 4
    assert [cell[:5] for cell in five.loc["mixed"]] == ["+0.18", "<0.00", "+0.17", "<0.00"]
    assert five.loc["online"].str[:5].to_list() == ["+0.01", "<0.00", "–", "–"]
    seven = thesis["7"].cells.set_index("segmenter")[DIFFERENCES]
    assert [cell[:5] for cell in seven.loc["unet"]] == ["+0.20", "<0.00", "+0.19", "<0.00"]
    assert "differences are those of metalung" in thesis["7"].caption


def test_without_online_there_is_one_baseline() -> None:
    for table in run_of_the_thesis(online=False).values():
        assert [c for c in table.cells if c in DIFFERENCES] == DIFFERENCES[:2]
        assert list(table.blocks[-1][1].columns[1:]) == DIFFERENCES[:2]


def test_exchanged_labels_are_told(thesis: dict[str, PublishedTable]) -> None:
    arms = list(thesis["5"].cells["arm"])
    assert [arm for arm in arms if arm.endswith(" (a)")] == ["noise_slice (a)", "noise_nodule (a)"]
    assert "(a) The published code loads each other's checkpoints" in thesis["5"].caption
    assert "(a)" not in thesis["7"].caption


def test_markdown_and_latex_show_all_of_it(thesis: dict[str, PublishedTable]) -> None:
    for table in thesis.values():
        columns = {c for _, block in table.blocks for c in block.columns}
        assert columns >= set(table.cells.columns) - {"segmenter"}
        latex = latex_blocks(table.blocks, table.caption)
        assert "_" not in latex.replace(r"\_", "")
        assert latex.count("{") == latex.count("}")
    markdown = markdown_blocks(thesis["7"].blocks, thesis["7"].caption)
    assert "0.3708 → 0.4004" in markdown
    assert r"0.3708 $\to$ 0.4004" in latex_blocks(thesis["7"].blocks, "")


def test_a_class_that_was_not_tested_says_so() -> None:
    tables = run_of_the_thesis(absent="LR4A")
    assert (tables["5"].cells["Dice LR4A"] == NOT_TESTED).all()
    assert (tables["8"].cells["Dice LR4A"] == NOT_TESTED).all()
    assert tables["8"].cells["Dice LR4A (published)"].iloc[0] == "0.1979 → 0.3655"


def test_what_was_not_trained_is_no_absent_class() -> None:
    scores = pd.DataFrame([score("none", "dice", "slices", 0.5)])
    made = published_tables(scores, COMPARISONS, read_published(THESIS), 2, 0.95)
    five = made[0].cells.set_index("arm")
    assert five.loc["none", ["Dice", "Dice LR2"]].to_list() == ["0.50 [0.40, 0.60]", NOT_TESTED]
    assert five.loc["blur", ["Dice", "Dice LR2"]].to_list() == ["–", "–"]
    assert made[1].cells["Dice"].to_list() == ["0.50 [0.40, 0.60] → –", "–", "–"]


def test_a_file_without_tables_makes_none(tmp_path: Path) -> None:
    told = read_published(write_published(tmp_path, "unet\tnone\tdice\tpooled\t0.1\n", HEADER))
    scores = pd.DataFrame([score("none", "dice", "slices", 0.5)])
    assert published_tables(scores, COMPARISONS, told, 2, 0.95) == []


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("–", "–", "–"),
        ("–", "0.5", "– → 0.5"),
        ("0.5", "–", "0.5 → –"),
        ("0.5", "0.5", "0.5 → 0.5"),
    ],
)
def test_only_what_is_missing_on_both_sides_is_said_once(
    before: str, after: str, told: str
) -> None:
    """Two equal figures are a result: the augmentation changed nothing."""
    assert published_layout._from_to(before, after) == told
