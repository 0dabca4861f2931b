"""check_networks: encoders, weights and devices that do not exist are found before any training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from lungaug.errors import SettingError
from lungaug.segmenters.presence_settings import PresenceSettings
from lungaug.segmenters.settings import SegmenterSettings
from lungaug.stages.check_networks import Settings, run
from lungaug.store import Provenance

MADE = Provenance("check_networks", "{}", "")
PLAIN = SegmenterSettings(encoder="plain", encoder_depth=3, decoder_channels=(16, 8, 8))


def faults(tmp_path: Path, **settings: Any) -> list[str]:
    with pytest.raises(SettingError) as caught:
        run(output=tmp_path / "networks.tsv", settings=Settings(**settings), provenance=MADE)
    assert not list(tmp_path.iterdir())
    return str(caught.value).splitlines()


def test_networks_that_can_be_built_are_listed(tmp_path: Path) -> None:
    small = SegmenterSettings(encoder="resnet18")
    presence = PresenceSettings(encoder="plain", encoder_depth=3, channels=(16, 8, 8))
    settings = Settings(segmenters={"unet": PLAIN, "maskrcnn": small}, presence=presence)
    run(output=tmp_path / "networks.tsv", settings=settings, provenance=MADE)
    head, *rows = (tmp_path / "networks.tsv").read_text(encoding="utf-8").splitlines()
    assert head.split("\t") == ["network", "encoder", "parameters"]
    found = [row.split("\t") for row in rows]
    assert [row[:2] for row in found] == [
        ["unet", "plain"],
        ["maskrcnn", "resnet18"],
        ["presence", "plain"],
    ]
    assert all(int(row[2]) > 100 for row in found)


def test_every_unknown_encoder_is_named_with_names_like_it(tmp_path: Path) -> None:
    segmenters = {
        "unet": SegmenterSettings(encoder="resnet35"),
        "deeplabv3": SegmenterSettings(encoder="tu-resnet18x"),
        "maskrcnn": SegmenterSettings(encoder="resnet19"),
        "unetplusplus": SegmenterSettings(encoder="resnet18"),
    }
    lines = faults(tmp_path, segmenters=segmenters, presence=PresenceSettings(encoder="resnet17"))
    assert len(lines) == 4
    for line, words in zip(lines, ["resnet34", "resnet18", "resnet18", "resnet18"], strict=True):
        assert words in line.partition("accepted")[2], line
    starts = [line.partition(":")[0] for line in lines]
    assert starts == ["unet", "deeplabv3", "maskrcnn", "presence"]


def test_unknown_weights_are_named(tmp_path: Path) -> None:
    (line,) = faults(
        tmp_path, segmenters={"unet": SegmenterSettings(encoder="resnet18", weights="imagnet")}
    )
    assert "imagnet" in line
    assert "imagenet" in line


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_without_a_device_is_refused(tmp_path: Path) -> None:
    (line,) = faults(tmp_path, segmenters={"unet": PLAIN}, cuda_devices=2)
    assert "device: got 'cuda', but torch sees 0 CUDA devices and 2 are wanted" in line
