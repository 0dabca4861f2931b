"""Settings of copy-paste. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.errors import SettingError
from lungaug.settings import setting


@dataclass(frozen=True)
class CopypasteSettings:
    """How far a copy may differ from the real nodule."""

    n_nearest: int = setting(
        5, "training nodules nearest in diameter that one is drawn from", minimum=1
    )
    scale: tuple[float, float] = setting(
        (0.75, 1.35), "smallest and largest factor between the diameters of copy and nodule"
    )
    rotation_degrees: float = setting(
        180.0, "largest rotation either way, degrees", minimum=0, maximum=180
    )
    flip: float = setting(0.5, "probability of a flip, left to right", minimum=0, maximum=1)

    def __post_init__(self) -> None:
        low, high = self.scale
        if not 0 < low <= 1 <= high:
            raise SettingError(
                f"scale: got {list(self.scale)}; accepted: above 0 to 1, then at least 1"
            )
