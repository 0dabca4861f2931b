"""Check the paths of a configuration: what the shell, Snakemake and the options cannot bear.

The shell gets every path quoted: blanks, quotes, ``$``, ``;``, ``&`` and letters of any alphabet
are accepted everywhere. What is refused here would be read as something else.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from lungaug.configfiles import Fault
from lungaug.errors import SettingError

_TOP = ("results", "private", "ledger", "key_file", "checkpoints", "published_scores")
_SOURCE = ("root", "sheet", "masks")
_PATTERNS = ("{", "}", "<", ">")
"""Snakemake reads patterns in names of inputs and outputs."""

Slot = tuple[str, MutableMapping[str, Any], str]
"""A dotted key, the mapping that holds its value, and the name of it there."""


def expand(config: MutableMapping[str, Any]) -> None:
    """Replace, in place, a leading ``~`` of every path by the home folder it stands for."""
    for _, holder, name in _slots(config):
        if isinstance(holder[name], str) and holder[name].startswith("~"):
            holder[name] = os.path.expanduser(holder[name])
    if isinstance(config.get("results"), str) and config["results"]:
        # Snakemake warns of './x' and 'x/', and knows them by other names than 'x'.
        config["results"] = os.path.normpath(config["results"])


def faults(config: Mapping[str, Any]) -> Iterator[Fault]:
    """Yield what is wrong with the paths of a configuration, expanded or not."""
    for key, holder, name in _slots(config):
        if isinstance(holder[name], str):
            problem = _problem(holder[name], in_rules=_is_in_rules(key))
            if problem:
                yield Fault(key, f"got {holder[name]!r}; {problem}")
    if isinstance(config.get("cohort"), str) and _control(config["cohort"]):
        yield Fault("cohort", f"got {config['cohort']!r}; accepted: letters, digits, - and _")


def check_clone(folder: Path) -> None:
    """Check the name of the folder that the workflow lies in.

    Raises:
        SettingError: the workflow cannot run there.
    """
    text = str(folder)
    marks = [mark for mark in (":", "{", "}") if mark in text]
    if marks or _control(text):
        listed = " ".join(marks) or "a control character"
        raise SettingError(
            f"the workflow lies in {text!r}, and {listed} cannot be in the name of its folder "
            "(Python's search path ends at a colon, and braces are wildcards to Snakemake); "
            "move or rename the folder"
        )


def is_file(weights: object) -> bool:
    """Return whether a setting of weights is a file and no name: it has a dot or a slash."""
    return isinstance(weights, str) and ("." in weights or "/" in weights)


def _problem(path: str, in_rules: bool) -> str:
    if not path:
        return "accepted: a path, or null where there may be none"
    if _control(path):
        return "it has a line break or another control character; accepted: none of them"
    if path.startswith("-"):
        return f"a leading - starts an option; accepted: './{path}'"
    if path.startswith("~"):
        return "no home folder of that name; accepted: ~/…, a path without ~, './~…'"
    marks = [mark for mark in _PATTERNS if mark in path] if in_rules else []
    if marks:
        listed = " ".join(marks)
        return f"Snakemake reads {listed} as a pattern; accepted: a path without {listed}"
    return ""


def _control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)


def _is_in_rules(key: str) -> bool:
    """Whether the path is an input or output of rules; others reach jobs by the environment."""
    return key in ("results", "published_scores") or key.endswith("network.weights")


def _slots(config: Mapping[str, Any]) -> Iterator[Slot]:
    """Yield every path of a configuration, which may be incomplete or faulty."""
    yield from _named(config, "", _TOP)
    yield from _named(config.get("source"), "source.", _SOURCE)
    yield from _named(config.get("realism"), "realism.", ("inception_weights",))
    yield from _weights(config.get("train_presence"), "train_presence")
    segmenters = config.get("train_segmenter")
    yield from _weights(segmenters, "train_segmenter")
    own = segmenters.get("per_segmenter") if isinstance(segmenters, Mapping) else None
    for name, section in own.items() if isinstance(own, Mapping) else ():
        yield from _weights(section, f"train_segmenter.per_segmenter.{name}")


def _weights(section: object, where: str) -> Iterator[Slot]:
    network = section.get("network") if isinstance(section, Mapping) else None
    for key, holder, name in _named(network, f"{where}.network.", ("weights",)):
        if is_file(holder[name]) or str(holder[name]).startswith("~"):
            yield key, holder, name


def _named(holder: object, where: str, names: tuple[str, ...]) -> Iterator[Slot]:
    if isinstance(holder, MutableMapping):
        yield from ((f"{where}{name}", holder, name) for name in names if name in holder)
