"""train_presence: probabilities of held-out slices, repeatable, from validation choices only."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from lungaug.cohort import read_table, write_table
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.evaluation.cost import read_costs
from lungaug.evaluation.presence import PRESENCE_COLUMNS
from lungaug.evaluation.roc import auc
from lungaug.segmenters.presence import Presence
from lungaug.segmenters.presence_settings import PresenceSettings
from lungaug.settings import from_mapping
from lungaug.stages.train_presence import Settings, run
from lungaug.store import Provenance, SliceFile, SliceWriter
from lungaug.training import loop
from lungaug.training.checkpoint import Checkpoint
from tiny_training import PROVENANCE, RUNNING, TRAINING, Cohort, edit_table, write_cohort

NETWORK = PresenceSettings("plain", encoder_depth=3, channels=(16, 8, 8))
SETTINGS = Settings(network=NETWORK, training=TRAINING)
OUTPUTS = ("model.pt", "history.tsv", "presence.tsv")


def mixed_cohort(root: Path, sizes: tuple[tuple[int, int], ...] = ((32, 32), (32, 40))) -> Cohort:
    """The tiny cohort, where a third of each patient's slices has lost its nodule."""
    cohort = write_cohort(root, sizes)
    for path in (root / "seen.h5", root / "unseen.h5"):
        _take_nodules(path)
    for path in (cohort.arm, cohort.slices):
        table = read_table(path)
        write_table(path, table.assign(n_nodule_px=table["n_nodule_px"].where(_ill(table), 0)))
    cohort.audit_again()
    return cohort


def _ill(table: pd.DataFrame) -> pd.Series:
    return table["row"] % 3 > 0


def _take_nodules(path: Path) -> None:
    rng = np.random.default_rng(1)
    with SliceFile(path) as file:
        parts = [
            (
                file.slices(g)[:],
                *(
                    np.stack([file.image(n, g, i) for i in range(len(file.slices(g)))])
                    for n in ("hu", "nodule")
                ),
            )
            for g in file.groups
        ]
    path.unlink()
    with SliceWriter(path, PROVENANCE) as writer:
        for slices, hu, nodule in parts:
            hu[::3] = rng.normal(-850, 60, hu[::3].shape).astype(np.int16)
            nodule[::3] = 0
            writer.append(slices, hu=hu, nodule=nodule)


def arguments(cohort: Cohort, folder: Path, **changes: Any) -> dict[str, Any]:
    return {
        "arm": cohort.arm,
        "slices": cohort.slices,
        "audit": cohort.audit,
        "arm_audit": cohort.arm_audit,
        "split": cohort.split,
        "root": cohort.root,
        "seed_index": 0,
        "online": "no",
        "device": "cpu",
        "model": folder / "model.pt",
        "history": folder / "history.tsv",
        "presence": folder / "presence.tsv",
        "cost": folder / "cost.tsv",
        "checkpoint": folder / "checkpoints" / "none.pt",
        "events": folder / "events",
        "settings": SETTINGS,
        "provenance": PROVENANCE,
        "running": RUNNING,
        **changes,
    }


def outputs(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in OUTPUTS}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return mixed_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def own_cohort(tmp_path: Path) -> Cohort:
    """One that a test may spoil."""
    return mixed_cohort(tmp_path / "own", ((32, 32),))


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(**arguments(cohort, folder))
    return folder


def test_every_held_out_slice_has_a_probability(cohort: Cohort, trained: Path) -> None:
    found = read_table(trained / "presence.tsv")
    assert list(found.columns) == list(PRESENCE_COLUMNS)
    slices = read_table(cohort.slices)
    held_out = slices[slices["role"] != "train"].sort_values(["role", "key"], ignore_index=True)
    for name in ("role", "key", "patient", "lung_rads"):
        assert found[name].tolist() == held_out[name].tolist()
    assert found["present"].tolist() == _ill(held_out).astype(int).tolist()
    assert found["probability"].between(0, 1).all()
    assert found["probability"].nunique() > 1
    training = found[["fold", "arm", "seed"]].drop_duplicates().to_numpy().tolist()
    assert training == [[cohort.slices.parent.name, "none", 0]]


