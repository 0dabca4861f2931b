"""Which trainings a run makes: folds x arms x segmenters x seeds. Standard library only.

The Snakefile reads it. Beside the full product there are pairs of arms and segmenters of their own,
and the folds and arms of the learning curves: ``fixed_25`` is fold ``fixed`` with 25 % of its
training patients, ``metalung@0.5`` an arm with half a slice added for each real one.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lungaug.arms import Arm
from lungaug.settings import required, setting

FOLD_PATTERN = r"(?:fixed|cv\d+)(?:_\d+)?"
"""Names of folds, for Snakemake's wildcards."""


@dataclass(frozen=True)
class PairsSettings:
    """Arms and segmenters that are all trained with each other."""

    arms: tuple[str, ...] = required("training sets", minItems=1)
    segmenters: tuple[str, ...] = required("networks", minItems=1)


@dataclass(frozen=True)
class LearningCurveSettings:
    """Trainings on a part of the patients, and with more or fewer synthetic slices."""

    shares: tuple[int, ...] = setting(
        (), "percent of the training patients, such as 10, 25, 50; 100 is there in any case"
    )
    ratios: tuple[float, ...] = setting(
        (), "synthetic slices for each real one with a nodule, such as 0.5, 1, 2"
    )
    arms: tuple[str, ...] = setting((), "arms that are drawn; empty: all")
    segmenters: tuple[str, ...] = setting((), "networks that are drawn; empty: the first")


class Training(NamedTuple):
    """One training of a run."""

    fold: str
    arm: str
    segmenter: str
    seed: int


def full_folds(config: Mapping[str, Any]) -> list[str]:
    """The folds with all training patients."""
    split = config["split"]
    return ["fixed"] if split["mode"] == "fixed" else [f"cv{k}" for k in range(split["folds"])]


def fold_of_share(fold: str, percent: int) -> str:
    """The name of a fold with ``percent`` of its training patients."""
    return fold if percent == 100 else f"{fold}_{percent}"


def share_of(fold: str) -> tuple[str, int]:
    """The full fold and the percentage that a fold's name tells.

    Raises:
        ValueError: it is no name of a fold.
    """
    if not re.fullmatch(FOLD_PATTERN, fold):
        raise ValueError(f"fold '{fold}'; accepted: fixed, cv<k>, fixed_<percent>, cv<k>_<percent>")
    name, _, percent = fold.partition("_")
    return name, int(percent or 100)


def curve_arms(config: Mapping[str, Any], arms: Sequence[Arm]) -> list[Arm]:
    """The arms whose learning curves are drawn."""
    wanted = config["learning_curve"]["arms"]
    return [arm for arm in arms if arm.name in wanted or not wanted]


def curve_segmenters(config: Mapping[str, Any]) -> list[str]:
    """The networks whose learning curves are drawn."""
    named: list[str] = config["learning_curve"]["segmenters"]
    return named or list(config["segmenters"][:1])


def ratio_names(config: Mapping[str, Any], arms: Sequence[Arm]) -> list[str]:
    """Names of the arms with each ratio of synthetic to real slices."""
    ratios = config["learning_curve"]["ratios"]
    drawn = [arm for arm in curve_arms(config, arms) if arm.adds and arm.ratio is None]
    return [f"{arm.name}@{ratio:g}" for arm in drawn for ratio in ratios]


def main_trainings(config: Mapping[str, Any], arms: Sequence[Arm]) -> list[Training]:
    """Those of the main tables: arms x segmenters, and the pairs of ``grid``, in full folds.

    Args:
        config: a checked configuration.
        arms: those of the key ``arms``, read.
    """
    pairs = [(arm.name, name) for arm in arms for name in config["segmenters"]]
    for block in config["grid"]:
        pairs += [(arm, name) for arm in block["arms"] for name in block["segmenters"]]
    found = _product(full_folds(config), dict.fromkeys(pairs), config["seeds"])
    return list(found)


def curve_trainings(config: Mapping[str, Any], arms: Sequence[Arm]) -> list[Training]:
    """Those of the learning curves; where they meet the full folds, the main ones are among them.

    Args:
        config: a checked configuration.
        arms: those of the key ``arms``, read.
    """
    curve, segmenters = config["learning_curve"], curve_segmenters(config)
    if not curve["shares"] and not curve["ratios"]:
        return []
    names = [arm.name for arm in curve_arms(config, arms)]
    folds, parts = full_folds(config), []
    for percent in curve["shares"]:
        parts += [fold_of_share(fold, percent) for fold in folds]
    full = list(itertools.product([*names, *ratio_names(config, arms)], segmenters))
    part = list(itertools.product(names, segmenters))
    seeds = config["seeds"]
    return list(dict.fromkeys([*_product(folds, full, seeds), *_product(parts, part, seeds)]))


def trainings(config: Mapping[str, Any], arms: Sequence[Arm]) -> list[Training]:
    """Every training of a checked configuration, each once.

    Args:
        config: the configuration.
        arms: those of the key ``arms``, read.
    """
    both = [*main_trainings(config, arms), *curve_trainings(config, arms)]
    return list(dict.fromkeys(both))


def _product(
    folds: Iterable[str], pairs: Iterable[tuple[str, str]], seeds: int
) -> Iterator[Training]:
    for fold, (arm, segmenter), seed in itertools.product(folds, pairs, range(seeds)):
        yield Training(fold, arm, segmenter, seed)
