"""The stage: what it writes, what it refuses, and that it goes on where it stopped."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from audited import write_audit
from generators.small_crops import TINY, blobs
from lungaug.crops import Crops, write_crops
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.evaluation.cost import cost_table, read_costs, shown
from lungaug.evaluation.seen import slice_file_digests
from lungaug.generators import dcgan, factory
from lungaug.generators.conditions import Seen
from lungaug.settings import as_mapping, from_mapping
from lungaug.stages.train_generator import Settings, run, write_history
from lungaug.store import Provenance, SliceFile

SETTINGS = from_mapping(
    Settings,
    {
        "dcgan": {
            "latent": 4,
            "width": 4,
            "min_nodules": 10,
            "budget": {"steps": 6, "batch_size": 4, "log_every": 2, "checkpoint_every": 2},
        }
    },
)


def arguments(
    folder: Path, crops: Crops | None = None, outcome: str = "passed", **changes: Any
) -> Any:
    """Arguments of ``run``, with its inputs written."""
    rois, audit = folder / "fixed" / "rois.h5", folder / "audit.tsv"
    write_crops(rois, blobs(20) if crops is None else crops, Provenance("rois", "{}", "c"))
    write_audit(audit, "fixed", slice_file_digests(["fixed/rois.h5"], folder))
    if outcome != "passed":
        audit.write_text(audit.read_text().replace("passed", outcome, 1))
    settings = changes.pop("settings", SETTINGS)
    return {
        "rois": rois,
        "audit": audit,
        "generator": "dcgan",
        "device": "cpu",
        "model": folder / "out" / "model.pt",
        "history": folder / "out" / "history.tsv",
        "sheets": folder / "out" / "sheets",
        "cost": folder / "cost.tsv",
        "checkpoint": folder / "checkpoints" / "fixed.dcgan.pt",
        "settings": settings,
        "provenance": Provenance("train_generator", json.dumps(as_mapping(settings)), "code"),
        **changes,
    }


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    run(**arguments(folder))
    return folder


def test_model_history_and_sheets_are_written_and_the_checkpoint_is_gone(made: Path) -> None:
    names = {"model.pt", "history.tsv", "sheets/real.png", "sheets/final.png"}
    assert names < files_of(made / "out").keys()
    assert list((made / "checkpoints").iterdir()) == []
    loaded = factory.load(made / "out" / "model.pt")
    assert loaded.name == "dcgan"
    assert len(loaded.generator.sample(blobs(20), seed=0)) == 20


def test_the_model_names_the_crops_that_it_was_fitted_to(made: Path, tmp_path: Path) -> None:
    with SliceFile(made / "fixed" / "rois.h5") as file:
        assert factory.load(made / "out" / "model.pt").rois == file.content_digest
    given = arguments(tmp_path, crops=blobs(20, seed=1), generator="gaussian")
    run(**given)
    with SliceFile(given["rois"]) as file:
        assert factory.load(given["model"]).rois == file.content_digest
    assert factory.load(given["model"]).rois != factory.load(made / "out" / "model.pt").rois


def test_history_has_its_columns_in_order(made: Path) -> None:
    with (made / "out" / "history.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    assert [row["step"] for row in rows] == ["2", "4", "6"]
    assert list(rows[0])[:4] == ["phase", "step", "epoch", "loss_d"]
    assert list(rows[0])[-1] == "note"


def test_phases_with_other_columns_share_a_history(tmp_path: Path) -> None:
    rows = [
        {"phase": "a", "step": 1, "epoch": 0.5, "mse": 0.25, "note": "x"},
        {"phase": "b", "step": 1, "epoch": 0.5, "nll": 1e-9},
    ]
    write_history(tmp_path / "history.tsv", rows)
    assert (tmp_path / "history.tsv").read_text() == (
        "phase\tstep\tepoch\tmse\tnll\tnote\na\t1\t0.5\t0.25\t\tx\nb\t1\t0.5\t\t1e-09\t\n"
    )


@pytest.mark.parametrize("generator", factory.GENERATORS[2:])
def test_generators_that_learn_no_network_are_fitted_too(tmp_path: Path, generator: str) -> None:
    run(**arguments(tmp_path, generator=generator))
    assert factory.load(tmp_path / "out" / "model.pt").name == generator
    assert (tmp_path / "out" / "history.tsv").read_text().startswith("phase\tstep\tepoch")
    assert (tmp_path / "out" / "sheets" / "final.png").is_file()
    cost = cost_of(tmp_path)
    assert cost[["steps", "samples", "seconds", "n_parameters"]].tolist() == [0, 0, 0, 0]
    assert cost["peak_mb"] > 50


def test_equal_runs_write_equal_bytes(made: Path, tmp_path: Path) -> None:
    run(**arguments(tmp_path))
    assert files_of(tmp_path / "out") == files_of(made / "out")


def interrupted(monkeypatch: pytest.MonkeyPatch, stop: int, **arguments_of_run: Any) -> int:
    """Run until a step of the learner; how many were made."""
    learn, steps = dcgan._Learner.learn, []

    def counted(self: Any, index: Any, step: int) -> Any:
        if step == stop:
            raise KeyboardInterrupt
        steps.append(step)
        return learn(self, index, step)

    with monkeypatch.context() as patch:
        patch.setattr(dcgan._Learner, "learn", counted)
        if stop >= 0:
            with pytest.raises(KeyboardInterrupt):
                run(**arguments_of_run)
        else:
            run(**arguments_of_run)
    return len(steps)


def cost_of(folder: Path) -> Any:
    return read_costs([folder / "cost.tsv"]).iloc[0]


def test_cost_is_that_of_a_generator(made: Path) -> None:
    cost = cost_of(made)
    assert cost[["fold", "arm", "segmenter", "seed"]].tolist() == ["fixed", "generator", "dcgan", 0]
    assert (cost["steps"], cost["samples"]) == (6, 6 * 4)
    assert cost["seconds"] > 0
    crops = blobs(20)
    seen = Seen.of(crops, SETTINGS.dcgan.min_nodules)
    networks = [kind(SETTINGS.dcgan, seen, 32) for kind in (dcgan.Drawer, dcgan.Judge)]
    weights = [weight for network in networks for weight in network.parameters()]
    assert cost["n_parameters"] == sum(weight.numel() for weight in weights)
    assert list(shown(cost_table(read_costs([made / "cost.tsv"])))["arm"]) == ["generator"]


def test_both_phases_of_a_vqvae_cost(tmp_path: Path) -> None:
    run(**arguments(tmp_path, settings=replace(SETTINGS, vqvae=TINY.vqvae), generator="vqvae"))
    cost = cost_of(tmp_path)
    assert (cost["steps"], cost["samples"]) == (2 + 2, 4 * 4)
    fitted = factory.load(tmp_path / "out" / "model.pt").generator._whole()
    weights = [*fitted.autoencoder.parameters(), *fitted.prior.parameters()]
    assert cost["n_parameters"] == sum(weight.numel() for weight in weights)


def test_an_interrupted_fit_goes_on_and_ends_the_same(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(monkeypatch, 5, **arguments(tmp_path))
    assert not (tmp_path / "out" / "model.pt").exists()
    assert interrupted(monkeypatch, -1, **arguments(tmp_path)) == 2
    assert cost_of(tmp_path)["steps"] == 6
    for name in ("model.pt", "history.tsv", "sheets/final.png"):
        assert (tmp_path / "out" / name).read_bytes() == (made / "out" / name).read_bytes()


def test_a_checkpoint_of_other_crops_or_settings_is_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for change in ({"crops": blobs(20, seed=1)}, {"settings": replace(SETTINGS, seed=1)}):
        interrupted(monkeypatch, 5, **arguments(tmp_path))
        assert interrupted(monkeypatch, -1, **arguments(tmp_path, **change)) == 6


def test_a_failed_audit_stops_it(tmp_path: Path) -> None:
    with pytest.raises(LeakageError, match="split, fixed: failed"):
        run(**arguments(tmp_path, outcome="failed"))


def test_crops_that_the_audit_did_not_see(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    write_audit(given["audit"], "cv0", slice_file_digests(["fixed/rois.h5"], tmp_path))
    with pytest.raises(LeakageError, match="not a whole audit of fold 'fixed'"):
        run(**given)
    write_audit(given["audit"], "fixed", {})
    with pytest.raises(LeakageError, match=r"fixed/rois\.h5: not among what was audited"):
        run(**given)


def test_no_resume_on_crops_that_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their own digest stays as it was where pixels are changed in place."""
    given = arguments(tmp_path)
    interrupted(monkeypatch, 5, **given)
    with h5py.File(given["rois"], "r+") as file:
        (group,) = file.values()
        group["hu"][0] = group["hu"][1]
    with pytest.raises(LeakageError, match=r"fixed/rois\.h5: changed since its audit"):
        run(**given)


