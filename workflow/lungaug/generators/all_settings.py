"""Settings of every generator. Standard library only: the schema of ``config.yaml`` reads it."""

from __future__ import annotations

from dataclasses import dataclass

from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.dcgan_settings import DcganSettings
from lungaug.generators.gaussian_settings import GaussianSettings
from lungaug.generators.vqvae_settings import VqvaeSettings
from lungaug.settings import setting


@dataclass(frozen=True)
class GeneratorsSettings:
    """How each generator is built and fitted."""

    vqvae: VqvaeSettings = setting(VqvaeSettings, "codes, and a prior over them")
    dcgan: DcganSettings = setting(DcganSettings, "two networks that compete")
    copypaste: CopypasteSettings = setting(CopypasteSettings, "real nodules, turned and scaled")
    gaussian: GaussianSettings = setting(GaussianSettings, "an ellipsoid with texture")
