"""config.yaml at the door: one line a fault, naming the key and what is accepted."""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from lungaug import configfiles, configuration
from lungaug.errors import SettingError
from lungaug.evaluation.published import read_published
from lungaug.generators.dcgan_settings import PUBLISHED as DCGAN
from lungaug.generators.vqvae_settings import PUBLISHED as VQVAE
from lungaug.generators.vqvae_settings import VqvaeSettings
from lungaug.settings import from_mapping
from lungaug.training.settings import TrainingSettings

REPOSITORY = Path(__file__).resolve().parent.parent
DEMO = {"source": {"kind": "phantom"}}
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
        ({"cohort": "own", "source": {"kind": "dicom"}}, ["source.root", "missing"]),
        ({"source": {"kind": "dicom", "root": "."}}, ["cohort", "the demo's", "another name"]),
        (
            {"cohort": "own", "source": {"kind": "dicom", "root": "/nowhere/at/all"}},
            ["source.root", "/nowhere/at/all", "a folder that exists"],
        ),
        (
            {"cohort": "own", "source": {"kind": "dicom", "root": "${LUNGAUG_UNSET}"}},
            ["LUNGAUG_UNSET", "not set"],
        ),
        ({"seeds": 2.0}, ["seeds", "2.0", "integer"]),
        ({"segmenters": []}, ["segmenters", "at least 1 values"]),
        ({"key_file": "nowhere.key"}, ["key_file", "nowhere.key", "a file that exists"]),
        (
            {
                "cohort": "own",
                "source": {"kind": "dicom", "root": "workflow"},
                "key_file": "workflow/presets/phantom.key",
            },
            ["key_file", "public", "null"],
        ),
        ({"cohort": "a b"}, ["cohort", "'a b'", "letters"]),
        ({"cohort": "ab\n"}, ["cohort", "'ab\\n'", "letters"]),
        ({"cohrt": "x"}, ["did you mean 'cohort'?"]),
        ({"device": "cdua"}, ["did you mean 'cuda'?"]),
        ({"segmenters": ["unett"]}, ["did you mean 'unet'?"]),
        ({"arms": ["none", "metalong+online"]}, ["arms[1]", "did you mean 'metalung'?"]),
        ({"arms": ["none", "noise_slise"]}, ["did you mean 'noise_slice'?"]),
        ({"mixed_generators": ["DCGAN"]}, ["did you mean 'dcgan'?"]),
        ({"metalung": {"mirorr": {}}}, ["did you mean 'mirror'?"]),
        (
            {"train_segmenter": {"per_segmenter": {"unett": {}}}},
            ["train_segmenter.per_segmenter: got 'unett' (did you mean 'unet'?)"],
        ),
        ({"n_batches": 3}, ["n_batches: unknown", "did you mean 'scan.n_batches'?"]),
        ({"scan.n_batches": 3}, ["did you mean n_batches, indented below scan?"]),
        ({"phantom": {"cohort": "x"}}, ["phantom.cohort", "did you mean 'cohort' at the top?"]),
        ({"split": 3}, ["split: got 3; accepted: settings, indented below it"]),
        ({"segmenters": "unet"}, ["segmenters: got 'unet'; accepted: a list"]),
        (
            {"train_segmenter": {"training": {"learning_rate": "1e-3"}}},
            ["learning_rate: got '1e-3' (a text; the number is written 0.001); accepted: number"],
        ),
        ({1: 2}, ["1: unknown setting"]),
        ({"source": {}}, ["source.kind: missing; accepted: phantom, dicom, lidc, mendeley"]),
        ({"source": None}, ["source: got None; accepted: settings"]),
        ({"grid": [{"arms": ["none"]}]}, ["grid[0].segmenters: missing"]),
        ({"realism": {"inception_weights": "no.pt"}}, ["realism.inception_weights", "exists"]),
    ],
)
def test_a_fault_is_one_line_for_its_author(
    config: dict[str, Any], words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    with pytest.raises(SettingError) as caught:
        configuration.checked({**DEMO, **config}, SCHEMA)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words), message


