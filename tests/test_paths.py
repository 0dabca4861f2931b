"""Paths of a configuration: which characters are accepted, and what is refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from lungaug import configuration, paths
from lungaug.errors import SettingError

SCHEMA = configuration.load_schema()
NETWORK = {"network": {"weights": None}}
SETTINGS = (
    "results",
    "private",
    "ledger",
    "key_file",
    "checkpoints",
    "published_scores",
    "source.root",
    "source.sheet",
    "source.masks",
    "realism.inception_weights",
    "train_segmenter.network.weights",
    "train_segmenter.per_segmenter.unet.network.weights",
    "train_presence.network.weights",
)
IN_RULES = [name for name in SETTINGS if name.endswith(("results", "scores", "network.weights"))]


def config_with(key: str, path: str) -> dict[str, Any]:
    """A configuration with one path, nothing of which needs to exist."""
    config: dict[str, Any] = {"cohort": "own", "source": {"kind": "dicom", "root": "x"}}
    *sections, last = key.split(".")
    holder = config
    for name in sections:
        holder = holder.setdefault(name, {})
    holder[last] = path
    return config


def faults_of(key: str, path: str) -> list[str]:
    config = config_with(key, path)
    paths.expand(config)
    return [fault.text for fault in paths.faults(config) if fault.key == key]


@pytest.mark.parametrize("key", SETTINGS)
@pytest.mark.parametrize("path", ["a b/c.d", "a'b/.x", 'a"b/', "a$b/x", "a;b&c/", "ü/ö", "$(x)/`"])
def test_odd_characters_are_accepted(key: str, path: str) -> None:
    assert not faults_of(key, path)


@pytest.mark.parametrize("key", SETTINGS)
@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("-x/a.b", "a leading - starts an option"),
        ("a\n/b", "line break"),
        ("a\t/b.c", "control character"),
        ("~nobody-has-this-name/x", "no home folder"),
    ],
)
def test_what_cannot_work_is_refused(key: str, path: str, words: str) -> None:
    (text,) = faults_of(key, path)
    assert words in text
    assert "accepted: " in text


@pytest.mark.parametrize("key", IN_RULES)
@pytest.mark.parametrize("path", ["a{b}/c", "a{/c", "<logs>/c"])
def test_patterns_are_refused_where_rules_use_the_path(key: str, path: str) -> None:
    (text,) = faults_of(key, path)
    assert "as a pattern" in text


@pytest.mark.parametrize("key", sorted(set(SETTINGS) - set(IN_RULES)))
def test_braces_are_accepted_where_no_rule_names_the_path(key: str) -> None:
    assert not faults_of(key, "a{b}/<c>")


@pytest.mark.parametrize("key", SETTINGS[:9])
def test_an_empty_path_is_refused(key: str) -> None:
    assert faults_of(key, "")


@pytest.mark.parametrize("key", SETTINGS)
def test_a_tilde_is_the_home_folder(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    config = config_with(key, "~/my x")
    paths.expand(config)
    holder: Any = config
    for name in key.split("."):
        holder = holder[name]
    assert holder == "/home/somebody/my x"
    assert not list(paths.faults(config))


def test_a_name_of_weights_is_no_path() -> None:
    assert not faults_of("train_presence.network.weights", "imagenet")


@pytest.mark.parametrize(
    ("given", "used"), [("./x", "x"), ("x/", "x"), ("a//b", "a/b"), ("x", "x")]
)
def test_results_have_one_name(given: str, used: str) -> None:
    values = {"source": {"kind": "phantom"}, "results": given}
    assert configuration.checked(values, SCHEMA)["results"] == used


@pytest.mark.parametrize("name", ["a:b", "a{b}", "a\nb"])
def test_a_folder_that_the_workflow_cannot_lie_in_is_named(name: str) -> None:
    with pytest.raises(SettingError, match="move or rename"):
        paths.check_clone(Path("/work") / name)


@pytest.mark.parametrize("name", ["a b", "a'b", 'a"b', "a$b", "a;b&c", "ü"])
def test_other_folders_of_the_workflow_are_accepted(name: str) -> None:
    paths.check_clone(Path("/work") / name)