def test_the_kept_step_has_the_highest_auc_on_validation(trained: Path) -> None:
    history = read_table(trained / "history.tsv")
    assert "validation_dice" not in history
    assert history["step"].tolist() == [2, 4, 6]
    kept = history[history["best"] == 1]
    assert len(kept) == 1
    assert kept["validation_auc"].iloc[0] == history["validation_auc"].max()
    found = read_table(trained / "presence.tsv").query("role == 'validation'")
    columns = (found[name] for name in ("probability", "present", "patient"))
    assert auc(*columns) == pytest.approx(kept["validation_auc"].iloc[0], abs=1e-6)
    assert not list((trained / "checkpoints").iterdir())


def test_cost_is_that_of_a_classifier(cohort: Cohort, trained: Path) -> None:
    cost = read_costs([trained / "cost.tsv"]).iloc[0]
    fold = cohort.slices.parent.name
    assert cost[["fold", "arm", "segmenter"]].tolist() == [fold, "none", "presence"]
    assert (cost["steps"], cost["samples"]) == (6, 6 * 4)
    weights = Presence(NETWORK, positive_weight=1.0).parameters()
    assert cost["n_parameters"] == sum(weight.numel() for weight in weights)


def test_how_it_runs_changes_no_output(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    running = '{"cache_mb": 0, "checkpoint_every": 5, "tensorboard": true}'
    run(**arguments(cohort, tmp_path, running=running))
    assert outputs(tmp_path) == outputs(trained)
    assert list((tmp_path / "events").iterdir())


def test_the_model_gives_those_probabilities(cohort: Cohort, trained: Path) -> None:
    from lungaug.imaging.contrast import network_input
    from lungaug.training.data import Batch

    stored = torch.load(trained / "model.pt", weights_only=True)
    network = Presence(from_mapping(PresenceSettings, stored["network"]))
    network.load_state_dict(stored["weights"])
    found = read_table(trained / "presence.tsv").set_index("key")["probability"]
    row = read_table(cohort.slices).query("role == 'test'").iloc[0]
    with SliceFile(cohort.root / row["file"]) as source:
        hu = source.image("hu", row["group"], int(row["row"]))
    image = torch.from_numpy(network_input(hu))[None, None]
    with torch.no_grad():
        probability = network.eval().predict(Batch(image, torch.zeros_like(image)))
    assert probability.item() == pytest.approx(found[row["key"]], abs=1e-5)


@pytest.mark.learning
def test_it_finds_blobs(own_cohort: Cohort, tmp_path: Path) -> None:
    how = replace(TRAINING, steps=80, validate_every=20)
    run(**arguments(own_cohort, tmp_path, settings=replace(SETTINGS, training=how)))
    found = read_table(tmp_path / "presence.tsv").query("role == 'test'")
    assert auc(*(found[name] for name in ("probability", "present", "patient"))) == 1


@pytest.mark.parametrize("online", ["no", "yes"])
def test_killed_and_started_again_it_writes_the_same_bytes(
    cohort: Cohort, trained: Path, tmp_path: Path, online: str
) -> None:
    run(**arguments(cohort, tmp_path / "whole", online=online))
    learn = loop._Loop.learn

    def dying(self: Any, batch: Any) -> None:
        if self.progress.step == 5:
            raise KeyboardInterrupt
        learn(self, batch)

    twice = arguments(cohort, tmp_path / "twice", online=online)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "learn", dying)
        with pytest.raises(KeyboardInterrupt):
            run(**twice)
    assert twice["checkpoint"].is_file()
    run(**twice)
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "twice")
    assert (outputs(tmp_path / "whole") == outputs(trained)) == (online == "no")


