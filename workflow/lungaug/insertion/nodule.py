"""Insert one nodule: draw what chance decides, then apply it, the same again from its record."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.errors import InputError, SettingError
from lungaug.insertion.blend import FeatherSettings, border_of, feathered, footprint
from lungaug.insertion.donors import Donors
from lungaug.insertion.noise import local_mean, missing_noise, noise_sd
from lungaug.insertion.placement import any_place, free_places
from lungaug.insertion.profile import lowered
from lungaug.insertion.protocol import (
    Host,
    Hu,
    Labels,
    Mask,
    Pair,
    Parameters,
    Patch,
    Refused,
    known,
)
from lungaug.insertion.resize import MARGIN_PX, N_FLIPS, Shape, in_host_pixels
from lungaug.insertion.standardise import standardised
from lungaug.settings import setting

# What counts as lung for its local mean, without the lung mask at hand: what is below vessels.
_LUNG_BELOW_HU = -500
_FEWEST_PX = 9  # of which noise can be told


@dataclass(frozen=True)
class PlaceSettings:
    """Where a nodule may lie: in the lung with its feather, off obstacles and other nodules."""

    obstacle_mm: float = setting(
        0.7, "distance kept from vessels and other obstacles, mm", minimum=0, maximum=50
    )
    exclude_rows: tuple[float, float] = setting(
        (0.0, 0.0), "shares of the lung's rows at the top and bottom of a slice that stay free"
    )
    attempts: int = setting(
        4, "ways of turning a patch that are tried until it fits", minimum=1, maximum=N_FLIPS
    )

    def __post_init__(self) -> None:
        top, bottom = self.exclude_rows
        if not (top >= 0 and bottom >= 0 and top + bottom < 1):
            raise SettingError(
                f"exclude_rows: got {list(self.exclude_rows)}; accepted: two shares of at least 0, "
                "together below 1"
            )


@dataclass(frozen=True)
class InsertionSettings:
    """How a nodule is fitted into its host."""

    place: PlaceSettings = setting(PlaceSettings, "where it may lie")
    feather: FeatherSettings = setting(FeatherSettings, "its rim")
    standardise: bool = setting(
        True, "give it the HU of one real nodule; false: those of the generator, rounded"
    )
    n_nearest: int = setting(
        8, "real nodules of its type nearest in diameter that one is drawn from", minimum=1
    )
    fall: bool = setting(True, "rank pixels near the border as low as the real nodule's lie there")
    noise: float = setting(
        1.0, "share of the noise that it lacks beside its host, added before ranking", minimum=0
    )
    flips: bool = setting(True, "turn patches by quarter turns and mirror them")


def draw(
    host: Host,
    patch: Patch,
    donors: Donors,
    *,
    settings: InsertionSettings,
    rng: np.random.Generator,
) -> Parameters | Refused:
    """A donor of HU, a way to turn the patch, and a place, each admissible one equally likely.

    Returns:
        ``patch``, its row; ``flip``; ``place`` (row, column) of the upper left corner of the
        mask's box; ``rim``, shares of the border's contrast at 1, 2, … pixels; ``fall``, HU below
        the core at a depth of 1, 2, … pixels; ``noise``, the factor on the host's residual;
        ``donor`` and ``label`` of the nodule whose HU it is given; ``source``, the slice that the
        patch's pixels come from.
    """
    refused = _unfit(host, patch.diameter_mm)
    if refused is not None:
        return refused
    free = free_space(host.nodule, host.lung, host.spacing_mm, settings.place)
    donor = donors.draw(patch.diameter_mm, patch.kind, settings.n_nearest, rng=rng)
    width = len(donor.rim)
    flips = rng.permutation(N_FLIPS).tolist() if settings.flips else [0]
    for flip in flips[: settings.place.attempts]:
        shape = in_host_pixels(patch, host.spacing_mm, flip)
        if isinstance(shape, Refused):
            return shape
        place = _place(free, shape.mask, width, rng=rng)
        if place is not None:
            noise = settings.noise * _lacking(host, shape, place)
            return {
                "patch": patch.index,
                "flip": flip,
                "place": list(place),
                "rim": list(donor.rim),
                "fall": list(donor.fall) if settings.standardise and settings.fall else [],
                "noise": round(noise, 3),
                "donor": donor.key if settings.standardise else "",
                "label": donor.label if settings.standardise else 0,
                "source": patch.source,
            }
    return Refused(f"no room in the lung for a nodule of {patch.diameter_mm:.0f} mm")


def apply(
    hu: Hu,
    nodule: Labels,
    patch: Patch,
    donor_hu: Hu | None,
    spacing_mm: tuple[float, float],
    parameters: Mapping[str, Any],
) -> Pair:
    """The slice with the nodule in it; outside mask and feather nothing changes.

    Args:
        hu, nodule: (H, W), the host; stay as they are.
        patch: the nodule.
        donor_hu: (n,), HU of the donor, ascending; None keeps those of the patch, rounded.
        spacing_mm: (row, column), of the host.
        parameters: of :func:`draw`.

    Raises:
        InputError: the patch cannot be resampled so.
    """
    shape = in_host_pixels(patch, spacing_mm, int(parameters["flip"]))
    if isinstance(shape, Refused):
        raise InputError(f"patch {patch.index}: {shape.reason}")
    hu, nodule = hu.copy(), nodule.copy()
    row, col = parameters["place"]
    window, shape = _window(shape, (int(row), int(col)), hu.shape)
    around = hu[window]  # a view: what is written there is in the slice
    mean = _lung_mean(around, nodule[window])
    noise = np.float32(parameters["noise"]) * (around - mean)
    score = lowered(shape.hu, shape.mask, parameters["fall"]) + noise
    around[shape.mask] = standardised(score[shape.mask], donor_hu)
    around[...] = feathered(around, shape, tuple(parameters["rim"]), mean)
    nodule[window][shape.mask] = int(nodule.max()) + 1
    return hu, nodule


def free_space(
    nodule: Labels, lung: Labels, spacing_mm: tuple[float, float], settings: PlaceSettings
) -> Mask:
    """(H, W) True where a nodule and its feather may lie: in the lung and off everything else."""
    taken = ((lung == 2) | (nodule > 0)).view(np.uint8)
    free: Mask = (lung == 1) & (cv2.dilate(taken, _ellipse(settings.obstacle_mm, spacing_mm)) == 0)
    rows = np.flatnonzero((lung > 0).any(axis=1))
    if len(rows):
        extent = int(rows[-1]) + 1 - int(rows[0])
        top, bottom = (round(share * extent) for share in settings.exclude_rows)
        free[: int(rows[0]) + top] = False
        free[int(rows[-1]) + 1 - bottom :] = False
    return free


def _ellipse(radius_mm: float, spacing_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """(h, w) pixels whose centres lie up to a radius from the middle one."""
    reach = [int(radius_mm / mm + 1e-6) for mm in spacing_mm]
    rows, cols = (np.arange(-n, n + 1) * mm for n, mm in zip(reach, spacing_mm, strict=True))
    return (rows[:, None] ** 2 + cols**2 <= radius_mm**2 * (1 + 1e-6)).astype(np.uint8)


def _unfit(host: Host, diameter_mm: float) -> Refused | None:
    """Why a nodule of this size cannot be anywhere on a slice."""
    if not known(host.spacing_mm):
        return Refused("unknown spacing of the slice")
    n_px = np.count_nonzero(host.lung)
    if not n_px:
        return Refused("no lungs on the slice")
    if math.pi / 4 * diameter_mm**2 > n_px * math.prod(host.spacing_mm):
        return Refused(f"a nodule of {diameter_mm:.0f} mm is larger than the lungs")
    return None


def _place(
    free: Mask, mask: Mask, width_px: int, *, rng: np.random.Generator
) -> tuple[int, int] | None:
    """Where the mask's box begins, with all of mask and feather on free pixels."""
    inner = MARGIN_PX - width_px
    shape = footprint(mask, width_px)[inner:-inner, inner:-inner]
    left, top, width, height = cv2.boundingRect(free.view(np.uint8))
    found = any_place(free_places(free[top : top + height, left : left + width], shape), rng=rng)
    return None if found is None else (found[0] + top + width_px, found[1] + left + width_px)


