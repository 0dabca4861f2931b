"""Check what the JSON schema of a configuration cannot say: names, files, what fits together."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from lungaug.arms import parse_arm
from lungaug.configfiles import Fault
from lungaug.configured import all_arms, arms, merged, named_arms, parts
from lungaug.errors import SettingError
from lungaug.grid import trainings
from lungaug.paths import is_file
from lungaug.pseudonym_key import is_public, key_in
from lungaug.suggestions import did_you_mean

_TORCHVISION = ("resnet", "resnext", "wide_resnet")
_WITHOUT_ENCODER = ("maskrcnn", "swinunet")
Config = Mapping[str, Any]


def faults(
    config: Config, schema: Mapping[str, Any], faulty: Collection[str], *, files: bool
) -> list[Fault]:
    """Return the faults of a configuration whose defaults are filled.

    Args:
        config: the configuration, without what the schema refused.
        schema: its schema.
        faulty: dotted keys that are known to be wrong: what reads them is not checked.
        files: whether the files and folders that it names must exist.
    """
    known = set(faulty)
    found: list[Fault] = []
    for check, reads in _checks(files):
        if not any(_concerns(key, name) for key in known for name in reads):
            new = list(check(config, schema))
            found += new
            known |= {fault.key for fault in new}
    return found


Check = Callable[[Config, Mapping[str, Any]], Iterator[Fault]]


def _checks(files: bool) -> list[tuple[Check, tuple[str, ...]]]:
    """Each check with the settings that it reads; a later one may rely on an earlier."""
    networks = ("segmenters", "train_segmenter", "train_presence")
    checks: list[tuple[Check, tuple[str, ...]]] = [
        (_arm_faults, ("arms", "grid", "mixed_generators")),
        (_curve_faults, ("arms", "segmenters", "learning_curve")),
        (_grid_faults, ("arms", "grid", "segmenters", "learning_curve", "split", "seeds")),
        (_first_faults, ("arms", "grid", "segmenters", "learning_curve", "mixed_generators")),
        (_presence_faults, ("presence", "select")),
        (_training_faults, (*networks, "device")),
        (_encoder_faults, (*networks, "arms", "grid", "learning_curve", "split", "seeds")),
        (_source_faults, ("source",)),
        (_cohort_faults, ("cohort", "source")),
    ]
    if files:
        checks += [
            (_source_file_faults, ("source",)),
            (_file_faults, ()),
            (_key_faults, ("key_file", "source", "private", "cohort")),
        ]
    return checks


def _concerns(key: str, name: str) -> bool:
    return key == name or key.startswith((f"{name}.", f"{name}["))


def _arm_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    known, wrong = parts(config, schema), False
    for key, name in named_arms(config):
        try:
            parse_arm(name, known)
        except SettingError as error:
            wrong = True
            yield Fault(key, str(error))
    names = config["arms"]
    if len(set(names)) != len(names):
        yield Fault("arms", f"got {names}; accepted: every arm once")
    if "none" not in names and not wrong:
        yield Fault("arms", "'none' is missing; every other arm is compared with it")


def _curve_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    curve = config["learning_curve"]
    for number, percent in enumerate(curve["shares"]):
        if not 1 <= percent <= 100:
            key = f"learning_curve.shares[{number}]"
            yield Fault(key, f"got {percent}; accepted: percent, 1 to 100")
    for number, ratio in enumerate(curve["ratios"]):
        if ratio <= 0:
            yield Fault(f"learning_curve.ratios[{number}]", f"got {ratio}; accepted: above 0")
    for key, known in (("arms", config["arms"]), ("segmenters", config["segmenters"])):
        for number, name in enumerate(curve[key]):
            if name not in known:
                meant = did_you_mean(name, known)
                text = f"got {name!r}{meant}; accepted: {', '.join(known)}"
                yield Fault(f"learning_curve.{key}[{number}]", text)


def _grid_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    try:
        all_arms(config, schema)
    except SettingError as error:
        yield Fault("learning_curve.ratios", str(error))
        return
    planned = trainings(config, arms(config, schema))
    compared = {training.segmenter for training in planned if training.arm == "none"}
    for name in sorted({training.segmenter for training in planned} - compared):
        text = f"{name} is not trained with 'none', which its other arms are compared with"
        yield Fault("grid", text)


def _first_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    first = config["segmenters"][0]
    if first in _WITHOUT_ENCODER and any(arm.generators for arm in all_arms(config, schema)):
        yield Fault(
            "segmenters[0]",
            f"got {first!r}, which has no encoder to compare generated nodules by; accepted first: "
            "unet, unetplusplus, deeplabv3, segformer",
        )


def _presence_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    for role in ("train", "evaluate") if config["presence"] else ():
        if config["select"][role]["which"] == "nodule":
            text = "got 'nodule'; accepted with presence: nodule_and_healthy, all"
            yield Fault(f"select.{role}.which", text)


def _training_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """What trainings would find only once everything before them has run."""
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
        if config["device"] == "cpu" and section["training"]["precision"] == "16-mixed":
            text = (
                "got '16-mixed', which needs a GPU; accepted with device: cpu: 32-true, bf16-mixed"
            )
            yield Fault(f"{where}.training.precision", text)


def _encoder_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """What the names alone say; whether an encoder exists is for its library to say."""
    own = config["train_segmenter"]["per_segmenter"]
    planned = trainings(config, arms(config, schema))
    for name in sorted({training.segmenter for training in planned}):
        where = f"train_segmenter.per_segmenter.{name}.network.encoder"
        encoder = merged(config["train_segmenter"], own.get(name, {}))["network"]["encoder"]
        if encoder == "plain" and name not in ("unet", "swinunet"):
            text = "missing; 'plain', which all segmenters get here, is of unet alone"
            yield Fault(where, text)
        if name == "maskrcnn" and not encoder.startswith(_TORCHVISION):
            text = f"got {encoder!r}; accepted for maskrcnn: resnet18, resnet50 and the like"
            yield Fault(where, text)


def _section_faults(
    where: str, network: Mapping[str, Any], training: Mapping[str, Any]
) -> Iterator[Fault]:
    weights = network["weights"]
    if is_file(weights) and not Path(weights).is_file():
        text = f"got {weights!r}; accepted: null, a name, a file that exists"
        yield Fault(f"{where}.network.weights", text)
    processes = training["devices"] * training["nodes"]
    if training["batch_size"] % processes:
        yield Fault(
            f"{where}.training.batch_size",
            f"got {training['batch_size']}; accepted: a multiple of the {processes} processes "
            "that share a batch",
        )


def _source_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    source = config["source"]
    kind = source["kind"]
    others = "dicom, lidc, mendeley"
    if kind == "phantom" and source["root"] is not None:
        text = f"a phantom cohort has none; accepted: null, or another source.kind: {others}"
        yield Fault("source.root", text)
    if kind != "phantom" and source["root"] is None:
        yield Fault("source.root", f"missing; source.kind: {kind} needs a folder")
    if kind == "mendeley":
        for name in ("sheet", "masks"):
            if source[name] is not None:
                text = f"got {source[name]!r}; accepted for mendeley: null"
                yield Fault(f"source.{name}", text)


def _cohort_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    if config["source"]["kind"] != "phantom" and config["cohort"] == "phantom":
        text = "got 'phantom', the demo's; accepted: another name, for patients of your own"
        yield Fault("cohort", text)


def _source_file_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    source = config["source"]
    for name in ("root", "masks"):
        if source[name] is not None and not Path(source[name]).is_dir():
            yield Fault(f"source.{name}", f"got {source[name]!r}; accepted: a folder that exists")
    sheet = source["sheet"]
    if sheet is not None and not Path(sheet).is_file():
        yield Fault("source.sheet", f"got {sheet!r}; accepted: a file that exists")


def _file_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    named = {name: config[name] for name in ("key_file", "published_scores") if name in config}
    named["realism.inception_weights"] = config["realism"].get("inception_weights")
    for key, path in named.items():
        if path is not None and not Path(path).is_file():
            yield Fault(key, f"got {path!r}; accepted: a file that exists")


def _key_faults(config: Config, schema: Mapping[str, Any]) -> Iterator[Fault]:
    """The key of the demo is public: with it, anybody can test whose pseudonym one is."""
    path = Path(config["key_file"] or Path(config["private"], config["cohort"], "key"))
    if config["source"]["kind"] == "phantom" or not path.is_file():
        return
    if is_public(key_in(path)):
        text = (
            f"{path} holds the demo's key, which is public: with it anybody can find out whose a "
            "pseudonym is; accepted: null and no such file (a key is made then), or a file with a "
            "key of your own; pseudonyms made with the public key, and their ledger, start over"
        )
        yield Fault("key_file", text)
