"""Check a configuration against the schema and fill its defaults; one line for each fault.

The schema is generated from the stages' settings (``make schema``), so that the Snakefile can check
a configuration in an environment that holds only Snakemake (which brings jsonschema and yaml).
"""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from lungaug import explaining, meaning, paths
from lungaug.configfiles import Fault, Written
from lungaug.configured import all_arms, arms, merged
from lungaug.errors import SettingError

__all__ = [
    "SCHEMA",
    "SHARED",
    "all_arms",
    "arms",
    "canonical",
    "checked",
    "fill_defaults",
    "load_schema",
    "merged",
    "needs_of_cohort",
    "stage_settings",
]

SCHEMA = Path(__file__).resolve().parent.parent / "schemas" / "config.schema.yaml"
SHARED = ("seed", "storage", "contrast")
"""Settings of several stages that the configuration holds once, at the top."""

_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_ESCAPED = {ord(brace): f"\\u{ord(brace):04x}" for brace in "{}"}
_VARIABLE = re.compile(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*))?\}")


def load_schema(path: Path = SCHEMA) -> dict[str, Any]:
    """Return the generated JSON schema of ``config.yaml``."""
    # Where there is libyaml, six times as fast: every start of every job reads it.
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    schema: dict[str, Any] = yaml.load(path.read_text(encoding="utf-8"), loader)
    return schema


def checked(
    config: Mapping[str, Any],
    schema: Mapping[str, Any],
    *,
    files: bool = True,
    written: Written | None = None,
) -> dict[str, Any]:
    """Return the configuration with variables and ``~`` expanded and every default filled.

    Args:
        config: as it was read.
        schema: of the whole configuration.
        files: the files and folders that it names must exist; they do not in a job that runs on
            a machine without them.
        written: where each setting stands, and the faults of the files themselves.

    Raises:
        SettingError: every fault, a line each, with the key and what is accepted.
    """
    written = written or Written()
    faults = list(written.faults)
    full: dict[str, Any] = _expanded(copy.deepcopy(dict(config)), "", faults)
    paths.expand(full)
    faults += paths.faults(full)
    # What the schema refuses is taken out, so that the rest can be looked at too.
    faults += explaining.taken_out(full, schema)
    fill_defaults(full, schema)
    faults += meaning.faults(full, schema, {fault.key for fault in faults}, files=files)
    if faults:
        raise SettingError("\n".join(written.lines(faults)))
    return full


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
    return canonical(section)


def canonical(values: Any) -> str:
    """Return values as JSON for ``params`` of a rule: equal values give equal text.

    Snakemake fills ``{name}`` in such a text and finds no other braces there, so those inside
    strings are escaped.
    """
    text = json.dumps(values, sort_keys=True, separators=(",", ":"))
    return _STRING.sub(lambda found: found[0].translate(_ESCAPED), text)


def needs_of_cohort(config: Mapping[str, Any], schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return what decides whether there is enough to train, validate and test: for check_cohort.

    Args:
        config: a checked configuration.
        schema: its schema.
    """
    inserted = any(arm.generators for arm in all_arms(config, schema))
    return {
        "select": {name: config["select"][name] for name in ("train", "evaluate")},
        "hosts": config["insert"]["hosts"] if inserted else None,
        "min_diameter_mm": config["rois"]["min_diameter_mm"] if inserted else None,
        "presence": config["presence"],
        "unannotated": config["ingest"]["unannotated"],
        "assumed_spacing_mm": config["ingest"]["assumed_spacing_mm"],
    }


def _expanded(value: Any, where: str, faults: list[Fault]) -> Any:
    if isinstance(value, dict):
        return {k: _expanded(v, f"{where}.{k}".lstrip("."), faults) for k, v in value.items()}
    if isinstance(value, list):
        return [_expanded(v, f"{where}[{i}]", faults) for i, v in enumerate(value)]
    if not isinstance(value, str):
        return value
    return _VARIABLE.sub(lambda match: _variable(match, where, faults), value)


def _variable(match: re.Match[str], where: str, faults: list[Fault]) -> str:
    value = os.environ.get(match["name"], match["default"])
    if value is None:
        name = match["name"]
        faults.append(Fault(where, f"the environment variable {name} is not set"))
        return match[0]
    return value
