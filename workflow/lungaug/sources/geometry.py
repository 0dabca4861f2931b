"""Positions, directions and distances of the slices of a stack."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Sequence

from lungaug.sources.dicom_header import Header

SAME_POSITION_MM = 0.01
SAME_DIRECTION = 0.01
"""Difference of direction cosines up to which two images have one direction: 0.6 degrees."""
SAME_SPACING = 0.1
"""Relative difference of slice distances up to which they count as equal."""


def positions(headers: Sequence[Header]) -> tuple[list[float], str]:
    """Return the position of each image along the normal, and where it is from.

    A converter may write one position into every slice; then SliceLocation counts, if it tells the
    images apart.

    Returns:
        Positions in mm, NaN where unknown; and ``position``, ``position without orientation``,
        ``location``, ``number``, or ``flat`` where three images or more claim one position.
    """
    places: list[float] | None = None
    if all(header.position_mm is not None for header in headers):
        normal = normal_of(headers[0].orientation)
        places = [dot(header.position_mm or (), normal) for header in headers]
        if not _are_flat(places):
            source = "position" if headers[0].orientation else "position without orientation"
            return places, source
    if all(header.location_mm is not None for header in headers):
        locations = [header.location_mm or 0.0 for header in headers]
        if not _are_flat(locations):
            return locations, "location"
    if places is not None:
        return places, "flat"
    return [math.nan] * len(headers), "number"


def normal_of(orientation: Sequence[float] | None) -> tuple[float, float, float]:
    """Return the slice normal, rows' direction times columns' direction; axial where unknown."""
    if orientation is None:
        return (0.0, 0.0, 1.0)
    (a, b, c), (d, e, f) = orientation[:3], orientation[3:]
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def same_direction(one: Sequence[float] | None, other: Sequence[float] | None) -> bool:
    """Return whether two sets of direction cosines are equal within the tolerance."""
    if one is None or other is None:
        return one is other
    return all(abs(a - b) <= SAME_DIRECTION for a, b in zip(one, other, strict=True))


def angle(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the angle in degrees between two lines, 0 to 90; 0 for a line without direction."""
    length = math.hypot(*a) * math.hypot(*b)
    if length == 0:
        return 0.0
    return math.degrees(math.acos(min(1.0, abs(dot(a, b)) / length)))


def dot(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the scalar product."""
    return sum(x * y for x, y in zip(a, b, strict=True))


def steps_of(values: Sequence[float]) -> list[float]:
    """Return the finite differences of neighbouring values."""
    return [b - a for a, b in itertools.pairwise(values) if math.isfinite(b - a)]


def is_even(values: Sequence[float]) -> bool:
    """Return whether the differences of neighbouring values are equal within the tolerance."""
    steps = steps_of(values)
    usual = statistics.median(steps) if steps else 0.0
    return usual != 0 and all(abs(step / usual - 1) <= SAME_SPACING for step in steps)


def usual_step(steps: Sequence[float]) -> float:
    """Return the most common step, the smaller of two that are: a median may lie between two."""
    counts = Counter(round(step, 1) for step in steps)
    most = max(counts.items(), key=lambda item: (item[1], -item[0]))[0]
    return statistics.median(step for step in steps if round(step, 1) == most)


def gaps(values: Sequence[float]) -> tuple[list[float], float]:
    """Return the steps that are a multiple of the usual one: something is missing there.

    Args:
        values: ascending positions or numbers; NaN says nothing.

    Returns:
        Those steps, and the usual one; none where there are fewer than two steps.
    """
    steps = steps_of(values)
    if len(steps) < 2 or not (usual := usual_step(steps)):
        return [], 0.0
    return [step for step in steps if is_multiple(step, usual)], usual


def is_multiple(step: float, usual: float) -> bool:
    """Return whether a step is two or more usual ones."""
    times = round(step / usual)
    return times > 1 and abs(step / usual - times) <= SAME_SPACING


def _are_flat(places: Sequence[float]) -> bool:
    """Whether three images or more, and more than half of all, claim one position."""
    ordered = sorted(places)
    half = max(len(ordered) // 2, 2)
    spans = (ordered[i + half] - ordered[i] for i in range(len(ordered) - half))
    return len(ordered) > 2 and min(spans) < SAME_POSITION_MM
