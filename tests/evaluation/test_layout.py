"""What the reader of the main table sees, in Markdown and LaTeX."""

from __future__ import annotations

import pandas as pd
import pytest

from lungaug.evaluation.captions import caption, threshold_words, words_of_tests
from lungaug.evaluation.layout import (
    NO_LESION,
    NOT_TESTED,
    View,
    as_latex,
    as_markdown,
    block_table,
    blocks,
    escaped,
    latex_lines,
    main_table,
    p_cell,
    score_cell,
    trainings_of,
    unchosen_folds,
)
from lungaug.evaluation.scores import comparison_table, patient_scores, score_table
from scored_slices import QUICK, classes_of, rows_of, two_arms


def main_from(
    rows: pd.DataFrame, classes: pd.Series, tested: dict[str, int], view: View | None = None
) -> pd.DataFrame:
    values = patient_scores(rows, classes)
    scores, comparisons = score_table(values, QUICK), comparison_table(values, QUICK)
    return main_table(scores, comparisons, trainings_of(rows), tested, view or View())


def main_of(n: int) -> pd.DataFrame:
    rows, classes = two_arms(n)
    return main_from(rows, classes, {"LR2": n})


def headings(main: pd.DataFrame, number: int) -> list[str]:
    return list(block_table(main, blocks(main)[number]).columns)


def test_baselines_come_first_and_few_patients_have_no_interval() -> None:
    assert list(main_of(6)["arm"]) == ["none", "online", "mirror"]
    assert main_of(6)["dice"].str.contains(r"\d\.\d\d \[\d\.\d\d, \d\.\d\d\]", regex=True).all()
    assert main_of(4)["dice"].str.endswith("(n=4)").all()
    assert (main_of(4)["p_none"] == "–").all()


def test_a_class_without_a_test_patient_says_so() -> None:
    classes = pd.Series({"p0": "LR2", "p1": "LR4B"})
    rows = rows_of({"p0": [0.5], "p1": [0.7]})
    # The patient of class LR3 has no slice with a nodule among those that are tested.
    main = main_from(rows, classes, {"LR2": 1, "LR3": 1, "LR4B": 1})
    assert main["dice_LR2"].item() == "0.50 (n=1)"
    assert main["dice_LR3"].item() == NO_LESION
    assert main["dice_LR4A"].item() == NOT_TESTED
    assert headings(main, 0)[2:] == ["pooled", "macro of LR2, LR4B", "LR2", "LR3", "LR4A", "LR4B"]
    assert NOT_TESTED in as_markdown(main, "")
    assert NOT_TESTED in as_latex(main, "")


def test_a_macro_mean_over_all_classes_needs_no_list() -> None:
    names = ["LR2", "LR3", "LR4A", "LR4B"]
    classes = pd.Series(dict(zip("abcd", names, strict=True)))
    main = main_from(rows_of({p: [0.5] for p in "abcd"}), classes, dict.fromkeys(names, 1))
    assert "macro" in headings(main, 0)


def test_segmenters_have_a_column_where_there_are_two() -> None:
    rows, classes = two_arms(6)
    both = pd.concat([rows, rows.assign(segmenter="maskrcnn")], ignore_index=True)
    main = main_from(both, classes, {"LR2": 6})
    assert list(main["segmenter"]) == ["maskrcnn"] * 3 + ["unet"] * 3
    assert all(headings(main, k)[:2] == ["segmenter", "arm"] for k in range(len(blocks(main))))
    assert headings(main_of(6), 0)[0] == "arm"


def test_lesions_and_outlines_are_shown_together() -> None:
    main = main_of(6)
    assert headings(main, 2)[1:] == [
        "lesion sensitivity",
        "false positives a slice",
        "specificity",
        "false area (mm²)",
        "HD95 (mm)",
        "ASD (mm)",
    ]
    assert (main["lesion_sensitivity"] == "1.00 (n=6)").all()
    assert (main["specificity"] == "–").all()  # no slice without a nodule


@pytest.mark.parametrize(
    ("thresholds", "shown"), [((0.5, 0.5), "0.5"), ((0.6, 0.35), "0.35 to 0.6")]
)
def test_thresholds_are_shown(thresholds: tuple[float, float], shown: str) -> None:
    dice = {"p0": [0.5]}
    rows = [rows_of(dice, seed=i, threshold=t) for i, t in enumerate(thresholds)]
    main = main_from(pd.concat(rows, ignore_index=True), classes_of(["p0"]), {"LR2": 1})
    assert main[["seeds", "threshold"]].iloc[0].to_list() == ["2", shown]
    assert "threshold" in headings(main, 3)


def test_the_caption_says_who_chose_the_threshold() -> None:
    assert "chosen on its validation patients" in caption({"LR2": 6}, View(), [])
    text = caption({"LR2": 6}, View(threshold=0.4), ["LR4B"])
    assert threshold_words(0.4) in text
    assert "from probability 0.4 on, fixed beforehand" in text
    assert "No tested lesion of class LR4B" in text


