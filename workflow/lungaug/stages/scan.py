"""Look at the source: which patients, which series, what is wrong; pixels of DICOM are not read.

The private folder holds what names patients, for the owner only: the header index kept between
runs, the plans that ingest follows, and the tables from pseudonyms back to patients and files.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lungaug.cohort import Pseudonyms, batch_of, load_or_create_key, write_rows
from lungaug.errors import InputError
from lungaug.settings import setting
from lungaug.sources import masks as masks_of
from lungaug.sources import mendeley, plan, series
from lungaug.sources.damaged import damaged_files
from lungaug.sources.headers import Entry, update_index
from lungaug.sources.mendeley_patients import FingerprintSettings
from lungaug.sources.private import PrivateFile, private_folder
from lungaug.sources.rescale_type import of_hu
from lungaug.sources.series import Image, Rejection, Series
from lungaug.sources.sheet import Sheet, read_sheet
from lungaug.sources.table_text import alike
from lungaug.store import Provenance

COLUMNS = ("patient", "batch", "digest", "lung_rads", "part", "n_series", "n_files", "warnings")
REJECTED_COLUMNS = ("file", "reason")
_LINES_SHOWN = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What of the source is used."""

    kind: Literal["dicom", "mendeley"] = setting(
        "dicom", "a folder of DICOM, or the two pickled tables of the thesis"
    )
    include: tuple[str, ...] = setting(
        (), "patterns of folders below the root, such as 'scan_*'; empty for everything"
    )
    series: Literal["largest", "all"] = setting(
        "largest",
        "of a patient with several series: the annotated one with the most slices (without "
        "annotation: the one with the most), or all",
    )
    n_batches: int = setting(
        16,
        "files of data, among which patients are spread by pseudonym; 15 to 40 patients each "
        "are good: 64 for 1,000 patients",
        minimum=1,
        maximum=1000,
    )
    rescale_types: tuple[str, ...] = setting(
        (),
        "values of RescaleType that mean HU, besides none and those that begin like HU or "
        "Hounsfield",
    )
    fingerprint: FingerprintSettings = setting(
        FingerprintSettings, "whose a slice is, where the source does not say (mendeley)"
    )


@dataclass(frozen=True)
class _Annotated:
    """Masks by image, and annotation files by UID of a series or slice; all with their digests."""

    masks: dict[str, plan.PlannedFile]
    files: dict[str, list[plan.PlannedFile]]

    def of(self, chosen: Series) -> list[plan.PlannedFile]:
        """The annotation files of a series, by its UID or by one of a slice."""
        uids = {chosen.name, *(image.header.sop_uid for image in chosen.images)}
        found = {file for uid in uids if uid for file in self.files.get(uid, [])}
        return sorted(found, key=lambda file: file.name)

    def has(self, chosen: Series) -> bool:
        return bool(self.of(chosen)) or any(i.path in self.masks for i in chosen.images)


