"""Mask R-CNN: instances from labels, one map from instances, and losses that leave no trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import pytest
import torch
import torchvision
from torch import Tensor
from torchvision.models.detection.roi_heads import project_masks_on_boxes

from lungaug.errors import InputError, SettingError
from lungaug.segmenters.maskrcnn import (
    OF_CLASSES,
    MaskRcnn,
    instances,
    merge,
    to_edges,
    to_index,
)
from lungaug.segmenters.settings import MaskRcnnSettings, SegmenterSettings

SMALL = SegmenterSettings("resnet18", encoder_depth=3, maskrcnn=MaskRcnnSettings(hidden=16))


class Batch(NamedTuple):
    image: Tensor
    nodule: Tensor


@pytest.fixture(autouse=True)
def deterministic() -> Iterator[None]:
    """As in training on the CPU: an operation that could not be repeated raises."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture
def network() -> MaskRcnn:
    torch.manual_seed(0)
    return MaskRcnn(SMALL)


def batch_of(*slices: Tensor, channels: int = 1) -> Batch:
    """Labels (H, W) of every slice, with brighter nodules in noise."""
    nodule = torch.stack(slices)[:, None]
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(len(slices), channels, *nodule.shape[2:], generator=generator)
    return Batch((noise + (nodule > 0)) / 2, nodule)


def two_nodules() -> Tensor:
    nodule = torch.zeros(56, 72, dtype=torch.uint8)
    nodule[4:12, 10:17] = 1
    nodule[20:40, 12:30] = 3
    return nodule


EMPTY = torch.zeros(56, 72, dtype=torch.uint8)


def disc(diameter: float, centre: tuple[float, float]) -> Tensor:
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(40.0), indexing="ij")
    return ((y - centre[0]).hypot(x - centre[1]) <= diameter / 2).byte()


def gradients(network: MaskRcnn) -> dict[str, Tensor | None]:
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def test_the_published_network_has_the_published_number_of_parameters() -> None:
    network = MaskRcnn(SegmenterSettings("resnet50"))
    assert sum(p.numel() for p in network.parameters()) == 43_975_515


class TestInstances:
    def test_a_label_is_an_instance_whose_box_just_holds_it(self) -> None:
        masks, boxes = instances(two_nodules())
        assert boxes.tolist() == [[4, 10, 12, 17], [20, 12, 40, 30]]
        assert torch.equal(masks[0] + 3 * masks[1].byte(), two_nodules())

    def test_parts_of_one_label_are_one_instance(self) -> None:
        nodule = torch.zeros(10, 12, dtype=torch.uint8)
        nodule[0, 0] = nodule[9, 11] = 2
        assert instances(nodule)[1].tolist() == [[0, 0, 10, 12]]

    def test_a_pixel_has_a_box_of_a_pixel(self) -> None:
        nodule = torch.zeros(10, 12, dtype=torch.uint8)
        nodule[3, 7] = 255
        assert instances(nodule)[1].tolist() == [[3, 7, 4, 8]]

    def test_none(self) -> None:
        masks, boxes = instances(torch.zeros(10, 12, dtype=torch.uint8))
        assert masks.shape == (0, 10, 12)
        assert boxes.shape == (0, 4)


