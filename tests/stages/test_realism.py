"""realism: from slice files to the tables."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from lungaug.cohort import SLICE_COLUMNS, write_table
from lungaug.crops import Crops, equivalent_diameter_mm, write_crops
from lungaug.errors import InputError
from lungaug.evaluation.realism.compare import CopySettings, RimSettings
from lungaug.evaluation.realism.rows import COLUMNS
from lungaug.imaging.crop import CropSettings, cut
from lungaug.segmenters import factory
from lungaug.stages import realism, realism_tables
from lungaug.stages.realism import PAIR_COLUMNS, Settings, run
from lungaug.store import SliceWriter, empty_slices, pack_parameters, slice_key
from lungaug.training.checkpoint import save_tensors
from small_cohort import MADE_BY
from tiny_training import NETWORK

SETTINGS = Settings(
    n_nodules=40,
    n_resamples=100,
    n_pairs=20,
    copies=CopySettings(turns=4, n_closest=3),
    rim=RimSettings(n_repeats=2, n_permutations=20),
)
SPACING = (0.7, 0.7)
SIDE = 48


def lung(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(-850, 30, (SIDE, SIDE)).astype(np.int16)


def disc(rng: np.random.Generator) -> np.ndarray:
    rows, cols = np.mgrid[:SIDE, :SIDE]
    row, col = rng.uniform(16, 32, 2)
    return np.hypot(rows - row, (cols - col) * rng.uniform(0.7, 1.4)) < rng.uniform(3, 6)


@dataclass
class Results:
    """A cohort's results: real slices, hosts, crops, a model, and generated files."""

    root: Path
    patients: dict[str, str]
    crops: list[dict[str, Any]]

    def arguments(self, output: Path, **changes: Any) -> dict[str, Any]:
        fold = self.root / "fixed"
        return {
            "fold": "fixed",
            "generator": "copypaste",
            "rois": fold / "rois.h5",
            "patches": fold / "generators/copypaste/patches.h5",
            "inserted": fold / "inserted/copypaste.h5",
            "published": fold / "inserted/copypaste.published.h5",
            "slices": fold / "slices.tsv",
            "preprocess": [self.root / "preprocess/b00.h5"],
            "model": fold / "model.pt",
            "root": self.root,
            "output": output / "copypaste.tsv",
            "pairs": output / "copypaste.pairs.tsv",
            "settings": SETTINGS,
            "provenance": MADE_BY,
            **changes,
        }


def build(root: Path, n_train: int = 6, n_held_out: int = 6) -> Results:
    """Patients with two nodule slices and one host slice each; insertions of copied nodules."""
    rng = np.random.default_rng(0)
    names = [f"t{i}" for i in range(n_train)] + [f"v{i}" for i in range(n_held_out)]
    results = Results(root, {n: "train" if n[0] == "t" else "test" for n in names}, [])
    hosts = _write_real(results, rng)
    _write_crops(results, rng)
    for published in (False, True):
        _write_inserted(results, hosts, published, rng)
    torch.manual_seed(0)
    weights = factory.build("unet", NETWORK).state_dict()
    save_tensors(root / "fixed/model.pt", {**factory.describe("unet", NETWORK), "weights": weights})
    return results


def _write_real(results: Results, rng: np.random.Generator) -> list[tuple[np.void, np.ndarray]]:
    hosts, listed = [], []
    with SliceWriter(results.root / "preprocess/b00.h5", MADE_BY) as writer:
        for patient, role in results.patients.items():
            slices = empty_slices(3)
            slices["patient"], slices["series"] = patient.encode(), b"s0"
            slices["index"], slices["spacing_mm"] = range(3), SPACING
            hu, nodule = (
                np.stack([lung(rng) for _ in range(3)]),
                np.zeros((3, SIDE, SIDE), np.uint8),
            )
            for i in (0, 1):
                nodule[i] = disc(rng)
                hu[i][nodule[i] > 0] = rng.normal(0, 60, np.count_nonzero(nodule[i]))
                if role == "train":
                    crop = cut(hu[i], nodule[i], 1, SPACING)
                    key = slice_key(slices[i])
                    results.crops.append({"crop": crop, "patient": patient, "donor": key})
            for i in range(3):
                row = {c: "" for c in SLICE_COLUMNS} | {"role": role, "row": len(listed)}
                row |= {"file": "preprocess/b00.h5", "group": f"{SIDE}x{SIDE}", "patient": patient}
                row |= {"key": slice_key(slices[i]), "n_nodule_px": np.count_nonzero(nodule[i])}
                listed.append(row)
            if role == "train":
                hosts.append((slices[2].copy(), hu[2]))
            writer.append(slices, hu=hu, nodule=nodule, lung=np.ones_like(nodule))
    write_table(results.root / "fixed/slices.tsv", pd.DataFrame(listed)[list(SLICE_COLUMNS)])
    return hosts


