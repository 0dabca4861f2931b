"""The schema that people read is that of the code: names, defaults, bounds and texts."""

from __future__ import annotations

from pathlib import Path

import yaml

from lungaug.stages.schema import config_schema

COMMITTED = Path(__file__).parents[2] / "workflow/schemas/config.schema.yaml"


def test_the_committed_schema_is_that_of_the_code() -> None:
    assert yaml.safe_load(COMMITTED.read_text("utf-8")) == config_schema(), "run: make schema"
