"""``python -m lungaug STAGE …``: one subcommand a stage, each importing only its own stage.

A stage module has a frozen ``Settings`` and a function ``run`` with keyword-only arguments; the
options are read off its signature: ``Path`` and ``str`` take one value, ``list[Path]`` and
``list[str]`` any number, ``settings`` takes JSON. An option with a default may stand without a
value.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import logging
import sys
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from lungaug.aside import told_of
from lungaug.errors import LungaugError
from lungaug.settings import as_mapping, from_mapping

STAGES = Path(__file__).parent / "stages"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one stage; what the user can mend becomes one message and exit status 1."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    stages = sorted(p.stem for p in STAGES.glob("*.py") if p.stem != "__init__")
    outer = argparse.ArgumentParser(prog="lungaug", description="Run one stage by hand.")
    outer.add_argument("stage", choices=stages, metavar="STAGE", help=", ".join(stages))
    stage = outer.parse_args(given[:1]).stage
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    module = importlib.import_module(f"lungaug.stages.{stage}")
    options = vars(parser(stage, module).parse_args(given[1:]))
    try:
        module.run(**_call_arguments(stage, module, options))
    except LungaugError as error:
        print(f"lungaug {stage}: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        told = told_of(error)
        if told is None:
            raise
        print(f"lungaug {stage}: {error.filename or 'a file'}: {told}", file=sys.stderr)
        return 1
    return 0


def parser(stage: str, module: ModuleType) -> argparse.ArgumentParser:
    """Make the parser of a stage's options, read off the signature of its ``run``."""
    built = argparse.ArgumentParser(prog=f"lungaug {stage}", description=module.__doc__)
    hints = typing.get_type_hints(module.run)
    for name, parameter in inspect.signature(module.run).parameters.items():
        if name == "provenance":
            built.add_argument("--code", default="", help="hash of the stage's code")
            continue
        required = parameter.default is inspect.Parameter.empty and name != "settings"
        default = "{}" if name == "settings" else parameter.default
        options = _value_options(hints[name], name)
        if not required and "nargs" not in options:
            # A rule names the option also where the quoted value is empty, and so is no word.
            options.update(nargs="?", const=default)
        built.add_argument(
            f"--{name.replace('_', '-')}",
            dest=name,
            required=required,
            default=None if required else default,
            **options,
        )
    return built


def _value_options(hint: Any, name: str) -> dict[str, Any]:
    if name == "settings":
        return {"type": str, "metavar": "JSON"}
    args = typing.get_args(hint)
    if typing.get_origin(hint) is list:
        return {"type": _converter(args[0]), "nargs": "*"}
    optional = type(None) in args
    return {"type": _converter(args[0] if optional else hint, optional)}


def _converter(hint: Any, optional: bool = False) -> Callable[[str], Any]:
    """An empty value is none where none is accepted: rules name options that may be empty."""
    convert = {Path: Path, str: str, int: int}[hint]
    return (lambda text: convert(text) if text else None) if optional else convert


def _call_arguments(stage: str, module: ModuleType, options: dict[str, Any]) -> dict[str, Any]:
    code = options.pop("code", "")
    if "settings" in options:
        values = json.loads(options["settings"])
        options["settings"] = from_mapping(module.Settings, values, where=stage)
    if "provenance" in inspect.signature(module.run).parameters:
        from lungaug.store import Provenance

        used = as_mapping(options["settings"])
        text = json.dumps(used, sort_keys=True, separators=(",", ":"))
        options["provenance"] = Provenance(stage, text, code)
    return options
