"""Whether a slice has a nodule: a classifier on a segmenter's encoder, to come before it."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lungaug.segmenters import factory
from lungaug.segmenters.presence_settings import PresenceSettings
from lungaug.segmenters.protocol import Batch


class Presence(nn.Module):
    """Probability that a slice has a nodule, for slices of any size.

    The encoder's deepest maps are pooled to one vector, the highest and the mean value of every
    channel, and one linear layer makes a logit of it. The mean alone would hide what is looked for:
    a nodule of 6 px moves one cell of the deepest map, one in 256 for a slice of 512 px and an
    encoder of 5 halvings. The highest value alone lets only one cell a channel learn in a step.

    A few hundred slices with one answer each are too few to learn from what a nodule looks like.
    Since there are masks, every cell of the deepest map is also asked whether there is a nodule in
    it, in the loss; the highest answer is pooled with the rest.

    Args:
        settings: encoder and its weights.
        positive_weight: of slices with a nodule in the loss, where the settings have none; those
            without weigh 1.

    Raises:
        SettingError: unknown encoder or weights.
        InputError: a file of weights cannot be read.

    References:
        Woo S, Park J, Lee JY, Kweon IS, CBAM: convolutional block attention module, ECCV 2018,
        section 3 (both poolings tell more than either).
    """

    def __init__(self, settings: PresenceSettings, positive_weight: float = 1.0) -> None:
        super().__init__()
        self.stride = 2**settings.encoder_depth
        self.positive_weight = settings.positive_weight or positive_weight
        # Building a U-Net checks the encoder's name and loads its weights, from a file too.
        self.encoder = factory.build("unet", settings.unet).get_submodule("network.encoder")
        n_maps = _n_deepest(self.encoder, settings.unet.in_channels, self.stride)
        self.cell_weight = settings.cell_weight
        self.cell_head = nn.Conv2d(n_maps, 1, 1)
        self.head = nn.Linear(2 * n_maps + 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of images (N, C, H, W): of slices, (N,), and of their cells, (N, 1, h, w)."""
        padded = self._padded(image).contiguous(memory_format=torch.channels_last)
        maps = self.encoder(padded)[-1]
        cells = self.cell_head(maps)
        pooled = [maps.amax((2, 3)), maps.mean((2, 3)), cells.amax((2, 3))]
        logits: Tensor = self.head(torch.cat(pooled, dim=1))
        return logits[:, 0], cells

    def loss(self, batch: Batch) -> Tensor:
        """Weighted cross-entropy of slices, the mean over them, and that of their cells."""
        return self.assess(batch)[0]

    def predict(self, batch: Batch) -> Tensor:
        """Probability that there is a nodule, (N,)."""
        logits, _ = self(batch.image)
        return torch.sigmoid(logits)

    def assess(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Loss and probability."""
        logits, cells = self(batch.image)
        return self._loss(logits, cells, batch), torch.sigmoid(logits)

    def _loss(self, logits: Tensor, cells: Tensor, batch: Batch) -> Tensor:
        weight = logits.new_tensor(self.positive_weight)
        present = present_of(batch).to(logits.dtype)
        # Of a cell with any nodule px the target is 1.
        inside = self._padded((batch.nodule > 0).to(cells.dtype))
        target = functional.adaptive_max_pool2d(inside, cells.shape[-2:])
        entropy = functional.binary_cross_entropy_with_logits
        of_slices = entropy(logits, present, pos_weight=weight)
        return of_slices + self.cell_weight * entropy(cells, target)

    def _padded(self, image: Tensor) -> Tensor:
        """With 0 below and on the right, to sides that the encoder's stride divides."""
        height, width = image.shape[-2:]
        return functional.pad(image, (0, -width % self.stride, 0, -height % self.stride))


def present_of(batch: Batch) -> Tensor:
    """Whether each slice has a nodule, (N,) bool."""
    return (batch.nodule > 0).flatten(1).any(1)


@torch.no_grad()
def _n_deepest(encoder: nn.Module, in_channels: int, side: int) -> int:
    """Channels of an encoder's deepest maps."""
    encoder.eval()
    maps = encoder(torch.zeros(1, in_channels, side, side))[-1]
    encoder.train()
    return int(maps.shape[1])