@pytest.mark.parametrize(
    "change",
    [{"seed_index": 1}, {"online": "yes"}, {"provenance": Provenance("test", "{}", "other code")}],
)
def test_a_checkpoint_of_another_training_is_not_used(
    cohort: Cohort, tmp_path: Path, change: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def never(self: Any, batch: Any) -> None:
        raise KeyboardInterrupt

    given = arguments(cohort, tmp_path)
    learn = loop._Loop.learn

    def dying(self: Any, batch: Any) -> None:
        if self.progress.step == 2:
            raise KeyboardInterrupt
        learn(self, batch)

    for method, options in ((dying, given), (never, {**given, **change})):
        with pytest.MonkeyPatch.context() as patch, caplog.at_level("INFO"):
            patch.setattr(loop._Loop, "learn", method)
            with pytest.raises(KeyboardInterrupt):
                run(**options)
    assert "ignored: of other settings, code or data" in caplog.text


def test_other_bytes_in_a_file_of_weights_are_another_training(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, found = tmp_path / "weights.pt", []
    network = replace(NETWORK, weights=str(file))
    given = arguments(cohort, tmp_path, settings=replace(SETTINGS, network=network))
    with pytest.raises(InputError, match=r"weights\.pt: no such file"):
        run(**given)

    def stop(self: Any, path: Path, identity: str) -> None:
        found.append(identity)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "__init__", stop)
    for content in (b"one", b"two", b"two"):
        file.write_bytes(content)
        with pytest.raises(KeyboardInterrupt):
            run(**given)
    assert found[0] != found[1] == found[2]


def test_test_slices_are_opened_only_when_the_model_is_written(
    own_cohort: Cohort, tmp_path: Path
) -> None:
    (own_cohort.root / "unseen.h5").unlink()
    with pytest.raises(FileFormatError, match=r"unseen\.h5: no such file"):
        run(**arguments(own_cohort, tmp_path))
    assert (tmp_path / "model.pt").is_file()
    assert not (tmp_path / "presence.tsv").exists()


@pytest.mark.parametrize("kind", [0, 49])
@pytest.mark.parametrize(
    ("role", "message"),
    [
        ("train", r"none\.tsv: of 12 training slices (0|12) have .* select\.train\.which"),
        ("validation", r"slices\.tsv: of 6 validation slices (0|6) have .* select\.evaluate"),
    ],
)
def test_one_kind_of_slice(
    own_cohort: Cohort, tmp_path: Path, role: str, message: str, kind: int
) -> None:
    path = own_cohort.arm if role == "train" else own_cohort.slices
    table = read_table(path)
    n_nodule_px = table["n_nodule_px"].mask(table["role"] == role, kind)
    write_table(path, table.assign(n_nodule_px=n_nodule_px))
    with pytest.raises(InputError, match=message):
        run(**arguments(own_cohort, tmp_path))
    assert not list(tmp_path.glob("*.*"))


def test_no_validation_patients(own_cohort: Cohort, tmp_path: Path) -> None:
    table = read_table(own_cohort.slices)
    write_table(own_cohort.slices, table[table["role"] != "validation"])
    with pytest.raises(InputError, match="of 0 validation slices 0 have a nodule"):
        run(**arguments(own_cohort, tmp_path))


def test_an_audit_that_did_not_pass(own_cohort: Cohort, tmp_path: Path) -> None:
    edit_table(own_cohort.audit, outcome="failed")
    with pytest.raises(LeakageError, match="checks did not pass"):
        run(**arguments(own_cohort, tmp_path))


def test_test_pixels_that_changed_are_not_scored(own_cohort: Cohort, tmp_path: Path) -> None:
    with h5py.File(own_cohort.root / "unseen.h5", "r+") as file:
        (group, *_) = file.values()
        group["hu"][0, 0, 0] += 1
    with pytest.raises(LeakageError, match=r"unseen\.h5: changed since its audit"):
        run(**arguments(own_cohort, tmp_path))
    assert not (tmp_path / "presence.tsv").exists()


def test_what_the_audit_did_not_see(own_cohort: Cohort, tmp_path: Path) -> None:
    own_cohort.point_to_test_slices()
    with pytest.raises(LeakageError, match="the audit saw something else"):
        run(**arguments(own_cohort, tmp_path))
    assert not list(tmp_path.glob("*.*"))


def test_a_held_out_patient_among_the_training_slices(own_cohort: Cohort, tmp_path: Path) -> None:
    edit_table(own_cohort.arm, host="g/sg/0001")
    with pytest.raises(LeakageError, match="holds pixels of g"):
        run(**arguments(own_cohort, tmp_path))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"online": "maybe"}, "online: got 'maybe'; accepted: yes, no"),
        ({"device": "tpu"}, "device: got 'tpu'"),
    ],
)
def test_wrong_arguments(cohort: Cohort, tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        run(**arguments(cohort, tmp_path, **change))


def test_slices_with_a_nodule_weigh_as_much_as_those_without(
    cohort: Cohort, tmp_path: Path
) -> None:
    built: list[float] = []
    make = Presence.__init__

    def noting(self: Any, settings: PresenceSettings, positive_weight: float) -> None:
        built.append(positive_weight)
        make(self, settings, positive_weight)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Presence, "__init__", noting)
        run(**arguments(cohort, tmp_path))
    assert built == [0.5]


def test_settings_are_read_without_torch() -> None:
    program = (
        "import sys\n"
        "import lungaug.stages.train_presence\n"
        "heavy = {'torch', 'lightning_fabric', 'segmentation_models_pytorch', 'pandas'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    paths = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=paths, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
