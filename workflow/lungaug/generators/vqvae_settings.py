"""Settings of VQ-VAE and prior. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.errors import SettingError
from lungaug.generators.penalty_settings import PenaltySettings
from lungaug.generators.settings import BudgetSettings, CollapseSettings
from lungaug.settings import setting


@dataclass(frozen=True)
class RateSettings:
    """Learning rates of Adam, one after the other."""

    values: tuple[float, ...] = setting((3e-3, 1e-3, 3e-4), "learning rates, in order")
    changes_at: tuple[float, ...] = setting(
        (0.6, 0.9), "share of the steps after which each next rate holds, rising"
    )

    def __post_init__(self) -> None:
        shares = self.changes_at
        if len(shares) != len(self.values) - 1:
            raise SettingError(
                f"changes_at: got {len(shares)} changes of {len(self.values)} learning rates; "
                "accepted: one fewer than rates"
            )
        if list(shares) != sorted(shares) or any(not 0 < share < 1 for share in shares):
            raise SettingError(f"changes_at: got {shares}; accepted: rising, between 0 and 1")
        if any(rate <= 0 for rate in self.values):
            raise SettingError(f"values: got {self.values}; accepted: above 0")

    def at(self, step: int, steps: int) -> float:
        """The rate of a step, counted from 0."""
        return self.values[sum(step >= round(share * steps) for share in self.changes_at)]


@dataclass(frozen=True)
class CodebookSettings:
    """The codes that a crop is written in, learned as moving averages."""

    size: int = setting(128, "number of codes; the published 512 used 17 of them", minimum=2)
    width: int = setting(32, "length of a code", minimum=1)
    decay: float = setting(0.97, "of the moving averages, a step", minimum=0, exclusiveMaximum=1)
    dead_below: float = setting(
        0.5, "moving average of uses a step below which a code is restarted; 0: never", minimum=0
    )


@dataclass(frozen=True)
class PixelCnnSettings:
    """The gated PixelCNN that the codes are drawn from."""

    layers: int = setting(
        6, "gated layers, the first of which is blind to its own pixel", minimum=2
    )
    width: int = setting(64, "channels of a layer", minimum=1)
    first_kernel: int = setting(5, "side of the first layer's kernel; odd", minimum=3)
    kernel: int = setting(3, "side of the other layers' kernels; odd", minimum=3)
    head: int = setting(128, "channels between the last layer and the codes", minimum=1)
    dropout: float = setting(
        0.1, "share of a layer's activations dropped in training", minimum=0, exclusiveMaximum=1
    )
    condition_width: int = setting(32, "length of the embedded condition", minimum=1)
    condition_dropout: float = setting(
        0.1, "share of conditions that training replaces by 'any'", minimum=0, maximum=1
    )

    def __post_init__(self) -> None:
        for name in ("first_kernel", "kernel"):
            if getattr(self, name) % 2 == 0:
                raise SettingError(f"{name}: got {getattr(self, name)}; accepted: odd")


@dataclass(frozen=True)
class VqvaeSettings:
    """A VQ-VAE of crops, then a gated PixelCNN of its codes."""

    window: tuple[float, float] = setting(
        (-1000.0, 400.0), "HU at -1 and at 1; beyond them is clipped"
    )
    min_nodules: int = setting(100, "crops below which nothing is conditional", minimum=1)
    widths: tuple[int, ...] = setting(
        (16, 32, 64), "channels of the encoder, one a halving of the crop's side"
    )
    residual_layers: int = setting(2, "residual layers of encoder and decoder each", minimum=0)
    residual_width: int = setting(32, "channels inside a residual layer", minimum=1)
    normalise: bool = setting(
        True, "encodings have mean 0 and SD 1 over a batch, which keeps codes in use; published: no"
    )
    codebook: CodebookSettings = setting(CodebookSettings, "the codes")
    commitment: float = setting(
        0.25, "weight of the distance to the codes in the encoder's loss; published 0.05", minimum=0
    )
    nodule_weight: float = setting(
        1.0,
        "weight of errors in and next to the nodule, besides all; published 0",
        minimum=0,
    )
    flips: bool = setting(
        True, "both trainings see every crop flipped and turned at random; published: false"
    )
    penalties: PenaltySettings = setting(PenaltySettings, "on the reconstructed HU in true masks")
    autoencoder: BudgetSettings = setting(BudgetSettings, "training of encoder and decoder")
    autoencoder_rates: RateSettings = setting(RateSettings, "its learning rates")
    pixelcnn: PixelCnnSettings = setting(PixelCnnSettings, "the prior's network")
    prior: BudgetSettings = setting(BudgetSettings, "training of the prior")
    prior_rates: RateSettings = setting(RateSettings, "its learning rates")
    collapse: CollapseSettings = setting(CollapseSettings, "what is called a collapse")
    temperature: float = setting(
        1.0, "the prior's logits are divided by it; below 1 more of the usual", exclusiveMinimum=0
    )

    def __post_init__(self) -> None:
        if self.window[0] >= self.window[1]:
            raise SettingError(f"window: got {self.window}; accepted: low, then high")
        if not self.widths or any(width < 1 for width in self.widths):
            raise SettingError(f"widths: got {self.widths}; accepted: at least one, 1 or more")


# Thesis, appendix. The prior learned for 1 + 10, 10 and 10 epochs of 36 batches.
PUBLISHED = VqvaeSettings(
    widths=(128, 256),
    normalise=False,
    codebook=CodebookSettings(size=512, width=64, decay=0.99),
    commitment=0.05,
    nodule_weight=0.0,
    flips=False,
    autoencoder=BudgetSettings(steps=15000, batch_size=16),
    autoencoder_rates=RateSettings((2e-4,), ()),
    pixelcnn=PixelCnnSettings(layers=10, width=256, first_kernel=7, head=512, dropout=0.0),
    prior=BudgetSettings(steps=1116, batch_size=16),
    prior_rates=RateSettings((3e-4, 1e-4, 5e-5), (396 / 1116, 756 / 1116)),
)