@dataclass
class _Findings:
    """What the tables are made of."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    patients: list[tuple[str, str]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)


def run(
    *,
    root: Path,
    private: Path,
    output: Path,
    rejected: Path,
    key: Path,
    settings: Settings,
    provenance: Provenance,
    sheet: Path | None = None,
    masks: Path | None = None,
) -> None:
    """Write the cohort's table, the rejected files, and the private plans.

    Args:
        root: folder of DICOM files, at any depth; or of the two pickles.
        private: folder for what names patients.
        output: ``cohort.tsv``, one row a usable patient; ``part`` is train or test where the
            source says so.
        rejected: files that are not used, with the reason.
        key: the key of the pseudonyms; made if there is none.
        settings: see :class:`Settings`.
        provenance: stored with what is kept of the pickles; a table carries no attributes.
        sheet: the sample sheet.
        masks: folder of PNG masks and annotation files; the root itself if not given.

    Raises:
        InputError: nothing can be used, or the sheet is wrong.
    """
    private_folder(private)
    names = Pseudonyms(load_or_create_key(key))
    look = partial(_look_at_tables, provenance=provenance)
    if settings.kind == "dicom":
        look = partial(_look_at_dicom, sheet=sheet, masks=masks)
    findings, paths = look(root, private, names, settings)
    _write(findings, names, paths, private, output, rejected)


def _look_at_tables(
    root: Path, private: Path, names: Pseudonyms, settings: Settings, *, provenance: Provenance
) -> tuple[_Findings, list[str]]:
    """Findings of the two published tables, and the names of all rows."""
    findings = _Findings(rejections=mendeley.update_cache(root, private, provenance))
    paths = [rejection.path for rejection in findings.rejections]
    for found in mendeley.find_patients(private, settings.fingerprint):
        one = plan.PlannedSeries(names.series(found.name), found.slices, ())
        planned = plan.PatientPlan(names.patient(found.name), found.lung_rads, (one,))
        _add(findings, found.name, planned, (), settings.n_batches, found.part)
        paths += [planned.file.name for planned in found.slices]
    findings.rows.sort(key=lambda row: str(row["patient"]))
    return findings, paths


def _look_at_dicom(
    root: Path,
    private: Path,
    names: Pseudonyms,
    settings: Settings,
    *,
    sheet: Path | None,
    masks: Path | None,
) -> tuple[_Findings, list[str]]:
    """Findings of a folder of DICOM, and the names of all files."""
    answers = read_sheet(sheet)
    entries = update_index(root, private / "index.tsv", settings.include)
    others = update_index(masks, private / "index_of_masks.tsv") if masks else []
    findings = _Findings()
    damaged = damaged_files(entries)
    findings.rejections += _faults(entries, damaged)
    findings.rejections += _faults_of_masks(others)
    images = [Image(e.path, e.digest, header) for e in entries for header in e.headers]
    annotated = _annotations(images, entries, others, answers, root, sheet, masks)
    used = {file.name for file in annotated.masks.values()}
    if masks:
        findings.rejections += _unused_masks(others, used)
    _warn_of_unmatched(answers, entries, images)
    images, no_hu = of_hu(images, settings.rescale_types)
    findings.rejections += no_hu
    images, reformats = series.axial(images)
    findings.rejections += reformats
    patients = series.group(images, answers)
    _look_at_patients(patients, answers, annotated, damaged, names, settings, findings)
    if not findings.rows:
        raise InputError(_nothing(entries, findings.rejections))
    paths = [entry.path for entry in entries]
    return findings, paths + [plan.reference(entry.path, True) for entry in others]


def _faults(
    entries: Sequence[Entry], damaged: dict[str, list[plan.DamagedFile]]
) -> list[Rejection]:
    reasons = {entry.path: entry.fault for entry in entries if entry.fault}
    reasons |= {one.file.name: one.reason for files in damaged.values() for one in files}
    return [Rejection(path, reason) for path, reason in reasons.items()]


def _faults_of_masks(others: Sequence[Entry]) -> list[Rejection]:
    """Faults below the folder of masks; what lies there and is no annotation is left alone."""
    found = [e for e in others if e.fault and e.kind == "annotations"]
    return [Rejection(plan.reference(e.path, True), e.fault) for e in found]


def _unused_masks(others: Sequence[Entry], used: set[str]) -> list[Rejection]:
    names = [plan.reference(e.path, True) for e in others if e.kind == "mask"]
    reason = "mask of no image, by sheet, SOPInstanceUID or file name"
    return [Rejection(name, reason) for name in names if name not in used]


def _warn_of_unmatched(answers: Sheet, entries: Sequence[Entry], images: Sequence[Image]) -> None:
    """Say which lines of the sheet have no effect, by number only: they hold identifiers."""
    # A faulty file is in the source and told of as rejected, though its headers are not known.
    paths = [image.path for image in images] + [e.path for e in entries if e.fault]
    uids = [image.header.sop_uid for image in images]
    lines = answers.unmatched(series.group(images, answers), paths, uids)
    if not lines:
        return
    listed = ", ".join(map(str, lines[:_LINES_SHOWN]))
    if len(lines) > _LINES_SHOWN:
        listed += f" and {len(lines) - _LINES_SHOWN} more"
    log.warning(
        "sheet: %s %s nothing in the source (image: path below the root, or a SOPInstanceUID)",
        f"lines {listed}" if len(lines) > 1 else f"line {listed}",
        "name" if len(lines) > 1 else "names",
    )


def _annotations(
    images: Sequence[Image],
    entries: Sequence[Entry],
    others: Sequence[Entry],
    answers: Sheet,
    root: Path,
    sheet: Path | None,
    masks: Path | None,
) -> _Annotated:
    pngs = {e.path: e.digest for e in (others if masks else entries) if e.kind == "mask"}
    folders = [folder for folder in (masks, sheet.parent if sheet else None) if folder]
    resolve = _resolver(masks or root, folders, pngs)
    found = masks_of.match(images, sorted(pngs), answers, resolve)
    files: dict[str, list[plan.PlannedFile]] = defaultdict(list)
    for of_masks, tree in ((False, entries), (True, others)):
        for entry in tree:
            file = plan.PlannedFile(plan.reference(entry.path, of_masks), entry.digest)
            for uid in entry.uids:
                files[uid].append(file)
    return _Annotated(
        {
            image: plan.PlannedFile(plan.reference(mask, masks is not None), pngs[mask])
            for image, mask in found.items()
        },
        files,
    )


def _resolver(
    tree: Path, folders: Sequence[Path], known: dict[str, str]
) -> Callable[[str], str | None]:
    """Finds a mask that the sheet names, relative to one of ``folders`` or to ``tree`` itself."""
    base = tree.resolve()
    alikes = {alike(name): name for name in known}

    def resolve(name: str) -> str | None:
        for folder in (*folders, tree):
            path = (folder / name).resolve()
            if path.is_relative_to(base):
                mask = path.relative_to(base).as_posix()
                if mask in known or alike(mask) in alikes:
                    return mask if mask in known else alikes[alike(mask)]
        return None

    return resolve


def _look_at_patients(
    patients: dict[str, dict[str, list[Image]]],
    answers: Sheet,
    annotated: _Annotated,
    damaged: dict[str, list[plan.DamagedFile]],
    names: Pseudonyms,
    settings: Settings,
    findings: _Findings,
) -> None:
    folders = series.patients_in_folders(patients)
    for patient, by_series in sorted(patients.items(), key=lambda item: names.patient(item[0])):
        ordered = []
        for name, images in by_series.items():
            one, rejections = series.order(patient, name, images)
            ordered.append(one)
            findings.rejections += rejections
        chosen = series.choose(ordered, settings.series, annotated.has)
        everything = [image for images in by_series.values() for image in images]
        warnings = series.patient_warnings(patient, everything, folders)
        warnings += _left_out(ordered, chosen)
        warnings += [text for one in chosen for text in one.warnings]
        # In a folder of several patients nobody can tell whose a damaged file is.
        places = sorted({i.folder for one in chosen for i in one.images if folders[i.folder] == 1})
        bad = tuple(one for folder in places for one in damaged.get(folder, ()))
        if bad:
            warnings.append(f"damaged files among the images: {len(bad)}")
        lung_rads = answers.lung_rads_of(patient, sorted({i.path for i in everything}))
        planned = _plan(names.patient(patient), lung_rads, chosen, annotated, names)
        planned = replace(planned, damaged=bad)
        _add(findings, patient, planned, warnings, settings.n_batches)


def _left_out(ordered: Sequence[Series], chosen: Sequence[Series]) -> list[str]:
    rest = [one for one in ordered if one not in chosen]
    n_images = sum(len(one.images) for one in rest)
    return [f"{len(rest)} other series with {n_images} images left out"] if rest else []


def _plan(
    patient: str,
    lung_rads: str,
    chosen: Sequence[Series],
    annotated: _Annotated,
    names: Pseudonyms,
) -> plan.PatientPlan:
    planned = [
        plan.PlannedSeries(
            names.series(one.name),
            tuple(
                plan.PlannedSlice(
                    plan.PlannedFile(image.path, image.digest), image.header, index, z_mm,
                    annotated.masks.get(image.path),
                )
                for index, (image, z_mm) in enumerate(zip(one.images, one.z_mm, strict=True))
            ),
            tuple(annotated.of(one)),
        )
        for one in chosen
    ]  # fmt: skip
    return plan.PatientPlan(patient, lung_rads, tuple(sorted(planned, key=lambda s: s.series)))


def _add(
    findings: _Findings,
    patient: str,
    planned: plan.PatientPlan,
    warnings: Iterable[str],
    n_batches: int,
    part: str = "",
) -> None:
    line = planned.line()
    batch = batch_of(planned.patient, n_batches)
    files = {one.file.name for chosen in planned.series for one in chosen.slices}
    findings.lines[batch].append(line)
    findings.patients.append((planned.patient, patient))
    findings.rows.append(
        {
            "patient": planned.patient,
            "batch": batch,
            "digest": plan.digest_of(line),
            "lung_rads": planned.lung_rads,
            "part": part,
            "n_series": len(planned.series),
            "n_files": len(files),
            "warnings": "; ".join(dict.fromkeys(warnings)),
        }
    )


def _write(
    findings: _Findings,
    names: Pseudonyms,
    paths: Sequence[str],
    private: Path,
    output: Path,
    rejected: Path,
) -> None:
    plan.write_plans(private, findings.lines)
    _write_private(private / "mapping.tsv", ("patient", "patient_id"), findings.patients)
    rows = sorted((names.file(path), path) for path in paths)
    _write_private(private / "files.tsv", ("file", "path"), rows)
    reasons = Counter((names.file(r.path), r.reason) for r in findings.rejections)
    table = [{"file": file, "reason": reason} for file, reason in sorted(reasons)]
    write_rows(rejected, REJECTED_COLUMNS, table)
    write_rows(output, COLUMNS, findings.rows)
    n_files = sum(row["n_files"] for row in findings.rows)
    log.info(
        "scan: %d files or rows looked at; %d patients with %d images; %d rejected",
        len(paths), len(findings.rows), n_files, len({row["file"] for row in table}),
    )  # fmt: skip


def _write_private(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with PrivateFile(path) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _nothing(entries: Sequence[Entry], rejections: Sequence[Rejection]) -> str:
    """Why there is no usable patient, in the words of the rejections."""
    if not entries:
        return "scan: no files below the root, or none that scan.include lets in"
    other = sum(entry.kind == "other" and not entry.fault for entry in entries)
    reasons = Counter(rejection.reason for rejection in rejections)
    if other:
        reasons["no DICOM file"] = other
    listed = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common(4))
    return f"scan: no usable CT among {len(entries)} files: {listed}"
