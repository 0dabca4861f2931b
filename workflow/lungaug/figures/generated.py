"""Pictures of generated nodules beside real ones, every pixel shown as a whole square of pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from lungaug.figures.style import REFERENCE, new_figure, note, show

PX_PER_INCH = 120.0  # of a saved figure
PLATE_PX = 192  # side of a crop: 64 pixels, three times enlarged
SLICE_PX = 512  # side of a whole slice: most CT at 100 %
ZOOM_PX = 256
ZOOMS = (16, 8, 4, 2, 1)
GAP_PX = 10
TITLE_PX = 18
HEAD_PX = 34
AIR_HU = -1000


@dataclass(frozen=True)
class ShownCrop:
    """A crop: HU (S, S), mask (S, S) bool, and the words above it."""

    title: str
    hu: NDArray[Any]
    mask: NDArray[np.bool_]


@dataclass(frozen=True)
class ShownSlice:
    """A slice: HU (H, W), the nodule that is meant (H, W) bool, and the words above it."""

    title: str
    hu: NDArray[Any]
    nodule: NDArray[np.bool_]


@dataclass(frozen=True)
class InsertedExample:
    """An inserted nodule between a real one of like size and the published paste, if there is."""

    real: ShownSlice
    inserted: ShownSlice
    published: ShownSlice | None

    @property
    def all(self) -> tuple[ShownSlice | None, ...]:
        return self.real, self.inserted, self.published


@dataclass(frozen=True)
class Canvas:
    """A figure laid out in pixels from its top left corner, so that nothing is resampled."""

    width: int
    height: int
    figure: Figure
    window_hu: tuple[int, int]

    @classmethod
    def of(cls, width: int, height: int, window_hu: tuple[int, int]) -> Canvas:
        """An empty one."""
        figure = new_figure(width / PX_PER_INCH, height / PX_PER_INCH)
        figure.set_layout_engine("none")
        return cls(width, height, figure, window_hu)

    def axes(self, left: float, top: float, width: float, height: float) -> Any:
        """Axes that fill a box."""
        box = (left / self.width, 1 - (top + height) / self.height)
        return self.figure.add_axes((*box, width / self.width, height / self.height))

    def image(self, hu: NDArray[Any], left: int, top: int, side: int, title: str = "") -> Any:
        """HU from there on, enlarged by the largest whole factor that keeps within ``side``."""
        height, width = drawn_size(hu.shape, side)
        axis = self.axes(left, top, width, height)
        low, high = self.window_hu
        smooth: dict[str, Any] = {"interpolation": "antialiased"} if max(hu.shape) > side else {}
        show(axis, hu, vmin=low, vmax=high, **smooth)
        self.words(title, left, top - 5, size=7.5)
        return axis

    def words(self, text: str, left: int, bottom: int, **options: Any) -> None:
        """Text whose lower left corner is there."""
        at = left / self.width, 1 - bottom / self.height
        self.figure.text(*at, text, ha="left", va="bottom", **options)


def drawn_size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Height and width of an image in a figure; only what is larger than ``side`` shrinks."""
    factor = max(side // max(shape), min(1.0, side / max(shape)))
    return round(shape[0] * factor), round(shape[1] * factor)


def samples_figure(
    rows: dict[str, list[ShownCrop]], window_hu: tuple[int, int], folds: str = ""
) -> Figure:
    """A row of crops for each name, each with its mask in the corner.

    Args:
        rows: by name; the real ones first.
        window_hu: HU shown as black and as white.
        folds: which fold it is, for the title.
    """
    n_columns = max((len(crops) for crops in rows.values()), default=0)
    if not n_columns:
        return note("no generator has made a nodule.")
    step = PLATE_PX + TITLE_PX + GAP_PX
    row_height = HEAD_PX + step
    canvas = Canvas.of(
        n_columns * (PLATE_PX + GAP_PX) + GAP_PX, len(rows) * row_height + GAP_PX, window_hu
    )
    for number, (name, crops) in enumerate(rows.items()):
        top = number * row_height
        canvas.words(f"{name}{folds}", GAP_PX, top + HEAD_PX - 6, size=11, weight="bold")
        for column, crop in enumerate(crops):
            left = GAP_PX + column * (PLATE_PX + GAP_PX)
            _plate(canvas, crop, left, top + HEAD_PX + TITLE_PX)
    return canvas.figure


def _plate(canvas: Canvas, crop: ShownCrop, left: int, top: int) -> None:
    canvas.image(crop.hu, left, top, PLATE_PX, crop.title)
    side = PLATE_PX // 4
    corner = canvas.axes(left + PLATE_PX - side - 4, top + PLATE_PX - side - 4, side, side)
    show(corner, crop.mask, vmin=0, vmax=1)
    for spine in corner.spines.values():
        spine.set(visible=True, color="white", linewidth=0.6)


def pairs_figure(
    rows: dict[str, list[tuple[ShownCrop, ShownCrop]]], window_hu: tuple[int, int]
) -> Figure:
    """For each generator its patches that are nearest to a training crop, beside that crop.

    Args:
        rows: (patch, training crop) by generator, the closest first.
        window_hu: HU shown as black and as white.
    """
    n_pairs = max((len(pairs) for pairs in rows.values()), default=0)
    if not n_pairs:
        return note("no patch was compared with the training crops.")
    pair_px = 2 * PLATE_PX + 3 * GAP_PX
    row_height = HEAD_PX + TITLE_PX + PLATE_PX + GAP_PX
    canvas = Canvas.of(n_pairs * pair_px, len(rows) * row_height + GAP_PX, window_hu)
    for number, (name, pairs) in enumerate(rows.items()):
        top = number * row_height
        canvas.words(name, GAP_PX, top + HEAD_PX - 6, size=11, weight="bold")
        for column, pair in enumerate(pairs):
            for side, crop in enumerate(pair):
                left = column * pair_px + GAP_PX + side * (PLATE_PX + 2)
                _plate(canvas, crop, left, top + HEAD_PX + TITLE_PX)
    return canvas.figure


def inserted_figure(rows: dict[str, list[InsertedExample]], window_hu: tuple[int, int]) -> Figure:
    """For each generator whole slices, real, inserted and published, and their nodules enlarged.

    The whole slices are those of the first example; below, every example's three nodules.

    Args:
        rows: at least one example for each generator.
        window_hu: HU shown as black and as white.
    """
    rows = {name: examples for name, examples in rows.items() if examples}
    if not rows:
        return note("no nodule was inserted.")
    first = [one for examples in rows.values() for one in examples[0].all if one is not None]
    slice_px = max(drawn_size(one.hu.shape, SLICE_PX)[0] for one in first)
    row_height = HEAD_PX + 2 * (TITLE_PX + GAP_PX) + slice_px + ZOOM_PX
    columns = max(3, max(len(examples) for examples in rows.values()) * 3 * ZOOM_PX // SLICE_PX)
    canvas = Canvas.of(
        columns * (SLICE_PX + GAP_PX) + GAP_PX, len(rows) * row_height + GAP_PX, window_hu
    )
    for number, (name, examples) in enumerate(rows.items()):
        top = number * row_height
        canvas.words(name, GAP_PX, top + HEAD_PX - 6, size=11, weight="bold")
        _whole_slices(canvas, examples[0], top + HEAD_PX + TITLE_PX)
        zooms_top = top + HEAD_PX + 2 * TITLE_PX + GAP_PX + slice_px
        for place, example in enumerate(examples):
            _zooms(canvas, example, GAP_PX + place * 3 * (ZOOM_PX + GAP_PX // 2), zooms_top)
    return canvas.figure


def _whole_slices(canvas: Canvas, example: InsertedExample, top: int) -> None:
    factor = zoom_of(example)
    for column, shown in enumerate(example.all):
        left = GAP_PX + column * (SLICE_PX + GAP_PX)
        if shown is None:
            continue
        axis = canvas.image(shown.hu, left, top, SLICE_PX, shown.title)
        first, last = _box(shown.nodule, ZOOM_PX // factor)
        y, x = (np.array([first[i], last[i], last[i], first[i], first[i]]) - 0.5 for i in (0, 1))
        axis.plot([x[0], x[0], x[1], x[1], x[0]], y, color=REFERENCE, linewidth=0.8)
        axis.set(xlim=(-0.5, shown.hu.shape[1] - 0.5), ylim=(shown.hu.shape[0] - 0.5, -0.5))


def _zooms(canvas: Canvas, example: InsertedExample, left: int, top: int) -> None:
    factor = zoom_of(example)
    for column, shown in enumerate(example.all):
        if shown is not None:
            view = around(shown.hu, shown.nodule, ZOOM_PX // factor)
            words = f"{shown.title.partition(',')[0]}, \u00d7{factor}"
            canvas.image(view, left + column * (ZOOM_PX + GAP_PX // 2), top, ZOOM_PX, words)


def zoom_of(example: InsertedExample) -> int:
    """The largest enlargement that leaves lung around the largest nodule of an example."""
    sides = [max(_extent(shown.nodule)) for shown in example.all if shown is not None]
    wanted = 2.5 * max(sides) + 8
    return next((factor for factor in ZOOMS if ZOOM_PX / factor >= wanted), ZOOMS[-1])


def around(hu: NDArray[Any], nodule: NDArray[np.bool_], side: int) -> NDArray[Any]:
    """(side, side) HU around a nodule, air beyond the slice."""
    (top, left), _ = _box(nodule, side)
    padded = np.pad(hu, side, constant_values=AIR_HU)
    return padded[top + side : top + 2 * side, left + side : left + 2 * side]


def _extent(nodule: NDArray[np.bool_]) -> tuple[int, int]:
    rows, columns = np.nonzero(nodule)
    return int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1


def _box(nodule: NDArray[np.bool_], side: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """First and last row and column of a square around a nodule; the last is exclusive."""
    rows, columns = np.nonzero(nodule)
    top = int(rows.min() + rows.max() + 1) // 2 - side // 2
    left = int(columns.min() + columns.max() + 1) // 2 - side // 2
    return (top, left), (top + side, left + side)


def posed(crop: ShownCrop, flip: bool, degrees: float) -> ShownCrop:
    """A crop flipped left to right, if so, and turned, as the nearest patch lies.

    Args:
        crop: the training crop.
        flip: whether it is mirrored.
        degrees: of the turn, as in ``evaluation.realism.memorisation.Pose``.
    """
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    if flip:
        turn[:, 0] *= -1
    middle = (np.array(crop.hu.shape)[::-1] - 1) / 2
    matrix = np.column_stack([turn, middle - turn @ middle])
    images = [
        cv2.warpAffine(
            np.asarray(image, np.float32),
            matrix,
            crop.hu.shape[::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for image in (crop.hu, crop.mask)
    ]
    return ShownCrop(crop.title, images[0], images[1] >= 0.5)