def test_no_crops_stop_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"rois\.h5: no crops"):
        run(**arguments(tmp_path, crops=blobs(1).take(np.zeros(0, np.int64))))


def test_a_truncated_file_of_crops_stops_it(tmp_path: Path) -> None:
    given = arguments(tmp_path)
    given["rois"].write_bytes(given["rois"].read_bytes()[:1000])
    with pytest.raises(FileFormatError, match="snakemake --force"):
        run(**given)


def test_generated_crops_and_crops_without_a_nodule_are_refused(tmp_path: Path) -> None:
    crops = blobs(6)
    made = replace(crops, origin=np.where(np.arange(6) == 4, "generated:dcgan", crops.origin))
    with pytest.raises(InputError, match=r"crop 4 \(generated:dcgan .*not cut"):
        run(**arguments(tmp_path, crops=made))
    crops.mask[2] = False
    with pytest.raises(InputError, match=r"crop 2 .*has no nodule"):
        run(**arguments(tmp_path, crops=crops))


def test_crops_of_unknown_spacing_are_refused_where_their_size_is_needed(tmp_path: Path) -> None:
    crops = blobs(12)
    crops.diameter_mm[3] = np.nan
    with pytest.raises(InputError, match=r"crop 3 .*diameter nan"):
        run(**arguments(tmp_path, crops=crops))
    with pytest.raises(InputError, match=r"crop 3 .*diameter nan"):
        run(**arguments(tmp_path, crops=crops, generator="copypaste"))
    unknown = replace(blobs(12), spacing_mm=np.full((12, 2), np.nan, np.float32))
    run(**arguments(tmp_path, crops=unknown))


@pytest.mark.parametrize(("name", "value"), [("generator", "gan"), ("device", "tpu")])
def test_unknown_names_are_refused(tmp_path: Path, name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"{name}: got '{value}'"):
        run(**arguments(tmp_path, **{name: value}))


def test_the_stage_starts_without_torch() -> None:
    code = "import sys, lungaug.stages.train_generator; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
