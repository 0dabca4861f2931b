"""Images whose headers say that their values are no HU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lungaug.sources.image import Image

NO_HU = (
    "values are no HU: RescaleType says otherwise; if they are, add its value to scan.rescale_types"
)
_BEGINNINGS = ("HU", "HOUN")  # also HU_MOD, and Houndsfield, as some scanners write


def of_hu(images: Iterable[Image], accepted: Sequence[str]) -> tuple[list[Image], list[Image]]:
    """Part images of HU from others, by RescaleType; where it is missing, values are HU.

    Args:
        images: to part.
        accepted: further values of RescaleType that stand for HU, in any case.
    """
    known = {name.strip().upper() for name in accepted} | {""}
    kept: list[Image] = []
    others: list[Image] = []
    for image in images:
        name = image.header.rescale_type.strip().upper()
        (kept if name in known or name.startswith(_BEGINNINGS) else others).append(image)
    return kept, others
