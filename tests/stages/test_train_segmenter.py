from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from lungaug.cohort import read_table
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.segmenters import factory
from lungaug.segmenters.protocol import Detections, Found, Segmenter
from lungaug.stages.train_segmenter import DETECTION_COLUMNS, run
from lungaug.store import Provenance, SliceFile, slice_key
from lungaug.training import loop
from lungaug.training.arm_tables import identity_of, read_tables, seeds_of
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.data import SliceRows
from tiny_training import NETWORK, SETTINGS, Cohort, edit_table, with_training, write_cohort


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Cohort:
    return write_cohort(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def own_cohort(tmp_path: Path) -> Cohort:
    """One that a test may spoil."""
    return write_cohort(tmp_path / "own", sizes=((32, 32),))


def outputs(folder: Path) -> dict[str, bytes]:
    names = ("model.pt", "history.tsv", "predictions.h5")
    return {name: (folder / name).read_bytes() for name in names}


@pytest.fixture(scope="module")
def trained(cohort: Cohort, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    run(**cohort.arguments(folder))
    return folder


def test_predictions_hold_the_held_out_slices(cohort: Cohort, trained: Path) -> None:
    slices = read_table(cohort.slices)
    expected = slices[slices["role"] != "train"].sort_values(["group", "key"])
    with SliceFile(trained / "predictions.h5") as file:
        keys = [slice_key(row) for group in file.groups for row in file.slices(group)]
        assert keys == expected["key"].tolist()
        group = file.groups[0]
        probability = file.image("probability", group, 0)
        assert probability.dtype == np.float16
        assert ((probability >= 0) & (probability <= 1)).all()
        first = expected.iloc[0]
        with SliceFile(cohort.root / first["file"]) as source:
            nodule = source.image("nodule", group, int(first["row"]))
        np.testing.assert_array_equal(file.image("nodule", group, 0), nodule)


def test_the_model_makes_those_predictions(cohort: Cohort, trained: Path) -> None:
    from lungaug.imaging.contrast import network_input
    from lungaug.training.data import collate

    network = factory.load(trained / "model.pt")
    row = read_table(cohort.slices).query("role == 'test'").sort_values(["group", "key"]).iloc[0]
    with SliceFile(cohort.root / row["file"]) as source:
        hu, nodule = (source.image(n, row["group"], int(row["row"])) for n in ("hu", "nodule"))
    with torch.no_grad():
        probability = network.predict(collate([(network_input(hu)[None], nodule)]))[0, 0].numpy()
    with SliceFile(trained / "predictions.h5") as file:
        keys = [slice_key(r) for r in file.slices(row["group"])]
        stored = file.image("probability", row["group"], keys.index(row["key"]))
    np.testing.assert_allclose(stored, probability, atol=2e-3)


def test_detections_are_those_of_the_maps(trained: Path) -> None:
    found = read_table(trained / "detections.tsv")
    assert list(found.columns) == list(DETECTION_COLUMNS)
    with SliceFile(trained / "predictions.h5") as file:
        places = [(group, i) for group in file.groups for i in range(len(file.slices(group)))]
        keys = [slice_key(file.slices(group)[i]) for group, i in places]
        peaks = {
            key: float(file.image("probability", *place).max())
            for key, place in zip(keys, places, strict=True)
        }
    best = found.groupby("key", sort=False)["score"].agg(["first", "max"])
    assert (best["first"] == best["max"]).all()
    wanted = {key: peak for key, peak in peaks.items() if peak > 0.101}
    assert {key: best["max"].get(key) for key in wanted} == pytest.approx(wanted, abs=1e-3)
    assert set(best.index) <= {key for key, peak in peaks.items() if peak > 0.099}
    assert len(best) > 0


def test_cost_counts_what_was_done(trained: Path) -> None:
    cost = read_table(trained / "cost.tsv").iloc[0]
    assert cost["samples"] == 6 * 4
    assert cost["samples_per_second"] == pytest.approx(24 / cost["seconds"], rel=1e-4)
    assert 0 < cost["seconds"] < cost["total_seconds"]
    weights = factory.load(trained / "model.pt").parameters()
    assert cost["n_parameters"] == sum(weight.numel() for weight in weights)
    assert cost["peak_mb"] > 50
    assert cost["device"] == "cpu"
    assert np.isnan(cost["peak_gpu_mb"])


def test_a_network_with_boxes_of_its_own(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    boxes = torch.tensor([[1.0, 2.0, 3.5, 4.0], [5.0, 6.0, 7.0, 8.0]])
    detections = Detections(boxes, torch.tensor([0.25, 0.75]))

    def find(self: Any, batch: Any) -> Found:
        return Found(self.predict(batch), [detections] * len(batch.image))

    monkeypatch.setattr(Segmenter, "find", find)
    run(**cohort.arguments(tmp_path, with_training(steps=2)))
    found = read_table(tmp_path / "detections.tsv")
    rows = found.groupby("key").first()
    assert len(found) == 2 * len(rows) == 2 * 24
    assert rows.drop_duplicates().to_numpy().tolist() == [[5.0, 6.0, 7.0, 8.0, 0.75]]


def test_a_network_that_sees_neighbours(cohort: Cohort, tmp_path: Path) -> None:
    network = replace(NETWORK, neighbours=1)
    settings = replace(with_training(steps=2), network=network)
    run(**cohort.arguments(tmp_path, settings))
    first = next(iter(factory.load(tmp_path / "model.pt").parameters()))
    assert first.shape[1] == 3


def test_history_and_no_checkpoint_are_left(trained: Path) -> None:
    history = read_table(trained / "history.tsv")
    assert history["step"].tolist() == [2, 4, 6]
    assert history["best"].sum() == 1
    assert not list((trained / "checkpoints").iterdir())


def killed(arguments: dict[str, Any], step: int) -> None:
    """Train until a step, and leave a checkpoint."""
    learn = loop._Loop.learn

    def dying(self: Any, batch: Any) -> None:
        if self.progress.step == step:
            raise KeyboardInterrupt
        learn(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop._Loop, "learn", dying)
        with pytest.raises(KeyboardInterrupt):
            run(**arguments)
    assert arguments["checkpoint"].is_file()


@pytest.mark.parametrize("online", ["no", "yes"])
def test_killed_and_started_again_it_writes_the_same_bytes(
    cohort: Cohort, tmp_path: Path, online: str
) -> None:
    run(**cohort.arguments(tmp_path / "whole", online=online))
    arguments = cohort.arguments(tmp_path / "twice", online=online)
    killed(arguments, step=5)
    run(**arguments)
    assert outputs(tmp_path / "whole") == outputs(tmp_path / "twice")


@pytest.mark.parametrize(
    "change",
    [
        {"seed_index": 1},
        {"online": "yes"},
        {"provenance": Provenance("test", "{}", "other code")},
        {"settings": with_training(steps=7)},
        {"weights": "one"},
    ],
)
def test_the_identity_of_a_training(cohort: Cohort, tmp_path: Path, change: Any) -> None:
    def identity(weights: str = "", **changes: Any) -> str:
        given = cohort.arguments(tmp_path, **changes)
        tables = read_tables(given["arm"], given["slices"])
        settings, provenance = given["settings"], given["provenance"]
        provenance = replace(provenance, settings=str(settings))
        training = ["unet", given["seed_index"], given["online"]]
        file = tmp_path / "weights.pt"
        file.write_text(weights)
        return identity_of(tables, cohort.root, provenance, training, file if weights else None)

    assert identity() == identity()
    assert identity() != identity(**change)
    assert identity(weights="one") == identity(weights="one") != identity(weights="two")


def identities(monkeypatch: pytest.MonkeyPatch, *runs: Any) -> list[str]:
    """Those of the checkpoints of some runs, none of which trains."""
    found: list[str] = []

    def stop(self: Checkpoint, path: Path, identity: str) -> None:
        found.append(identity)
        raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "__init__", stop)
    for given in runs:
        with pytest.raises(KeyboardInterrupt):
            run(**given)
    return found


def test_how_it_runs_is_no_part_of_the_identity(
    cohort: Cohort, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = ("{}", '{"workers": 1, "cache_mb": 0, "checkpoint_every": 9, "tensorboard": true}')
    one, other = identities(monkeypatch, *(cohort.arguments(tmp_path, running=way) for way in ways))
    assert one == other


def test_how_it_runs_changes_no_output(cohort: Cohort, trained: Path, tmp_path: Path) -> None:
    run(**cohort.arguments(tmp_path, running='{"cache_mb": 0, "tensorboard": true}'))
    assert outputs(tmp_path) == outputs(trained)
    assert list((tmp_path / "events").iterdir())
    assert not (trained / "events").exists()


def test_other_bytes_in_a_file_of_weights_are_another_training(
    cohort: Cohort, trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "weights.pt"
    settings = replace(SETTINGS, network=replace(NETWORK, weights=str(file)))
    given = cohort.arguments(tmp_path, settings)
    with pytest.raises(InputError, match=r"weights\.pt: no such file"):
        run(**given)
    found = []
    for content in (b"one", b"two"):
        file.write_bytes(content)
        with pytest.MonkeyPatch.context() as patch:
            found += identities(patch, given)
    assert found[0] != found[1]


def test_test_slices_are_opened_only_when_the_model_is_written(
    own_cohort: Cohort, tmp_path: Path
) -> None:
    (own_cohort.root / "unseen.h5").unlink()
    with pytest.raises(FileFormatError, match=r"unseen\.h5: no such file"):
        run(**own_cohort.arguments(tmp_path))
    assert (tmp_path / "model.pt").is_file()
    assert (tmp_path / "history.tsv").is_file()
    assert not (tmp_path / "predictions.h5").exists()


def test_test_pixels_that_changed_are_not_predicted(own_cohort: Cohort, tmp_path: Path) -> None:
    with h5py.File(own_cohort.root / "unseen.h5", "r+") as file:
        file["32x32/hu"][0, 0, 0] += 1
    with pytest.raises(LeakageError, match=r"unseen\.h5: changed since its audit"):
        run(**own_cohort.arguments(tmp_path))
    assert not (tmp_path / "predictions.h5").exists()


def test_test_patients_change_nothing_of_the_model(own_cohort: Cohort, tmp_path: Path) -> None:
    run(**own_cohort.arguments(tmp_path / "before"))
    table = read_table(own_cohort.slices)
    table[table["role"] != "test"].to_csv(own_cohort.slices, sep="\t", index=False)
    own_cohort.audit_again()
    run(**own_cohort.arguments(tmp_path / "after"))
    before, after = outputs(tmp_path / "before"), outputs(tmp_path / "after")
    assert before["model.pt"] == after["model.pt"]
    assert before["history.tsv"] == after["history.tsv"]


def test_equal_seeds_start_every_arm_alike() -> None:
    networks = []
    for _ in range(2):
        torch.manual_seed(seeds_of(0, 1)[0])
        networks.append(factory.build("unet", NETWORK).state_dict())
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    assert seeds_of(0, 0) != seeds_of(0, 1) != seeds_of(1, 0)


def test_a_training_set_without_nodule(own_cohort: Cohort, tmp_path: Path) -> None:
    edit_table(own_cohort.arm, n_nodule_px=0)
    with pytest.raises(InputError, match=r"12 training slices, none with a nodule"):
        run(**own_cohort.arguments(tmp_path))
    assert not list(tmp_path.glob("*.*"))


@pytest.mark.parametrize("outcome", ["failed", "unknown"])
def test_an_audit_that_did_not_pass(own_cohort: Cohort, tmp_path: Path, outcome: str) -> None:
    edit_table(own_cohort.audit, outcome=outcome)
    with pytest.raises(LeakageError, match="checks did not pass; the first: split"):
        run(**own_cohort.arguments(tmp_path))


def test_what_the_audit_did_not_see(own_cohort: Cohort, tmp_path: Path) -> None:
    own_cohort.point_to_test_slices()
    with pytest.raises(LeakageError, match="the audit saw something else"):
        run(**own_cohort.arguments(tmp_path))
    assert not list(tmp_path.glob("*.*"))


def test_no_resume_on_pixels_that_changed(own_cohort: Cohort, tmp_path: Path) -> None:
    """The digest that a slice file holds of itself stays as it was: its bytes count."""
    arguments = own_cohort.arguments(tmp_path)
    killed(arguments, step=5)
    own_cohort.paint_test_pixels()
    with pytest.raises(LeakageError, match=r"seen\.h5: changed since its audit"):
        run(**arguments)


@pytest.mark.parametrize(
    ("column", "value"), [("patient", "e"), ("host", "g/sg/0001"), ("donor", "h/sh/0002")]
)
def test_a_held_out_patient_among_the_training_slices(
    own_cohort: Cohort, tmp_path: Path, column: str, value: str
) -> None:
    edit_table(own_cohort.arm, **{column: value})
    with pytest.raises(LeakageError, match=f"holds pixels of {value[0]}"):
        run(**own_cohort.arguments(tmp_path))


def test_validation_without_a_nodule(
    own_cohort: Cohort, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    everything = SliceRows.nodule

    def nodule(self: SliceRows, index: int) -> Any:
        return everything(self, index) * (self.patients[index] not in "ef")

    with pytest.MonkeyPatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(SliceRows, "nodule", nodule)
        run(**own_cohort.arguments(tmp_path))
    history = read_table(tmp_path / "history.tsv")
    assert history["validation_dice"].isna().all()
    assert history.loc[history["best"] == 1, "step"].tolist() == [
        history.loc[history["validation_loss"].idxmin(), "step"]
    ]
    assert caplog.text.count("no validation slice has a nodule") == 1


def test_no_validation_patients(own_cohort: Cohort, tmp_path: Path) -> None:
    table = read_table(own_cohort.slices)
    table[table["role"] != "validation"].to_csv(own_cohort.slices, sep="\t", index=False)
    own_cohort.audit_again()
    with pytest.raises(InputError, match="select: last"):
        run(**own_cohort.arguments(tmp_path))
    with pytest.raises(InputError, match="patience is 2; add patients"):
        run(**own_cohort.arguments(tmp_path, with_training(select="last", patience=2)))
    run(**own_cohort.arguments(tmp_path, with_training(select="last", steps=2)))
    assert read_table(tmp_path / "history.tsv")["best"].tolist() == [1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmenter": "unett"}, "segmenter: got 'unett'"),
        ({"online": "maybe"}, "online: got 'maybe'; accepted: yes, no"),
        ({"device": "tpu"}, "device: got 'tpu'"),
        ({"running": '{"workers": "two"}'}, "running.workers: got 'two'"),
        ({"settings": with_training(nodes=2)}, "nodes: got 2, which needs 2 processes"),
        ({"settings": with_training(precision="16-mixed")}, "'16-mixed', which needs a GPU"),
        ({"settings": replace(SETTINGS, network=replace(NETWORK, encoder="vgg12"))}, "vgg11"),
    ],
)
def test_wrong_arguments(cohort: Cohort, tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        run(**cohort.arguments(tmp_path, **change))


def test_settings_are_read_without_torch() -> None:
    program = (
        "import sys\n"
        "import lungaug.stages.train_segmenter\n"
        "heavy = {'torch', 'lightning_fabric', 'segmentation_models_pytorch', 'pandas'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or 0)\n"
    )
    paths = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=paths, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
