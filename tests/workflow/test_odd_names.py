"""A whole run where every path has blanks, quotes, $, ;, & and umlauts; and what is refused."""

from __future__ import annotations

import shutil
import subprocess
import sys
from typing import Any

import pytest
import torch
import yaml

from lungaug.segmenters import factory
from lungaug.segmenters.settings import SegmenterSettings
from workflow_runs import Copy

pytestmark = pytest.mark.slow

ODD = """my "x" it's $(touch made);&`touch made`$HOME ü"""
CONFIG = f"{ODD}.yaml"
NETWORK = {"encoder": "plain", "encoder_depth": 3, "decoder_channels": [16, 8, 8]}
PUBLISHED = "segmenter\tarm\tmetric\tgroup\tvalue\nunet\tnone\tdice\tall\t0.7\n"


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A clone in an odd folder, with the phantom's files as a source of one's own."""
    copy = Copy.of_repository(tmp_path_factory.mktemp("odd") / ODD)
    made = copy.snakemake("results/reruns/source/sheet.tsv", config="reruns")
    assert made.status == 0, made.output
    (copy.root / "results/reruns/source").rename(copy.root / f"source {ODD}")
    (copy.root / f"source {ODD}/sheet.tsv").rename(copy.root / f"sheet {ODD}.tsv")
    (copy.root / "my").write_text("keep", encoding="utf-8")
    (copy.root / f"published {ODD}.tsv").write_text(PUBLISHED, encoding="utf-8")
    (copy.root / f"key {ODD}").write_text("5e" * 32, encoding="ascii")
    settings = {**NETWORK, "decoder_channels": (16, 8, 8)}
    weights = factory.build("unet", SegmenterSettings(**settings)).state_dict()
    torch.save(weights, copy.root / f"weights {ODD}.pt")
    (copy.root / CONFIG).write_text(yaml.safe_dump(configuration(copy)), encoding="utf-8")
    return copy


def configuration(copy: Copy) -> dict[str, Any]:
    values: dict[str, Any] = yaml.safe_load(
        (copy.root / "tests/config/reruns.yaml").read_text(encoding="utf-8")
    )
    del values["phantom"]
    root = f"source {ODD}"
    source = {"kind": "dicom", "root": f"{root}/dicom", "masks": f"{root}/masks"}
    return {
        **values,
        "cohort": "-Odd_1",
        "source": {**source, "sheet": f"sheet {ODD}.tsv"},
        "results": ODD,
        "private": f"private {ODD}",
        "ledger": f"ledger {ODD}/{ODD}.tsv",
        "key_file": f"key {ODD}",
        "checkpoints": f"checkpoints {ODD}",
        "published_scores": f"published {ODD}.tsv",
        "train_segmenter": {
            **values["train_segmenter"],
            "network": {**NETWORK, "weights": f"weights {ODD}.pt"},
        },
    }


def test_a_whole_run_writes_where_it_is_told_to_and_runs_nothing_else(copy: Copy) -> None:
    before = {path.name for path in copy.root.iterdir()}
    run = copy.snakemake(configs=(CONFIG,))
    assert run.status == 0, run.output
    results = copy.root / ODD / "-Odd_1"
    for name in ("report.html", "tables/published.md", "networks.tsv", "logs/scan.log"):
        assert (results / name).stat().st_size > 0
    assert (copy.root / "my").read_text(encoding="utf-8") == "keep"
    new = {path.name for path in copy.root.iterdir()} - before
    assert new == {ODD, *(f"{name} {ODD}" for name in ("private", "ledger", "checkpoints"))}
    again = copy.snakemake(configs=(CONFIG,))
    assert "Nothing to be done" in again.output
    status = subprocess.run(
        [sys.executable, "-m", "lungaug.status", "--configfile", CONFIG],
        cwd=copy.root,
        env={"PYTHONPATH": str(copy.root / "workflow"), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert "nothing will run" in status.stdout, status.stderr


def test_a_network_of_an_odd_name_is_refused_by_that_name(copy: Copy) -> None:
    before = {path.name for path in copy.root.iterdir()}
    odd = configuration(copy)
    odd["cohort"] = "networks"
    odd["train_segmenter"]["network"] = {**NETWORK, "encoder": ODD, "weights": ODD}
    odd["scan"] = {"include": [ODD], "mask_suffixes": [ODD], "rescale_types": [ODD]}
    (copy.root / "odd.yaml").write_text(yaml.safe_dump(odd), encoding="utf-8")
    networks = f"{ODD}/networks/networks.tsv"
    refused = copy.snakemake(networks, configs=("odd.yaml",))
    assert refused.status != 0
    assert "encoder" in refused.output
    assert ODD.split("'")[0] in refused.output
    scanned = copy.snakemake(f"{ODD}/networks/cohort.tsv", configs=("odd.yaml",))
    assert scanned.status != 0  # no folder is called like that
    new = {path.name for path in copy.root.iterdir()} - before
    assert new <= {ODD, "odd.yaml", *(f"{name} {ODD}" for name in ("private", "ledger"))}


def test_a_second_source_under_the_cohorts_name_is_refused(copy: Copy) -> None:
    """After the whole run: its tables stay."""
    report = copy.root / ODD / "-Odd_1/report.html"
    before = report.read_bytes()
    shutil.copytree(copy.root / f"source {ODD}", copy.root / "other")
    other = configuration(copy)
    other["source"]["root"] = "other/dicom"
    (copy.root / "other.yaml").write_text(yaml.safe_dump(other), encoding="utf-8")
    refused = copy.snakemake(configs=("other.yaml",))
    assert refused.status != 0
    assert "config: cohort: '-Odd_1' was read from" in refused.output
    assert "Traceback" not in refused.output
    assert report.read_bytes() == before