def test_a_threshold_that_nothing_chose_is_said_so() -> None:
    dice = {"p0": [0.5]}
    how = {"cv0": ("validation", 0.3), "cv1": ("default", 0.5)}
    rows = [
        rows_of({f"{fold}p": dice["p0"]}, fold=fold, threshold_by=by, threshold=threshold)
        for fold, (by, threshold) in how.items()
    ]
    table = pd.concat(rows, ignore_index=True)
    assert unchosen_folds(table) == ("cv1",)
    main = main_from(table, classes_of(["cv0p", "cv1p"]), {"LR2": 2})
    assert main["threshold"].to_list() == ["0.3 to 0.5 (some by default)"]
    text = caption({"LR2": 2}, View(unchosen=("cv1",)), [])
    assert "In fold cv1 no validation slice has a nodule: the threshold there is 0.5" in text
    assert "Each training's threshold was chosen" not in text


def seeds_of(n: int, seeds: dict[str, int]) -> tuple[pd.DataFrame, pd.Series]:
    rows, classes = two_arms(n)
    parts = [
        rows[rows["arm"] == arm].assign(seed=seed)
        for arm, number in seeds.items()
        for seed in range(number)
    ]
    return pd.concat(parts, ignore_index=True), classes


def test_p_says_at_its_cell_where_an_arm_has_one_training() -> None:
    rows, classes = seeds_of(8, {"none": 2, "mirror": 2, "online": 1})
    main = main_from(rows, classes, {"LR2": 8}).set_index("arm")
    assert main.loc["mirror", "p_uncorrected_none"] == "0.008"
    assert main.loc["mirror", "p_none"] == "0.023"
    assert main.loc["mirror", "p_uncorrected_online"] == "0.008 (patients)"
    for name in ("p_none", "p_uncorrected_none"):
        assert main.loc["online", name].endswith(" (patients)")
    assert main.loc["none", "p_none"] == "–"


def test_no_p_has_no_caveat() -> None:
    assert p_cell(None) == "–"
    row = pd.Series({"p": 0.0001, "p_holm": float("nan"), "covers": "patients"})
    assert p_cell(row) == "–"
    assert p_cell(row, "p") == "<0.001 (patients)"
    assert p_cell(pd.Series({"p_holm": 0.5, "covers": "patients and trainings"})) == "0.500"


def test_p_stands_before_and_after_its_correction() -> None:
    assert headings(main_of(8), 3)[-6:] == [
        "minus none",
        "p",
        "p (Holm)",
        "minus online",
        "p",
        "p (Holm)",
    ]


def test_the_caption_says_what_p_is_and_is_not() -> None:
    text = caption({"LR2": 6}, View(), [])
    assert "another training may turn the difference round" in text
    assert "tests symmetry" in text
    assert "every segmenter, arm and baseline" in text
    assert "(from 6 patients on)" in text
    assert "at most 0.05" in text
    assert "(from 5 patients on)" in words_of_tests("sign_flip", 0.9)
    bounded = caption({"LR2": 6}, View(test="bounded"), [])
    assert "Gaffke's bound" in bounded
    assert "tests symmetry" not in bounded


def test_the_caption_says_where_patients_are_guessed() -> None:
    told = "one person may be two of them"
    assert told in caption({"LR2": 6}, View(pseudo_patients=True), [])
    assert told not in caption({"LR2": 6}, View(), [])


def test_markdown_is_aligned_and_latex_is_escaped() -> None:
    main = main_of(6).assign(arm=["none", "online", "rotate_slice"])
    text = caption({"LR2": 6}, View(), ["LR4B"])
    markdown = as_markdown(main, text)
    for block in markdown.split("\n\n"):
        if block.startswith("|"):
            assert len({len(line) for line in block.splitlines()}) == 1
    assert "'standard'" in markdown
    latex = as_latex(main, text)
    assert r"rotate\_slice" in latex
    assert r"95 \%" in latex
    assert "(mm$^2$)" in latex
    assert latex.count(r"\begin{tabular}") == len(blocks(main)) == latex.count(r"\end{table}")
    assert latex.count("{") == latex.count("}")


def test_every_sign_is_escaped_once() -> None:
    assert escaped(r"a\b_{c}^2 & 5% #$ ~ <0.001 → –") == (
        r"a\textbackslash{}b\_\{c\}\textasciicircum{}2 \& 5\% \#\$ \textasciitilde{} $<$0.001"
        r" $\to$ --"
    )


def test_a_wide_table_is_shrunk_to_the_page() -> None:
    narrow, wide = (pd.DataFrame({"a": ["x" * n]}) for n in (20, 120))
    assert not any("resizebox" in line for line in latex_lines(narrow, ""))
    assert any("resizebox" in line for line in latex_lines(wide, ""))


def test_a_score_that_is_undefined_is_no_number() -> None:
    row = pd.Series({"estimate": float("nan"), "low": 0.0, "high": 1.0, "n_patients": 3})
    assert score_cell(row, 2) == "–"
