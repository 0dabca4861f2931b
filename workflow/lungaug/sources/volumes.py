"""Volumes out of the images of one series: what was acquired and reconstructed together.

One SeriesInstanceUID may hold two phases, two kernels, a copy of each image or images of two sizes;
a bad anonymiser gives every slice a series of its own. Mixed into one stack, one nodule becomes
six, and of two images at one position the annotated one may be the one that is dropped.
"""

from __future__ import annotations

import itertools
import math
import posixpath
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial

from lungaug.sources.geometry import (
    SAME_POSITION_MM,
    is_even,
    positions,
    same_direction,
)
from lungaug.sources.image import Image

MAX_RUNS = 4
"""A series whose instance numbers run through its positions more often than this is unordered."""
_SUBSTANTIAL = 3
"""So many images or more may be a volume by themselves; fewer are strays of another one."""

_KEYS: Mapping[str, Callable[[Image], Hashable]] = {
    "acquisition": lambda image: image.header.acquisition,
    "kernel": lambda image: image.header.kernel,
    "kind": lambda image: image.header.derived,
    "folder": lambda image: image.folder,
}

Volumes = dict[str, list[Image]]


def split(name: str, images: Sequence[Image]) -> Volumes:
    """Split the images of one series into volumes.

    Images of different size or direction are always parted. Tags (phase, acquisition, kernel, kind
    of image), folders and runs of instance numbers part images only where the parts lie in each
    other: an acquisition number for every rotation of a step-and-shoot scan parts nothing.

    Args:
        name: of the series; the largest volume keeps it.
        images: at least one, without copies of each other.

    Returns:
        Images by the volume's name.
    """
    found: Volumes = {name: list(images)}
    found = _parted(found, "size", lambda part: _groups(part, _size))
    found = _parted(found, "frames", lambda part: _groups(part, _is_frame))
    found = _parted(found, "direction", _by_direction)
    found = _parted(found, "phase", lambda part: _apart(_groups(part, _phase), blind=True))
    for what, key in _KEYS.items():
        found = _parted(found, what, partial(_apart_by, key=key))
    found = _parted(found, "run", lambda part: _apart(_runs(part)))
    found = _parted(found, "pass", _by_repeated_number)
    return _parted(found, "occurrence", _by_occurrence)


def joined(series: Mapping[str, list[Image]]) -> Volumes:
    """Join series of one image each that lie in one folder: a series UID for every slice.

    Each of them may have a folder of its own in another one. Fewer than three such images, or
    images at one position, stay as they are.
    """
    found = {name: list(images) for name, images in series.items()}
    for above in (False, True):
        single: dict[tuple[str, Hashable], list[str]] = defaultdict(list)
        for name, images in found.items():
            if len(images) == 1:
                folder = images[0].folder
                folder = posixpath.dirname(folder) if above else folder
                single[folder, _size(images[0])].append(name)
        for (folder, size), names in single.items():
            together = [found[name][0] for name in names]
            if len(names) >= _SUBSTANTIAL and not _repeats(together):
                for name in names:
                    del found[name]
                found[f"images:{folder}:{size}"] = together
    return found


def acquisition_order(image: Image) -> tuple[float, str, int]:
    """Sort key: InstanceNumber, then path and frame."""
    number = image.header.instance
    return (math.inf if number is None else number, image.path, image.header.frame)


def _parted(
    volumes: Volumes, what: str, parts: Callable[[list[Image]], Iterable[list[Image]]]
) -> Volumes:
    """Replace each volume by its parts; the largest part keeps the name."""
    found: Volumes = {}
    for name, images in volumes.items():
        first = {id(image): i for i, image in enumerate(images)}
        ordered = sorted(parts(images), key=lambda part: (-len(part), first[id(part[0])]))
        for number, part in enumerate(ordered):
            found[f"{name}|{what} {number + 1}" if number else name] = part
    return found


def _groups(images: Iterable[Image], key: Callable[[Image], Hashable]) -> list[list[Image]]:
    groups: dict[Hashable, list[Image]] = defaultdict(list)
    for image in images:
        groups[key(image)].append(image)
    return list(groups.values())


def _size(image: Image) -> tuple[int, int]:
    return image.header.rows, image.header.columns


def _is_frame(image: Image) -> bool:
    return image.header.frame >= 0


def _phase(image: Image) -> str:
    return image.header.phase


def _by_direction(images: list[Image]) -> list[list[Image]]:
    """Groups of one direction: cosines are compared with a tolerance, never by rounding."""
    counts = Counter(image.header.orientation for image in images)
    leaders: list[tuple[float, ...] | None] = []
    leader_of: dict[tuple[float, ...] | None, int] = {}
    for cosines, _ in counts.most_common():
        # An image that lost its direction belongs to the others.
        near = (
            i
            for i, leader in enumerate(leaders)
            if cosines is None or leader is None or same_direction(cosines, leader)
        )
        leader_of[cosines] = next(near, len(leaders))
        if leader_of[cosines] == len(leaders):
            leaders.append(cosines)
    return _groups(images, lambda image: leader_of[image.header.orientation])


def _apart_by(images: list[Image], key: Callable[[Image], Hashable]) -> list[list[Image]]:
    return [images] if _is_one_pass(images) else _apart(_groups(images, key))


