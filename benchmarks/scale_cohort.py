"""A made-up cohort in a copy of the workflow, and snakemake timed on it.

Every file is empty but the tables that the Snakefile reads. Rules keep their inputs, outputs,
parameters and command lines; ``python`` is a stand-in that does nothing, and what a job declares is
made by ``touch``.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lungaug.cohort import CLASSES, SPLIT_COLUMNS, batch_of, write_rows
from lungaug.stages.scan import COLUMNS, REJECTED_COLUMNS

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "workflow", "envs")
BYTECODE = Path(tempfile.gettempdir()) / "lungaug_benchmark_bytecode"
DIRECTORIES = ("sheets",)
"""Names of outputs that are folders."""

# Snakemake in this process, whose peak and whose hashed bytes are wanted when it ends.
_DRIVER = """
import atexit, hashlib, json, os, sys
hashed = {"bytes": 0}
plain = hashlib.file_digest
def counted(file, *args, **kwargs):
    hashed["bytes"] += os.fstat(file.fileno()).st_size if hasattr(file, "name") else 0
    return plain(file, *args, **kwargs)
hashlib.file_digest = counted
def told():
    status = open("/proc/self/status").read().splitlines()
    peak = next(int(x.split()[1]) for x in status if x.startswith("VmHWM"))
    json.dump({"peak_mb": peak * 1024 / 1e6, "hashed": hashed["bytes"]}, open(REPORT, "w"))
atexit.register(told)
sys.argv[0] = "snakemake"
from snakemake.cli import main
main()
"""
_STAND_IN = """\
#!/bin/sh
# Arguments: -m lungaug STAGE …; the tables that the Snakefile reads are kept ready.
case "$3" in
    scan) cp "$LUNGAUG_READY/cohort.tsv" "$LUNGAUG_READY/scan.rejected.tsv" "$LUNGAUG_RESULTS" ;;
    split) cp "$LUNGAUG_READY/split.tsv" "$LUNGAUG_RESULTS" ;;
esac
"""


@dataclass(frozen=True)
class Timing:
    """One call of snakemake.

    Attributes:
        wall_s: by the clock.
        cpu_s: user and system time of its processes.
        peak_mb: largest resident memory of snakemake itself.
        hashed_gb: bytes of files that it computed checksums of, 10^9.
        output: what it printed.
    """

    wall_s: float
    cpu_s: float
    peak_mb: float
    hashed_gb: float
    output: str

    @property
    def text(self) -> str:
        return f"{self.cpu_s:.1f} s ({self.wall_s:.1f} s), {self.peak_mb:.0f} MB"


@dataclass(frozen=True)
class Workspace:
    """A folder with a Snakefile in which snakemake is run."""

    root: Path

    def snakemake(self, *arguments: str, limit: str = "10G") -> Timing:
        """Run snakemake here, with the bytecode of everything at hand, as users have it.

        Raises:
            RuntimeError: it failed.
        """
        report = self.root / "report.json"
        driver = f"REPORT = {str(report)!r}\n{_DRIVER}"
        command = [sys.executable, "-c", driver, *arguments, "--cores", "2"]
        command += ["--workflow-profile", "none", "--max-checksum-file-size", limit]
        start, used = time.perf_counter(), _children_s()
        done = subprocess.run(
            command, cwd=self.root, env=self._environment(), capture_output=True, text=True
        )
        wall, cpu = time.perf_counter() - start, _children_s() - used
        output = done.stdout + done.stderr
        if done.returncode:
            raise RuntimeError(f"snakemake {' '.join(arguments)}: {output[-2000:]}")
        told = json.loads(report.read_text(encoding="utf-8"))
        return Timing(wall, cpu, told["peak_mb"], told["hashed"] / 1e9, output)

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return kept | {
            "PATH": f"{self.root / 'bin'}:{os.environ['PATH']}",
            "PYTHONPYCACHEPREFIX": str(BYTECODE),
            "LUNGAUG_READY": str(self.root / "ready"),
        }

    def jobs(self) -> list[dict[str, Any]]:
        """Rule, inputs and outputs of every finished job, read off Snakemake's records."""
        found: dict[tuple[str, ...], dict[str, Any]] = {}
        for path in sorted((self.root / ".snakemake" / "metadata").rglob("*")):
            if path.is_file():
                record = json.loads(path.read_text(encoding="utf-8"))
                key = (record["rule"], *record["log"])
                job = {"rule": record["rule"], "inputs": record["input"], "outputs": []}
                found.setdefault(key, job)["outputs"].append(_name_of(path))
        return list(found.values())

    def records_mb(self) -> float:
        """Size of Snakemake's records, MB."""
        files = (self.root / ".snakemake" / "metadata").rglob("*")
        return sum(path.stat().st_size for path in files if path.is_file()) / 1e6


def _children_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _name_of(record: Path) -> str:
    """The output that a record is about: the base64 of its path, long ones in several parts."""
    parts = record.parts[record.parts.index("metadata") + 1 :]
    return base64.urlsafe_b64decode("".join(part.lstrip("@") for part in parts)).decode()


