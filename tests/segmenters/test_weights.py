"""Weights from files: what fits is taken over, what does not is named."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lungaug.errors import InputError, SettingError
from lungaug.segmenters import factory
from lungaug.segmenters.protocol import Segmenter
from segmenters.shared import NETWORKS, PLAIN, SMALL, nodules


def built(seed: int, which: str = "unet", **changes: Any) -> Segmenter:
    torch.manual_seed(seed)
    return factory.build(which.partition(",")[0], replace(NETWORKS[which], **changes))


def saved(path: Path, state: Mapping[str, Tensor]) -> str:
    torch.save(dict(state), path)
    return str(path)


def encoder_of(segmenter: Segmenter) -> dict[str, Tensor]:
    return segmenter.get_submodule("network.encoder").state_dict()


@pytest.mark.parametrize("which", NETWORKS)
def test_a_whole_network_starts_warm(which: str, tmp_path: Path) -> None:
    before = built(1, which)
    weights = saved(tmp_path / "network.pt", before.state_dict())
    batch = nodules(1, 64, 64)
    after = built(2, which, weights=weights).eval().predict(batch)
    assert torch.equal(after, before.eval().predict(batch))


def test_a_model_of_this_package_starts_another(tmp_path: Path) -> None:
    before = built(1)
    stored = {**factory.describe("unet", SMALL), "weights": before.state_dict()}
    torch.save(stored, tmp_path / "model.pt")
    after = built(2, weights=str(tmp_path / "model.pt"))
    for key, value in after.state_dict().items():
        assert torch.equal(value, before.state_dict()[key]), key


@pytest.mark.parametrize("which", ["unet", "unet, plain", "unetplusplus", "deeplabv3", "segformer"])
def test_an_encoder_alone_leaves_the_decoder_as_it_was(which: str, tmp_path: Path) -> None:
    encoder = encoder_of(built(1, which))
    after = built(2, which, weights=saved(tmp_path / "encoder.pt", encoder)).state_dict()
    fresh = built(2, which).state_dict()
    for key, value in after.items():
        in_encoder = key.startswith("network.encoder.")
        expected = encoder[key.removeprefix("network.encoder.")] if in_encoder else fresh[key]
        assert torch.equal(value, expected), key


def test_classifiers_and_old_statistics_of_an_encoder_do_no_harm(tmp_path: Path) -> None:
    encoder = encoder_of(built(1, encoder="resnet18"))
    old = {k: v for k, v in encoder.items() if not k.endswith("num_batches_tracked")}
    weights = saved(tmp_path / "resnet18.pth", {**old, "fc.weight": torch.zeros(1000, 512)})
    after = encoder_of(built(2, encoder="resnet18", weights=weights))
    assert torch.equal(after["layer4.1.conv2.weight"], encoder["layer4.1.conv2.weight"])


@pytest.mark.parametrize(("given", "wanted"), [(1, 0), (0, 1)])
def test_the_first_convolution_takes_other_numbers_of_slices(
    given: int, wanted: int, tmp_path: Path
) -> None:
    before = built(1, neighbours=given).eval()
    weights = saved(tmp_path / "network.pt", before.state_dict())
    after = built(2, neighbours=wanted, weights=weights).eval()
    # Three equal slices are to the one what the slice is to the other.
    batch = nodules(1, 64, 64)
    equal = {n: batch._replace(image=batch.image.repeat(1, 1 + 2 * n, 1, 1)) for n in (0, 1)}
    torch.testing.assert_close(after.predict(equal[wanted]), before.predict(equal[given]))


def test_other_shapes_are_named_with_both(tmp_path: Path) -> None:
    state = built(1, which="unet, plain").state_dict()
    weights = saved(tmp_path / "network.pt", state)
    with pytest.raises(SettingError) as caught:
        built(2, which="unet, plain", weights=weights, decoder_channels=(16, 8, 4))
    message = str(caught.value)
    assert f"weights: {weights} does not fit" in message
    assert "network.encoder.levels.0.0.weight has (8, 1, 3, 3) instead of (4, 1, 3, 3)" in message
    assert "more; accepted: weights of the whole network or of its encoder" in message
    assert "\n" not in message


def test_what_a_file_lacks_or_has_too_much_is_named(tmp_path: Path) -> None:
    state = built(1, "unet, plain").state_dict()
    bias = state.pop("network.head.bias")
    weights = saved(tmp_path / "network.pt", {**state, "network.tail.bias": bias})
    with pytest.raises(SettingError) as caught:
        built(2, "unet, plain", weights=weights)
    assert "network.head.bias (1,) is missing" in str(caught.value)
    assert "network.tail.bias (1,) is unknown" in str(caught.value)


def test_a_deeper_encoder_does_not_pass_for_a_shallower_one(tmp_path: Path) -> None:
    encoder = encoder_of(built(1, encoder="resnet18"))
    deeper = {**encoder, "layer1.2.conv1.weight": torch.zeros(64, 64, 3, 3)}
    weights = saved(tmp_path / "resnet34.pth", deeper)
    with pytest.raises(SettingError, match=r"layer1\.2\.conv1\.weight \(64, 64, 3, 3\) is unknown"):
        built(2, encoder="resnet18", weights=weights)


def test_a_refused_file_changes_nothing(tmp_path: Path) -> None:
    from lungaug.segmenters.weights import load_weights

    segmenter = built(1, "unet, plain")
    before = {key: value.clone() for key, value in segmenter.state_dict().items()}
    state = {**built(2, "unet, plain").state_dict(), "more": torch.zeros(1)}
    with pytest.raises(SettingError):
        load_weights(segmenter, Path(saved(tmp_path / "network.pt", state)))
    for key, value in segmenter.state_dict().items():
        assert torch.equal(value, before[key]), key


class Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such file"),
        (b"", "no tensors can be read"),
        (b"no weights", "no tensors can be read"),
        (pickle.dumps(Harmful(), protocol=2), "no tensors can be read"),
    ],
)
def test_a_file_that_cannot_be_read(
    content: bytes | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path("weights.pt").write_bytes(content)
    with pytest.raises(InputError, match=rf"weights\.pt: {message}"):
        factory.build("unet", replace(PLAIN, weights="weights.pt"))
    assert not Path("harmed").exists()


def test_half_a_file_cannot_be_read(tmp_path: Path) -> None:
    path = Path(saved(tmp_path / "network.pt", built(1, "unet, plain").state_dict()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"network\.pt: no tensors can be read"):
        built(2, "unet, plain", weights=str(path))


@pytest.mark.parametrize("stored", [[1, 2], {"lr": 0.1}, torch.zeros(2)])
def test_a_file_without_a_state_dict(stored: Any, tmp_path: Path) -> None:
    torch.save(stored, tmp_path / "weights.pt")
    with pytest.raises(InputError, match=r"weights\.pt: no state dict \(a "):
        built(1, "unet, plain", weights=str(tmp_path / "weights.pt"))


@pytest.mark.parametrize(
    ("which", "changes", "accepted"),
    [
        ("unet", {"encoder": "resnet18", "weights": "cats"}, "for resnet18: null, imagenet"),
        ("unet", {"weights": "imagenet"}, "for tu-lcnet_035: null, the path of a file"),
        ("unet, plain", {"weights": "imagenet"}, "for plain: null, the path of a file"),
    ],
)
def test_unknown_names_of_weights(which: str, changes: dict[str, str], accepted: str) -> None:
    with pytest.raises(SettingError, match=f"weights: got '{changes['weights']}'; .*{accepted}"):
        built(1, which, **changes)


def test_a_model_is_loaded_without_the_file_it_started_from(tmp_path: Path) -> None:
    start = tmp_path / "start.pt"
    settings = replace(PLAIN, weights=saved(start, built(1, "unet, plain").state_dict()))
    segmenter = factory.build("unet", settings)
    stored = {**factory.describe("unet", settings), "weights": segmenter.state_dict()}
    torch.save(stored, tmp_path / "model.pt")
    start.unlink()
    batch = nodules(1, 64, 64)
    loaded = factory.load(tmp_path / "model.pt")
    assert torch.equal(loaded.predict(batch), segmenter.eval().predict(batch))
