"""config.yaml at the door: one line a fault, naming the key and what is accepted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungaug import configuration
from lungaug.errors import SettingError

REPOSITORY = Path(__file__).resolve().parent.parent
SCHEMA = configuration.load_schema()


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"cohrt": "x"}, ["cohrt", "unknown setting", "cohort"]),
        ({"seeds": "two"}, ["seeds", "'two'", "integer"]),
        ({"seeds": 0}, ["seeds", "at least 1"]),
        ({"device": "gpu"}, ["device", "'gpu'", "auto, cpu, cuda"]),
        ({"arms": ["none", "metalong"]}, ["arms", "metalong", "metalung"]),
        ({"arms": ["online"]}, ["arms", "'none' is missing"]),
        ({"segmenters": ["unett"]}, ["segmenters[0]", "'unett'", "unet"]),
        ({"metalung": {"mirorr": {}}}, ["metalung.mirorr", "unknown", "mirror"]),
        ({"source": {"kind": "dicom"}}, ["source.root", "missing"]),
        (
            {"source": {"kind": "dicom", "root": "/nowhere/at/all"}},
            ["source.root", "/nowhere/at/all", "a folder that exists"],
        ),
        ({"source": {"kind": "dicom", "root": "${LUNGAUG_UNSET}"}}, ["LUNGAUG_UNSET", "not set"]),
        ({"seeds": 2.0}, ["seeds", "2.0", "integer"]),
        ({"segmenters": []}, ["segmenters", "at least 1 values"]),
        ({"key_file": "nowhere.key"}, ["key_file", "nowhere.key", "a file that exists"]),
        (
            {
                "source": {"kind": "dicom", "root": "workflow"},
                "key_file": "workflow/presets/phantom.key",
            },
            ["key_file", "public", "null"],
        ),
        ({"cohort": "a b"}, ["cohort", "'a b'", "letters"]),
    ],
)
def test_a_fault_is_one_line_for_its_author(
    config: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SettingError) as caught:
        configuration.checked(config, SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def test_the_schema_is_that_of_the_settings() -> None:
    from lungaug.stages.schema import config_schema

    assert config_schema() == SCHEMA


def test_defaults_are_filled_to_the_bottom() -> None:
    full = configuration.checked({}, SCHEMA)
    assert full["split"]["test_per_class"] == 4
    assert full["metalung"]["noise_slice"]
    assert full["source"] == {"kind": "phantom", "root": None, "sheet": None, "masks": None}


def test_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGAUG_TEST_ROOT", str(tmp_path))
    source = {"kind": "dicom", "root": "${LUNGAUG_TEST_ROOT}", "sheet": None}
    full = configuration.checked({"source": source, "cohort": "${ABSENT:-mine}"}, SCHEMA)
    assert (full["source"]["root"], full["cohort"]) == (str(tmp_path), "mine")


def test_a_stage_gets_its_section_the_shared_settings_and_nothing_else() -> None:
    full = configuration.checked({"seed": 7, "metalung": {"copies": 2}}, SCHEMA)
    others = [name for name in SCHEMA["x-operations"] if name != "mirror"]
    text = configuration.stage_settings(full, SCHEMA, "metalung", without=others)
    assert set(json.loads(text)) == {"seed", "storage", "copies", "mirror"}
    assert json.loads(text)["seed"] == 7


@pytest.mark.parametrize("path", ["config.yaml", "tests/config/tiny.yaml"])
def test_the_configurations_that_come_along_are_valid(path: str) -> None:
    values = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    assert configuration.checked(values, SCHEMA)["cohort"]