def make_cohort(
    root: Path, n_patients: int, n_batches: int, folds: int, files_a_patient: int
) -> Workspace:
    """A working copy whose source, tables and configuration are there and nothing else.

    Args:
        root: the new folder.
        n_patients: of the cohort, one of each Lung-RADS class after the other.
        n_batches: setting ``scan.n_batches``.
        folds: 0 for a fixed division.
        files_a_patient: empty files of the source.
    """
    for part in PARTS:
        source, copied = REPOSITORY / part, root / part
        copied.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, copied)
    for rules in sorted((root / "workflow/rules").glob("*.smk")):
        rules.write_text(_made_by_touch(rules.read_text(encoding="utf-8")), encoding="utf-8")
    _stand_in(root / "bin" / "python")
    patients = [f"p{i:012x}" for i in range(n_patients)]
    _make_source(root / "source", patients, files_a_patient)
    _make_tables(root / "ready", patients, n_batches, folds)
    settings = _settings(n_batches, folds)
    (root / "scale.yaml").write_text(yaml.safe_dump(settings), encoding="utf-8")
    return Workspace(root)


def _settings(n_batches: int, folds: int) -> dict[str, Any]:
    """As for LIDC: every arm of the demo, three seeds."""
    mode = {"mode": "cross_validation", "folds": folds} if folds else {"mode": "fixed"}
    return {
        "cohort": "scale",
        "source": {"kind": "dicom", "root": "source"},
        "scan": {"n_batches": n_batches},
        "split": mode,
        "arms": ["none", "online", "metalung", "copypaste", "dcgan", "mixed"],
        "segmenters": ["unet"],
        "seeds": 3,
    }


def _made_by_touch(rules: str) -> str:
    """Rules whose jobs first make their outputs; the command follows as it is."""
    folders = "|".join(DIRECTORIES)
    make = f"case $f in */{folders}) mkdir -p $f ;; *) touch $f ;; esac"
    head = f"for f in {{output}}; do {make}; done; "
    return re.sub(r"""(['"])python -m lungaug """, lambda m: f"{m[1]}{head}{m[0][1:]}", rules)


def _stand_in(path: Path) -> None:
    path.parent.mkdir()
    path.write_text(_STAND_IN, encoding="utf-8")
    path.chmod(0o755)


def _make_source(root: Path, patients: Sequence[str], files_a_patient: int) -> None:
    for patient in patients:
        folder = root / patient
        folder.mkdir(parents=True)
        for i in range(files_a_patient):
            (folder / f"1-{i + 1:03d}.dcm").touch()


def _make_tables(root: Path, patients: Sequence[str], n_batches: int, folds: int) -> None:
    root.mkdir()
    cohort = [
        {
            "patient": patient,
            "batch": batch_of(patient, n_batches),
            "digest": f"{i:016x}",
            "lung_rads": CLASSES[i % len(CLASSES)],
            "part": "",
            "n_series": 1,
            "n_files": 250,
            "warnings": "",
        }
        for i, patient in enumerate(patients)
    ]
    write_rows(root / "cohort.tsv", COLUMNS, cohort)
    write_rows(root / "scan.rejected.tsv", REJECTED_COLUMNS, [])
    names = [f"cv{k}" for k in range(folds)] or ["fixed"]
    split = [
        {"fold": name, "patient": row["patient"], "lung_rads": row["lung_rads"],
         "role": _role(i, k, folds)}
        for k, name in enumerate(names)
        for i, row in enumerate(cohort)
    ]  # fmt: skip
    write_rows(root / "split.tsv", SPLIT_COLUMNS, split)


def _role(patient: int, fold: int, folds: int) -> str:
    part = (patient - fold) % (folds or 10)
    return {0: "test", 1: "validation"}.get(part, "train")


def make_peer(root: Path, jobs: Iterable[Mapping[str, Any]]) -> Workspace:
    """A workflow with the same rules, jobs and files, of which Snakemake knows nothing else.

    Args:
        root: the new folder.
        jobs: rule, inputs and outputs of each.
    """
    by_rule: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for job in jobs:
        by_rule[job["rule"]].append(job)
    names = {
        output: f"made/{rule}/{i}.{k}"
        for rule, of_rule in by_rule.items()
        for i, job in enumerate(of_rule)
        for k, output in enumerate(sorted(job["outputs"]))
    }
    inputs = {
        rule: [[names[one] for one in job["inputs"] if one in names] for job in of_rule]
        for rule, of_rule in by_rule.items()
    }
    root.mkdir(parents=True)
    needed = {one for of_rule in inputs.values() for job in of_rule for one in job}
    ends = [name for name in names.values() if name not in needed]
    (root / "jobs.json").write_text(json.dumps([inputs, ends]), encoding="utf-8")
    lines = ["import json", "INPUTS, ENDS = json.load(open('jobs.json'))"]
    lines += ["rule all:", "    input: ENDS"]
    for rule, of_rule in by_rule.items():
        made = [f"made/{rule}/{{i}}.{k}" for k in range(len(of_rule[0]["outputs"]))]
        lines += [
            f"rule of_{rule}:",
            f"    input: lambda wildcards: INPUTS[{rule!r}][int(wildcards.i)]",
            f"    output: {made!r}",
            "    shell: 'touch {output}'",
        ]
    (root / "Snakefile").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Workspace(root)
