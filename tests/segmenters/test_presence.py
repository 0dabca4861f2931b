"""The presence classifier: shapes, what it learns, and what its loss weighs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from lungaug.errors import SettingError
from lungaug.evaluation.roc import auc
from lungaug.segmenters.presence import Presence, present_of
from lungaug.segmenters.presence_settings import PresenceSettings

PLAIN = PresenceSettings(encoder="plain", encoder_depth=3, channels=(16, 8, 8))
ENCODERS = [PLAIN, PresenceSettings("tu-lcnet_035")]


class Slices(NamedTuple):
    image: Tensor
    nodule: Tensor


def slices(n: int, height: int = 32, width: int = 40, channels: int = 1) -> Slices:
    """Noise; every other slice has a nodule of 5 px somewhere."""
    generator = torch.Generator().manual_seed(0)
    image = 0.3 * torch.rand(n, channels, height, width, generator=generator)
    nodule = torch.zeros(n, 1, height, width, dtype=torch.uint8)
    for i in range(0, n, 2):
        top, left = torch.randint(2, min(height, width) - 8, (2,), generator=generator).tolist()
        nodule[i, 0, top : top + 5, left : left + 5] = 2
    return Slices(image + 0.4 * (nodule > 0), nodule)


def classifier(settings: PresenceSettings = PLAIN, **options: float) -> Presence:
    torch.manual_seed(0)
    return Presence(settings, **options)


@pytest.mark.parametrize("settings", ENCODERS, ids=lambda s: s.encoder)
@pytest.mark.parametrize(("n", "height", "width"), [(1, 32, 32), (3, 33, 47)])
def test_one_probability_a_slice(
    settings: PresenceSettings, n: int, height: int, width: int
) -> None:
    network, batch = classifier(settings).eval(), slices(n, height, width)
    with torch.no_grad():
        probability = network.predict(batch)
        loss, assessed = network.assess(batch)
        assert torch.equal(loss, network.loss(batch))
    assert probability.shape == (n,)
    assert ((probability > 0) & (probability < 1)).all()
    assert torch.equal(probability, assessed)
    assert loss.ndim == 0


@pytest.mark.parametrize("settings", ENCODERS, ids=lambda s: s.encoder)
def test_a_slice_alone_and_in_a_batch_are_alike(settings: PresenceSettings) -> None:
    network, batch = classifier(settings).eval(), slices(4)
    with torch.no_grad():
        together = network.predict(batch)
        alone = [network.predict(Slices(*(part[i : i + 1] for part in batch))) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), together)


@pytest.mark.parametrize("settings", ENCODERS, ids=lambda s: s.encoder)
def test_every_weight_gets_a_gradient(settings: PresenceSettings) -> None:
    network = classifier(settings)
    network.loss(slices(4)).backward()
    missing = [name for name, weight in network.named_parameters() if weight.grad is None]
    assert not missing


@pytest.mark.learning
def test_it_learns_which_slices_have_a_nodule() -> None:
    network, batch = classifier(), slices(16)
    optimiser = torch.optim.AdamW(network.parameters(), 1e-2)
    for _ in range(80):
        optimiser.zero_grad()
        network.loss(batch).backward()
        optimiser.step()
    with torch.no_grad():
        probability = network.eval().predict(batch)
    patients = [str(i) for i in range(16)]
    assert auc(probability, present_of(batch), patients) == 1


def test_neighbours_are_further_channels() -> None:
    network = classifier(replace(PLAIN, neighbours=1)).eval()
    assert network.predict(slices(2, channels=3)).shape == (2,)


def test_one_bright_cell_counts_in_a_large_slice() -> None:
    # The mean over 1024 cells hardly sees it.
    network = classifier().eval()
    with torch.no_grad():
        network.head.weight.zero_()
        network.head.weight[0, : network.head.in_features // 2] = 1
        image = torch.zeros(1, 1, 256, 256)
        empty, _ = network(image)
        image[0, 0, 100:110, 100:110] = 1
        assert (network(image)[0] - empty).abs() > 1e-3


def test_loss_by_hand() -> None:
    settings = replace(PLAIN, cell_weight=0.0)
    network, batch = classifier(settings, positive_weight=3.0).eval(), slices(2)
    with torch.no_grad():
        loss, (ill, healthy) = network.assess(batch)[0], network.predict(batch).tolist()
    expected = -(3 * math.log(ill) + math.log(1 - healthy)) / 2
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_loss_of_cells_by_hand() -> None:
    # 20 x 12 px are 3 x 2 cells of 8 px; the nodule lies in two of them.
    batch = slices(1, 20, 12)
    batch.nodule.zero_()
    batch.nodule[0, 0, 7:9, 3] = 1
    loss = {}
    for weight in (0.0, 2.0):
        network = classifier(replace(PLAIN, cell_weight=weight)).eval()
        with torch.no_grad():
            loss[weight], cells = network.loss(batch).item(), network(batch.image)[1]
    assert cells.shape == (1, 1, 3, 2)
    probability = torch.sigmoid(cells[0, 0])
    right = torch.tensor([[1, 0], [1, 0], [0, 0]]) * (2 * probability - 1) + 1 - probability
    assert loss[2.0] - loss[0.0] == pytest.approx(-2 * right.log().mean().item(), rel=1e-4)


def test_the_weight_of_the_settings_comes_first() -> None:
    assert classifier(positive_weight=3.0).positive_weight == 3.0
    settings = replace(PLAIN, positive_weight=0.5)
    assert classifier(settings, positive_weight=3.0).positive_weight == 0.5


def test_any_nodule_of_a_slice_counts() -> None:
    nodule = torch.zeros(3, 1, 4, 4, dtype=torch.uint8)
    nodule[1, 0, 0, 0], nodule[2, 0, 3, 3] = 1, 7
    assert present_of(Slices(nodule.float(), nodule)).tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": "vgg12", "channels": None}, "vgg11"),
        ({"weights": "imagenet"}, "weights: got 'imagenet'"),
        ({"channels": (8, 8)}, r"channels: got \[8, 8\]; accepted: 3 positive numbers"),
    ],
)
def test_wrong_settings(change: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        Presence(replace(PLAIN, **change))
