"""Nodules out of slice files: chosen, read and cut, one slice in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lungaug.crops import equivalent_diameter_mm
from lungaug.errors import InputError
from lungaug.evaluation.realism.material import Cutter, Nodule, patient_even
from lungaug.evaluation.realism.untouched import changed_outside
from lungaug.listing import Claim, Place, RealSlices, SliceFiles, claim_of
from lungaug.store import slice_key

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Changes:
    """What insertions changed outside masks and feathers."""

    n_pixels: int
    n_slices: int
    n_patients: int


def real_nodules(
    files: SliceFiles,
    rows: pd.DataFrame,
    cutter: Cutter,
    n: int,
    least_mm: float,
    *,
    rng: np.random.Generator,
) -> list[Nodule]:
    """Nodules of real slices, at most ``n``, evenly over patients.

    Caps of nodules are left out, as they are from what generators learn: they would be told from
    any generated nodule by their size. They are left out before anything is chosen: a patient with
    many caps gives as many nodules as the others.

    Args:
        files: where the slices lie.
        rows: of ``slices.tsv``.
        cutter: cuts them out.
        n: how many at most.
        least_mm: smallest diameter on the slice; one that is unknown counts as large enough.
        rng: chooses.
    """
    table = rows[rows["n_nodule_px"] > 0].sort_values("key", kind="stable")
    columns = (table[name] for name in ("file", "group", "row", "patient"))
    large = [
        (place, label, str(patient))
        for file, group, row, patient in zip(*columns, strict=True)
        for place in [(str(file), str(group), int(row))]
        for label in _large_labels(files, place, least_mm)
    ]
    kept = patient_even([patient for _, _, patient in large], n, rng=rng)
    chosen: dict[Place, set[int]] = {}
    for place, label, _ in (large[i] for i in kept):
        chosen.setdefault(place, set()).add(label)
    return [
        nodule
        for place in sorted(chosen)
        for nodule in _read(files, [place], cutter)
        if nodule.label in chosen[place]
    ]


def inserted_nodules(
    files: SliceFiles, name: str, cutter: Cutter, n: int, *, rng: np.random.Generator
) -> list[Nodule]:
    """Nodules of a file of insertions, at most ``n``, evenly over the hosts' patients."""
    listed = [(place, fields["patient"].decode()) for place, fields in files.places(name)]
    chosen = patient_even([patient for _, patient in listed], n, rng=rng)
    return _evenly(_read(files, [listed[i][0] for i in chosen], cutter), n, rng=rng)


def changes_of(files: SliceFiles, real: RealSlices, name: str, feather_px: int) -> Changes:
    """Compare every slice of a file of insertions with its host.

    Args:
        files: where the slices lie.
        real: finds hosts.
        name: of the file of insertions.
        feather_px: width of the feather.

    Raises:
        InputError: a host is not among the real slices, or is of another size.
    """
    claims = [claim_of(place, fields) for place, fields in files.places(name)]
    hosts = _places_of_hosts(files, real, claims)
    n_pixels = 0
    for claim in claims:
        if claim.host not in hosts:
            raise InputError(f"{files.root / name}: no real slice '{claim.host}', a host")
        before, after = files.hu(hosts[claim.host]), files.hu(claim.place)
        if before.shape != after.shape:
            raise InputError(
                f"{files.root / name}: slice of {after.shape} pixels; accepted: {before.shape}, "
                f"as its host {claim.host} has"
            )
        n_pixels += changed_outside(after, before, files.nodule(claim.place), feather_px)
    return Changes(n_pixels, len(claims), len({claim.patient for claim in claims}))


def _large_labels(files: SliceFiles, place: Place, least_mm: float) -> list[int]:
    """Nodules of a slice that are no caps."""
    nodule, spacing = files.nodule(place), files.fields(place)["spacing_mm"]
    labels: list[int] = np.unique(nodule[nodule > 0]).tolist()
    return [k for k in labels if not equivalent_diameter_mm(nodule == k, spacing) < least_mm]


def _read(files: SliceFiles, places: Sequence[Place], cutter: Cutter) -> list[Nodule]:
    found: list[Nodule] = []
    for place in sorted(places):
        fields = files.fields(place)
        claim = claim_of(place, fields)
        found += cutter(files.hu(place), files.nodule(place), claim, fields["spacing_mm"])
    return found


def _evenly(found: list[Nodule], n: int, *, rng: np.random.Generator) -> list[Nodule]:
    """At most ``n``: a slice may hold several."""
    kept = patient_even([nodule.patient for nodule in found], n, rng=rng)
    return [found[i] for i in kept]


def _places_of_hosts(
    files: SliceFiles, real: RealSlices, claims: Iterable[Claim]
) -> dict[str, Place]:
    """Where hosts lie; file by file, since each search in another file reads its table again."""
    wanted = {claim.host for claim in claims}
    patients = {claim.patient for claim in claims}
    keyed = ((slice_key(files.fields(place)), place) for place in real.of_patients(patients))
    return {key: place for key, place in keyed if key in wanted}
