"""The table of patients: what is known of each, and where it is from."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from lungaug.census import Found
from lungaug.preview.roles import Roles
from lungaug.preview.setup import Setup
from lungaug.preview.stages import Seen
from lungaug.preview.words import shown, worded
from lungaug.sources.plan import PatientPlan, PlannedSeries


@dataclass
class Patient:
    """A patient of the source, in the words of the page.

    Attributes:
        pseudonym: as in the tables of a run, if the cohort has its key.
        name: PatientID, or what stands for it.
        used: the number of series and slices, in words.
        spacing: of pixels and slices, in mm.
        lung_rads: class; '' where unknown.
        origin: where the class is from.
        annotated: masks and annotation files that matched.
        nodules: their number, and marks that are none.
        largest: largest diameter in mm.
        lungs: slices with lungs of all.
        role: that the patient would have.
        warnings: what is odd.
        left_out: why the patient would have no role, '' if that is not so.
    """

    pseudonym: str
    name: str
    used: str = ""
    spacing: str = ""
    lung_rads: str = ""
    origin: str = ""
    annotated: str = ""
    nodules: str = ""
    largest: str = ""
    lungs: str = ""
    role: str = ""
    warnings: list[str] = field(default_factory=list)
    left_out: str = ""


def patients(setup: Setup, seen: Seen, roles: Roles) -> list[Patient]:
    """Return every patient of the source, by name."""
    names = {row["patient"]: row["patient_id"] for row in seen.table("mapping.tsv")}
    known = names | {row["file"]: row["path"] for row in seen.table("files.tsv")}
    reasons = _reasons(seen)
    odd = {row["patient"]: row["warnings"] for row in seen.cohort}
    listed = []
    for pseudonym, name in sorted(names.items(), key=lambda item: item[1]):
        one = Patient(pseudonym, shown(name))
        if pseudonym in seen.plans:
            _describe(one, seen.plans[pseudonym], seen, setup)
        elif seen.usable:
            one.left_out = "none of the images can be used: see the files below"
        texts = [*filter(None, odd.get(pseudonym, "").split("; ")), *seen.of_patient(pseudonym)]
        one.warnings = [worded(text, known, seen.private) for text in dict.fromkeys(texts)]
        one.left_out = one.left_out or roles.reasons.get(pseudonym, "")
        if pseudonym in reasons:
            one.left_out = worded(reasons[pseudonym], known, seen.private)
        one.role = roles.of(pseudonym)
        listed.append(one)
    return listed


def _reasons(seen: Seen) -> dict[str, str]:
    """Why ingest left patients out: the files and what is wrong with them."""
    found: dict[str, list[str]] = {}
    for row in seen.rejected:
        reason = row["reason"].partition("; its patient is left out")[0]
        found.setdefault(row["patient"], []).append(f"{row['file']}: {reason}")
    return {
        patient: "; ".join(texts[:3]) + (f"; and {len(texts) - 3} more" if len(texts) > 3 else "")
        for patient, texts in found.items()
    }


def _describe(one: Patient, plan: PatientPlan, seen: Seen, setup: Setup) -> None:
    found = seen.found.get(one.pseudonym, Found())
    slices = [image for series in plan.series for image in series.slices]
    one.used = f"{len(plan.series)} / {len(slices)}"
    one.spacing = "; ".join(dict.fromkeys(map(_spacing, plan.series)))
    one.annotated = _annotated(plan, setup.kind)
    if found.slices:
        one.lung_rads = found.lung_rads or "unknown"
        one.origin = origin(plan, found, setup.kind)
        one.lungs = f"{found.lungs} of {found.slices}"
    rows = [row for row in seen.nodules if row["patient"] == one.pseudonym]
    if rows or found.unseen < found.slices:
        one.nodules = _nodules(row["kind"] for row in rows)
    sizes = [float(row["diameter_mm"]) for row in rows if row["kind"] == "nodule"]
    one.largest = _mm(max(sizes, key=_size)) if sizes else ""


def origin(plan: PatientPlan, found: Found, kind: str) -> str:
    """Return where a patient's class is from."""
    if kind == "mendeley":
        return "published tables"
    if plan.lung_rads:
        return "sheet"
    if not found.lung_rads:
        return ""
    outlined = any(series.annotations for series in plan.series)
    masked = any(
        image.mask for series in plan.series if not series.annotations for image in series.slices
    )
    sources = [name for name, there in (("XML", outlined), ("masks", masked)) if there]
    return " and ".join(sources) or "ingest.unannotated"


def _annotated(plan: PatientPlan, kind: str) -> str:
    if kind == "mendeley":
        return "in the tables"
    masks = sum(image.mask is not None for series in plan.series for image in series.slices)
    files = sum(len(series.annotations) for series in plan.series)
    parts = [f"{masks} PNG"] if masks or not files else []
    return " + ".join([*parts, *([f"{files} XML"] if files else [])])


def _nodules(kinds: Iterable[str]) -> str:
    """How many nodules, and how many marks that count as none."""
    counts = Counter(kinds)
    more = [
        f"{n} {kind.replace('_', ' ')}" for kind, n in sorted(counts.items()) if kind != "nodule"
    ]
    return "; ".join([str(counts["nodule"]), *more])


def _spacing(series: PlannedSeries) -> str:
    """Distances of rows, columns and slices: '0.70 x 0.70 x 2.5'."""
    pixels = {image.header.spacing_mm for image in series.slices}
    one = next(iter(pixels)) if len(pixels) == 1 else None
    plane = " x ".join(f"{value:.2f}" for value in one) if one else "?"
    if len(pixels) > 1:
        plane = "several"
    z = sorted(image.z_mm for image in series.slices if not math.isnan(image.z_mm))
    steps = sorted(b - a for a, b in itertools.pairwise(z))
    return f"{plane} x {steps[len(steps) // 2]:.4g}" if steps else plane


def _size(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _mm(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.1f}"
