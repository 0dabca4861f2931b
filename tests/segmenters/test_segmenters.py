"""One class of tests for every network, and what is particular to the factory and the U-Net."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lungaug.errors import FileFormatError, SettingError
from lungaug.segmenters import factory
from lungaug.segmenters.protocol import Segmenter
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.training.checkpoint import save_tensors
from lungaug.training.losses import bce_dice

SMALL = SegmenterSettings("tu-lcnet_035", decoder_channels=(16, 16, 8, 8, 8))


class Batch(NamedTuple):
    image: Tensor
    nodule: Tensor


def random_batch(n: int, height: int, width: int) -> Batch:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(n, 1, height, width, generator=generator)
    nodule = torch.zeros(n, 1, height, width, dtype=torch.uint8)
    nodule[:, :, height // 4 : height // 2, width // 4 : width // 2] = 2
    return Batch(image, nodule)


PLAIN = SegmenterSettings("plain", encoder_depth=3, decoder_channels=(16, 8, 8))
EVERY = {**dict.fromkeys(sorted(factory.NETWORKS), SMALL), "unet, plain": PLAIN}


@pytest.fixture(params=EVERY)
def segmenter(request: pytest.FixtureRequest) -> Segmenter:
    torch.manual_seed(0)
    name = request.param.partition(",")[0]
    return factory.build(name, EVERY[request.param], objective=bce_dice)


class TestEverySegmenter:
    @pytest.mark.parametrize("size", [(32, 32), (33, 47), (17, 64)])
    def test_probability_has_the_size_of_the_slice(
        self, segmenter: Segmenter, size: tuple[int, int]
    ) -> None:
        probability = segmenter.predict(random_batch(2, *size))
        assert probability.shape == (2, 1, *size)
        assert ((probability >= 0) & (probability <= 1)).all()

    def test_loss_is_a_finite_scalar_in_both_modes(self, segmenter: Segmenter) -> None:
        batch = random_batch(2, 32, 32)
        for mode in (True, False):
            loss = segmenter.train(mode).loss(batch)
            assert loss.shape == ()
            assert torch.isfinite(loss)

    def test_a_batch_of_one_and_a_slice_without_nodule(self, segmenter: Segmenter) -> None:
        batch = random_batch(1, 40, 32)
        loss = segmenter.loss(Batch(batch.image, torch.zeros_like(batch.nodule)))
        loss.backward()
        assert torch.isfinite(loss)

    def test_gradients_everywhere(self, segmenter: Segmenter) -> None:
        segmenter.loss(random_batch(2, 32, 32)).backward()
        for name, parameter in segmenter.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name

    def test_a_batch_equals_its_slices(self, segmenter: Segmenter) -> None:
        batch = random_batch(3, 32, 32)
        segmenter.eval()
        whole = segmenter.predict(batch)
        for i in range(3):
            single = segmenter.predict(Batch(batch.image[i : i + 1], batch.nodule[i : i + 1]))
            torch.testing.assert_close(whole[i : i + 1], single)

    def test_assess_is_loss_and_predict(self, segmenter: Segmenter) -> None:
        batch = random_batch(2, 32, 32)
        segmenter.eval()
        loss, probability = segmenter.assess(batch)
        torch.testing.assert_close(loss, segmenter.loss(batch))
        torch.testing.assert_close(probability, segmenter.predict(batch))

    def test_overfits_one_slice(self, segmenter: Segmenter) -> None:
        batch = random_batch(1, 64, 64)
        optimiser = torch.optim.AdamW(segmenter.parameters(), 1e-2)
        for _ in range(30):
            optimiser.zero_grad()
            segmenter.loss(batch).backward()
            optimiser.step()
        predicted = segmenter.predict(batch) > 0.5
        agreement = (predicted == (batch.nodule > 0)).float().mean()
        assert agreement > 0.98

    def test_a_saved_network_comes_back(
        self, segmenter: Segmenter, tmp_path: Path, request: pytest.FixtureRequest
    ) -> None:
        which = request.node.callspec.params["segmenter"]
        description = factory.describe(which.partition(",")[0], EVERY[which])
        path = tmp_path / "model.pt"
        save_tensors(path, {**description, "weights": segmenter.state_dict()})
        batch = random_batch(1, 32, 32)
        loaded = factory.load(path)
        torch.testing.assert_close(
            loaded.predict(batch), segmenter.eval().predict(batch), rtol=0, atol=0
        )


def test_the_published_unet_has_the_published_number_of_parameters() -> None:
    network = factory.build("unet", SegmenterSettings("vgg11"))
    assert sum(p.numel() for p in network.parameters()) == 18_252_881


@pytest.mark.parametrize("encoder", ["plain", "tu-lcnet_035"])
@pytest.mark.parametrize("depth", [3, 4, 5])
def test_every_depth_has_a_default_decoder(depth: int, encoder: str) -> None:
    network = factory.build("unet", SegmenterSettings(encoder, encoder_depth=depth))
    assert network.predict(random_batch(2, 32, 32)).shape == (2, 1, 32, 32)


@pytest.mark.parametrize("settings", [SMALL, PLAIN])
def test_more_channels_come_in(settings: SegmenterSettings) -> None:
    network = factory.build("unet", settings, in_channels=3)
    batch = Batch(torch.rand(2, 3, 32, 32), torch.zeros(2, 1, 32, 32, dtype=torch.uint8))
    assert network.predict(batch).shape == (2, 1, 32, 32)


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("unett", SMALL, "segmenter: got 'unett'; accepted: unet"),
        ("unet", SegmenterSettings("resnet19"), "encoder: got 'resnet19'.*resnet18"),
        ("unet", SegmenterSettings("tu-lcnet_53"), "encoder: got 'tu-lcnet_53'.*tu-lcnet_035"),
        ("unet", SegmenterSettings(weights="cats"), "weights: got 'cats'.*null, imagenet"),
        (
            "unet",
            SegmenterSettings("tu-lcnet_035", weights="imagenet"),
            "weights: got 'imagenet'; accepted for tu-lcnet_035: null",
        ),
        (
            "unet",
            SegmenterSettings("plain", weights="imagenet"),
            "weights: got 'imagenet'; accepted for plain: null",
        ),
        ("unet", SegmenterSettings("plane"), "encoder: got 'plane'.*plain"),
        (
            "unet",
            SegmenterSettings("plain", decoder_channels=(8, 8)),
            r"decoder_channels: got \[8, 8\]; accepted: 5 positive numbers",
        ),
        (
            "unet",
            SegmenterSettings(decoder_channels=(8, 8)),
            r"decoder_channels: got \[8, 8\]; accepted: 5 positive numbers",
        ),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    name: str, settings: SegmenterSettings, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        factory.build(name, settings)


@pytest.mark.parametrize("settings", [SMALL, PLAIN])
def test_the_encoder_gives_its_maps_the_deepest_last(settings: SegmenterSettings) -> None:
    segmenter = factory.build("unet", settings).eval()
    maps = segmenter.get_submodule("network.encoder")(torch.rand(2, 1, 64, 64))
    side = 64 // 2**settings.encoder_depth
    assert maps[-1].shape[2:] == (side, side)


def test_the_plain_network_needs_no_library_of_encoders() -> None:
    program = (
        "import sys\n"
        "from lungaug.segmenters import factory\n"
        "factory.build('unet', factory.SegmenterSettings('plain'))\n"
        "sys.exit(' '.join({'segmentation_models_pytorch', 'timm'} & set(sys.modules)) or 0)\n"
    )
    paths = {"PYTHONPATH": ":".join(p for p in sys.path if p)}
    done = subprocess.run(
        [sys.executable, "-c", program], env=paths, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("content", [None, b"", b"no model"])
def test_a_damaged_model_says_how_to_rebuild_it(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.pt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FileFormatError, match="snakemake --force"):
        factory.load(path)


def test_another_version_of_a_model_is_refused(tmp_path: Path) -> None:
    save_tensors(tmp_path / "model.pt", {"model_version": 99})
    with pytest.raises(FileFormatError, match="not a model of version 1"):
        factory.load(tmp_path / "model.pt")


def test_nothing_is_printed(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        factory.build("unet", SMALL)
    assert not caplog.records
