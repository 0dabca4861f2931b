"""Every value of a configuration as an attack on the shell: refused by name, or used literally.

The slots come from the schema, so that a new setting is tried too.
"""

from __future__ import annotations

import os
from typing import Any

import pytest

from lungaug import configuration
from lungaug.errors import SettingError
from setting_slots import Slot, attacked, sections, slots, value_of

SCHEMA = configuration.load_schema()
BASE: dict[str, Any] = {
    "cohort": "own",
    "source": {"kind": "dicom", "root": "x"},
    "grid": [{"arms": ["none"], "segmenters": ["unet"]}],
}
ATTACKS = {
    "substitution": "$(touch X)",
    "path with substitution": "a/$(touch X).b",
    "backticks": "`touch X`",
    "path with backticks": "./`touch X`",
    "semicolon": "a; touch X #",
    "single quote": "a'; touch X; '",
    "double quote": 'a"; touch X; "',
    "line break": "a\ntouch X",
    "option": "--help",
    "path like an option": "-x/a.b",
    "pattern": "{input}",
    "path with a pattern": "a/{input}.b",
    "pattern of a folder": "a/<results>.b",
    "variable": "$HOME",
    "home": "~nobody-has-this-name/x",
}
# Free texts that go to jobs as JSON or are looked up among names: no path, nothing is run by them.
TEXTS = {
    "scan.include[]",
    "scan.mask_suffixes[]",
    "scan.rescale_types[]",
    "sample.lung_rads",
    "train_segmenter.network.encoder",
    "train_segmenter.per_segmenter.unet.network.encoder",
    "train_presence.network.encoder",
}
WEIGHTS = {
    f"{section}.network.weights"
    for section in ("train_segmenter", "train_segmenter.per_segmenter.unet", "train_presence")
}
PATHS = {
    "results", "private", "key_file", "ledger", "checkpoints", "published_scores", "source.root",
    "source.sheet", "source.masks", "realism.inception_weights", *WEIGHTS,
}  # fmt: skip


def judged(attack: str, written: str = "") -> set[str]:
    """Put an attack into every slot; return the names of those that took it as it is.

    Those that are refused are taken back, until the rest is accepted: a check that relies on
    another is made only once that one passes.

    Args:
        attack: the value.
        written: what stands for it in the file, if that is something else.
    """
    taken = list(slots(SCHEMA))
    while True:
        config = attacked(BASE, taken, written or attack)
        try:
            full = configuration.checked(config, SCHEMA, files=False)
        except SettingError as fault:
            kept = [slot for slot in taken if not is_named(slot, str(fault))]
            if len(kept) == len(taken):
                raise  # a fault that names none of them
            taken = kept
        else:
            assert [slot.key for slot in taken if value_of(full, slot) not in as_is(attack)] == []
            return {slot.name for slot in taken}


def as_is(attack: str) -> set[str]:
    """An attack, or the name that ``results`` has for the same folder."""
    return {attack, os.path.normpath(attack)}


def is_named(slot: Slot, faults: str) -> bool:
    """Whether a line of the faults is about a slot, or the item of a list that it is."""
    names = {slot.key, slot.key.removesuffix("[0]")}
    return any(line.partition(": ")[0] in names for line in faults.split("\n"))


def test_the_slots_are_those_of_the_schema() -> None:
    names = {slot.name for slot in slots(SCHEMA)}
    assert names >= TEXTS | PATHS
    assert names >= {"cohort", "arms[]", "segmenters[]", "grid[].arms[]", "seeds", "source.kind"}
    assert len(names) > 350


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_every_value_is_refused_by_name_or_used_as_it_is(attack: str) -> None:
    taken = judged(attack)
    assert taken <= TEXTS | PATHS | ({"cohort"} if attack == "--help" else set())
    if attack.startswith(("-", "~")) or "\n" in attack:
        assert not taken & (PATHS - WEIGHTS)
    else:
        assert taken >= {"private", "source.root", "ledger"}
    assert taken >= TEXTS


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_every_section_refuses_an_unknown_key(attack: str) -> None:
    found = [Slot((*path, attack)) for path in sections(SCHEMA)]
    assert len(found) > 90
    with pytest.raises(SettingError) as refused:
        configuration.checked(attacked(BASE, found, "1"), SCHEMA, files=False)
    assert [slot.key for slot in found if f"{slot.key}: " not in f"{refused.value}\n"] == []


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_a_variable_is_judged_by_what_it_holds(
    attack: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ODD", attack)
    assert judged(attack, "${ODD}") == judged(attack)