class TestMerge:
    def test_a_full_mask_fills_its_box(self) -> None:
        box = torch.tensor([[9.5, 3.5, 13.5, 5.5]])
        merged = merge(torch.ones(1, 28, 28), box, torch.tensor([0.75]), (8, 20))
        expected = torch.zeros(8, 20)
        expected[4:6, 10:14] = 0.75
        assert torch.equal(merged, expected)

    def test_the_higher_product_wins_where_boxes_overlap(self) -> None:
        boxes = torch.tensor([[-0.5, -0.5, 3.5, 3.5], [1.5, -0.5, 5.5, 3.5]])
        masks = torch.stack([torch.full((28, 28), 0.5), torch.ones(28, 28)])
        merged = merge(masks, boxes, torch.tensor([1.0, 0.25]), (4, 8))
        assert merged[0].tolist() == [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0, 0]

    def test_boxes_that_leave_the_slice_or_hold_no_pixel(self) -> None:
        boxes = torch.tensor([[-9.0, -9.0, 30.0, 30.0], [1.2, 1.2, 1.4, 1.4], [50.0, 2, 60, 3]])
        merged = merge(torch.ones(3, 28, 28), boxes, torch.tensor([0.5, 0.9, 0.9]), (4, 8))
        assert torch.equal(merged, torch.full((4, 8), 0.5))

    def test_no_instance(self) -> None:
        merged = merge(torch.zeros(0, 28, 28), torch.zeros(0, 4), torch.zeros(0), (4, 8))
        assert torch.equal(merged, torch.zeros(4, 8))

    @pytest.mark.parametrize("diameter", [1, 2, 3, 4, 5.5, 9, 17])
    def test_masks_that_the_loss_asks_for_come_back_as_the_nodule(self, diameter: float) -> None:
        """Otherwise a network without any loss would still be beside the nodules."""
        nodule = disc(diameter, (15, 20.5))
        masks, boxes = instances(nodule)
        asked = project_masks_on_boxes(masks, to_index(boxes), torch.tensor([0]), 28)
        merged = merge(asked, to_index(boxes), torch.ones(1), (32, 40))
        assert torch.equal(merged > 0.5, nodule > 0)


def test_boxes_come_back_from_index_coordinates() -> None:
    boxes = torch.tensor([[3.0, 5, 9, 7], [0, 0, 20, 30]])
    assert to_index(boxes).tolist()[0] == [4.5, 2.5, 6.5, 8.5]
    as_torchvision_clips = to_index(boxes).clamp(min=0)
    assert torch.equal(to_edges(as_torchvision_clips, (20, 30)), boxes)
    assert to_edges(torch.tensor([[2.0, 3, 30, 20]]), (20, 30)).tolist() == [[3.5, 2.5, 20, 30]]


class TestLoss:
    @pytest.mark.parametrize("slices", [(EMPTY, EMPTY), (two_nodules(), EMPTY)])
    def test_slices_without_nodule_have_a_loss_and_gradients_everywhere(
        self, network: MaskRcnn, slices: tuple[Tensor, ...]
    ) -> None:
        loss = network.loss(batch_of(*slices))
        loss.backward()
        assert torch.isfinite(loss)
        for name, gradient in gradients(network).items():
            assert gradient is not None, name
            assert torch.isfinite(gradient).all(), name

    def test_a_nodule_of_one_pixel(self, network: MaskRcnn) -> None:
        nodule = EMPTY.clone()
        nodule[0, 71] = 1
        loss = network.loss(batch_of(nodule))
        loss.backward()
        assert torch.isfinite(loss)
        mask_head = network.roi_heads.mask_predictor.mask_fcn_logits.weight.grad
        assert torch.isfinite(mask_head).all()
        assert mask_head.abs().sum() > 0

    def test_the_same_seed_gives_the_same_bits(self, network: MaskRcnn) -> None:
        start = {key: value.clone() for key, value in network.state_dict().items()}
        runs = []
        for _ in range(2):
            network.load_state_dict(start)
            network.zero_grad()
            torch.manual_seed(7)
            loss = network.loss(batch_of(two_nodules(), EMPTY))
            loss.backward()
            runs.append({"loss": loss.detach(), **gradients(network)})
        for name, value in runs[0].items():
            assert torch.equal(value, runs[1][name]), name

    def test_in_evaluation_mode_it_leaves_no_trace(self, network: MaskRcnn) -> None:
        network.eval()
        batch = batch_of(two_nodules(), EMPTY)
        before = {key: value.clone() for key, value in network.state_dict().items()}
        state = torch.get_rng_state()
        first = network.loss(batch)
        assert torch.equal(torch.get_rng_state(), state)
        assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
        assert not any(module.training for module in network.modules())
        torch.manual_seed(99)
        assert torch.equal(network.loss(batch), first)

    def test_in_training_mode_it_draws_from_the_global_generator(self, network: MaskRcnn) -> None:
        before = torch.get_rng_state()
        network.loss(batch_of(two_nodules()))
        assert not torch.equal(torch.get_rng_state(), before)
        assert all(module.training for module in network.modules())


