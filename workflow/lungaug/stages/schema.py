"""Write the JSON schema of config.yaml from the settings of all stages (`make schema`)."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from lungaug.arms import GENERATORS
from lungaug.configuration import SHARED
from lungaug.grid import LearningCurveSettings, PairsSettings
from lungaug.imaging.contrast import ContrastSettings
from lungaug.metalung.operations import DEFAULT_OPERATIONS, OPERATIONS
from lungaug.segmenters.factory import NETWORKS
from lungaug.settings import required, schema_of, setting
from lungaug.store import StorageSettings
from lungaug.training.settings import RunningSettings

SECTIONS = (
    "phantom",
    "scan",
    "ingest",
    "preprocess",
    "split",
    "share",
    "select",
    "metalung",
    "audit",
    "rois",
    "train_generator",
    "sample",
    "insert",
    "arm",
    "train_segmenter",
    "evaluate",
    "realism",
    "realism_tables",
    "reader_sheet",
    "tables",
    "learning_curve_tables",
    "published",
    "curves",
    "cost",
    "train_presence",
    "presence_tables",
    "figures",
    "score_figures",
    "generated_figures",
    "report",
)
DERIVED = {
    "ingest": ("kind",),
    "audit": ("crop",),
    "arm": ("fingerprints", "crop"),
    "realism": ("crop", "min_diameter_mm", "feather_px"),
    "published": ("level", "decimals", "pseudo_patients"),
    "scan": ("kind", "on_bad_input", "unannotated"),
    "tables": ("threshold", "pseudo_patients"),
    "presence_tables": ("n_resamples", "level", "minimum_patients"),
    "curves": ("level", "minimum_patients", "pseudo_patients"),
    "score_figures": ("level",),
    "learning_curve_tables": ("n_resamples", "level", "minimum_patients"),
}
"""Settings that the workflow fills from elsewhere in the configuration."""


@dataclass(frozen=True, kw_only=True)
class SourceSettings:
    """Where the CT comes from."""

    kind: Literal["phantom", "dicom", "lidc", "mendeley"] = required(
        "phantom: made by the workflow; dicom: a folder tree; lidc: with LIDC XML; mendeley: the "
        "two pickled tables of the thesis' data",
    )
    root: str | None = setting(None, "folder of the DICOM series, or of the two pickles")
    sheet: str | None = setting(None, "sample sheet: patient_id, lung_rads, image, mask")
    masks: str | None = setting(None, "folder of PNG masks; null: the source's own folder")


@dataclass(frozen=True, kw_only=True)
class WorkflowSettings:
    """Keys at the top of config.yaml that belong to no stage."""

    cohort: str = setting(
        "phantom", "name of the cohort: letters, digits, - and _", pattern="^[A-Za-z0-9_-]+$"
    )
    results: str = setting("results", "folder that everything is written under")
    private: str = setting("private", "folder of what only the owner may see: keys, mappings")
    key_file: str | None = setting(None, "pseudonym key; null: made in the private folder")
    ledger: str | None = setting(None, "who is in which set, for good; null: ledgers/<cohort>.tsv")
    checkpoints: str | None = setting(
        None, "folder that trainings resume from; null: checkpoints, below the results"
    )
    device: Literal["auto", "cpu", "cuda"] = setting("auto", "where training runs")
    running: RunningSettings = setting(
        RunningSettings, "how trainings of segmenters and classifiers run; makes nothing stale"
    )
    arms: tuple[str, ...] = setting(
        ("none", "online", "metalung"), "training sets to compare", minItems=1
    )
    mixed_generators: tuple[str, ...] = setting(
        GENERATORS, "generators that arm mixed holds besides metalung", minItems=1
    )
    segmenters: tuple[str, ...] = setting(("unet",), "networks to train", minItems=1)
    grid: tuple[PairsSettings, ...] = setting(
        (), "further pairs of arms and segmenters, besides arms x segmenters"
    )
    learning_curve: LearningCurveSettings = setting(
        LearningCurveSettings, "parts of the real patients, and ratios of synthetic to real slices"
    )
    presence: bool = setting(
        False, "train classifiers of slices with and without nodule, to gate the segmenters with"
    )
    published_scores: str | None = setting(
        None,
        "published scores to show beside ours: segmenter, arm, metric, group, value; and table, "
        "layout, note for tables of the publication",
    )
    seeds: int = setting(2, "trainings of each arm, from different seeds", minimum=1)
    source: SourceSettings = required("where the CT comes from")
    seed: int = setting(0, "seed of everything that is drawn", minimum=0)
    storage: StorageSettings = setting(StorageSettings, "compression of the slice files")
    contrast: ContrastSettings = setting(ContrastSettings, "HU window and equalisation")


@dataclass(frozen=True)
class Settings:
    """This stage has none."""


def run(*, output: Path, settings: Settings) -> None:
    """Write the schema as YAML."""
    text = yaml.safe_dump(config_schema(), sort_keys=False, width=100, allow_unicode=True)
    note = "# Generated from the stages' settings by `make schema`; do not edit.\n"
    output.write_text(note + text, encoding="utf-8")


def config_schema() -> dict[str, Any]:
    """The schema of the whole configuration."""
    schema = schema_of(WorkflowSettings)
    networks = {"enum": sorted(NETWORKS)}
    schema["properties"]["segmenters"]["items"] = networks
    schema["properties"]["grid"]["items"]["properties"]["segmenters"]["items"] = networks
    for section in SECTIONS:
        schema["properties"][section] = _section(section)
    training = schema["properties"]["train_segmenter"]["properties"]
    training["per_segmenter"] = _per_segmenter(training)
    schema["x-operations"] = list(OPERATIONS)
    schema["properties"]["mixed_generators"]["items"] = {"enum": list(GENERATORS)}
    schema["x-generators"] = list(GENERATORS)
    schema["x-default-operations"] = list(DEFAULT_OPERATIONS)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _per_segmenter(training: dict[str, Any]) -> dict[str, Any]:
    """Overrides of ``network`` and ``training`` by segmenter; what is absent is as for all."""
    parts = {name: _without_defaults(training[name]) for name in ("network", "training")}
    return {
        "type": "object",
        "description": "settings of one segmenter, in place of those in network and training",
        "propertyNames": {"enum": sorted(NETWORKS)},
        "additionalProperties": {
            "type": "object",
            "additionalProperties": False,
            "properties": parts,
        },
        "default": {},
    }


def _without_defaults(node: Any) -> Any:
    if isinstance(node, dict):
        return {k: _without_defaults(v) for k, v in node.items() if k != "default"}
    return node


def _section(stage: str) -> dict[str, Any]:
    module = importlib.import_module(f"lungaug.stages.{stage}")
    node = schema_of(module.Settings)
    names = [field.name for field in dataclasses.fields(module.Settings)]
    for name in (*SHARED, *DERIVED.get(stage, ())):
        node["properties"].pop(name, None)
    node["description"] = (module.Settings.__doc__ or "").splitlines()[0]
    node["x-shared"] = [name for name in SHARED if name in names]
    return node
