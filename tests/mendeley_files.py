"""Frames of the published structure of the thesis' data, small, with drawn chests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from imaging.thorax import AIR, ellipse, thorax
from lungaug.sources.mendeley import FILES, LABELS

PATIENTS = {"train": 5, "test": 3}
"""Patients of each class."""
RADIUS = {"LR2": 0.022, "LR3": 0.032, "LR4A": 0.045, "LR4B": 0.07}
"""Radius of the nodules of a class over the image's smaller side."""
_SIZES = ((0.96, 0.98), (0.78, 0.9), (0.9, 0.78), (0.72, 0.74), (0.99, 0.86))
_LARGEST_STEP = 0.004


@dataclass(frozen=True)
class Person:
    """Who the rows of a table belong to, which the table does not say."""

    name: str
    lung_rads: str
    size: tuple[float, float]
    side: int


def write_published_frames(
    folder: Path,
    n_train: int = 60,
    n_test: int = 24,
    shape: tuple[int, int] = (96, 96),
    seed: int = 0,
) -> dict[str, list[str]]:
    """Write both pickles; the slices of a person are neighbours, those of a class stand together.

    Args:
        folder: is made if need be.
        n_train: rows of 5 patients of each class, at least 20; n_test: of 3, at least 12.
        shape: (H, W) of the images; lungs are found from about 80 x 80 on.
        seed: of everything drawn.

    Returns:
        Person of each row, by part.
    """
    folder.mkdir(parents=True, exist_ok=True)
    owners = {}
    for number, (part, n_rows) in enumerate({"train": n_train, "test": n_test}.items()):
        rng = np.random.default_rng([seed, number])
        rows = list(_rows(part, n_rows, shape, rng))
        owners[part] = [name for name, _ in rows]
        frame = pd.DataFrame([row for _, row in rows])
        frame.to_pickle(folder / FILES[part])
    return owners


def _rows(
    part: str, n_rows: int, shape: tuple[int, int], rng: np.random.Generator
) -> Iterator[tuple[str, dict[str, Any]]]:
    people = [
        Person(f"{part}/{name}/{i}", name, _SIZES[i % len(_SIZES)], i % 2)
        for name in LABELS
        for i in range(PATIENTS[part])
    ]
    for k, person in enumerate(people):
        n_slices = n_rows // len(people) + (k < n_rows % len(people))
        for i in range(n_slices):
            yield person.name, _row(person, (i + 0.5) / n_slices, shape, rng)


def _row(
    person: Person, position: float, shape: tuple[int, int], rng: np.random.Generator
) -> dict[str, Any]:
    """One row; ``position`` from 0 to 1 goes through the nodule."""
    hu, lungs = _chest(person, position, shape, rng)
    mask = _nodule(person, position, lungs, rng)
    hu[mask] = rng.normal(-20, 30, np.count_nonzero(mask))
    return {
        "label1": person.lung_rads,
        "mask": mask.astype(np.int8),
        "hu_array_old": hu,
        "hu_array": hu * lungs,
    }


def _chest(
    person: Person, position: float, shape: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A chest of the person's size in the middle of air, growing a little along the series."""
    grown = [factor * (1 + _LARGEST_STEP * position) for factor in person.size]
    height, width = (round(n * factor) for n, factor in zip(shape, grown, strict=True))
    drawn, inside = thorax((height, width), seed=int(rng.integers(2**31)))
    hu = rng.normal(AIR, 5, shape)
    lungs = np.zeros(shape, np.bool_)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    place = np.s_[top : top + height, left : left + width]
    hu[place], lungs[place] = drawn + rng.uniform(-0.4, 0.4, drawn.shape), inside
    return hu, lungs


def _nodule(
    person: Person, position: float, lungs: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_]:
    """A disc in one lung, largest in the middle of the series."""
    shape = (lungs.shape[0], lungs.shape[1])
    largest = RADIUS[person.lung_rads] * min(shape) * rng.uniform(0.9, 1.1)
    radius = max(1.5, largest * np.sqrt(1 - (1.6 * (position - 0.5)) ** 2))
    half = np.zeros_like(lungs)
    columns = np.s_[: shape[1] // 2] if person.side else np.s_[shape[1] // 2 :]
    half[:, columns] = lungs[:, columns]
    depth = cv2.distanceTransform(half.astype(np.uint8), cv2.DIST_L2, 5)
    rows, cols = np.nonzero(depth >= min(radius + 1.5, float(depth.max())))
    chosen = rng.integers(len(rows))
    place = rows[chosen] / (shape[0] - 1), cols[chosen] / (shape[1] - 1)
    return ellipse(shape, *place, radius / shape[0], radius / shape[1])
