"""Results in object storage: pods that have nothing else, then this machine on the same bucket."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pretended_kubernetes import Cluster, Fields, pretended_kubernetes
from s3_server import KEYS, require_object_storage, s3_server, stored_keys
from workflow_runs import Copy, Run

pytestmark = pytest.mark.slow

PREFIX = "lungaug/here"
STORAGE = ("--default-storage-provider", "s3", "--default-storage-prefix", f"s3://bucket/{PREFIX}")
PODS = ("--workflow-profile", "profiles/kubernetes", "--jobs", "2", "--retries", "0")
EARLY = "results/stored/fixed/arms/mirror.tsv"
# What the source, the private folder and the ledger are needed for.
HERE = Counter({"phantom": 1, "scan": 1, "ingest": 2, "split": 1})


@dataclass(frozen=True)
class Stored:
    """A copy whose first tables were made by pods, then everything by local jobs."""

    copy: Copy
    address: str
    cluster: Cluster
    in_pods: Run
    rest: Run

    @property
    def keys(self) -> set[str]:
        return stored_keys(self.address, "bucket")

    @property
    def containers(self) -> list[Fields]:
        return [pod.container for pod in self.cluster.pods.values()]


def snakemake(copy: Copy, *arguments: str) -> Run:
    return copy.snakemake(*arguments, *STORAGE, config="stored")


def forget_local_copies(copy: Copy) -> None:
    shutil.rmtree(copy.root / ".snakemake/storage")


def tracked(copy: Copy) -> None:
    """Pods get the files that git knows."""
    for arguments in (("init", "--quiet"), ("add", "--all")):
        subprocess.run(["git", *arguments], cwd=copy.root, check=True)


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    require_object_storage()
    root = tmp_path_factory.mktemp("bucket")
    with s3_server(root / "log") as address, pytest.MonkeyPatch.context() as patch:
        for name, value in (KEYS | {"ENDPOINT_URL": address}).items():
            patch.setenv(f"SNAKEMAKE_STORAGE_S3_{name}", value)
        yield address


@pytest.fixture(scope="module")
def stored(bucket: str, tmp_path_factory: pytest.TempPathFactory) -> Stored:
    root = tmp_path_factory.mktemp("stored")
    copy = Copy.of_repository(root / "repository")
    tracked(copy)
    patched = pytest.MonkeyPatch.context()
    with pretended_kubernetes(root) as (cluster, kubeconfig), patched as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        volume = ("--kubernetes-persistent-volumes", "lungaug:/data")
        quick = ("--seconds-between-status-checks", "1")
        in_pods = snakemake(copy, EARLY, *PODS, *volume, *quick)
    assert in_pods.status == 0, in_pods.output
    forget_local_copies(copy)
    rest = snakemake(copy)
    assert rest.status == 0, rest.output
    return Stored(copy, bucket, cluster, in_pods, rest)


def test_pods_make_what_needs_neither_source_nor_names(stored: Stored) -> None:
    local = Counter(line.split()[1] for line in stored.in_pods.output.splitlines() if _local(line))
    assert {name.rstrip(":"): count for name, count in local.items()} == HERE
    in_pods = stored.in_pods.jobs - HERE
    checked = {"check_cohort": 1, "select": 1}
    assert in_pods == {"preprocess": 2, "metalung": 2, "arm": 1, **checked}
    assert len(stored.cluster.pods) == in_pods.total()


def _local(line: str) -> bool:
    return line.startswith(("localrule ", "localcheckpoint "))


def test_pods_ask_for_each_rules_memory_and_the_volume(stored: Stored) -> None:
    asked = Counter(one["resources"]["requests"]["memory"] for one in stored.containers)
    assert asked == {"1500M": 4, "1000M": 2, "2000M": 1}
    for container in stored.containers:
        assert {"name": "lungaug", "mountPath": "/data"} in container["volumeMounts"]
        assert container["image"] == "lungaug:latest"


def test_the_rest_is_made_from_what_pods_stored(stored: Stored) -> None:
    done = stored.rest.jobs
    assert done["train_segmenter"] == 2
    assert done["report"] == 1
    assert not set(done) & {"phantom", "scan", "ingest", "split", "preprocess", "metalung"}


def test_results_lie_in_the_bucket_and_nothing_that_names_patients(stored: Stored) -> None:
    below = f"{PREFIX}/results/stored/"
    assert {below + "report.html", below + "preprocess/b00.h5"} <= stored.keys
    strays = {key for key in stored.keys if not key.startswith(below)}
    assert not strays
    assert not {key for key in stored.keys if key.startswith(f"{below}source/")}
    assert (stored.copy.root / "ledgers/stored.tsv").is_file()


def test_a_new_working_copys_folder_has_nothing_to_do(stored: Stored) -> None:
    forget_local_copies(stored.copy)
    again = snakemake(stored.copy, "--dry-run")
    assert again.status == 0, again.output
    assert not again.jobs, again.output


def test_an_edited_setting_reruns_its_rule(stored: Stored) -> None:
    stored.copy.edit("tests/config/stored.yaml", "n_resamples: 1000", "n_resamples: 1001")
    again = snakemake(stored.copy, "--until", "tables")
    assert again.status == 0, again.output
    assert again.jobs == {"tables": 1}, again.output


def test_the_profile_asks_for_gpus_by_maker(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "KUBECONFIG", "nowhere")
    copy = Copy.of_repository(tmp_path)
    path = "results/stored/fixed/segmentation/none/unet/seed0/model.pt"
    planned = copy.snakemake(path, *PODS, "--dry-run", "--config", "device=cuda", config="stored")
    assert planned.status == 0, planned.output
    training = planned.output.split("rule train_segmenter:")[1].split("\n\n")[0]
    assert "gpu=1" in training
    assert "gpu_manufacturer=nvidia" in training
