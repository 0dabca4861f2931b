"""Look at the source: which patients, which series, what is wrong; pixels of DICOM are not read.

The private folder holds what names patients, for the owner only: the header index kept between
runs, the plans that ingest follows, and the tables from pseudonyms back to patients and files.
"""

from __future__ import annotations

import csv
import logging
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from lungaug.cohort import Pseudonyms, batch_of, load_or_create_key, write_rows
from lungaug.errors import InputError
from lungaug.settings import setting
from lungaug.sources import mendeley, plan, series, shared_uids
from lungaug.sources.headers import Entry, update_index
from lungaug.sources.image import Image, Rejection
from lungaug.sources.mask_matching import HELP, SUFFIXES, loose
from lungaug.sources.mendeley_patients import FingerprintSettings
from lungaug.sources.private import PrivateFile, private_folder
from lungaug.sources.shared_uids import UidKind
from lungaug.sources.sheet import Sheet, read_sheet
from lungaug.sources.survey import Found, Rules, Survey, Tree
from lungaug.sources.table_text import alike
from lungaug.store import Provenance

COLUMNS = ("patient", "batch", "digest", "lung_rads", "part", "n_series", "n_files", "warnings")
REJECTED_COLUMNS = ("file", "reason")
_LINES_SHOWN = 20

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Settings:
    """What of the source is used."""

    kind: Literal["dicom", "lidc", "mendeley"] = setting(
        "dicom",
        "a folder of DICOM, the same with LIDC annotation files, or the two pickled tables of the "
        "thesis",
    )
    include: tuple[str, ...] = setting(
        (), "patterns of folders below the root, such as 'scan_*'; empty for everything"
    )
    series: Literal["largest", "all"] = setting(
        "largest",
        "of a patient with several series: every annotated one (without annotation: the one with "
        "the most slices, original images before derived ones), or all",
    )
    mask_suffixes: tuple[str, ...] = setting(
        SUFFIXES,
        "endings of a mask's name behind the image's name, or before it: IM01_mask.png or "
        "mask_IM01.png for IM01.dcm",
    )
    on_bad_input: Literal["stop", "skip"] = setting(
        "stop", "what a lost annotation does: stop the run, or leave its patient out"
    )
    unannotated: Literal["unknown", "LR1"] = setting(
        "unknown", "Lung-RADS of a patient without class and annotation; LR1 means healthy"
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
    shared_uids: tuple[UidKind, ...] = setting(
        (),
        "UIDs that several patients of this collection have in common although they are different "
        "persons; of any other the scan takes such patients for one person and stops",
    )
    fingerprint: FingerprintSettings = setting(
        FingerprintSettings, "whose a slice is, where the source does not say (mendeley)"
    )


@dataclass
class _Findings:
    """What the tables are made of."""

    rows: list[dict[str, Any]] = field(default_factory=list)
    lines: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    patients: list[tuple[str, str]] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    masks: list[tuple[str, str, str]] = field(default_factory=list)  # mask, image, how or why not
    problems: list[tuple[str, plan.DamagedFile]] = field(default_factory=list)  # by pseudonym
    shared: Sequence[shared_uids.SharedUid] = ()


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
        InputError: nothing can be used, the sheet is wrong, none of the annotations fits an image,
            or (unless ``on_bad_input`` is ``skip``) a patient loses an annotation or shares a UID
            with another. The private tables are written before, since the message names them.
    """
    private_folder(private)
    names = Pseudonyms(load_or_create_key(key))
    look = partial(_look_at_tables, provenance=provenance)
    if settings.kind in ("dicom", "lidc"):
        look = partial(_look_at_dicom, sheet=sheet, masks=masks)
    findings, paths = look(root, private, names, settings)
    _stop_if_refused(findings, names, private, settings)
    _write(findings, names, paths, private, output, rejected)


def _stop_if_refused(
    findings: _Findings, names: Pseudonyms, private: Path, settings: Settings
) -> None:
    """Raise InputError for patients that must not be used as they are, unless they are left out."""
    refused = []
    if findings.problems:
        refused.append(_problems(findings.problems, names, private))
    if findings.shared:
        refused.append(shared_uids.message(findings.shared, names, private))
    if refused and settings.on_bad_input == "stop":
        raise InputError("\n".join(refused))


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
    tree = _tree(root, private, masks, settings)
    findings = _Findings()
    pngs = {entry.path for entry in tree.of_masks if entry.kind == "mask"}
    folders = [folder for folder in (masks, sheet.parent if sheet else None) if folder]
    survey = Survey(
        tree,
        answers,
        _resolver(masks if masks and tree.masks else root, folders, pngs),
        Rules(
            settings.series,
            settings.kind == "lidc",
            settings.unannotated == "LR1",
            settings.mask_suffixes,
            settings.rescale_types,
            settings.shared_uids,
        ),
    )
    findings.shared = survey.shared
    survey.sheet_lines = _warn_of_unmatched(answers, tree.entries, survey.images)
    for found in sorted(survey.run(), key=lambda one: names.patient(one.name)):
        _add_found(findings, found, survey, names, settings)
    findings.rejections += survey.rejections
    findings.masks = _mask_rows(survey)
    findings.rows.sort(key=lambda row: str(row["patient"]))
    paths = [entry.path for entry in tree.entries]
    paths += [plan.reference(entry.path, True) for entry in tree.others]
    _write_private_tables(findings, names, paths, private)
    survey.check_annotations()
    if not findings.rows and not findings.problems:
        raise InputError(_nothing(tree.entries, findings.rejections, private))
    _log_unused(survey)
    return findings, paths


def _tree(root: Path, private: Path, masks: Path | None, settings: Settings) -> Tree:
    """The files of the source; what lies in the folder of masks is not looked at twice."""
    entries = update_index(root, private / "index.tsv", settings.include)
    own = masks is not None and masks.resolve() != root.resolve()
    if masks is None or not own:
        return Tree(entries, (), False)
    others = update_index(masks, private / "index_of_masks.tsv")
    base = root.resolve()
    if masks.resolve().is_relative_to(base):
        below = masks.resolve().relative_to(base).as_posix() + "/"
        images = ("image", "damaged")
        entries = [e for e in entries if not e.path.startswith(below) or e.kind in images]
    if not any(entry.kind in ("mask", "annotations") for entry in others):
        raise InputError(
            f"source.masks: no PNG mask or annotation file among {len(others)} files; accepted: "
            "a folder of PNG masks, or null where they lie with the images"
        )
    return Tree(entries, others, True)


def _mask_rows(survey: Survey) -> list[tuple[str, str, str]]:
    """Every mask and annotation file: its image, and how it was found, or why it is not used."""
    masked = survey.matching.masks
    rows = [(mask.path, image, survey.matching.how[mask.path]) for image, mask in masked.items()]
    rows += [(path, "", reason) for path, reason in survey.matching.reasons.items()]
    rows += [(name, "", reason) for name, reason in survey.contours.reasons.items()]
    return sorted(rows)


def _log_unused(survey: Survey) -> None:
    counts = Counter(survey.unused_masks().values())
    for reason, count in sorted(counts.items()):
        log.warning("%d masks or annotation files are not used: %s", count, reason)


def _warn_of_unmatched(answers: Sheet, entries: Sequence[Entry], images: Sequence[Image]) -> str:
    """Say which lines of the sheet have no effect, by number only: they hold identifiers.

    Returns:
        Those of them that name somebody who is here but for zeros or case, as a spreadsheet
        program leaves names.
    """
    # A faulty file is in the source and told of as rejected, though its headers are not known.
    paths = [image.path for image in images] + [e.path for e in entries if e.fault]
    uids = [image.header.sop_uid for image in images]
    patients = series.group(images, answers)
    lines = answers.unmatched(patients, paths, uids)
    if not lines:
        return ""
    listed = ", ".join(map(str, lines[:_LINES_SHOWN]))
    if len(lines) > _LINES_SHOWN:
        listed += f" and {len(lines) - _LINES_SHOWN} more"
    log.warning(
        "sheet: %s %s nothing in the source (image: path below the root, or a SOPInstanceUID)",
        f"lines {listed}" if len(lines) > 1 else f"line {listed}",
        "name" if len(lines) > 1 else "names",
    )
    here = {loose(patient) for patient in patients}
    near = [r.line for r in answers.rows if r.line in lines and loose(r.patient) in here]
    return ", ".join(map(str, near[:_LINES_SHOWN]))


def _resolver(
    tree: Path, folders: Sequence[Path], known: Collection[str]
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


def _add_found(
    findings: _Findings, found: Found, survey: Survey, names: Pseudonyms, settings: Settings
) -> None:
    patient = names.patient(found.name)
    findings.problems += [(patient, problem) for problem in found.problems]
    if not found.chosen:
        findings.patients.append((patient, found.name))
        log.warning("%s: left out: none of the images can be used, see scan.rejected.tsv", patient)
        return
    shared = shared_uids.damaged_files(found.name, found.shared, names)
    damaged = tuple(dict.fromkeys((*found.damaged, *found.problems, *shared)))
    planned = plan.PatientPlan(
        patient,
        found.lung_rads,
        tuple(sorted((_series(one, survey, names) for one in found.chosen), key=_name)),
        damaged,
    )
    if found.problems:
        found.warnings.append(f"annotations are lost: {len(found.problems)}")
    if found.shared:
        found.warnings.append(f"UIDs that other patients have too: {len(found.shared)}")
    _add(findings, found.name, planned, found.warnings, settings.n_batches)


def _name(planned: plan.PlannedSeries) -> str:
    return planned.series


def _series(one: series.Series, survey: Survey, names: Pseudonyms) -> plan.PlannedSeries:
    slices = (
        plan.PlannedSlice(
            plan.PlannedFile(image.path, image.digest), image.header, index, z_mm,
            survey.mask_of(image),
        )
        for index, (image, z_mm) in enumerate(zip(one.images, one.z_mm, strict=True))
    )  # fmt: skip
    files = sorted(survey.contours.of(one), key=lambda file: file.name)
    return plan.PlannedSeries(names.series(one.name), tuple(slices), tuple(files))


def _problems(
    problems: Sequence[tuple[str, plan.DamagedFile]], names: Pseudonyms, private: Path
) -> str:
    """What is lost, by patient and file, and what to do."""
    patients = {patient for patient, _ in problems}
    who = "1 patient loses" if len(patients) == 1 else f"{len(patients)} patients lose"
    lines = [
        f"  {patient}: file {names.file(problem.file.name)}: {problem.reason}"
        for patient, problem in problems[:_LINES_SHOWN]
    ]
    if len(problems) > _LINES_SHOWN:
        lines.append(f"  and {len(problems) - _LINES_SHOWN} more")
    return "\n".join(
        [
            f"scan: {who} annotations and must not count as healthy or complete:",
            *lines,
            f"{private / 'files.tsv'} has the files' paths, {private / 'masks.tsv'} each mask with "
            "its image or the reason why it has none. Mend them, or set ingest.on_bad_input: skip, "
            "which leaves these patients out.",
            f"{HELP[0].upper()}{HELP[1:]}.",
        ]
    )


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
    _write_private_tables(findings, names, paths, private)
    reasons = Counter((names.file(r.path), r.reason) for r in findings.rejections)
    table = [{"file": file, "reason": reason} for file, reason in sorted(reasons)]
    write_rows(rejected, REJECTED_COLUMNS, table)
    write_rows(output, COLUMNS, findings.rows)
    n_files = sum(row["n_files"] for row in findings.rows)
    log.info(
        "scan: %d files or rows looked at; %d patients with %d images; %d rejected",
        len(paths), len(findings.rows), n_files, len(table),
    )  # fmt: skip


def _write_private_tables(
    findings: _Findings, names: Pseudonyms, paths: Sequence[str], private: Path
) -> None:
    """Write who is who, and which file is which; before anything is refused by these names."""
    _write_private(private / "mapping.tsv", ("patient", "patient_id"), findings.patients)
    rows = sorted((names.file(path), path) for path in paths)
    _write_private(private / "files.tsv", ("file", "path"), rows)
    reasons = sorted({(r.path, r.reason) for r in findings.rejections})
    _write_private(private / "rejected.tsv", ("path", "reason"), reasons)
    _write_private(private / "masks.tsv", ("mask", "image", "how"), findings.masks)
    shared = shared_uids.rows(findings.shared, names)
    _write_private(private / "shared_uids.tsv", shared_uids.COLUMNS, shared)


def _write_private(path: Path, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    with PrivateFile(path) as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(rows)


def _nothing(entries: Sequence[Entry], rejections: Sequence[Rejection], private: Path) -> str:
    """Why there is no usable patient, in the words of the rejections."""
    if not entries:
        return "scan: no files below the root, or none that scan.include lets in"
    reasons = Counter(rejection.reason for rejection in rejections)
    listed = "; ".join(f"{count} times {reason}" for reason, count in reasons.most_common(4))
    return (
        f"scan: no usable CT among {len(entries)} files: {listed}; {private / 'rejected.tsv'} "
        "lists them"
    )
