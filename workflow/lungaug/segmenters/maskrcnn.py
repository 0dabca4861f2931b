"""Mask R-CNN on a residual network with a feature pyramid, from torchvision.

Boxes inside this module are torchvision's, (x1, y1, x2, y2), in *index coordinates*: the centre of
the pixel at index i lies at i, so half-open pixel edges are shifted by half a pixel. That is how
torchvision's ``roi_align`` samples feature maps and masks; with half-open edges, as it is usually
called, every mask is half a pixel off, which a nodule of four pixels does not bear.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import BackboneWithFPN
from torchvision.models.detection.faster_rcnn import FastRCNNPredictor, TwoMLPHead
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.mask_rcnn import (
    MaskRCNN_ResNet50_FPN_Weights,
    MaskRCNNHeads,
    MaskRCNNPredictor,
)
from torchvision.ops import MultiScaleRoIAlign
from torchvision.ops.poolers import LevelMapper

from lungaug.errors import InputError, SettingError
from lungaug.segmenters.protocol import Batch, Detections, Found, Loss, Segmenter, SegmenterSettings

# Sides of the anchors, px, of the levels with strides 4, 8, 16, 32 and 64. Nodules are 4 to 60 px
# at 512 px a slice and about as high as wide: three sizes of squares instead of torchvision's one
# size (from 32 px) of three shapes. The IoU of nodules of 4, 8, 14, 28 and 60 px with their best
# anchor is then 0.39, 0.60, 0.66, 0.70 and 0.68 on average; 0.02, 0.06, 0.19, 0.74 and 0.80 with
# torchvision's. Three a place, as there: the number of parameters is the published one.
ANCHORS = ((4, 8, 12), (16, 20, 26), (32, 40, 52), (64, 80, 104), (128, 160, 208))
# Anchors that overlap a small box by torchvision's 0.7 are rare.
POSITIVE_ANCHOR_IOU = 0.5
CLASSES = 2  # background and nodule
STEM_CHANNELS = 3
OF_CLASSES = ("roi_heads.box_predictor.", "roi_heads.mask_predictor.")

Target = dict[str, Tensor]


class MaskRcnn(Segmenter):
    """Nodules as instances: a box, a score and a mask each.

    Images reach the network as they are: neither resized nor normalised, only padded below and on
    the right with 0. A slice is repeated for the three channels of the first convolution, which
    keeps pretrained weights meaningful; three slices go straight in; for other numbers the first
    convolution is of that width, its pretrained weights repeated and scaled to the same sum.
    Batch normalisation is trained, also with pretrained weights (torchvision freezes it then).

    Args:
        settings: encoder (a residual network of torchvision), how many of its halvings are used,
            weights (imagenet, and coco for the published configuration) and ``maskrcnn``;
            ``decoder_channels`` does not apply: the pyramid has ``maskrcnn.hidden`` channels.
        in_channels: 1 for one slice; more for its neighbours.
        objective: not used: the network has losses of its own, whose sum is minimised as in the
            paper (objectness and boxes of the proposals; class, boxes and masks of the heads).

    Raises:
        SettingError: unknown encoder or weights.
        InputError: the weights cannot be downloaded.

    References:
        He K, Gkioxari G, Dollár P, Girshick R, Mask R-CNN, ICCV 2017.
        Lin TY, Dollár P, Girshick R, He K, Hariharan B, Belongie S, Feature pyramid networks for
        object detection, CVPR 2017.
    """

    def __init__(
        self, settings: SegmenterSettings, in_channels: int = 1, objective: Loss | None = None
    ) -> None:
        super().__init__()
        self.stride = 2**settings.encoder_depth
        self.repeats = STEM_CHANNELS if in_channels == 1 else 1
        network = _network(settings, in_channels * self.repeats)
        # Named as in torchvision: its files of weights fit.
        self.backbone = network.backbone
        self.rpn = network.rpn
        self.roi_heads = network.roi_heads
        _download(self, settings)

    def loss(self, batch: Batch) -> Tensor:
        return self._loss(batch.nodule, *self._see(batch.image))

    def predict(self, batch: Batch) -> Tensor:
        return self.find(batch).probability

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        images, features = self._see(batch.image)
        loss = self._loss(batch.nodule, images, features)
        return loss, self._find(images, features).probability

    def find(self, batch: Batch) -> Found:
        return self._find(*self._see(batch.image))

    def _see(self, image: Tensor) -> tuple[ImageList, dict[str, Tensor]]:
        """Images, (N, C, H, W), padded, with their sizes before; and the maps of the pyramid."""
        # Two pixels at the deepest level at least: one has no variance to normalise a batch by.
        right, below = (
            max(-side % self.stride, 2 * self.stride - side)
            for side in (image.shape[-1], image.shape[-2])
        )
        padded = functional.pad(image, (0, right, 0, below)).repeat(1, self.repeats, 1, 1)
        maps = self.backbone(padded)
        images = ImageList(padded, [tuple(image.shape[-2:])] * len(image))
        return images, {name: level.float() for name, level in maps.items()}

    def _loss(self, nodule: Tensor, images: ImageList, features: dict[str, Tensor]) -> Tensor:
        targets = [_target(labels) for labels in nodule[:, 0]]
        # Which anchors and proposals the losses look at is drawn. Training draws from the global
        # generator, as layers do; validation must leave no trace in it.
        randomness = contextlib.nullcontext() if self.training else _fixed(nodule.device)
        with randomness:
            _, losses = self._run(images, features, targets)
        return torch.stack(list(losses.values())).sum()

    def _find(self, images: ImageList, features: dict[str, Tensor]) -> Found:
        results, _ = self._run(images, features, None)
        size = images.image_sizes[0]
        maps = [merge(r["masks"][:, 0], r["boxes"], r["scores"], size) for r in results]
        detections = [Detections(to_edges(r["boxes"], size), r["scores"]) for r in results]
        return Found(torch.stack(maps)[:, None], detections)

    def _run(
        self, images: ImageList, features: dict[str, Tensor], targets: list[Target] | None
    ) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
        """What the heads found, and with targets, instead, their losses."""
        # Coordinates of boxes need float32: float16 has no half pixels beyond 1024, bfloat16 none
        # beyond 128.
        device = images.tensors.device.type
        with torch.autocast(device, enabled=False), self._branch(targets is not None):
            proposals, losses = self.rpn(images, features, targets)
            results, more = self.roi_heads(features, proposals, images.image_sizes, targets)
        return results, {**losses, **more}

    @contextlib.contextmanager
    def _branch(self, losses: bool) -> Iterator[None]:
        """Within: the heads give losses, or else detections, whatever the network's mode.

        Their mode decides nothing but that: no layer inside them looks at it.
        """
        heads = (self.rpn, self.roi_heads)
        before = [head.training for head in heads]
        try:
            for head in heads:
                head.training = losses
            yield
        finally:
            for head, training in zip(heads, before, strict=True):
                head.training = training


def instances(nodule: Tensor) -> tuple[Tensor, Tensor]:
    """The nodules of one slice: an instance is all pixels of a label, connected or not.

    Args:
        nodule: labels (H, W), 0 background.

    Returns:
        Masks (K, H, W) bool, in the order of the labels; and boxes (K, 4) float32, px: top, left,
        bottom, right, the last two excluded.
    """
    labels = torch.unique(nodule[nodule > 0])
    masks = nodule == labels[:, None, None]
    (top, bottom), (left, right) = (_extent(masks.any(axis)) for axis in (2, 1))
    return masks, torch.stack([top, left, bottom, right], 1).float()


def _extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """The first and the one after the last of the occupied places, (K,), of (K, length)."""
    first = occupied.byte().argmax(1)
    return first, occupied.shape[1] - occupied.flip(1).byte().argmax(1)


def _target(nodule: Tensor) -> Target:
    """What torchvision's losses compare with, of one slice (H, W)."""
    masks, boxes = instances(nodule)
    return {
        "boxes": to_index(boxes),
        "labels": torch.ones(len(masks), dtype=torch.int64, device=nodule.device),
        "masks": masks.byte(),
    }