class TestFind:
    @pytest.mark.parametrize("size", [(1, 1), (5, 70), (33, 47)])
    def test_boxes_lie_in_slices_of_any_size(
        self, network: MaskRcnn, size: tuple[int, int]
    ) -> None:
        found = network.eval().find(batch_of(torch.zeros(size, dtype=torch.uint8)))
        assert found.probability.shape == (1, 1, *size)
        assert found.detections is not None
        top, left, bottom, right = found.detections[0].boxes.T
        assert len(top)
        assert ((top >= 0) & (top < bottom) & (bottom <= size[0])).all()
        assert ((left >= 0) & (left < right) & (right <= size[1])).all()

    def test_the_map_is_0_outside_of_boxes_and_at_most_the_score_inside(
        self, network: MaskRcnn
    ) -> None:
        found = network.eval().find(batch_of(two_nodules()))
        assert found.detections is not None
        limit = torch.zeros(56, 72)
        for box, score in zip(*found.detections[0], strict=True):
            top, left, bottom, right = (int(edge) for edge in box.round())
            region = limit[top:bottom, left:right]
            region.clamp_(min=score.item())
        assert found.probability.max() > 0
        assert (found.probability[0, 0] <= limit).all()

    def test_the_settings_limit_what_is_found(self, network: MaskRcnn) -> None:
        scores = network.eval().find(batch_of(two_nodules())).detections[0].scores  # type: ignore[index]
        strict = MaskRcnn(
            replace(SMALL, maskrcnn=replace(SMALL.maskrcnn, min_score=scores[4].item()))
        )
        few = MaskRcnn(replace(SMALL, maskrcnn=replace(SMALL.maskrcnn, max_detections=3)))
        for other, n in ((strict, 4), (few, 3)):
            other.load_state_dict(network.state_dict())
            found = other.eval().find(batch_of(two_nodules()))
            assert torch.equal(found.detections[0].scores, scores[:n])  # type: ignore[index]

    def test_slices_of_a_batch_do_not_mix(self, network: MaskRcnn) -> None:
        batch = batch_of(two_nodules(), EMPTY)
        whole = network.eval().find(batch)
        single = network.find(Batch(batch.image[1:], batch.nodule[1:]))
        assert whole.detections is not None
        assert single.detections is not None
        torch.testing.assert_close(whole.detections[1], single.detections[0])

    def test_slices_seen_before_change_nothing(self, network: MaskRcnn) -> None:
        fresh = MaskRcnn(SMALL).eval()
        fresh.load_state_dict(network.state_dict())
        network.eval().find(batch_of(torch.zeros(5, 70, dtype=torch.uint8)))
        batch = batch_of(two_nodules())
        assert torch.equal(network.predict(batch), fresh.predict(batch))

    @pytest.mark.learning
    def test_two_nodules_are_learned_apart(self) -> None:
        """The two best boxes are the two nodules, one each, and no other has a comparable score."""
        torch.manual_seed(0)
        network = MaskRcnn(replace(SMALL, maskrcnn=MaskRcnnSettings(hidden=32)))
        batch = batch_of(two_nodules())
        optimiser = torch.optim.AdamW(network.parameters(), 2e-3)
        for step in range(1, 151):
            optimiser.zero_grad()
            network.loss(batch).backward()
            optimiser.step()
            if step % 15 == 0 and self.are_apart(network.find(batch).detections):
                return
        pytest.fail("never apart in 150 steps")

    def are_apart(self, detections: list[Any] | None) -> bool:
        assert detections is not None
        boxes, scores = detections[0]
        _, wanted = instances(two_nodules())
        overlap = torchvision.ops.box_iou(wanted, boxes[:2])
        one_each = overlap.shape[1] == 2 and set(overlap.argmax(1).tolist()) == {0, 1}
        sure = (scores[:2] > 0.5).all() and (scores[2:] < scores[:2].min() / 2).all()
        return bool(one_each and sure and overlap.max(1).values.min() > 0.7)


