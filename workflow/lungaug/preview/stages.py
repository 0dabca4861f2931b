"""Run the first stages in a temporary folder, and keep what they find."""

from __future__ import annotations

import multiprocessing
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from lungaug import roster
from lungaug.census import Found
from lungaug.cohort import load_or_create_key
from lungaug.errors import FileFormatError, InputError
from lungaug.insertion.hosts import HostSettings
from lungaug.preview.batches import Batch, Job, Rows, heard, look_at, read_rows
from lungaug.preview.setup import Setup
from lungaug.preview.strips import Picture
from lungaug.preview.words import counted
from lungaug.sources.plan import PatientPlan
from lungaug.stages import phantom, scan
from lungaug.stages.split import reasons_to_leave_out
from lungaug.store import Provenance

Say = Callable[[str], None]

_INDICES = ("index.tsv", "index_of_masks.tsv")


@dataclass
class Seen:
    """What the stages found.

    Attributes:
        private: the temporary private folder.
        refusals: why a run would stop in scan or ingest, in the stages' words.
        usable: whether there is anything behind the scan.
        cohort: rows of the scan's table.
        plans: what ingest read, by pseudonym.
        found: slices of each patient, counted, by pseudonym.
        hosts: slices that may receive a nodule, by pseudonym.
        nodules: rows of the tables of nodules.
        rejected: rows of the tables of files that ingest rejected.
        warnings: what the stages warned of.
        strips: pictures by pseudonym.
        has_key: whether pseudonyms are those of the cohort's own key.
    """

    private: Path
    refusals: list[str] = field(default_factory=list)
    usable: bool = False
    cohort: Rows = field(default_factory=list)
    plans: dict[str, PatientPlan] = field(default_factory=dict)
    found: dict[str, Found] = field(default_factory=dict)
    hosts: dict[str, int] = field(default_factory=dict)
    nodules: Rows = field(default_factory=list)
    rejected: Rows = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    strips: dict[str, list[Picture]] = field(default_factory=dict)
    has_key: bool = False

    def table(self, name: str) -> Rows:
        """The rows of a private table of the scan; none if it was not written."""
        path = self.private / name
        return read_rows(path) if path.is_file() else []

    def of_patient(self, patient: str) -> list[str]:
        """The warnings that begin with a pseudonym, without it."""
        start = f"{patient}: "
        return [text.removeprefix(start) for text in self.warnings if text.startswith(start)]


def look(
    setup: Setup,
    folder: Path,
    n_strips: int,
    hosts: HostSettings | None,
    say: Say,
    cores: int = 1,
) -> Seen:
    """Run the stages.

    Args:
        setup: the configuration.
        folder: an empty temporary folder, which gets all that they write.
        n_strips: patients of whom pictures are drawn; those with warnings first.
        hosts: which slices may receive a nodule, None where nothing is inserted.
        say: reports the progress.
        cores: processes that look at batches.
    """
    work = _Work(setup, folder, n_strips, hosts)
    with heard(work.seen.warnings):
        work.read_headers(say)
    if work.seen.usable:
        work.read_pixels(say, cores)
    return work.seen