def _write_crops(results: Results, rng: np.random.Generator) -> None:
    rows = results.crops
    columns = {
        "patient": np.array([r["patient"] for r in rows]),
        "donor": np.array([r["donor"] for r in rows]),
        "label": np.ones(len(rows), np.int64),
        "diameter_mm": np.array([r["crop"].diameter_mm for r in rows], np.float32),
        "kind": np.array([r["crop"].kind for r in rows]),
        "lung_rads": np.array(["LR2"] * len(rows)),
        "spacing_mm": np.array([r["crop"].spacing_mm for r in rows], np.float32),
        "pose": np.array([""] * len(rows)),
        "origin": np.array(["cut:scaled"] * len(rows)),
        "hu": np.stack([r["crop"].hu for r in rows]),
        "mask": np.stack([r["crop"].mask for r in rows]),
    }
    write_crops(results.root / "fixed/rois.h5", Crops(**columns), MADE_BY)
    flipped = {name: np.ascontiguousarray(columns[name][:, :, ::-1]) for name in ("hu", "mask")}
    path = results.root / "fixed/generators/copypaste/patches.h5"
    write_crops(path, Crops(**{**columns, **flipped}), MADE_BY)


def _write_inserted(
    results: Results,
    hosts: list[tuple[np.void, np.ndarray]],
    published: bool,
    rng: np.random.Generator,
) -> None:
    name = "copypaste.published.h5" if published else "copypaste.h5"
    with SliceWriter(results.root / "fixed/inserted" / name, MADE_BY) as writer:
        for i, roi in enumerate(results.crops):
            fields, host = hosts[i % len(hosts)]
            fields, hu, mask = fields.copy(), host.copy(), disc(rng)
            hu[mask] = 1 if published else rng.normal(0, 60, np.count_nonzero(mask))
            donor = "" if published else roi["donor"]
            record = {"nodules": [{"patch": i, "donor": donor, "source": roi["donor"]}]}
            fields["origin"], fields["host"] = b"inserted:copypaste", slice_key(fields).encode()
            fields["parameters"] = pack_parameters(record)
            fields["diameter_mm"] = equivalent_diameter_mm(mask, SPACING)
            writer.append(np.array([fields]), hu=hu[None], nodule=mask[None].astype(np.uint8))


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    return build(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="module")
def made(results: Results, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("realism")
    run(**results.arguments(folder))
    return folder


def table_of(path: Path) -> pd.DataFrame:
    return pd.read_csv(path, sep="\t", keep_default_na=False)


def value(table: pd.DataFrame, variant: str, metric: str, space: str, column: str = "value") -> Any:
    found = table[
        (table["variant"] == variant) & (table["metric"] == metric) & (table["space"] == space)
    ]
    assert len(found) == 1
    cell = found[column].iloc[0]
    return cell if column in ("within", "note") else float("nan" if cell == "" else cell)


def main_of(folder: Path) -> pd.DataFrame:
    """The main table of the one generator."""
    realism_tables.run(
        realism=[folder / "copypaste.tsv"],
        output=folder / "tables",
        settings=realism_tables.Settings(),
        provenance=MADE_BY,
    )
    return table_of(folder / "tables/realism_main.tsv")


def test_every_measure_has_a_row_a_variant(made: Path) -> None:
    table = table_of(made / "copypaste.tsv")
    assert list(table.columns) == list(COLUMNS)
    measures = {(m, s) for m, s in zip(table["metric"], table["space"], strict=True)}
    assert measures == {
        *((m, s) for m in ("ks", "wasserstein") for s in ("pixels", "mean", "sd")),
        ("frechet", "texture"),
        *(("kid", s) for s in ("texture", "encoder")),
        *((m, "patches") for m in ("ms_ssim", "copy_rate", "nearest_distance")),
        *(("rim_auc", s) for s in ("ring", "ring_free")),
        ("changed_outside", "slices"),
    }
    missing = table[(table["value"] == "") | (table["low"] == "")]
    assert (missing["note"] != "").all()


def test_what_is_found_is_true_of_these_files(made: Path) -> None:
    table = table_of(made / "copypaste.tsv")
    for space in ("pixels", "mean", "sd"):
        assert value(table, "tissue", "ks", space, "within") == "too few"
        assert value(table, "tissue", "ks", space, "power") < 0.8
        assert value(table, "published", "ks", space, "within") == "no"
    assert value(table, "published", "frechet", "texture") > value(
        table, "tissue", "frechet", "texture"
    )
    assert value(table, "patches", "copy_rate", "patches") == 1
    assert value(table, "tissue", "changed_outside", "slices") == 0
    assert value(table, "tissue", "ks", "pixels", "n") == 12
    assert value(table, "tissue", "ks", "pixels", "n_held_out") == 12
    assert value(table, "real", "rim_auc", "ring", "n_held_out") == 12
    assert value(table, "patches", "copy_rate", "patches", "n_held_out") == 12


def test_intervals_surround_their_estimates(made: Path) -> None:
    table = table_of(made / "copypaste.tsv")
    for low, number, high in (("low", "value", "high"), ("ratio_low", "ratio", "ratio_high")):
        known = table[(table[low] != "") & (table["metric"] != "rim_auc")]
        a, b, c = (known[name].astype(float) for name in (low, number, high))
        assert len(known) > 0
        assert ((a <= b) & (b <= c)).all()


def test_only_insertions_are_judged(made: Path) -> None:
    table = table_of(made / "copypaste.tsv")
    assert (table[table["variant"] == "real"]["within"] == "").all()
    rims = table[(table["metric"] == "rim_auc") & (table["space"] == "ring")]
    assert (rims[rims["variant"] != "real"]["within"] != "").all()
    assert rims["note"].str.contains(r"; \d+ judgements in all cuts together").all()


def test_the_closest_pairs_are_the_copies(made: Path, results: Results) -> None:
    pairs = table_of(made / "copypaste.pairs.tsv")
    assert tuple(pairs.columns) == PAIR_COLUMNS
    assert len(pairs) == 3
    assert (pairs["patch"] == pairs["roi"]).all()
    assert (pairs["copy"] == "yes").all()
    assert pairs["roi_key"].tolist() == [results.crops[i]["donor"] for i in pairs["roi"]]


def test_the_same_bytes_again(results: Results, made: Path, tmp_path: Path) -> None:
    run(**results.arguments(tmp_path))
    for name in ("copypaste.tsv", "copypaste.pairs.tsv"):
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes()


def test_two_patients_a_side_give_values_without_intervals(tmp_path: Path) -> None:
    results = build(tmp_path / "few", n_train=2, n_held_out=2)
    run(**results.arguments(tmp_path))
    table = table_of(tmp_path / "copypaste.tsv")
    assert np.isfinite(value(table, "tissue", "ks", "pixels"))
    assert (table["low"] == "").all()
    assert (table["within"] == "").all()
    assert (table["split_high"] == "").all()
    assert table["note"].str.contains("no interval").sum() > 10
    assert np.isnan(value(table, "patches", "copy_rate", "patches"))


def test_nothing_was_inserted_the_published_way(results: Results, tmp_path: Path) -> None:
    with SliceWriter(results.root / "fixed/inserted/none.h5", MADE_BY):
        pass
    run(**results.arguments(tmp_path, published=results.root / "fixed/inserted/none.h5"))
    table = table_of(tmp_path / "copypaste.tsv")
    rows = table[(table["variant"] == "published") & (table["metric"] == "ks")]
    assert (rows["value"] == "").all()
    assert rows["note"].str.contains("no value: no usable nodule inserted").all()


NO_REAL = {"train": "of training patients", "test": "of held-out patients"}


@pytest.mark.parametrize("role", ["train", "test"])
def test_no_real_nodule_to_compare_with_leaves_rows_that_say_so(
    results: Results, tmp_path: Path, role: str
) -> None:
    table = pd.read_csv(results.root / "fixed/slices.tsv", sep="\t")
    table.loc[table["role"] == role, "n_nodule_px"] = 0
    path = tmp_path / "slices.tsv"
    table.to_csv(path, sep="\t", index=False)
    run(**results.arguments(tmp_path, slices=path))
    found = table_of(tmp_path / "copypaste.tsv")
    real = found[(found["variant"] == "real") & (found["metric"].isin(["ks", "frechet", "kid"]))]
    assert (real["value"] == "").all()
    assert real["note"].str.contains(f"no value: no usable nodule {NO_REAL[role]}").all()
    assert (found[found["metric"] == "ks"]["within"] == "").all()
    assert np.isfinite(value(found, "tissue", "ks", "pixels")) == (role == "train")
    main = main_of(tmp_path)
    assert main["KS pixels"].iloc[0] == "–"
    assert main["nodules"].iloc[0] == ("0 / 12" if role == "train" else "12 / 0")


def test_no_held_out_nodule_gives_no_copies(results: Results, tmp_path: Path) -> None:
    table = pd.read_csv(results.root / "fixed/slices.tsv", sep="\t")
    table.loc[table["role"] == "test", "n_nodule_px"] = 0
    table.to_csv(tmp_path / "slices.tsv", sep="\t", index=False)
    run(**results.arguments(tmp_path, slices=tmp_path / "slices.tsv"))
    found = table_of(tmp_path / "copypaste.tsv")
    assert np.isnan(value(found, "patches", "copy_rate", "patches"))
    note = value(found, "patches", "copy_rate", "patches", "note")
    assert note.startswith("no value: nodules of 0 held-out patients, 5 needed")
    assert (table_of(tmp_path / "copypaste.pairs.tsv")["copy"] == "").all()


def test_nothing_inserted_at_all(results: Results, tmp_path: Path) -> None:
    empty = results.root / "fixed/inserted/nothing.h5"
    with SliceWriter(empty, MADE_BY):
        pass
    run(**results.arguments(tmp_path, published=empty, inserted=empty))
    found = table_of(tmp_path / "copypaste.tsv")
    rows = found[found["variant"].isin(["tissue", "published"])]
    assert (rows["value"] == "").all()
    assert (rows["within"] == "").all()
    assert rows["note"].str.contains("no value: ").all()
    assert np.isfinite(value(found, "real", "ks", "pixels"))
    main = main_of(tmp_path)
    assert main["KS pixels"].tolist()[1:] == ["–", "–"]
    assert main["changed outside"].tolist()[1:] == ["–", "–"]


def test_nothing_that_can_be_cut(results: Results, tmp_path: Path) -> None:
    narrow = replace(SETTINGS, crop=CropSettings(fov_mm=1.0))
    run(**results.arguments(tmp_path, settings=narrow))
    found = table_of(tmp_path / "copypaste.tsv")
    frechet = found[found["metric"] == "frechet"]
    assert (frechet["value"] == "").all()
    assert (
        frechet["note"].str.contains("nodules of all sets have no crop; no value: no usable").all()
    )
    assert np.isfinite(value(found, "tissue", "ks", "pixels"))
    main_of(tmp_path)


def test_a_model_without_an_encoder(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(factory, "load", lambda _: torch.nn.Linear(1, 1))
    with pytest.raises(InputError, match=r"model\.pt: a segmenter without an encoder"):
        run(**results.arguments(tmp_path))


def test_inception_only_where_its_weights_are_given(
    results: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def features(weights: Path, hu: np.ndarray) -> np.ndarray:
        assert weights == Path("weights.pt")
        return hu[:, ::16, ::16].reshape(len(hu), -1) / 1000

    monkeypatch.setattr("lungaug.evaluation.realism.encoder.inception_features", features)
    settings = replace(SETTINGS, inception_weights="weights.pt")
    run(**results.arguments(tmp_path, settings=settings))
    assert np.isfinite(value(table_of(tmp_path / "copypaste.tsv"), "tissue", "kid", "inception"))


def test_the_tables_of_all_generators(made: Path, tmp_path: Path) -> None:
    realism_tables.run(
        realism=[made / "copypaste.tsv"],
        output=tmp_path,
        settings=realism_tables.Settings(),
        provenance=MADE_BY,
    )
    names = ["realism.tsv", "realism_main.md", "realism_main.tex", "realism_main.tsv"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    main = table_of(tmp_path / "realism_main.tsv")
    assert main["variant"].tolist() == ["", "tissue", "published"]
    assert main["KS pixels"].str.contains(", too few").tolist() == [False, True, False]


@pytest.mark.parametrize(
    ("module", "heavy"),
    [
        (realism, {"torch", "segmentation_models_pytorch", "pandas"}),
        (realism_tables, {"torch", "skimage", "scipy", "cv2"}),
    ],
)
def test_stages_start_without_heavy_imports(module: Any, heavy: set[str]) -> None:
    code = f"import sys, {module.__name__}\nprint(sorted({heavy!r} & set(sys.modules)))"
    paths = {"PYTHONPATH": str(Path(realism.__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=paths
    )
    assert done.stdout.strip() == "[]"
