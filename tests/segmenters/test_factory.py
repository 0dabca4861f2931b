"""Networks by name: what exists, what is refused, what comes back from a file."""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest

from lungaug.errors import FileFormatError, InputError, SettingError
from lungaug.segmenters import factory
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.training.checkpoint import save_tensors
from segmenters.shared import SMALL


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("unett", SMALL, "segmenter: got 'unett'; accepted: unet, "),
        ("deeplab", SMALL, "segmenter: got 'deeplab'; accepted: deeplabv3"),
        ("w", SMALL, f"segmenter: got 'w'; accepted: {', '.join(sorted(factory.NETWORKS))}"),
        ("unet", SegmenterSettings("resnet19"), "encoder: got 'resnet19'.*resnet18"),
        ("segformer", SegmenterSettings("mit_b9"), "encoder: got 'mit_b9'.*mit_b1"),
        ("unet", SegmenterSettings("tu-lcnet_53"), "encoder: got 'tu-lcnet_53'.*tu-lcnet_035"),
        ("unet", SegmenterSettings("?"), "encoder: got '\\?'.*for example resnet18"),
        ("unet", SegmenterSettings("plane"), "encoder: got 'plane'.*plain"),
        (
            "deeplabv3",
            SegmenterSettings("plain"),
            "encoder: got 'plain', which only unet has; accepted: for example resnet18",
        ),
        (
            "deeplabv3",
            SegmenterSettings("vgg11"),
            "encoder: got 'vgg11' with encoder_depth 5, on which DeepLabV3 cannot be built "
            r"\(.*dilated.*\); accepted: for example resnet18",
        ),
        ("unetplusplus", SegmenterSettings("mit_b0"), "mit_b0.*on which UnetPlusPlus cannot"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    name: str, settings: SegmenterSettings, message: str
) -> None:
    with pytest.raises(SettingError, match=message) as caught:
        factory.build(name, settings)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "channels", "message"),
    [
        ("unet", (8, 8), r"got \[8, 8\]; accepted: 5 positive numbers"),
        ("unetplusplus", (8, 8, 8, 8, 0), r"got \[8, 8, 8, 8, 0\]; accepted: 5 positive numbers"),
        ("deeplabv3", (8, 8), r"got \[8, 8\]; accepted for deeplabv3 and segformer: one positive"),
        ("segformer", (0,), r"got \[0\]; accepted for deeplabv3 and segformer: one positive"),
    ],
)
def test_decoder_channels_that_do_not_fit(
    name: str, channels: tuple[int, ...], message: str
) -> None:
    with pytest.raises(SettingError, match=f"decoder_channels: {message}"):
        factory.build(name, SegmenterSettings("tu-lcnet_035", decoder_channels=channels))


def test_weights_that_cannot_be_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise FileNotFoundError("no route")

    monkeypatch.setattr("segmentation_models_pytorch.encoders.hf_hub_download", unreachable)
    with pytest.raises(InputError, match=r"'imagenet' of resnet18 cannot be downloaded \(no route"):
        factory.build("unet", SegmenterSettings(weights="imagenet"))


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