def to_index(boxes: Tensor) -> Tensor:
    """Boxes in index coordinates, (K, 4), of (top, left, bottom, right) px, half-open."""
    return boxes[:, [1, 0, 3, 2]] - 0.5


def to_edges(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """The inverse of :func:`to_index` for boxes that torchvision has clipped to a slice."""
    # It clips at index 0, the centre of the first pixel: such boxes reach that pixel's edge.
    half_open = torch.where(boxes <= 0, 0, boxes + 0.5)[:, [1, 0, 3, 2]]
    return half_open.minimum(half_open.new_tensor([*size, *size]))


def merge(masks: Tensor, boxes: Tensor, scores: Tensor, size: tuple[int, int]) -> Tensor:
    """One probability map of a slice's instances: the maximum of score times mask probability.

    The score is the probability that the instance is a nodule, the mask's the one that a pixel is
    part of it, given that it is: their product is the pixel's. The maximum, since several boxes
    of one nodule are no independent evidence: a union would grow with their number.

    Args:
        masks: probabilities inside the boxes, (K, M, M), of any resolution M.
        boxes: (K, 4) in index coordinates.
        scores: (K,), 0 to 1.
        size: of the slice, px.

    Returns:
        (H, W), 0 outside of every box.
    """
    merged = masks.new_zeros(size)
    weighted = masks * scores[:, None, None]
    for mask, (x1, y1, x2, y2) in zip(weighted, boxes.tolist(), strict=True):
        rows, columns = _inside(y1, y2, size[0]), _inside(x1, x2, size[1])
        y, x = (
            2 * (torch.arange(p.start, p.stop, device=masks.device) - low) / (high - low) - 1
            for p, low, high in ((rows, y1, y2), (columns, x1, x2))
        )
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).to(masks.dtype)
        pasted = functional.grid_sample(
            mask[None, None], grid[None], padding_mode="border", align_corners=False
        )
        merged[rows, columns] = merged[rows, columns].maximum(pasted[0, 0])
    return merged