def _is_one_pass(images: Sequence[Image]) -> bool:
    """Whether instance numbers, each once, run through evenly spaced positions in one direction."""
    numbers = [image.header.instance for image in images]
    if None in numbers or len(set(numbers)) < len(numbers) or len(images) < _SUBSTANTIAL:
        return False
    z_mm = _places(images)
    return is_even([z_mm[id(image)] for image in sorted(images, key=acquisition_order)])


def _apart(groups: Sequence[list[Image]], *, blind: bool = False) -> list[list[Image]]:
    """Unite groups to volumes, except those that lie in each other.

    Args:
        groups: of images.
        blind: part them where positions are unknown, too.
    """
    if len(groups) < 2:
        return list(groups)
    images = list(itertools.chain.from_iterable(groups))
    places, source = positions([image.header for image in images])
    if source == "number":
        return list(groups) if blind else [images]
    if source == "flat":
        return [images]
    z_mm = dict(zip(map(id, images), places, strict=True))
    found: list[list[Image]] = []
    for group in sorted(groups, key=len, reverse=True):
        home = next((volume for volume in found if not _interleave(volume, group, z_mm)), None)
        if home is None:
            found.append(list(group))
        else:
            home.extend(group)
    return found


def _interleave(one: Sequence[Image], other: Sequence[Image], z_mm: Mapping[int, float]) -> bool:
    """Whether two groups of images repeat positions or lie in each other's range."""
    a, b = (sorted(z_mm[id(image)] for image in images) for images in (one, other))
    if any(second - first < SAME_POSITION_MM for first, second in _neighbours(a, b)):
        return True
    inside = sum(a[0] < z < a[-1] for z in b)
    return min(len(a), len(b)) >= _SUBSTANTIAL and inside > 1


def _neighbours(a: Sequence[float], b: Sequence[float]) -> Iterator[tuple[float, float]]:
    """Neighbouring positions of which one is from ``a`` and one from ``b``."""
    marked = sorted([(z, 0) for z in a] + [(z, 1) for z in b])
    return ((p[0], q[0]) for p, q in itertools.pairwise(marked) if p[1] != q[1])


def _runs(images: list[Image]) -> list[list[Image]]:
    """Runs of instance numbers along which positions rise or fall, if each is evenly spaced."""
    numbers = [image.header.instance for image in images]
    if None in numbers or len(set(numbers)) < len(numbers):
        return [images]
    ordered = sorted(images, key=acquisition_order)
    z_mm = _places(ordered)
    runs: list[list[Image]] = [[]]
    rising: bool | None = None
    for image in ordered:
        if runs[-1]:
            step = z_mm[id(image)] - z_mm[id(runs[-1][-1])]
            if rising is not None and rising != (step > 0):
                runs.append([])
                rising = None
            else:
                rising = step > 0
        runs[-1].append(image)
    even = all(
        len(run) >= _SUBSTANTIAL and is_even([z_mm[id(image)] for image in run]) for run in runs
    )
    return runs if 1 < len(runs) <= MAX_RUNS and even else [images]


def _by_repeated_number(images: list[Image]) -> list[list[Image]]:
    """Passes that all count from one: where every number stands at the same number of positions."""
    by_number = _groups(images, lambda image: image.header.instance)
    n_each = {len(group) for group in by_number}
    if len(n_each) > 1 or len(by_number) < _SUBSTANTIAL or images[0].header.frame >= 0:
        return [images]
    z_mm = _places(images)
    ordered = (sorted(group, key=lambda image: z_mm[id(image)]) for group in by_number)
    passes = [list(part) for part in zip(*ordered, strict=True)]
    even = all(is_even(sorted(z_mm[id(image)] for image in one)) for one in passes)
    return passes if even and not _repeats(images) else [images]


def _by_occurrence(images: list[Image]) -> list[list[Image]]:
    """Where every position has the same number of images, the first of each, the second, …

    Without different instance numbers nothing says which is the first.
    """
    z_mm = _places(images)
    if any(map(math.isnan, z_mm.values())):
        return [images]
    stacks: list[list[Image]] = []
    last = -math.inf
    for image in sorted(images, key=lambda i: (z_mm[id(i)], *acquisition_order(i))):
        if z_mm[id(image)] - last < SAME_POSITION_MM:
            stacks[-1].append(image)
        else:
            stacks.append([image])
            last = z_mm[id(image)]
    n_each = {len(stack) for stack in stacks}
    if len(n_each) > 1 or len(stacks) < _SUBSTANTIAL:
        return [images]
    if any(len({image.header.instance for image in stack}) < len(stack) for stack in stacks):
        return [images]
    ordered = (sorted(stack, key=acquisition_order) for stack in stacks)
    return [list(part) for part in zip(*ordered, strict=True)]


def _repeats(images: Sequence[Image]) -> bool:
    z_mm = sorted(_places(images).values())
    return any(b - a < SAME_POSITION_MM for a, b in itertools.pairwise(z_mm))


def _places(images: Iterable[Image]) -> dict[int, float]:
    """Position in mm by the identity of the image; NaN where unknown."""
    listed = list(images)
    return dict(zip(map(id, listed), positions([i.header for i in listed])[0], strict=True))
