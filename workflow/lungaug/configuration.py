"""``config.yaml`` at the door: checked against the schema, defaults filled, one line a fault.

The schema is generated from the stages' settings (``make schema``), so that the Snakefile can check
a configuration in an environment that holds only Snakemake (which brings jsonschema and yaml).
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from lungaug.arms import Arm, Parts, parse_arm
from lungaug.errors import SettingError
from lungaug.grid import ratio_names, trainings

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "config.schema.yaml"
SHARED = ("seed", "storage", "contrast")
"""Settings of several stages that the configuration holds once, at the top."""

# YAML's 2.0 is no integer here: what counts things must be one.
_Validator = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    jsonschema.Draft202012Validator,
    type_checker=jsonschema.Draft202012Validator.TYPE_CHECKER.redefine(
        "integer", lambda _, value: isinstance(value, int) and not isinstance(value, bool)
    ),
)
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")
_PHANTOM_KEY = "phantom.key"
_TORCHVISION = ("resnet", "resnext", "wide_resnet")
_WITHOUT_ENCODER = ("maskrcnn", "swinunet")


def load_schema(path: Path = SCHEMA) -> dict[str, Any]:
    """The generated JSON schema of ``config.yaml``."""
    # Where there is libyaml, six times as fast: every start of every job reads it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schema: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
    return schema


def checked(
    config: Mapping[str, Any], schema: Mapping[str, Any], *, files: bool = True
) -> dict[str, Any]:
    """The configuration with variables expanded and every default filled.

    Args:
        config: as it was read.
        schema: of the whole configuration.
        files: the files and folders that it names must exist; they do not in a job that runs on
            a machine without them.

    Raises:
        SettingError: the first fault, as one line that names the key and what is accepted.
    """
    full: dict[str, Any] = _expanded(copy.deepcopy(dict(config)), "")
    validator = _Validator(dict(schema))
    faults = sorted(validator.iter_errors(full), key=lambda error: _key(error.absolute_path))
    if faults:
        raise SettingError(explain(faults[0]))
    fill_defaults(full, schema)
    _check_meaning(full, schema)
    if files:
        _raise_first(_file_faults(full))
    return full


def explain(error: jsonschema.ValidationError) -> str:
    """One line for a person: the key, the value, what is accepted."""
    while error.context:
        error = max(error.context, key=lambda e: len(e.absolute_path))
    key = _key(error.absolute_path)
    wanted: Any = error.validator_value
    schema: Any = error.schema
    instance: Any = error.instance
    if error.validator == "additionalProperties":
        known = schema.get("properties", {})
        unknown = sorted(set(instance) - set(known))[0]
        where = f"{key}.{unknown}" if key else unknown
        return f"{where}: unknown setting; accepted: {', '.join(known)}"
    if error.validator == "required":
        missing = next(name for name in wanted if name not in instance)
        return f"{f'{key}.' if key else ''}{missing}: missing; it has no default"
    accepted = {
        "enum": lambda: ", ".join(str(value) for value in wanted),
        "type": lambda: str(wanted),
        "minimum": lambda: f"at least {wanted}",
        "maximum": lambda: f"at most {wanted}",
        "exclusiveMinimum": lambda: f"above {wanted}",
        "exclusiveMaximum": lambda: f"below {wanted}",
        "minItems": lambda: f"at least {wanted} values",
        "maxItems": lambda: f"at most {wanted} values",
        "pattern": lambda: str(schema.get("description", wanted)),
    }.get(str(error.validator), lambda: str(error.message))()
    return f"{key}: got {instance!r}; accepted: {accepted}"


def fill_defaults(values: dict[str, Any], schema: Mapping[str, Any]) -> None:
    """Fill, in place, every absent key that has a default in ``schema``, at every depth."""
    for name, node in schema.get("properties", {}).items():
        if name not in values and "default" in node:
            values[name] = copy.deepcopy(node["default"])
        if name not in values and node.get("properties") and not node.get("required"):
            values[name] = {}
        if isinstance(values.get(name), dict):
            fill_defaults(values[name], node)


def stage_settings(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    stage: str,
    without: Sequence[str] = (),
    **extra: Any,
) -> str:
    """What a stage is run with, as canonical JSON: its section and the shared settings it uses.

    Args:
        config: a checked configuration.
        schema: its schema.
        stage: the section's name.
        without: keys of the section that this job does not use.
        extra: values that the workflow derives from elsewhere in the configuration.
    """
    section = {k: v for k, v in config.get(stage, {}).items() if k not in without}
    shared = schema["properties"].get(stage, {}).get("x-shared", [])
    section.update({name: config[name] for name in shared})
    section.update(extra)
    return json.dumps(section, sort_keys=True, separators=(",", ":"))


def arms(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Arm]:
    """The arms of the key ``arms``, in its order."""
    known = _parts(config, schema)
    return [parse_arm(name, known) for name in config["arms"]]


def all_arms(config: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Arm]:
    """Every arm that is trained: of ``arms``, of ``grid``, and with the ratios of the curves."""
    first = arms(config, schema)
    names = [arm.name for arm in first]
    names += [name for block in config["grid"] for name in block["arms"]]
    names += ratio_names(config, first)
    known = _parts(config, schema)
    return [parse_arm(name, known) for name in dict.fromkeys(names)]


def _parts(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Parts:
    return Parts(
        schema["x-operations"],
        schema["x-default-operations"],
        schema["x-generators"],
        config["mixed_generators"],
    )


def merged(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with those of ``overrides`` in their place, at every depth."""
    out = dict(values)
    for name, value in overrides.items():
        nested = isinstance(value, Mapping) and isinstance(out.get(name), Mapping)
        out[name] = merged(out[name], value) if nested else value
    return out


