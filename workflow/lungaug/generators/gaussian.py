"""Drawn nodules: an ellipse with correlated texture and a blurred edge, in drawn lung.

A nodule's HU spread for two reasons: its tissue is grainy, and its rim is half lung. The grain is
measured in the core; the rim is as wide as the rest of the spread asks for. With all of the spread
as grain, nodules would look like gravel.

The baseline that knows nothing but size, mean and spread: what a network gains over it is what
shape and structure are worth. Mean and SD are those of one training nodule of that kind and of
like diameter, since a mixture of them would be like none.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.special import ndtr

from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError
from lungaug.generators.conditions import Seen
from lungaug.generators.gaussian_settings import GaussianSettings
from lungaug.generators.protocol import FitRun, HistoryRow, Samples
from lungaug.imaging.hu import FLOOR_HU
from lungaug.settings import as_mapping, from_mapping

Image = NDArray[np.float64]
Region = NDArray[np.bool_]

_LUNG_HU = (-960, -600)  # between air and vessels
_NO_LUNG = (-850.0, 40.0)  # mean and SD where no crop shows any
_NO_CORE = 30.0  # SD of the grain where no nodule has a core
_RIM_PX = 2  # on either side of a nodule's edge, where lung and nodule are mixed
_FEWEST_PX = 9  # that a core needs, for its SD to mean anything
_HALVINGS = 12  # of the interval in which the rim's width is sought
_BARELY, _NEARLY = 1e-6, 0.99  # limits of a correlation that a kernel can make


@dataclass(frozen=True)
class Statistics:
    """HU of the training crops, each (N,) float64; medians where a crop has no core or no lung.

    Attributes:
        mean, sd: of the pixels in the mask.
        grain: SD in the core of the mask.
        lung_mean, lung_sd: of the lung around it, vessels apart.
    """

    mean: Image
    sd: Image
    grain: Image
    lung_mean: Image
    lung_sd: Image


@dataclass(frozen=True)
class Fitted:
    """All that is known of the training crops.

    Attributes:
        seen: their conditions.
        diameter_mm: (N,), of each.
        kind: (N,), of each.
        statistics: HU of each.
        correlation_mm: SD of the kernels that make the texture of nodules and of lung.
        spacing_mm: of a pixel (row, column).
        side: S, pixels.
    """

    seen: Seen
    diameter_mm: Image
    kind: list[str]
    statistics: Statistics
    correlation_mm: tuple[float, float]
    spacing_mm: tuple[float, float]
    side: int


class Gaussian:
    """Ellipses with the size, mean and SD of the nodules that it was fitted to."""

    def __init__(self, settings: GaussianSettings, fitted: Fitted | None = None) -> None:
        self.settings = settings
        self._fitted = fitted

    @property
    def fitted(self) -> Fitted:
        """What was measured.

        Raises:
            InputError: nothing was fitted yet.
        """
        if self._fitted is None:
            raise InputError("gaussian: not fitted; accepted: a generator after fit")
        return self._fitted

    def fit(self, crops: Crops, run: FitRun) -> list[HistoryRow]:
        """Measure the crops; the row of the history has means over the nodules.

        Raises:
            InputError: the spacing of the crops is unknown.
        """
        self._fitted = measure(crops, self.settings)
        means = {
            f"{f.name}_hu": round(float(getattr(self.fitted.statistics, f.name).mean()), 1)
            for f in fields(Statistics)
        }
        row: HistoryRow = {"phase": "fit", "step": 0, "epoch": 0, "n_crops": len(crops), **means}
        for name, value in zip(("nodule", "lung"), self.fitted.correlation_mm, strict=True):
            row[f"{name}_correlation_mm"] = round(value, 3)
        return [{**row, "note": ""}]

    def to(self, device: torch.device) -> None:
        """Nothing: no network draws, and NumPy has the CPU alone."""

    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        """One ellipse for each condition: (N, S, S) HU and mask, of the asked diameter.

        Args:
            conditions: what is asked for; the class decides nothing.
            seed: of shapes, HU and textures.

        Raises:
            InputError: a kind, class or diameter was not among the crops.
        """
        self.fitted.seen.check(conditions)
        rng = np.random.default_rng(seed)
        made = [
            self._draw(float(diameter), kind, rng)
            for diameter, kind in zip(conditions.diameter_mm, conditions.kind, strict=True)
        ]
        shape = (len(made), self.fitted.side, self.fitted.side)
        return Samples.without_donors(
            np.array([hu for hu, _ in made], np.float32).reshape(shape),
            np.array([mask for _, mask in made], np.float32).reshape(shape),
        )

    def _draw(
        self, diameter_mm: float, kind: str, rng: np.random.Generator
    ) -> tuple[Image, Region]:
        fitted = self.fitted
        row = _like(fitted, diameter_mm, kind, self.settings.n_nearest, rng)
        depth = ellipse(diameter_mm, fitted, self.settings.axis_ratio, rng=rng)
        noise, lung = (texture(fitted, mm, rng=rng) for mm in fitted.correlation_mm)
        hu = fitted.statistics
        scene = Scene(depth, hu.lung_mean[row] + hu.lung_sd[row] * lung, noise)
        look = Look(hu.mean[row], hu.sd[row], hu.grain[row], self.settings.edge_mm)
        return np.maximum(compose(scene, look), FLOOR_HU), depth >= 0

    def state(self) -> dict[str, Any]:
        """Settings and what was measured."""
        fitted = {f.name: getattr(self.fitted, f.name) for f in fields(Fitted)}
        fitted["seen"] = self.fitted.seen.state()
        fitted["diameter_mm"] = torch.from_numpy(self.fitted.diameter_mm)
        fitted["statistics"] = {
            f.name: torch.from_numpy(getattr(self.fitted.statistics, f.name))
            for f in fields(Statistics)
        }
        return {"settings": as_mapping(self.settings), "fitted": fitted}


def from_state(state: Mapping[str, Any]) -> Gaussian:
    """The generator that ``state`` was taken of."""
    values = dict(state["fitted"])
    values["seen"] = Seen.from_state(values["seen"])
    values["diameter_mm"] = values["diameter_mm"].numpy()
    values["statistics"] = Statistics(**{k: v.numpy() for k, v in values["statistics"].items()})
    for name in ("correlation_mm", "spacing_mm"):
        values[name] = tuple(values[name])
    return Gaussian(from_mapping(GaussianSettings, state["settings"]), Fitted(**values))


def measure(crops: Crops, settings: GaussianSettings) -> Fitted:
    """Measure training crops.

    Raises:
        InputError: the spacing of the crops is unknown.
    """
    spacing = np.median(crops.spacing_mm, axis=0).astype(np.float64)
    if not np.isfinite(spacing).all():
        raise InputError("gaussian: crops of unknown spacing; accepted: spacing in mm for all")
    hu = crops.hu.astype(np.float64)
    lungs = [_lung(image, mask) for image, mask in zip(crops.hu, crops.mask, strict=True)]
    cores = [_grown(mask, -_RIM_PX) for mask in crops.mask]
    inside = np.array([(v.mean(), v.std()) for v in _inside(hu, crops.mask)])
    grain = [v.std() if len(v) >= _FEWEST_PX else math.nan for v in _inside(hu, cores)]
    around = np.array([_mean_and_sd_of_most(v) for v in _inside(hu, lungs)])
    statistics = Statistics(
        mean=inside[:, 0],
        sd=inside[:, 1],
        grain=_completed(np.array(grain), _NO_CORE),
        lung_mean=_completed(around[:, 0], _NO_LUNG[0]),
        lung_sd=_completed(around[:, 1], _NO_LUNG[1]),
    )
    pixel_mm = float(spacing.mean())
    fitted_mm = [pixel_mm * kernel_px(zip(hu, each, strict=True)) for each in (cores, lungs)]
    asked = settings.correlation_mm
    return Fitted(
        Seen.of(crops, min_nodules=0),
        crops.diameter_mm.astype(np.float64),
        crops.kind.tolist(),
        statistics,
        (fitted_mm[0], fitted_mm[1]) if asked is None else (asked, asked),
        (float(spacing[0]), float(spacing[1])),
        crops.hu.shape[-1],
    )


def _inside(hu: Image, regions: Iterable[Region]) -> Iterator[Image]:
    return (image[region] for image, region in zip(hu, regions, strict=True))


def _mean_and_sd_of_most(values: Image) -> tuple[float, float]:
    """Of normal values mean and SD; the few vessels among the lung hardly count."""
    if not len(values):
        return math.nan, math.nan
    low, middle, high = np.percentile(values, (16, 50, 84))
    return float(middle), float(high - low) / 2


def _completed(values: Image, default: float) -> Image:
    """The median for what is NaN; the default if all are."""
    unknown = np.isnan(values)
    known = default if unknown.all() else float(np.median(values[~unknown]))
    return np.where(unknown, known, values)


def _lung(hu: NDArray[np.int16], mask: Region) -> Region:
    low, high = _LUNG_HU
    return (hu > low) & (hu < high) & ~_grown(mask, _RIM_PX)


def _grown(mask: Region, pixels: int) -> Region:
    """A mask grown by some pixels, or shrunk by as many if negative."""
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * abs(pixels) + 1,) * 2)
    change = cv2.dilate if pixels > 0 else cv2.erode
    return np.asarray(change(mask.astype(np.uint8), kernel) > 0)


def kernel_px(pairs: Iterable[tuple[Image, Region]]) -> float:
    """SD in pixels of the Gaussian kernel that gives white noise the correlation of neighbours.

    Noise under a kernel of SD s has the correlation exp(-d^2 / (4 s^2)) at the distance d.

    Args:
        pairs: HU and the region to look at, (S, S) each; pooled, each about its own mean.
    """
    together, apart = 0.0, 0.0
    for hu, region in pairs:
        rest = np.where(region, hu - (hu[region].mean() if region.any() else 0), 0)
        for one, other in ((np.s_[1:], np.s_[:-1]), (np.s_[:, 1:], np.s_[:, :-1])):
            both = region[one] & region[other]
            together += float((rest[one] * rest[other])[both].sum())
            apart += float((rest[one] ** 2 + rest[other] ** 2)[both].sum()) / 2
    correlation = together / apart if apart > 0 else 0.0
    return 0.5 / math.sqrt(-math.log(min(max(correlation, _BARELY), _NEARLY)))


def _like(
    fitted: Fitted, diameter_mm: float, kind: str, n_nearest: int, rng: np.random.Generator
) -> int:
    """Row of one of the training nodules of a kind that are nearest in diameter."""
    rows = np.flatnonzero(np.array(fitted.kind) == kind)
    distance = np.abs(np.log(fitted.diameter_mm[rows] / diameter_mm))
    near = rows[np.argsort(distance, kind="stable")[:n_nearest]]
    return int(near[rng.integers(len(near))])


def ellipse(
    diameter_mm: float, fitted: Fitted, axis_ratio: float, *, rng: np.random.Generator
) -> Image:
    """(S, S) depth in mm in an ellipse of any orientation, about its middle; negative outside.

    As many pixels are at least 0 deep as a circle of that diameter has by its area.

    Args:
        diameter_mm: of the circle.
        fitted: size and spacing of the crop; the ellipse lies in its middle.
        axis_ratio: smallest ratio of the axes, minor to major.
    """
    stretch = math.sqrt(rng.uniform(axis_ratio, 1))
    angle = rng.uniform(0, math.pi)
    off = rng.uniform(-0.5, 0.5, 2) + (fitted.side - 1) / 2
    positions = np.mgrid[: fitted.side, : fitted.side].astype(np.float64)
    row, col = ((positions[i] - off[i]) * fitted.spacing_mm[i] for i in (0, 1))
    along = col * math.cos(angle) + row * math.sin(angle)
    across = row * math.cos(angle) - col * math.sin(angle)
    radius = np.hypot(along * stretch, across / stretch)
    area_px = math.pi / 4 * diameter_mm**2 / math.prod(fitted.spacing_mm)
    n = min(max(round(area_px), 1), radius.size)
    return np.asarray(np.partition(radius, n - 1, axis=None)[n - 1] - radius)


def texture(fitted: Fitted, correlation_mm: float, *, rng: np.random.Generator) -> Image:
    """(S, S) correlated noise of mean 0 and SD 1."""
    white = rng.standard_normal((fitted.side, fitted.side))
    smooth = ndimage.gaussian_filter(white, [correlation_mm / mm for mm in fitted.spacing_mm])
    return np.asarray((smooth - smooth.mean()) / smooth.std())


@dataclass(frozen=True)
class Scene:
    """What a nodule is drawn into, (S, S) each, or of the pixels in its mask only.

    Attributes:
        depth_mm: in the ellipse, negative outside.
        lung: HU without a nodule.
        noise: mean 0 and SD 1.
    """

    depth_mm: Image
    lung: Image
    noise: Image


@dataclass(frozen=True)
class Look:
    """What a nodule is to look like: HU of the pixels in its mask, grain and edge.

    Attributes:
        mean, sd: of the pixels in the mask.
        grain: SD of the tissue alone.
        edge_mm: SD of the edge's blur.
    """

    mean: float
    sd: float
    grain: float
    edge_mm: float


def compose(scene: Scene, look: Look) -> Image:
    """(S, S) HU: a nodule in its surroundings, with a mean and SD in the mask.

    With a the tissue's share of a pixel, HU = (1 - a) lung + a (level + strength noise). The share
    falls as a blurred edge does, to a half at some depth: the deeper, the more of the SD is the
    rim's. The depth is sought at which a strength of the grain gives the SD. Where even an edge at
    the mask's own border is too much, the noise is weaker; the SD may then be wider than asked.
    """
    in_mask = scene.depth_mm >= 0
    inside = Scene(scene.depth_mm[in_mask], scene.lung[in_mask], scene.noise[in_mask])
    shallow, deep = 0.0, float(scene.depth_mm.max())
    for _ in range(_HALVINGS):
        middle = (shallow + deep) / 2
        if _Mix.of(inside, look, middle).sd(look.grain) < look.sd:
            shallow = middle
        else:
            deep = middle
    mix = _Mix.of(inside, look, shallow)
    # not above the grain: noise could also undo the edge's spread, and draw a ring
    strength = min(mix.strength(look.sd), look.grain)
    level = mix.level + strength * mix.level_per_strength
    share = ndtr((scene.depth_mm - shallow) / look.edge_mm)
    return np.asarray((1 - share) * scene.lung + share * (level + strength * scene.noise))


@dataclass(frozen=True)
class _Mix:
    """Tissue and lung in the mask, the level such that their mean is the one wanted.

    With the strength s, the level is ``level + s level_per_strength``, and the variance
    ``fixed + s linear + s^2 square``.
    """

    level: float
    level_per_strength: float
    fixed: float
    linear: float
    square: float

    @classmethod
    def of(cls, inside: Scene, look: Look, half_mm: float) -> Self:
        """With half of the share at some depth."""
        share = ndtr((inside.depth_mm - half_mm) / look.edge_mm)
        lung, noise = (1 - share) * inside.lung, share * inside.noise
        level, per_strength = (look.mean - lung.mean()) / share.mean(), -noise.mean() / share.mean()
        rest, grain = lung + level * share - look.mean, noise + per_strength * share
        linear = 2 * float((rest * grain).mean())
        return cls(level, per_strength, float(rest.var()), linear, float(grain.var()))

    def sd(self, strength: float) -> float:
        """SD in the mask."""
        return math.sqrt(max(self.fixed + strength * (self.linear + strength * self.square), 0))

    def strength(self, sd: float) -> float:
        """The strength, at least 0, that gives an SD or comes nearest to it."""
        if self.square <= 0:
            return 0.0
        root = max(self.linear**2 - 4 * self.square * (self.fixed - sd**2), 0)
        return max((math.sqrt(root) - self.linear) / (2 * self.square), 0)