def _inside(low: float, high: float, length: int) -> slice:
    """The pixels whose centres lie between two index coordinates."""
    first = max(math.ceil(low), 0)
    return slice(first, max(first, min(math.floor(high), length - 1) + 1))


@contextlib.contextmanager
def _fixed(device: torch.device) -> Iterator[None]:
    """Within: torch's generator of that device is at the start of a fixed sequence."""
    generator = torch.default_generator
    if device.type == "cuda":
        generator = torch.cuda.default_generators[device.index]
    before = generator.get_state()
    try:
        generator.manual_seed(0)
        yield
    finally:
        generator.set_state(before)


def _network(settings: SegmenterSettings, stem_channels: int) -> MaskRCNN:
    """torchvision's network, as wide as the settings say, with their weights."""
    backbone = _backbone(settings, stem_channels)
    options, hidden = settings.maskrcnn, settings.maskrcnn.hidden
    levels = len(backbone.body.return_layers)
    anchors = AnchorGenerator(ANCHORS[: levels + 1], ((1.0,),) * (levels + 1))
    boxes, masks = _pool(levels, 7), _pool(levels, 14)
    return MaskRCNN(
        backbone,
        rpn_anchor_generator=anchors,
        rpn_fg_iou_thresh=POSITIVE_ANCHOR_IOU,
        box_roi_pool=boxes,
        box_head=TwoMLPHead(hidden * 7**2, 4 * hidden),
        box_predictor=FastRCNNPredictor(4 * hidden, CLASSES),
        box_score_thresh=options.min_score,
        box_detections_per_img=options.max_detections,
        mask_roi_pool=masks,
        mask_head=MaskRCNNHeads(hidden, (hidden,) * 4, 1),
        mask_predictor=MaskRCNNPredictor(hidden, hidden, CLASSES),
    )


