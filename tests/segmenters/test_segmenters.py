"""One class of tests for every network of the factory."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lungaug.segmenters import factory
from lungaug.segmenters.protocol import Segmenter
from lungaug.training.checkpoint import save_tensors
from lungaug.training.losses import bce_dice
from segmenters.shared import NETWORKS, Batch, nodules


def built(which: str, neighbours: int = 0) -> Segmenter:
    torch.manual_seed(0)
    settings = replace(NETWORKS[which], neighbours=neighbours)
    return factory.build(which.partition(",")[0], settings, objective=bce_dice)


@pytest.fixture
def segmenter(which: str) -> Segmenter:
    return built(which)


def test_every_network_of_the_factory_is_tested() -> None:
    assert {which.partition(",")[0] for which in NETWORKS} == set(factory.NETWORKS)


@pytest.mark.parametrize("which", NETWORKS)
class TestEverySegmenter:
    @pytest.mark.parametrize("size", [(64, 64), (70, 83), (33, 96)])
    def test_probability_has_the_size_of_the_slice(
        self, segmenter: Segmenter, size: tuple[int, int]
    ) -> None:
        probability = segmenter.eval().predict(nodules(2, *size))
        assert probability.shape == (2, 1, *size)
        # False for NaN too.
        assert ((probability >= 0) & (probability <= 1)).all()

    def test_loss_is_a_finite_scalar_in_both_modes(self, segmenter: Segmenter) -> None:
        batch = nodules(2, 64, 64)
        for mode in (True, False):
            loss = segmenter.train(mode).loss(batch)
            assert loss.shape == ()
            assert torch.isfinite(loss)

    def test_gradients_reach_every_parameter(self, segmenter: Segmenter) -> None:
        # Four slices: a block that is dropped for some of them is not for all.
        segmenter.loss(nodules(4, 64, 64)).backward()
        for name, parameter in segmenter.named_parameters():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
            assert (parameter.grad != 0).any(), name

    @pytest.mark.parametrize("label", [0, 1])
    def test_a_batch_of_one_trains_with_and_without_nodule(
        self, segmenter: Segmenter, label: int
    ) -> None:
        batch = nodules(1, 64, 96)
        loss = segmenter.loss(Batch(batch.image, (batch.nodule > 0).byte() * label))
        loss.backward()
        assert torch.isfinite(loss)
        gradients = [p.grad for p in segmenter.parameters() if p.grad is not None]
        assert any((gradient != 0).any() for gradient in gradients)
        assert all(torch.isfinite(gradient).all() for gradient in gradients)

    def test_a_batch_equals_its_slices(self, segmenter: Segmenter) -> None:
        batch = nodules(3, 64, 64)
        segmenter.eval()
        whole = segmenter.predict(batch)
        for i in range(3):
            single = segmenter.predict(Batch(batch.image[i : i + 1], batch.nodule[i : i + 1]))
            torch.testing.assert_close(whole[i : i + 1], single)

    def test_assess_is_loss_and_predict_and_find_has_the_same_map(
        self, segmenter: Segmenter
    ) -> None:
        batch = nodules(2, 64, 64)
        segmenter.eval()
        loss, probability = segmenter.assess(batch)
        torch.testing.assert_close(loss, segmenter.loss(batch))
        torch.testing.assert_close(probability, segmenter.predict(batch))
        torch.testing.assert_close(probability, segmenter.find(batch).probability)

    def test_evaluation_leaves_no_trace(self, segmenter: Segmenter) -> None:
        segmenter.eval()
        before = {key: value.clone() for key, value in segmenter.state_dict().items()}
        generator = torch.get_rng_state()
        for look in (segmenter.assess, segmenter.predict, segmenter.find, segmenter.loss):
            look(nodules(2, 64, 64))
        assert torch.equal(torch.get_rng_state(), generator)
        assert not any(module.training for module in segmenter.modules())
        for key, value in segmenter.state_dict().items():
            assert torch.equal(value, before[key]), key

    @pytest.mark.learning
    def test_overfits_a_slice_or_two(self, segmenter: Segmenter, which: str) -> None:
        # deeplabv3 normalises one value a slice and channel: of one slice it learns nothing of it.
        batch = nodules(2 if which == "deeplabv3" else 1, 64, 64)
        nodule = batch.nodule > 0
        optimiser = torch.optim.AdamW(segmenter.parameters(), 3e-3)
        for step in range(1, 151):
            optimiser.zero_grad()
            segmenter.train().loss(batch).backward()
            optimiser.step()
            if step % 10 == 0:
                predicted = segmenter.eval().predict(batch) > 0.5
                if 2 * (predicted & nodule).sum() / (predicted.sum() + nodule.sum()) > 0.9:
                    return
        pytest.fail("Dice never above 0.9 in 150 steps")

    @pytest.mark.parametrize("neighbours", [0, 1])
    def test_a_saved_network_comes_back(self, which: str, neighbours: int, tmp_path: Path) -> None:
        segmenter = built(which, neighbours)
        batch = nodules(1, 64, 64, channels=1 + 2 * neighbours)
        segmenter.loss(batch)  # running statistics other than those of a fresh network
        settings = replace(NETWORKS[which], neighbours=neighbours)
        description = factory.describe(which.partition(",")[0], settings)
        save_tensors(tmp_path / "model.pt", {**description, "weights": segmenter.state_dict()})
        loaded = factory.load(tmp_path / "model.pt")
        assert torch.equal(loaded.predict(batch), segmenter.eval().predict(batch))

    def test_every_neighbour_is_seen(self, which: str) -> None:
        batch = nodules(2, 64, 64, channels=3)
        batch.image.requires_grad_()
        built(which, neighbours=1).loss(batch).backward()
        assert batch.image.grad is not None
        assert (batch.image.grad != 0).any(dim=(2, 3)).all()
