"""The command line: options from signatures, errors without tracebacks."""

from __future__ import annotations

from pathlib import Path

import pytest

from lungaug import cli
from lungaug.cli import main


def test_an_input_error_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    missing = tmp_path / "b00.h5"
    out = [f"--output={tmp_path / 'o.h5'}", f"--skipped={tmp_path / 's.tsv'}"]
    assert main(["preprocess", f"--ingest={missing}", *out]) == 1
    message = capsys.readouterr().err
    assert "lungaug preprocess:" in message
    assert "b00.h5" in message
    assert "Traceback" not in message
    assert not list(tmp_path.iterdir())


def test_an_unknown_setting_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = [f"--output={tmp_path / 'o.h5'}", f"--skipped={tmp_path / 's.tsv'}"]
    arguments = ["preprocess", f"--ingest={tmp_path}", *out, '--settings={"lung": 1}']
    assert main(arguments) == 1
    assert (
        "preprocess.lung: unknown setting (did you mean 'lungs'?); accepted:"
        in capsys.readouterr().err
    )


def test_an_unknown_stage_lists_the_stages(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["preproces"])
    assert "preprocess" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "rois", "ratio"),
    [
        (["--rois", "--ratio"], None, ""),
        (["--rois", "--ratio", "0.5"], None, "0.5"),
        (["--rois", "a b.h5", "--ratio"], Path("a b.h5"), ""),
        ([], None, ""),
    ],
)
def test_an_option_that_may_be_empty_may_stand_without_a_value(
    words: list[str], rois: Path | None, ratio: str
) -> None:
    """A quoted list that is empty leaves nothing behind its option."""
    from lungaug.stages import arm

    files = ["--slices=s", "--split=s", "--fold=fixed", "--arm=none", "--root=r", "--output=o"]
    lists = ["--findings=f", "--origins", "--preprocess", "--expansions", "--patches"]
    given = cli.parser("arm", arm).parse_args([*files, *lists, *words])
    assert (given.rois, given.ratio) == (rois, ratio)