def faults_of(config: dict[str, Any], **options: Any) -> list[str]:
    with pytest.raises(SettingError) as caught:
        configuration.checked(config, SCHEMA, **options)
    return str(caught.value).splitlines()


def test_a_configuration_says_what_its_source_is() -> None:
    (line,) = faults_of({"cohort": "mine"})
    assert line == "source: missing; accepted: source with kind: phantom, dicom, lidc, mendeley"


def test_all_faults_are_listed_by_place(tmp_path: Path) -> None:
    text = """cohort: mine
seeds: two
source:
  kind: dicom
  root: nowhere
n_batches: 3
arms: [online, mirorr]
split: {folds: 1}
device: gpu
ledger: "${LUNGAUG_UNSET}"
key_file: nowhere
seeds: 3
"""
    file = tmp_path / "mine.yaml"
    file.write_text(text, encoding="utf-8")
    written = configfiles.read([file], {"device": "gpu"})
    config = {**yaml.safe_load(text), "seeds": "two"}
    lines = faults_of(config, written=written)
    found = [(line.split(": ")[0], line.rpartition(", line ")[2]) for line in lines[:-1]]
    assert found == [
        ("source.root", "5)"),
        ("n_batches", "6)"),
        ("arms[1]", "7)"),
        ("split.folds", "8)"),
        ("ledger", "10)"),
        ("key_file", "11)"),
        ("seeds", "12)"),
        ("seeds", "12)"),
    ]
    assert lines[-1].startswith("device: got 'gpu'")
    assert lines[-1].endswith("(--config)")
    assert sum("given twice, first in line 2" in line for line in lines) == 1


def test_a_fault_hides_no_other_and_brings_none_of_its_own() -> None:
    """What a wrong setting would have decided is not checked with its default."""
    wrong = {**DEMO, "segmenters": ["unett"], "learning_curve": {"segmenters": ["deeplabv3"]}}
    assert len(faults_of(wrong)) == 1
    assert len(faults_of({"source": {"kind": "dicm", "root": "x"}, "cohort": "phantom"})) == 1
    both = {**DEMO, "segmenters": ["unett"], "key_file": "nowhere", "seeds": 0}
    assert len(faults_of(both)) == 3


PUBLIC = (REPOSITORY / "workflow/presets/phantom.key").read_text(encoding="ascii").strip()
SPELLINGS = {
    "copied": f"{PUBLIC}\n",
    "without a line end": PUBLIC,
    "with blanks around": f"\n  {PUBLIC} \r\n\n",
    "with blanks inside": " ".join(PUBLIC[i : i + 8] for i in range(0, 64, 8)),
    "in capitals": PUBLIC.upper(),
    "with a byte-order mark": f"\ufeff{PUBLIC}\n",
}


@pytest.mark.parametrize("text", SPELLINGS.values(), ids=SPELLINGS.keys())
@pytest.mark.parametrize("named", [True, False], ids=["key_file", "in the private folder"])
def test_the_public_key_is_no_hospitals(tmp_path: Path, text: str, named: bool) -> None:
    """Its content counts, whatever its name: also where the scan would find it by itself."""
    key = tmp_path / ("own.key" if named else "private/own/key")
    key.parent.mkdir(parents=True, exist_ok=True)
    key.write_text(text, encoding="utf-8")
    own = {"private": str(tmp_path / "private"), "key_file": str(key) if named else None}
    config = {"cohort": "own", "source": {"kind": "dicom", "root": str(tmp_path)}, **own}
    (line,) = faults_of(config)
    assert line.startswith(f"key_file: {key} holds the demo's key, which is public")
    assert "accepted: null" in line
    configuration.checked({**config, **DEMO}, SCHEMA)
    changed = text.replace(PUBLIC[:3], "000", 1).replace(PUBLIC[:3].upper(), "000", 1)
    key.write_text(changed, encoding="utf-8")
    configuration.checked(config, SCHEMA)


def test_the_schema_is_that_of_the_settings() -> None:
    from lungaug.stages.schema import config_schema

    assert config_schema() == SCHEMA


def test_defaults_are_filled_to_the_bottom() -> None:
    full = configuration.checked(DEMO, SCHEMA)
    assert full["split"]["test_per_class"] == 4
    assert full["metalung"]["noise_slice"]
    assert full["source"] == {"kind": "phantom", "root": None, "sheet": None, "masks": None}


