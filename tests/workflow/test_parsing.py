"""The workflow refuses a wrong configuration in one line, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from workflow_runs import Copy


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    return Copy.of_repository(tmp_path_factory.mktemp("parsing") / "repository")


def test_the_first_dry_run_reaches_the_first_checkpoint(copy: Copy) -> None:
    run = copy.snakemake("--dry-run")
    assert run.status == 0, run.output
    assert {"phantom", "scan"} <= set(run.jobs)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sedes: 2\n", "sedes: unknown setting (did you mean 'seeds'?); accepted: cohort,"),
        (
            "arms: [none, metalong]\n",
            "arms[1]: arm 'metalong' (did you mean 'metalung'?): accepted: none, or",
        ),
        ("cohort: mine\n", "source: missing; accepted: source with kind: phantom, dicom"),
        ("seeds: 1\nseeds: 2\n", "seeds: given twice, first in line 1; keep one (tests/config/"),
        ("results: 'a{b}'\n", "results: got 'a{b}'; Snakemake reads { } as a pattern"),
        (
            "source: {kind: dicom, root: .}\n",
            "cohort: got 'phantom', the demo's; accepted: another",
        ),
        (
            "cohort: own\nsource: {kind: dicom, root: nowhere}\n",
            "source.root: got 'nowhere'; accepted: a folder",
        ),
    ],
)
def test_a_wrong_setting_is_one_line(copy: Copy, text: str, words: str) -> None:
    Path(copy.root, "tests/config/wrong.yaml").write_text(text, encoding="utf-8")
    run = copy.snakemake("--dry-run", config="wrong")
    assert run.status != 0
    assert [line for line in run.output.splitlines() if f"config: {words}" in line], run.output
    assert "Traceback" not in run.output
