"""Who chose a training's threshold, as ``metrics.tsv`` has it; apart, since many stages ask."""

from __future__ import annotations

BY_SETTING, BY_VALIDATION, BY_DEFAULT = "setting", "validation", "default"

FALLBACK = 0.5
"""The threshold by default: where no validation slice has a nodule."""