def _key(path: Iterable[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.lstrip(".")


def _expanded(value: Any, where: str) -> Any:
    if isinstance(value, dict):
        return {k: _expanded(v, f"{where}.{k}".lstrip(".")) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, f"{where}[{i}]") for i, v in enumerate(value)]
    return _VARIABLE.sub(lambda m: _variable(m, where), value) if isinstance(value, str) else value


def _variable(match: re.Match[str], where: str) -> str:
    value = os.environ.get(match["name"], match["default"])
    if value is None:
        raise SettingError(f"{where}: the environment variable {match['name']} is not set")
    return value


def _check_meaning(config: Mapping[str, Any], schema: Mapping[str, Any]) -> None:
    """What JSON schema cannot say."""
    _raise_first(_faults(config, schema))


def _raise_first(faults: Iterator[str]) -> None:
    for fault in faults:
        raise SettingError(fault)


def _faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    try:
        names = [arm.name for arm in arms(config, schema)]
        yield from _curve_faults(config)
        all_arms(config, schema)
    except SettingError as error:
        yield f"arms: {error}"
        return
    if len(set(names)) != len(names):
        yield f"arms: got {names}; accepted: every arm once"
    if "none" not in names:
        yield "arms: 'none' is missing; every other arm is compared with it"
    yield from _grid_faults(config, schema)
    yield from _training_faults(config, schema)
    yield from _source_faults(config)
    yield from _key_faults(config)
    if config["source"]["kind"] != "phantom" and config["cohort"] == "phantom":
        yield "cohort: got 'phantom', the demo's; accepted: another name, for patients of your own"


def _grid_faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    planned = trainings(config, arms(config, schema))
    compared = {training.segmenter for training in planned if training.arm == "none"}
    for name in sorted({training.segmenter for training in planned} - compared):
        yield f"grid: {name} is not trained with 'none', which its other arms are compared with"


def _curve_faults(config: Mapping[str, Any]) -> Iterator[str]:
    curve = config["learning_curve"]
    for percent in curve["shares"]:
        if not 1 <= percent <= 100:
            yield f"learning_curve.shares: got {percent}; accepted: percent, 1 to 100"
    for ratio in curve["ratios"]:
        if ratio <= 0:
            yield f"learning_curve.ratios: got {ratio}; accepted: above 0"
    for key, known in (("arms", config["arms"]), ("segmenters", config["segmenters"])):
        for name in set(curve[key]) - set(known):
            yield f"learning_curve.{key}: got {name!r}; accepted: {', '.join(known)}"


def _training_faults(config: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """What trainings would find only once everything before them has run."""
    first = config["segmenters"][0]
    if first in _WITHOUT_ENCODER and any(arm.generators for arm in all_arms(config, schema)):
        yield (
            f"segmenters[0]: got {first!r}, which has no encoder to compare generated nodules by; "
            "accepted first: unet, unetplusplus, deeplabv3, segformer"
        )
    if config["presence"]:
        for role in ("train", "evaluate"):
            if config["select"][role]["which"] == "nodule":
                yield (
                    f"select.{role}.which: got 'nodule'; accepted with presence: "
                    "nodule_and_healthy, all"
                )
    own = config["train_segmenter"]["per_segmenter"]
    sections = {
        "train_segmenter": config["train_segmenter"],
        "train_presence": config["train_presence"],
        **{
            f"train_segmenter.per_segmenter.{name}": merged(config["train_segmenter"], values)
            for name, values in own.items()
        },
    }
    for where, section in sections.items():
        yield from _section_faults(where, section["network"], section["training"])
    for name in sorted(
        {training.segmenter for training in trainings(config, arms(config, schema))}
    ):
        network = merged(config["train_segmenter"], own.get(name, {}))["network"]
        yield from _encoder_faults(name, network["encoder"])


def _encoder_faults(segmenter: str, encoder: str) -> Iterator[str]:
    """What the names alone tell; whether an encoder exists is for its library to say."""
    where = f"train_segmenter.per_segmenter.{segmenter}.network.encoder"
    if encoder == "plain" and segmenter not in ("unet", "swinunet"):
        yield f"{where}: missing; 'plain', which all segmenters get here, is of unet alone"
    if segmenter == "maskrcnn" and not encoder.startswith(_TORCHVISION):
        yield f"{where}: got {encoder!r}; accepted for maskrcnn: resnet18, resnet50 and the like"


def _section_faults(
    where: str, network: Mapping[str, Any], training: Mapping[str, Any]
) -> Iterator[str]:
    weights = network["weights"]
    # A name has neither: as lungaug.segmenters.factory tells files from names.
    if weights and ("." in weights or "/" in weights) and not Path(weights).is_file():
        accepted = "null, a name, a file that exists"
        yield f"{where}.network.weights: got {weights!r}; accepted: {accepted}"
    processes = training["devices"] * training["nodes"]
    if training["batch_size"] % processes:
        yield (
            f"{where}.training.batch_size: got {training['batch_size']}; accepted: a multiple of "
            f"the {processes} processes that share a batch"
        )


def _source_faults(config: Mapping[str, Any]) -> Iterator[str]:
    source = config["source"]
    kind = source["kind"]
    if kind == "phantom" and source["root"] is not None:
        yield "source.root: a phantom cohort has none; accepted: null, or another source.kind"
    if kind != "phantom" and source["root"] is None:
        yield f"source.root: missing; source.kind: {kind} needs a folder"
    if kind == "mendeley":
        for name in ("sheet", "masks"):
            if source[name] is not None:
                yield f"source.{name}: got {source[name]!r}; accepted for mendeley: null"


def _file_faults(config: Mapping[str, Any]) -> Iterator[str]:
    source = config["source"]
    for name in ("root", "masks"):
        if source[name] is not None and not Path(source[name]).is_dir():
            yield f"source.{name}: got {source[name]!r}; accepted: a folder that exists"
    files = {"source.sheet": source["sheet"], "key_file": config["key_file"]}
    for name, path in {**files, "published_scores": config["published_scores"]}.items():
        if path is not None and not Path(path).is_file():
            yield f"{name}: got {path!r}; accepted: a file that exists"


def _key_faults(config: Mapping[str, Any]) -> Iterator[str]:
    """The key of the demo is public: with it, anybody can test whose pseudonym one is."""
    key = config["key_file"]
    if key and Path(key).name == _PHANTOM_KEY and config["source"]["kind"] != "phantom":
        yield f"key_file: got {key!r}, which is public; accepted: null, or a key of your own"
