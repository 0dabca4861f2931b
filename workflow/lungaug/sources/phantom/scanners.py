"""Four makes of scanner: their sharpness and noise, and how they store HU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from lungaug.sources.phantom.geometry import Geometry
from lungaug.sources.phantom.settings import NoiseSettings
from lungaug.sources.phantom.shapes import Field

Order = Literal["head_first", "feet_first", "shuffled"]


@dataclass(frozen=True)
class Scanner:
    """A make of scanner.

    ``blur``, ``noise`` and ``grain`` multiply the settings' point spread, SD and correlation
    length; ``edge`` is the overshoot of its kernel; ``thickness`` is that of a slice over their
    distance.
    """

    manufacturer: str
    model: str
    kernel: str
    station: str
    blur: float
    noise: float
    grain: float
    edge: float
    thickness: float
    slope: float
    intercept: float
    signed: bool
    bits_stored: int
    padding: int | None  # stored value outside the round field of view
    implicit: bool  # implicit instead of explicit VR, both little endian
    order: Order  # of InstanceNumber
    folder: str
    file: str


SCANNERS = (
    Scanner(
        manufacturer="SIEMENS",
        model="SOMATOM Definition AS",
        kernel="B60f",
        station="CT1",
        blur=0.85,
        noise=1.15,
        grain=0.8,
        edge=0.35,
        thickness=1.0,
        slope=1.0,
        intercept=-1024.0,
        signed=False,
        bits_stored=12,
        padding=None,
        implicit=False,
        order="head_first",
        folder="CT_{number:05d}/THORAX_LUNG_{series:04d}",
        file="IM{index:04d}.dcm",
    ),
    Scanner(
        manufacturer="GE MEDICAL SYSTEMS",
        model="LightSpeed VCT",
        kernel="STANDARD",
        station="CT99",
        blur=1.15,
        noise=0.85,
        grain=1.2,
        edge=0.0,
        thickness=1.25,
        slope=1.0,
        intercept=-1024.0,
        signed=True,
        bits_stored=16,
        padding=-2000,
        implicit=True,
        order="feet_first",
        folder="{number:06d}/S{series:03d}",
        file="i{shuffled:05d}.CTDC.{index}.dcm",
    ),
    Scanner(
        manufacturer="TOSHIBA",
        model="Aquilion ONE",
        kernel="FC52",
        station="AQ1",
        blur=1.0,
        noise=1.0,
        grain=0.9,
        edge=0.2,
        thickness=1.0,
        slope=1.0,
        intercept=0.0,
        signed=True,
        bits_stored=16,
        padding=None,
        implicit=False,
        order="shuffled",
        folder="D{number:07d}",
        file="{shuffled:06d}.dcm",
    ),
    Scanner(
        manufacturer="UIH",
        model="uCT 760",
        kernel="B_SHARP_C",
        station="UCT",
        blur=0.95,
        noise=0.95,
        grain=1.0,
        edge=0.25,
        thickness=1.1,
        slope=0.5,
        intercept=-1024.0,
        signed=False,
        bits_stored=16,
        padding=None,
        implicit=False,
        order="feet_first",
        folder="{number:04d}/{series:03d}",
        file="{shuffled:08d}.dcm",
    ),
)


def scanned(
    ideal: Field,
    scanner: Scanner,
    sd_hu: float,
    texture_hu: float,
    lung: Field,
    geometry: Geometry,
    settings: NoiseSettings,
    *,
    rng: np.random.Generator,
) -> Field:
    """Blur one ideal slice (Y, X), and add noise and the lung's fine texture, in HU."""
    spacing = geometry.spacing_mm
    sharp = ideal + texture_hu * lung * _noise(ideal.shape, 1.1 / spacing, 0.0, rng=rng)
    hu = _blurred(sharp, scanner.blur * settings.blur_mm / spacing)
    if scanner.edge:
        hu += np.float32(scanner.edge) * (hu - _blurred(hu, 0.9 / spacing))
    grain = scanner.grain * settings.correlation_mm / spacing
    # Fewer photons pass through tissue than through lung or air.
    local = 0.7 + 0.3 * _blurred(np.clip(ideal / 1000 + 1, 0, 1), 6 / spacing)
    return np.asarray(hu + scanner.noise * sd_hu * local * _noise(ideal.shape, grain, 1.0, rng=rng))


def stored(hu: Field, scanner: Scanner, geometry: Geometry) -> NDArray[Any]:
    """Stored values of one slice: rescaled, clipped to the bits, padded outside the view."""
    kind = np.int16 if scanner.signed else np.uint16
    high = 2 ** (scanner.bits_stored - scanner.signed) - 1
    low = -high - 1 if scanner.signed else 0
    floor = (-1024.0 - scanner.intercept) / scanner.slope
    values = np.rint((hu - scanner.intercept) / scanner.slope)
    values = np.clip(values, max(low, floor), high).astype(kind)
    if scanner.padding is not None:
        values[outside_view(geometry.shape)] = scanner.padding
    return np.asarray(values)


def outside_view(shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Pixels beyond the circle that touches the image's longer sides."""
    rows, columns = shape
    y = np.arange(rows)[:, None] - (rows - 1) / 2
    x = np.arange(columns)[None, :] - (columns - 1) / 2
    return np.asarray(y * y + x * x > (max(shape) / 2) ** 2)


def _blurred(image: Field, sigma: float) -> Field:
    if sigma <= 0:
        return image.astype(np.float32)
    blurred = cv2.GaussianBlur(image, (0, 0), float(sigma), borderType=cv2.BORDER_REPLICATE)
    return np.asarray(blurred, np.float32)


def _noise(
    shape: tuple[int, ...], length: float, ramp: float, *, rng: np.random.Generator
) -> Field:
    """Correlated noise of SD 1; with ``ramp`` 1 its spectrum rises like that of filtered
    back-projection before it falls, so that large areas keep their mean.

    References:
        Kijewski and Judy, The noise power spectrum of CT images, Phys Med Biol 32 (1987).
    """
    white = rng.standard_normal(shape, np.float32)
    if length <= 0:
        return white
    fy = np.fft.fftfreq(shape[0])[:, None]
    fx = np.fft.rfftfreq(shape[1])[None, :]
    frequency = np.sqrt(fy * fy + fx * fx)
    response = np.sqrt(frequency + 0.02) ** ramp * np.exp(-0.5 * (2 * length * frequency) ** 2)
    field = np.fft.irfft2(np.fft.rfft2(white) * response, s=shape)
    return np.asarray(field / field.std(), np.float32)