def test_variables_are_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LUNGAUG_TEST_ROOT", str(tmp_path))
    source = {"kind": "dicom", "root": "${LUNGAUG_TEST_ROOT}", "sheet": None}
    full = configuration.checked({"source": source, "cohort": "${ABSENT:-mine}"}, SCHEMA)
    assert (full["source"]["root"], full["cohort"]) == (str(tmp_path), "mine")


def test_a_job_on_another_machine_does_not_look_for_the_source() -> None:
    config = {"cohort": "own", "source": {"kind": "dicom", "root": "nowhere"}}
    assert configuration.checked(config, SCHEMA, files=False)["source"]["root"] == "nowhere"
    with pytest.raises(SettingError, match="nowhere"):
        configuration.checked(config, SCHEMA)


def test_a_stage_gets_its_section_the_shared_settings_and_nothing_else() -> None:
    full = configuration.checked({**DEMO, "seed": 7, "metalung": {"copies": 2}}, SCHEMA)
    others = [name for name in SCHEMA["x-operations"] if name != "mirror"]
    text = configuration.stage_settings(full, SCHEMA, "metalung", without=others)
    assert set(json.loads(text)) == {"seed", "storage", "copies", "mirror"}
    assert json.loads(text)["seed"] == 7


@pytest.mark.parametrize("path", ["config.yaml", "tests/config/tiny.yaml"])
def test_the_configurations_that_come_along_are_valid(path: str) -> None:
    values = yaml.safe_load((REPOSITORY / path).read_text(encoding="utf-8"))
    assert configuration.checked(values, SCHEMA)["cohort"]


def test_the_thesis_is_as_published(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LUNGAUG_MENDELEY", str(tmp_path))
    monkeypatch.chdir(REPOSITORY)
    text = (REPOSITORY / "workflow/presets/thesis.yaml").read_text(encoding="utf-8")
    full = configuration.checked(yaml.safe_load(text), configuration.load_schema())
    told = read_published(REPOSITORY / full["published_scores"])
    five = told[told["table"] == "5"]
    published = [arm for arm in full["arms"] if arm != "online"]
    assert list(dict.fromkeys(five["arm"])) == published
    assert len(five) == 8 * len(published)
    generators = full["train_generator"]
    vqvae = from_mapping(VqvaeSettings, generators["vqvae"])
    assert dataclasses.replace(vqvae, min_nodules=0) == dataclasses.replace(VQVAE, min_nodules=0)
    assert {name: generators["dcgan"][name] for name in DCGAN if name != "budget"} == {
        name: value for name, value in DCGAN.items() if name != "budget"
    }
    budget = DCGAN["budget"]
    assert {name: generators["dcgan"]["budget"][name] for name in budget} == budget


@pytest.mark.parametrize("name", ["published", "modern"])
def test_a_recipe_says_all_of_how_is_trained(name: str) -> None:
    """Laid over another configuration, nothing of that one's training is left."""
    text = (REPOSITORY / f"workflow/presets/recipe_{name}.yaml").read_text(encoding="utf-8")
    recipe = yaml.safe_load(text)
    configuration.checked({**DEMO, **recipe}, SCHEMA)
    told = set(recipe["train_segmenter"]["training"])
    known = {field.name for field in dataclasses.fields(TrainingSettings)}
    of_machine = {"torch_threads", "devices", "nodes", "strategy"}
    unused = {
        "published": {"steps", "validate_every"},
        "modern": {"epochs", "momentum"},
    }[name]
    assert known - told <= of_machine | unused


@pytest.mark.parametrize("text", ["{fold}", 'a "{x}" \\', "{", '\\"{', "ü}"])
def test_braces_of_texts_are_nothing_that_snakemake_fills(text: str) -> None:
    written = configuration.canonical({"b": [text], "a": {text: 1}})
    assert json.loads(written) == {"a": {text: 1}, "b": [text]}
    assert not re.search(r"\{\w*\}", written)
    assert written.count("{") == written.count("}") == 2
