"""reader_sheet: a page of real and inserted nodules for a person to tell apart, and its key."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import jinja2
import numpy as np
from numpy.typing import NDArray

from lungaug import __version__
from lungaug.cohort import read_table, write_rows, write_text
from lungaug.crops import equivalent_diameter_mm
from lungaug.errors import InputError, SettingError
from lungaug.evaluation.reader import (
    ANSWER_COLUMNS,
    KEY_COLUMNS,
    REAL,
    Candidate,
    choose,
    sheet_id,
)
from lungaug.listing import Place, SliceFiles, claim_of, inserted_labels
from lungaug.settings import setting
from lungaug.store import Provenance

logger = logging.getLogger(__name__)

AIR_HU = -1000
SCALE_MM = 10
SLICE_COLUMNS = ("role", "file", "group", "row", "n_nodule_px", "origin")


@dataclass(frozen=True)
class Settings:
    """Which cases are shown, and how."""

    n_each: int = setting(
        40, "real cases, and inserted ones; fewer where sizes do not match", minimum=1, maximum=500
    )
    size_bins_mm: tuple[float, ...] = setting(
        (3.0, 5.0, 7.0, 9.0, 12.0, 16.0, 22.0, 30.0),
        "limits in mm of the sizes within which real and inserted are equally many",
        minItems=2,
    )
    fov_mm: float = setting(
        50.0, "side of the square that is shown, in mm", minimum=20, maximum=200
    )
    side_px: int = setting(
        400, "side of the picture in pixels: the same zoom for every case", minimum=64, maximum=1024
    )
    low_hu: int = setting(-1350, "HU shown as black", minimum=-4096, maximum=4096)
    high_hu: int = setting(150, "HU shown as white", minimum=-4096, maximum=4096)
    seed: int = setting(0, "seed of the choice and the order", minimum=0)

    def __post_init__(self) -> None:
        if self.low_hu >= self.high_hu:
            raise SettingError(
                f"low_hu: got {self.low_hu}; accepted: below high_hu, which is {self.high_hu}"
            )
        edges = self.size_bins_mm
        if len(edges) < 2 or list(edges) != sorted(set(edges)) or edges[-1] > self.fov_mm:
            raise SettingError(
                f"size_bins_mm: got {edges}; accepted: two or more rising limits, none above "
                f"fov_mm, which is {self.fov_mm:g}"
            )


def run(
    *,
    slices: Path,
    inserted: list[Path],
    text: Path,
    root: Path,
    fold: str,
    output: Path,
    key: Path,
    settings: Settings,
    provenance: Provenance,
) -> None:
    """Write the sheet and its key.

    The page holds pictures and numbers of cases, no name and no origin. It names the key by a
    digest, so that answers cannot be scored against another sheet.

    Args:
        slices: ``slices.tsv`` of the fold: real nodules are those of its training slices.
        inserted: ``<fold>/inserted/<generator>.h5`` of every generator.
        text: folder with the template.
        root: ``results/<cohort>``, where the paths in ``slices`` start.
        fold: its name, which is part of the seed.
        output: the page.
        key: the table that tells real from inserted.
        settings: of the cases.
        provenance: unused; a page carries no attributes.

    Raises:
        InputError: there is no real and inserted nodule of like size with known spacing.
    """
    rng = np.random.default_rng([settings.seed, *fold.encode()])
    with SliceFiles(root) as files:
        found = [*_real(files, slices), *_inserted(files, inserted)]
        cases = choose(found, settings.size_bins_mm, settings.n_each, rng=rng)
        pictures = [_picture(files, case, settings) for case in cases]
    rows = [_key_row(number, case) for number, case in enumerate(cases, 1)]
    write_rows(key, KEY_COLUMNS, rows)
    write_text(output, _page(text, sheet_id(rows), pictures, settings))
    logger.info("sheet of %d cases, half of them real", len(cases))


def _real(files: SliceFiles, slices: Path) -> Iterator[Candidate]:
    table = read_table(slices, SLICE_COLUMNS)
    shown = (table["role"] == "train") & (table["origin"] == REAL) & (table["n_nodule_px"] > 0)
    columns = ["file", "group", "row"]
    for file, group, row in table[shown].sort_values(columns)[columns].to_numpy().tolist():
        yield from _candidates(files, (file, group, int(row)))


def _inserted(files: SliceFiles, paths: list[Path]) -> Iterator[Candidate]:
    for path in sorted(paths):
        for place, _ in files.places(files.name(path)):
            yield from _candidates(files, place)


def _candidates(files: SliceFiles, place: Place) -> Iterator[Candidate]:
    """Every nodule of a slice whose spacing is known."""
    fields = files.fields(place)
    claim = claim_of(place, fields)
    nodule = files.nodule(place)
    if not np.isfinite(fields["spacing_mm"]).all():
        return
    labels = np.unique(nodule[nodule > 0]).tolist()
    shown = labels if claim.origin == REAL else inserted_labels(claim.parameters, nodule)
    for label in shown:
        yield Candidate(
            generator=claim.origin.partition(":")[2],
            patient=claim.patient,
            key=claim.key,
            file=place[0],
            group=place[1],
            row=place[2],
            label=label,
            diameter_mm=equivalent_diameter_mm(nodule == label, fields["spacing_mm"]),
        )


def _picture(files: SliceFiles, case: Candidate, settings: Settings) -> bytes:
    place = case.file, case.group, case.row
    rows, columns = np.nonzero(files.nodule(place) == case.label)
    centre = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    spacing = files.fields(place)["spacing_mm"]
    return png(view(files.hu(place), centre, spacing, settings))


def view(
    hu: NDArray[np.int16],
    centre: tuple[float, float],
    spacing_mm: NDArray[np.float32],
    settings: Settings,
) -> NDArray[np.uint8]:
    """What the reader sees: (side_px, side_px) grey values around a place of a slice.

    Args:
        hu: (H, W), HU; outside is air.
        centre: row and column of the middle, in pixels.
        spacing_mm: (2,), of the slice's pixels.
        settings: field of view, zoom and window.
    """
    step_mm = settings.fov_mm / settings.side_px
    (row_step, column_step), middle = step_mm / np.asarray(spacing_mm), (settings.side_px - 1) / 2
    to_source = np.array(
        [
            [column_step, 0, centre[1] - middle * column_step],
            [0, row_step, centre[0] - middle * row_step],
        ]
    )
    sampled = cv2.warpAffine(
        hu.astype(np.float32),
        to_source,
        (settings.side_px, settings.side_px),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=AIR_HU,
    )
    unit = (sampled - settings.low_hu) / (settings.high_hu - settings.low_hu)
    return np.asarray(np.rint(np.clip(unit, 0, 1) * 255), np.uint8)


def png(image: NDArray[np.uint8]) -> bytes:
    """A grey PNG with nothing but pixels in it.

    Raises:
        InputError: it cannot be written as PNG.
    """
    done, content = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    if not done:
        raise InputError(f"picture of shape {image.shape}; accepted: (H, W) uint8")
    return bytes(content)


def _key_row(number: int, case: Candidate) -> dict[str, Any]:
    row = {name: getattr(case, name) for name in KEY_COLUMNS if name != "case"}
    return {"case": number, **row, "diameter_mm": round(case.diameter_mm, 3)}


def _page(text: Path, sheet: str, pictures: list[bytes], settings: Settings) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("reader.html.j2").render(
        sheet=sheet,
        version=__version__,
        pictures=[base64.b64encode(content).decode() for content in pictures],
        columns=ANSWER_COLUMNS,
        side=settings.side_px,
        fov_mm=f"{settings.fov_mm:g}",
        window=f"{settings.low_hu} to {settings.high_hu} HU".replace("-", "\u2212"),
        scale_mm=SCALE_MM,
        scale_percent=100 * SCALE_MM / settings.fov_mm,
    )
