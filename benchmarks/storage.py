"""Random reads of slice files: the default compression beside gzip-4 with shuffle."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np

from benchmarks.harness import Row, compare
from benchmarks.slices import Material
from lungaug.store import Provenance, SliceFile, SliceWriter, StorageSettings, empty_slices

Codec = Literal["zstd", "gzip"]


def random_reads(material: Material, repeats: int) -> Iterator[Row]:
    """One HU slice a read, in an order that no cache foresees; both through the same reader."""
    with TemporaryDirectory() as folder:
        codecs: tuple[Codec, ...] = ("zstd", "gzip")
        paths = {codec: _written(Path(folder), codec, material) for codec in codecs}
        with SliceFile(paths["zstd"]) as ours, SliceFile(paths["gzip"]) as peer:
            group = ours.groups[0]
            order = np.random.default_rng(0).permutation(len(ours)).tolist()
            measured = compare(
                lambda row: ours.image("hu", group, row),
                lambda row: peer.image("hu", group, row),
                order,
                repeats,
            )
        sizes = [path.stat().st_size for path in paths.values()]
    work = f"random read of a slice, zstd / gzip-4, both shuffled; size {sizes[0] / sizes[1]:.2f}x"
    yield measured.row(work, 2)


def _written(folder: Path, codec: Codec, material: Material) -> Path:
    path = folder / f"{codec}.h5"
    storage = StorageSettings(compression=codec)
    with SliceWriter(path, Provenance("benchmark", "{}", ""), storage) as writer:
        for each in material.chest:
            writer.append(empty_slices(1), hu=each.hu[None])
    return path