class _Work:
    """The stages' files in the temporary folder."""

    def __init__(
        self, setup: Setup, folder: Path, n_strips: int, hosts: HostSettings | None
    ) -> None:
        self.setup, self.folder = setup, folder
        self.n_strips, self.hosts = n_strips, hosts
        self.key, self.cohort = folder / "key", folder / "cohort.tsv"
        self.seen = Seen(folder / "private")
        names = ("root", "sheet", "masks")
        self.source: dict[str, Path | None] = {name: setup.source(name) for name in names}
        self._copy_known()

    def _copy_known(self) -> None:
        """Copy the key, if there is one, and what earlier scans know of unchanged files."""
        self.seen.private.mkdir(mode=0o700)
        if self.setup.key.is_file():
            load_or_create_key(self.setup.key)  # names the file if it holds no key
            self.seen.has_key = True
            shutil.copyfile(self.setup.key, self.key)
        for name in _INDICES:
            if (self.setup.private / name).is_file():
                shutil.copyfile(self.setup.private / name, self.seen.private / name)

    # --- scan

    def read_headers(self, say: Say) -> None:
        """Scan as configured; where that stops, leave out whom it stops at."""
        if self.setup.is_phantom:
            say("phantom: drawing the patients")
            self._draw_phantom()
        say("scan: reading headers")
        settings = self.setup.source_stage(scan.Settings, "scan")
        self.seen.usable = self._scanned(settings)
        if not self.seen.usable and settings.on_bad_input == "stop":
            skipping = self.setup.source_stage(scan.Settings, "scan", on_bad_input="skip")
            self.seen.usable = self._scanned(skipping)
        if self.seen.usable:
            self.seen.cohort = read_rows(self.cohort)

    def _scanned(self, settings: scan.Settings) -> bool:
        """Whether the scan ended well; what it says else is kept, once."""
        try:
            scan.run(
                root=self.source["root"] or Path(),
                private=self.seen.private,
                output=self.cohort,
                rejected=self.folder / "scan.rejected.tsv",
                key=self.key,
                settings=settings,
                provenance=Provenance("scan", "{}", ""),
                sheet=self.source["sheet"],
                masks=self.source["masks"],
            )
        except (InputError, FileFormatError) as error:
            if str(error) not in self.seen.refusals:
                self.seen.refusals.append(str(error))
            return False
        return True

    def _draw_phantom(self) -> None:
        made = self.folder / "source"
        settings = self.setup.stage(phantom.Settings, "phantom")
        provenance = Provenance("phantom", "{}", "")
        phantom.run(output=made / "sheet.tsv", settings=settings, provenance=provenance)
        self.source = {
            "root": made / "dicom", "sheet": made / "sheet.tsv", "masks": made / "masks",
        }  # fmt: skip

    # --- ingest and preprocess

    def read_pixels(self, say: Say, cores: int) -> None:
        """Look at the batches; of each process the pixels of one are on the disk."""
        names = roster.batches(self.cohort)
        job = Job(self.setup, self.folder, self.source, self.hosts, drawn=self.n_strips > 0)
        for number, batch in enumerate(_each(job, names, cores), start=1):
            self._read_plans(names[number - 1])
            self._keep(batch)
            say(f"reading pixels: {number} of {counted(len(names), 'batch', 'batches')}")
        if self.setup.config["ingest"]["on_bad_input"] == "stop" and self.seen.rejected:
            self._say_what_stops()

    def _read_plans(self, batch: str) -> None:
        path = self.seen.private / "plans" / f"{batch}.jsonl"
        for line in path.read_text(encoding="utf-8").splitlines():
            plan = PatientPlan.from_line(line)
            self.seen.plans[plan.patient] = plan

    def _keep(self, batch: Batch) -> None:
        seen = self.seen
        seen.found |= batch.found
        seen.hosts |= batch.hosts
        seen.nodules += batch.nodules
        seen.rejected += batch.rejected
        seen.warnings += batch.warnings
        seen.refusals += batch.refusals
        seen.strips |= batch.strips
        for patient in self._in_order()[self.n_strips :]:
            del seen.strips[patient]

    def _in_order(self) -> list[str]:
        """The patients with pictures: first those with warnings, then those with nodules."""
        found = self.seen.found
        odd = {row["patient"] for row in self.seen.cohort if row["warnings"]}
        odd |= set(reasons_to_leave_out(found))
        odd |= {patient for patient in self.seen.strips if self.seen.of_patient(patient)}
        return sorted(
            self.seen.strips, key=lambda one: (one not in odd, not found[one].nodule, one)
        )

    def _say_what_stops(self) -> None:
        # Whoever has no HU is left out by a run, too.
        stopping = {row["patient"] for row in self.seen.rejected if not _is_no_hu(row)}
        if stopping and not self.seen.refusals:
            who = counted(len(stopping), "patient has", "patients have")
            self.seen.refusals.append(
                f"ingest: {who} files that cannot be used (see: left out); repair or remove them, "
                "or set ingest.on_bad_input: skip (now stop), which leaves these patients out"
            )


def _each(job: Job, names: Sequence[str], cores: int) -> Iterator[Batch]:
    if cores == 1 or len(names) == 1:
        yield from map(partial(look_at, job), names)
        return
    # A fork would copy locks that threads of the libraries hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(cores, len(names)), context) as pool:
        yield from pool.map(partial(look_at, job), names)


def _is_no_hu(row: Mapping[str, str]) -> bool:
    return row["reason"].startswith("values are no HU")
