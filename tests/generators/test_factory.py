"""Generators by name, saved and loaded whole; a file that is none says how to rebuild it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from generators.small_crops import TINY, blobs, circumstances
from lungaug.errors import FileFormatError, SettingError
from lungaug.generators import factory

CROPS = blobs(20)
ROIS = "d1" * 32


@pytest.mark.parametrize("name", factory.GENERATORS)
def test_a_generator_is_saved_and_loaded_whole(tmp_path: Path, name: str) -> None:
    generator = factory.build(name, TINY)
    generator.fit(CROPS, circumstances())
    path = tmp_path / "model.pt"
    factory.save(path, name, generator, ROIS)
    loaded = factory.load(path)
    assert (loaded.name, loaded.rois) == (name, ROIS)
    expected, samples = (g.sample(CROPS, seed=5) for g in (generator, loaded.generator))
    assert samples.hu.tobytes() == expected.hu.tobytes()
    assert samples.mask.tobytes() == expected.mask.tobytes()
    assert np.array_equal(samples.donor, expected.donor)
    before = path.read_bytes()
    factory.save(path, name, loaded.generator, ROIS)
    assert path.read_bytes() == before


def test_an_unknown_name_lists_those_like_it() -> None:
    with pytest.raises(SettingError, match="got 'dcgam'; accepted: dcgan"):
        factory.build("dcgam", TINY)


def saved(folder: Path, name: str) -> Path:
    generator = factory.build(name, TINY)
    generator.fit(CROPS, circumstances())
    factory.save(folder / "model.pt", name, generator, ROIS)
    return folder / "model.pt"


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return saved(tmp_path, "dcgan")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_says_how_to_rebuild_it(model: Path, share: float) -> None:
    whole = model.read_bytes()
    model.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FileFormatError, match=rf"{model}.*snakemake --force {model}"):
        factory.load(model)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"generator_version": 99}, "not a generator of version 2"),
        ({"generator_version": 1}, "not a generator of version 2"),
        ({"generator": "dcgam"}, "generator 'dcgam'; accepted: vqvae, dcgan"),
        ({"generator": 3}, "generator 3; accepted: vqvae, dcgan"),
        ({"generator": None}, "generator None; accepted"),
        ({"rois": None}, "fitted to crops None; accepted"),
        ({"state": None}, "not a dcgan that this version wrote"),
        ({"state": {}}, "not a dcgan that this version wrote"),
        ({"state": {"settings": {"new": 1}}}, "new: unknown setting"),
    ],
)
def test_a_file_of_another_version_is_refused(
    model: Path, change: dict[str, object], words: str
) -> None:
    torch.save({**torch.load(model, weights_only=True), **change}, model)
    with pytest.raises(FileFormatError, match=rf"{words}.*snakemake --force"):
        factory.load(model)


@pytest.mark.parametrize("key", ["generator_version", "generator", "rois", "state"])
def test_a_file_without_one_of_its_parts_is_refused(model: Path, key: str) -> None:
    stored = torch.load(model, weights_only=True)
    del stored[key]
    torch.save(stored, model)
    with pytest.raises(FileFormatError, match=rf"{model}.*snakemake --force {model}"):
        factory.load(model)


@pytest.mark.parametrize("name", factory.GENERATORS)
@pytest.mark.parametrize("value", [None, 5, "text", [1, 2, 3], {}, {"a": 1}])
def test_no_part_of_a_state_may_be_of_another_type(
    tmp_path: Path, name: str, value: object
) -> None:
    path = saved(tmp_path, name)
    whole = torch.load(path, weights_only=True)
    for part in whole["state"].keys() - {"settings"}:
        torch.save({**whole, "state": {**whole["state"], part: value}}, path)
        with pytest.raises(FileFormatError, match=rf"{path}: (.|\n)*snakemake --force {path}"):
            factory.load(path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("kind", ["solid"]),
        ("kind", "solid"),
        ("label", torch.ones(3)),
        ("diameter_mm", torch.full((20,), torch.nan)),
        ("hu", None),
    ],
)
def test_crops_that_do_not_belong_together_are_refused(
    tmp_path: Path, field: str, value: object
) -> None:
    path = saved(tmp_path, "copypaste")
    stored = torch.load(path, weights_only=True)
    stored["state"]["crops"][field] = value
    torch.save(stored, path)
    with pytest.raises(FileFormatError, match=f"not a copypaste .*snakemake --force {path}"):
        factory.load(path)


def test_weights_of_another_network_are_refused(model: Path) -> None:
    stored = torch.load(model, weights_only=True)
    stored["state"]["settings"]["width"] = 8
    torch.save(stored, model)
    with pytest.raises(FileFormatError, match=r"size mismatch(.|\n)*snakemake --force"):
        factory.load(model)


@pytest.mark.parametrize("content", [b"", b"text\n", b"\x80\x02K\x01."])
def test_a_foreign_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.pt"
    path.write_bytes(content)
    with pytest.raises(FileFormatError, match="snakemake --force"):
        factory.load(path)
    torch.save([1, 2], path)
    with pytest.raises(FileFormatError, match="not a generator of version"):
        factory.load(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileFormatError, match="snakemake --force"):
        factory.load(tmp_path / "none.pt")


def test_settings_and_names_cost_no_torch() -> None:
    code = "import sys, lungaug.generators.factory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
