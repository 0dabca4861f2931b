"""The one table of names: what conda-forge, PyPI and an import call the same package."""

from __future__ import annotations

from typing import NamedTuple


class Names(NamedTuple):
    """Names of a package that conda-forge calls otherwise than PyPI or an import."""

    conda: str
    pypi: str
    module: str


TABLE = (
    Names("gdcm", "python-gdcm", "gdcm"),
    Names("matplotlib-base", "matplotlib", "matplotlib"),
    Names("py-opencv", "opencv-python-headless", "cv2"),
    Names("pytorch", "torch", "torch"),
    # conda-forge has no lightning-fabric: its module is a part of this package.
    Names("pytorch-lightning", "lightning-fabric", "lightning_fabric"),
    Names("pyyaml", "pyyaml", "yaml"),
    Names("scikit-image", "scikit-image", "skimage"),
    Names(
        "segmentation-models-pytorch", "segmentation-models-pytorch", "segmentation_models_pytorch"
    ),
    # Nothing of ours imports it by its own name.
    Names("tensorboard", "tensorboard", "torch.utils.tensorboard"),
)
PYPI = {names.conda: names.pypi for names in TABLE}
MODULES = {names.conda: names.module for names in TABLE}
CONDA = {names.module: names.conda for names in TABLE}


def pypi_name(package: str) -> str:
    """What PyPI calls a package of conda-forge; one that is not in the table has one name."""
    return PYPI.get(package, package)


def conda_name(module: str) -> str:
    """The package of conda-forge that a module comes from, such as ``torch.nn`` from pytorch."""
    parts = module.split(".")
    leading = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((CONDA[name] for name in leading if name in CONDA), parts[0])
