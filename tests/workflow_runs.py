"""Whole runs of the workflow in a copy of the repository, and what they ran."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[1]
PARTS = ("Snakefile", "config.yaml", "workflow", "envs", "profiles", "tests/config")
JOB = re.compile(r"^(?:local)?(?:rule|checkpoint) (\w+):", re.MULTILINE)


@dataclass(frozen=True)
class Run:
    """What one call of snakemake did."""

    status: int
    output: str

    @property
    def jobs(self) -> Counter[str]:
        """How often each rule ran (or would run), ``all`` apart."""
        counted = Counter(JOB.findall(self.output))
        del counted["all"]
        return counted


@dataclass(frozen=True)
class Copy:
    """A working copy with results of its own."""

    root: Path

    @classmethod
    def of_repository(cls, root: Path) -> Copy:
        half_written = shutil.ignore_patterns("*.pyc.*")
        for part in PARTS:
            source = REPOSITORY / part
            (root / part).parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                # With bytecode, which else every copy would make anew.
                shutil.copytree(source, root / part, ignore=half_written)
            else:
                shutil.copy2(source, root / part)
        return cls(root)

    def clone(self, root: Path) -> Copy:
        """A copy with results, times and Snakemake's records."""
        shutil.copytree(self.root, root, symlinks=True)
        return Copy(root)

    def snakemake(
        self,
        *arguments: str,
        cores: int = 2,
        config: str = "tiny",
        configs: tuple[str, ...] = (),
    ) -> Run:
        """Run snakemake with ``tests/config/<config>.yaml``, or ``configs``; plain output."""
        command = [sys.executable, "-m", "snakemake", "--cores", str(cores)]
        command += ["--workflow-profile", "none", "--show-failed-logs"]
        command += [*arguments, "--configfile", *(configs or (f"tests/config/{config}.yaml",))]
        done = subprocess.run(
            command, cwd=self.root, capture_output=True, text=True, timeout=1200, check=False
        )
        return Run(done.returncode, done.stdout + done.stderr)

    def edit(self, file: str, old: str, new: str) -> None:
        """Replace text in a file of the copy; the text must be there."""
        path = self.root / file
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise ValueError(f"{file} does not hold {old!r}")
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