def _window(
    shape: Shape, place: tuple[int, int], image: tuple[int, ...]
) -> tuple[tuple[slice, slice], Shape]:
    """Rows and columns of a slice that a shape covers with its margin, and that part of it."""
    outer, inner = [], []
    for corner, n, limit in zip(place, shape.mask.shape, image, strict=True):
        first = corner - MARGIN_PX
        if not 0 <= corner <= limit - (n - 2 * MARGIN_PX):
            raise InputError(f"place {list(place)}: beyond the slice")
        outer.append(slice(max(first, 0), min(first + n, limit)))
        inner.append(slice(outer[-1].start - first, outer[-1].stop - first))
    part = (inner[0], inner[1])
    return (outer[0], outer[1]), Shape(shape.hu[part], shape.mask[part], shape.distance[part])


def _lung_mean(hu: Hu, nodule: Labels) -> NDArray[np.float32]:
    return local_mean(hu, (hu < _LUNG_BELOW_HU) & (nodule == 0))


def _lacking(host: Host, shape: Shape, place: tuple[int, int]) -> float:
    """The share of the host's noise that a patch lacks at a place."""
    window, here = _window(shape, place, host.hu.shape)
    # the steps of a border would count as noise
    inner = here.mask & ~border_of(here.mask)
    inner = inner if np.count_nonzero(inner) >= _FEWEST_PX else here.mask
    return missing_noise(noise_sd(here.hu, inner), noise_sd(host.hu[window], here.mask))