class TestChannels:
    def test_a_slice_is_seen_as_three_equal_ones(self) -> None:
        one, three = MaskRcnn(SMALL, 1).eval(), MaskRcnn(SMALL, 3).eval()
        three.load_state_dict(one.state_dict())
        batch = batch_of(two_nodules())
        tripled = Batch(batch.image.repeat(1, 3, 1, 1), batch.nodule)
        assert torch.equal(one.predict(batch), three.predict(tripled))

    def test_five_slices(self) -> None:
        network = MaskRcnn(SMALL, 5)
        assert torch.isfinite(network.loss(batch_of(two_nodules(), channels=5)))


def test_half_precision_does_not_reach_the_boxes(network: MaskRcnn) -> None:
    batch = batch_of(two_nodules())
    with torch.autocast("cpu", torch.bfloat16):
        loss = network.loss(batch)
        found = network.eval().find(batch)
    loss.backward()
    assert loss.dtype == torch.float32
    assert found.detections is not None
    boxes = found.detections[0].boxes
    assert boxes.dtype == torch.float32
    assert not torch.equal(boxes, boxes.bfloat16().float())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            replace(SMALL, encoder="vgg11"),
            "encoder: got 'vgg11'; accepted for maskrcnn: .*resnet18",
        ),
        (
            replace(SMALL, weights="cats"),
            "weights: got 'cats'; accepted for maskrcnn on resnet18: null, imagenet, the path",
        ),
        (replace(SMALL, weights="coco"), "weights: got 'coco'; .*: null, imagenet, the path"),
        (
            SegmenterSettings("resnet50", weights="cats"),
            "accepted for maskrcnn on resnet50: null, imagenet, coco, the path",
        ),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    settings: SegmenterSettings, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        MaskRcnn(settings)


class TestDownloads:
    @pytest.fixture
    def served(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """The state dict that torchvision's server is to answer with, by its file's beginning."""
        states: dict[str, Any] = {}

        def download(url: str, *_: Any, **__: Any) -> Any:
            name = url.rpartition("/")[2]
            matching = [state for start, state in states.items() if name.startswith(start)]
            if not matching:
                raise OSError("no route to host")
            return matching[0]

        monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", download)
        return states

    @pytest.mark.parametrize("in_channels", [1, 5])
    def test_imagenet_fills_the_encoder(self, served: dict[str, Any], in_channels: int) -> None:
        state = served["resnet18"] = torchvision.models.resnet18().state_dict()
        network = MaskRcnn(replace(SMALL, weights="imagenet"), in_channels)
        loaded = network.backbone.body.state_dict()
        stem = loaded.pop("conv1.weight")
        torch.testing.assert_close(
            stem[:, 0] * (5 / 3) ** (in_channels == 5), state["conv1.weight"][:, 0]
        )
        assert all(torch.equal(value, state[key]) for key, value in loaded.items())

    def test_coco_fills_all_that_does_not_depend_on_the_classes(
        self, served: dict[str, Any]
    ) -> None:
        donor = torchvision.models.detection.maskrcnn_resnet50_fpn(weights_backbone=None)
        state = served["maskrcnn_resnet50"] = donor.state_dict()
        network = MaskRcnn(SegmenterSettings("resnet50", weights="coco"))
        loaded = network.state_dict()
        same = {key for key, value in loaded.items() if value.equal(state[key])}
        assert {key for key in loaded if not key.startswith(OF_CLASSES)} <= same
        assert "rpn.head.cls_logits.weight" in same

    def test_without_a_connection(self, served: dict[str, Any]) -> None:
        with pytest.raises(InputError, match="'imagenet' of resnet18 cannot be downloaded"):
            MaskRcnn(replace(SMALL, weights="imagenet"))
