"""Parts of the report's page: cells that sort, curves that compare, and where the code is from."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lungaug.cohort import write_table
from lungaug.evaluation.trainings import training_of
from lungaug.figures.page import curves, tables, trainings
from lungaug.figures.page.surroundings import commit, surroundings
from lungaug.figures.quantities import by_unit
from report_pages import write_generator


def history(n: int = 10, loss: float = 1.0) -> pd.DataFrame:
    steps = np.arange(1, n + 1)
    table = pd.DataFrame({"step": steps, "epoch": steps, "train_loss": loss / steps})
    table = table.assign(validation_loss=loss / steps, validation_dice=1 - 1 / steps)
    return table.assign(learning_rate=0.1, best=(steps == 7).astype(int))


def write_histories(root: Path, n: int, rows: int = 10) -> dict[trainings.Training, Path]:
    paths = [root / f"fixed/segmentation/none/unet/seed{i}/history.tsv" for i in range(n)]
    for path in paths:
        write_table(path, history(rows))
    return {training_of(path): path for path in paths}


@pytest.mark.parametrize(
    ("cells", "numeric"),
    [
        (["0.61 [0.52, 0.70]", "0.7 (n=4)", "–"], True),
        (["1,200 (900 to 1,300)", "7", ""], True),
        (["<0.001", "0.03", "n/a"], True),
        (["-0.02", "+0.05 [+0.01, +0.09]", "1.2e-05"], True),
        (["no test patient", "no test patient"], True),
        (["LR2", "LR3"], False),
        (["5 / 6", "4"], False),
        (["4 to 8", "below 4"], False),
        (["", ""], False),
    ],
)
def test_which_columns_sort_by_numbers(cells: list[str], numeric: bool) -> None:
    assert tables.of_text(["x"], [[cell] for cell in cells]).numeric == [numeric]


def test_a_long_table_is_cut_only_where_a_file_holds_all() -> None:
    frame = pd.DataFrame({"x": range(1000)})
    cut, whole = tables.shown(frame, "scores.tsv"), tables.shown(frame)
    assert (len(cut.rows), cut.n_rows, cut.source) == (tables.MOST_ROWS, 1000, "scores.tsv")
    assert (len(whole.rows), whole.n_rows, whole.source) == (1000, 1000, "")
    assert tables.shown(frame.head(3), "scores.tsv").source == ""


def test_thinning_keeps_both_ends() -> None:
    assert tables.thinned(pd.DataFrame({"x": range(11)}), 3)["x"].tolist() == [0, 5, 10]


def test_curves_of_different_units_never_share_an_axis() -> None:
    names = ["real_score", "loss_g", "codes_used", "drawn_score", "lung_mean"]
    assert by_unit(names) == {
        "loss": ["loss_g", "lung_mean"],
        "score, 0 to 1": ["real_score", "drawn_score"],
        "codes in use": ["codes_used"],
    }


def test_trainings_of_a_group_share_their_axes() -> None:
    axes = curves.shared_axes([history(loss=1.0), history(loss=2.0)])
    (loss, dice) = curves.panels(history(loss=1.0), axes, {})
    assert (loss.unit, dice.unit) == ("loss", "Dice")
    highest = next(float(y) for y in re.findall(r",([\d.]+)", loss.svg))
    middle = (curves.TOP + curves.HEIGHT - curves.BOTTOM) / 2
    assert highest == pytest.approx(middle, abs=5)  # 1 of 2, whose axis is shared
    assert 'class="kept"' in loss.svg


def test_wide_ranges_are_logarithmic_with_round_ticks() -> None:
    axis = curves.shared_axes([pd.DataFrame({"step": [1, 2], "loss": [0.001, 2.0]})])["loss"]
    assert axis.log
    assert axis.ticks() == pytest.approx([0.001, 0.01, 0.1, 1.0])
    assert curves.Axis(0, 1).ticks() == [0, 0.25, 0.5, 0.75, 1]


def test_a_line_has_no_more_points_than_can_be_seen() -> None:
    table = history(5000)
    (loss, _) = curves.panels(table, curves.shared_axes([table]), {})
    assert loss.svg.count(",") == 2 * curves.MOST_POINTS


def test_many_trainings_are_folded_and_their_numbers_cut(tmp_path: Path) -> None:
    few = trainings.groups(tmp_path, write_histories(tmp_path, 2, rows=50), [], [], {})
    many = trainings.groups(tmp_path, write_histories(tmp_path, 100, rows=50), [], [], {})
    assert [group.is_open for group in (*few, *many)] == [True, False]
    assert len(few[0].cards[0].numbers.rows) == 50
    numbers = many[0].cards[0].numbers
    assert (len(numbers.rows), numbers.n_rows) == (20, 50)
    assert numbers.source == "fixed/segmentation/none/unet/seed0/history.tsv"
    size = sum(len(p.svg) for card in many[0].cards for _, ps in card.panels for p in ps)
    assert size < 400_000


def test_a_fit_without_steps_tells_what_it_found(tmp_path: Path) -> None:
    (group,) = trainings.groups(tmp_path, {}, [], [write_generator(tmp_path, "copypaste")], {})
    assert group.cards[0].words == "Fitted in one go, without steps: n_crops 22."
    assert group.cards[0].panels == []


def git(folder: Path, *arguments: str) -> None:
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
    subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True)


def test_the_commit_is_that_of_the_code_and_of_no_other_project(tmp_path: Path) -> None:
    code = tmp_path / "lungaug"
    code.mkdir()
    (code / "__init__.py").write_text("")
    assert commit(code).startswith("none")
    git(tmp_path, "init", "-q")
    (tmp_path / "mine").write_text("")
    git(tmp_path, "add", "mine")
    git(tmp_path, "commit", "-qm", "mine")
    assert commit(code) == "none: the code is in no git repository"
    git(tmp_path, "add", "lungaug")
    git(tmp_path, "commit", "-qm", "lungaug")
    assert re.fullmatch(r"[0-9a-f]{40}", commit(code))
    (tmp_path / "mine").write_text("changed")
    assert re.fullmatch(r"[0-9a-f]{40}", commit(code))
    (code / "__init__.py").write_text("1\n")
    assert re.fullmatch(r"[0-9a-f]{40}, with changes in workflow/lungaug", commit(code))


def test_surroundings_name_versions() -> None:
    told = dict(surroundings("abc"))
    assert told["code of this stage"] == "abc"
    assert {"lungaug", "Python", "platform", "git commit", "pandas", "jinja2"} <= set(told)
