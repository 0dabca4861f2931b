"""The page: what a preview found, as one HTML file for the owner of the data only."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup

from lungaug import __version__
from lungaug.cohort import CLASSES, ROLES
from lungaug.errors import InputError
from lungaug.figures.page.tables import ABSENT, Table, of_text
from lungaug.figures.style import LUNG, REFERENCE
from lungaug.preview.patients import Patient, patients
from lungaug.preview.roles import Roles
from lungaug.preview.setup import Setup
from lungaug.preview.stages import Seen
from lungaug.preview.words import shown, worded
from lungaug.sources.mask_matching import HELP
from lungaug.sources.private import PrivateFile

MARK = '<meta name="generator" content="lungaug preview">'
"""By this a file is known as an earlier preview, which may be replaced."""

_TEXT = Path(__file__).resolve().parents[2] / "report"
_EXAMPLES = 5


def check_output(path: Path) -> None:
    """Raise InputError if a page cannot be written there, or would replace a file of others."""
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"--output: {shown(str(path))}; accepted: a file in a folder that can be written to"
        )
    if not os.path.lexists(path):
        return
    if path.is_file() and not path.is_symlink():
        with path.open("rb") as file:
            if MARK.encode() in file.read(2000):
                return
    raise InputError(
        f"--output: {shown(str(path))} exists and is no earlier preview; accepted: another name"
    )


def write(path: Path, page: str) -> None:
    """Write the page, readable by its owner only, whole or not at all."""
    check_output(path)
    with PrivateFile(path) as file:
        file.write(page)


def render(setup: Setup, seen: Seen, roles: Roles, most: int) -> str:
    """Return the page.

    Args:
        setup: the configuration.
        seen: what the stages found.
        roles: who would get which role.
        most: patients of whom pictures were asked for.
    """
    people = patients(setup, seen, roles)
    names = {row["patient"]: row["patient_id"] for row in seen.table("mapping.tsv")}
    names |= {row["file"]: row["path"] for row in seen.table("files.tsv")}
    masks = seen.table("masks.tsv")
    by_name = {one.pseudonym: one for one in people}
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEXT),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("preview.html.j2").render(
        mark=Markup(MARK),
        version=__version__,
        cohort=setup.cohort,
        absent=sorted(ABSENT),
        facts=_facts(seen, people, masks),
        stops=[worded(text, names, seen.private) for text in _stops(setup, seen, roles)],
        general=[worded(text, names, seen.private) for text in _general(seen, people)],
        patients=_patients_table(people, seen.has_key),
        matched=_matched(masks),
        unmatched=_grouped((row["how"], row["mask"]) for row in masks if not row["image"]),
        help=f"{HELP[0].upper()}{HELP[1:]}.",
        left_out=of_text(
            ["PatientID", "why"], [[p.name, p.left_out] for p in people if p.left_out]
        ),
        rejected=_grouped((row["reason"], row["path"]) for row in seen.table("rejected.tsv")),
        roles=_roles_table(seen, roles),
        roles_note=_roles_note(seen, roles),
        strips=[(by_name[name], pictures) for name, pictures in _strips(seen, by_name)],
        most=most,
        unshown=len(seen.found) - len(seen.strips),
        lung=LUNG,
        nodule=REFERENCE,
    )


def _stops(setup: Setup, seen: Seen, roles: Roles) -> Iterable[str]:
    other = setup.other_root()
    return [*([other] if other else []), *seen.refusals, *roles.faults]


def _facts(
    seen: Seen, people: Sequence[Patient], masks: Sequence[Mapping[str, str]]
) -> list[tuple[int, str]]:
    used = {row["mask"] for row in masks if row["image"]}
    unused = {row["mask"] for row in masks} - used
    files = sum(len(s.annotations) for plan in seen.plans.values() for s in plan.series)
    return [
        (len(people), "patients"),
        (sum(bool(one.left_out) for one in people), "left out"),
        (sum(one.slices for one in seen.found.values()), "slices"),
        (sum(one.nodule for one in seen.found.values()), "with a nodule"),
        (len(used) + files, "masks and XML matched"),
        (len(unused), "that fit nothing"),
        (len(seen.table("rejected.tsv")), "files not used"),
    ]


def _general(seen: Seen, people: Sequence[Patient]) -> list[str]:
    """Warnings that are of no single patient."""
    starts = tuple(f"{one.pseudonym}: " for one in people)
    return list(dict.fromkeys(text for text in seen.warnings if not text.startswith(starts)))


def _patients_table(people: Sequence[Patient], has_key: bool) -> Table:
    columns = [
        "PatientID", "class", "from", "series / slices", "spacing, mm", "matched",
        "nodules", "mm", "with lungs", "role", "warnings",
    ]  # fmt: skip
    rows = []
    for one in people:
        cells = [
            one.name, one.lung_rads, one.origin, one.used, one.spacing, one.annotated, one.nodules,
            one.largest, one.lungs, one.role or ("left out" if one.left_out else ""),
            "; ".join(one.warnings),
        ]  # fmt: skip
        rows.append([*cells, one.pseudonym] if has_key else cells)
    return of_text([*columns, "pseudonym"] if has_key else columns, rows)


@dataclass(frozen=True)
class Group:
    """Files with one reason."""

    reason: str
    n: int
    examples: list[str]


def _grouped(pairs: Iterable[tuple[str, str]]) -> list[Group]:
    """Files by reason, the most frequent first, with a few names each."""
    by_reason: dict[str, list[str]] = defaultdict(list)
    for reason, name in pairs:
        by_reason[reason].append(name)
    groups = [
        Group(shown(reason), len(files), [shown(name) for name in sorted(files)[:_EXAMPLES]])
        for reason, files in by_reason.items()
    ]
    return sorted(groups, key=lambda group: (-group.n, group.reason))


def _matched(masks: Iterable[Mapping[str, str]]) -> Table:
    """By which rule masks were matched, with an example of each."""
    used = [row for row in masks if row["image"]]
    counts = Counter(row["how"] for row in used)
    first = {row["how"]: row for row in reversed(used)}
    rows = [
        [how, str(n), shown(first[how]["mask"]), shown(first[how]["image"])]
        for how, n in counts.most_common()
    ]
    return of_text(["found by", "images", "for example the mask", "of the image"], rows)


def _roles_table(seen: Seen, roles: Roles) -> Table:
    """Patients by class and role; by part where every patient tests once."""
    several = len(roles.roles) > 1
    columns = list(roles.roles) if several else list(ROLES)
    counts: Counter[tuple[str, str]] = Counter()
    for fold, own in roles.roles.items():
        for patient, role in own.items():
            if not several or role == "test":
                name = seen.found[patient].lung_rads or "unknown"
                counts[name, fold if several else role] += 1
    classes = [name for name in (*CLASSES, "unknown") if any(key[0] == name for key in counts)]
    rows = [[name, *(str(counts[name, column]) for column in columns)] for name in classes]
    heads = [f"tests in {column}" if several else column for column in columns]
    return of_text(["class", *heads], rows)


def _roles_note(seen: Seen, roles: Roles) -> list[str]:
    said = [roles.note] if roles.note else []
    if roles.known:
        said.append(
            f"{len(roles.known)} of these patients have their place in the ledger for good."
        )
    if not seen.has_key:
        said.append(
            "The cohort has no key yet. A run makes one, and the draw depends on it: the numbers "
            "will be much the same, the people others."
        )
    return said


def _strips(seen: Seen, by_name: Mapping[str, Patient]) -> list[tuple[str, Any]]:
    def order(item: tuple[str, Any]) -> tuple[bool, str]:
        one = by_name[item[0]]
        return not (one.warnings or one.left_out), one.name

    return sorted(seen.strips.items(), key=order)