def _pool(levels: int, size: int) -> Any:
    """Maps of ``size`` x ``size`` of boxes, from the level that suits their area."""
    pool = MultiScaleRoIAlign([str(level) for level in range(levels)], size, sampling_ratio=2)
    # Otherwise guessed from the first batch, wrongly where padding is much of it.
    pool.scales = [2.0 ** -(2 + level) for level in range(levels)]
    pool.map_levels = LevelMapper(2, 1 + levels)
    return pool


def _backbone(settings: SegmenterSettings, stem_channels: int) -> BackboneWithFPN:
    """The encoder's maps from stride 4 to that of its depth, and a pyramid on them."""
    encoders = [name for name in torchvision.models.list_models() if _is_encoder(name)]
    if settings.encoder not in encoders:
        raise SettingError(
            f"encoder: got {settings.encoder!r}; accepted for maskrcnn: {', '.join(encoders)}"
        )
    body = torchvision.models.get_model(settings.encoder, weights=None)
    if stem_channels != STEM_CHANNELS:
        body.conv1 = nn.Conv2d(stem_channels, 64, 7, stride=2, padding=3, bias=False)
        nn.init.kaiming_normal_(body.conv1.weight, mode="fan_out", nonlinearity="relu")
    levels = range(settings.encoder_depth - 1)
    deepest = body.fc.in_features
    return BackboneWithFPN(
        body,
        {f"layer{1 + level}": str(level) for level in levels},
        [deepest // 2 ** (3 - level) for level in levels],
        settings.maskrcnn.hidden,
    )


def _is_encoder(name: str) -> bool:
    return name.startswith(("resnet", "resnext", "wide_resnet"))


def _download(segmenter: MaskRcnn, settings: SegmenterSettings) -> None:
    """Put torchvision's weights of the settings' name, if there is one, into a network."""
    name = settings.weights
    if name is None:
        return
    known = _known(settings)
    if name not in known:
        raise SettingError(
            f"weights: got {name!r}; accepted for maskrcnn on {settings.encoder}: "
            f"{', '.join(['null', *known, 'the path of a file'])}"
        )
    try:
        state = known[name].get_state_dict(progress=False, check_hash=True)
    except OSError as error:
        raise InputError(
            f"weights: {name!r} of {settings.encoder} cannot be downloaded ({error}); accepted: a "
            "connection, the path of a file of weights, or null"
        ) from error
    _fit(segmenter, state)


def _known(settings: SegmenterSettings) -> dict[str, Any]:
    """torchvision's weights that fit, by name."""
    known = {"imagenet": torchvision.models.get_model_weights(settings.encoder)["IMAGENET1K_V1"]}
    if (settings.encoder, settings.encoder_depth, settings.maskrcnn.hidden) == ("resnet50", 5, 256):
        known["coco"] = MaskRCNN_ResNet50_FPN_Weights.COCO_V1
    return known


def _fit(segmenter: MaskRcnn, state: Mapping[str, Tensor]) -> None:
    """Load a whole network of other classes, or else an encoder, from torchvision's weights."""
    whole = any(key.startswith("backbone.") for key in state)
    module = segmenter if whole else segmenter.backbone.body
    stem = "backbone.body.conv1.weight" if whole else "conv1.weight"
    width = segmenter.backbone.body.conv1.in_channels
    repeated = state[stem][:, torch.arange(width) % STEM_CHANNELS] * (STEM_CHANNELS / width)
    kept = {k: v for k, v in state.items() if not k.startswith(OF_CLASSES)}
    # Not strict: what lies below the pyramid is not used, what depends on the classes not loaded.
    module.load_state_dict({**kept, stem: repeated}, strict=False)
