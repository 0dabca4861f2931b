"""The training loop on slices from a file, beside the same loop on one batch that is at hand."""

from __future__ import annotations

import contextlib
import itertools
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pandas as pd
import torch

from benchmarks.harness import Row
from benchmarks.slices import Material
from lungaug.imaging.contrast import network_input
from lungaug.segmenters import factory
from lungaug.segmenters.settings import PLAIN, SegmenterSettings
from lungaug.store import Provenance, SliceWriter, empty_slices, slice_key
from lungaug.training import loop
from lungaug.training.checkpoint import Checkpoint, seed_generators
from lungaug.training.data import SliceRows, Slices, loader
from lungaug.training.devices import make_fabric, reproducible
from lungaug.training.losses import bce_dice
from lungaug.training.order import BatchOrder
from lungaug.training.settings import OnlineSettings, RunningSettings, TrainingSettings

N_SLICES = 12
AT_LEAST = {"cpu": 0.90, "cuda": 0.95}
# A small part of the published network's work, which makes it harder for the loader.
REDUCED = SegmenterSettings(PLAIN, encoder_depth=4, decoder_channels=(64, 32, 16, 8))
PUBLISHED = SegmenterSettings("vgg11")
COMMAND = "python -m benchmarks.run --only loader"
SAMPLED_EVERY = 0.1  # seconds between looks at the GPU


@dataclass(frozen=True)
class Case:
    """What is trained, and how its slices come."""

    network: SegmenterSettings
    settings: TrainingSettings
    running: RunningSettings
    device: str
    online: bool
    clock: Callable[[], float]
    timed: str  # what the clock tells


class Utilisation:
    """Of the GPU while something runs: the mean of what the driver says ten times a second."""

    def __init__(self) -> None:
        self._percent: list[int] = []
        self._why_not = ""
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch)

    def __enter__(self) -> Utilisation:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            try:
                self._percent.append(torch.cuda.utilization())
            except ModuleNotFoundError:
                self._why_not = "nvidia-ml-py is not installed"
                return

    def __str__(self) -> str:
        if not self._percent:
            return f"utilisation not known: {self._why_not or 'too short to look'}"
        return f"utilisation {np.mean(self._percent):.0f} %"


def efficiency(on: Material, repeats: int) -> Iterator[Row]:
    """Seconds of the loop on one batch, divided by its seconds on slices of 512x512.

    Without a GPU by processor time, in one thread that also loads; with one by the clock.
    """
    with tempfile.TemporaryDirectory() as folder:
        rows = write_slices(Path(folder), on)
        settings = TrainingSettings(steps=N_SLICES // 6, batch_size=6, select="last")
        running = RunningSettings(checkpoint_every=10**6)
        timed = "processor time of the one process, which trains and loads"
        case = Case(REDUCED, settings, running, "cpu", False, time.process_time, timed)
        for online, cache_mb in itertools.product((False, True), (0, 1024)):
            how = replace(running, cache_mb=cache_mb)
            chosen = replace(case, running=how, online=online)
            yield measure("reduced U-Net, one thread", chosen, rows, repeats)
        yield from on_gpu(case, rows, repeats)


def on_gpu(case: Case, rows: SliceRows, repeats: int) -> Iterator[Row]:
    """The published network in mixed precision, with every core loading; or that it was not run."""
    name, wanted = "published U-Net (vgg11), bf16-mixed, one GPU", f">= {AT_LEAST['cuda']:.2f}"
    if not torch.cuda.is_available():
        what = f"loader efficiency, {name}, samples/s, utilisation, memory: {COMMAND}"
        yield Row(what, "not run", "", "", wanted, None)
        return
    settings = replace(case.settings, steps=300, precision="bf16-mixed")
    running = replace(case.running, workers=(os.cpu_count() or 2) - 1)
    timed = f"the clock, {running.workers} processes load"
    case = Case(PUBLISHED, settings, running, "cuda", False, time.perf_counter, timed)
    for online in (False, True):
        chosen = replace(case, online=online)
        row = measure(name, chosen, rows, repeats)
        yield replace(row, work=f"{row.work}; {used_of(chosen, rows)}")


def used_of(case: Case, rows: SliceRows) -> str:
    """Utilisation of the GPU, and its memory at the most, in one more training on slices."""
    torch.cuda.reset_peak_memory_stats()
    order = BatchOrder(rows.groups, case.settings.batch_size)
    with Utilisation() as utilisation:
        train(case, slices_of(case, rows), order)
    return f"{utilisation}, {torch.cuda.max_memory_allocated() / 2**20:.0f} MB"


def measure(name: str, case: Case, rows: SliceRows, repeats: int) -> Row:
    """Both loops, now one first and now the other, after one of each that is not timed.

    Compared by the fastest of each, which is the least disturbed; the range is that of pairs.
    """
    slices = slices_of(case, rows)
    order = BatchOrder(rows.groups, case.settings.batch_size)
    batch = next(iter(loader(slices, order.batches(0, 1))))
    found = np.zeros((repeats + 1, 2))
    for repeat in range(repeats + 1):
        for k in (0, 1) if repeat % 2 else (1, 0):
            at_hand = mock.patch.object(loop, "loader", return_value=itertools.repeat(batch))
            with at_hand if k else contextlib.nullcontext():
                found[repeat, k] = train(case, slices, order)
    n_samples = case.settings.steps * case.settings.batch_size
    ours, peer = found[1:].T
    ratio, low, high = peer.min() / ours.min(), (peer / ours).min(), (peer / ours).max()
    least = AT_LEAST[case.device]
    kept = "kept in memory" if case.running.cache_mb else "decoded each time"
    return Row(
        "loader efficiency: a step on one batch at hand / on slices from the file, by "
        f"{case.timed}; {name}, slices {kept}{', augmented' if case.online else ''}, "
        f"{n_samples / ours.min():.1f} samples/s",
        f"{ours.min() / n_samples * 1e3:.1f} ms",
        f"{peer.min() / n_samples * 1e3:.1f} ms",
        f"{ratio:.3f} ({low:.3f}-{high:.3f})",
        f">= {least:.2f}",
        bool(ratio >= least),
    )


def train(case: Case, slices: Slices, order: BatchOrder) -> float:
    """Seconds of the loop, with the first step's and without the network's making."""
    fabric = make_fabric(case.device, precision=case.settings.precision)
    seed_generators(0)
    network = factory.build("unet", case.network, objective=bce_dice)
    with tempfile.TemporaryDirectory() as folder, reproducible(1, fabric):
        start = case.clock()
        loop.fit(
            network,
            slices,
            None,
            order,
            settings=case.settings,
            running=case.running,
            fabric=fabric,
            checkpoint=Checkpoint(Path(folder, "checkpoint.pt"), "benchmark"),
            name="benchmark",
        )
        return case.clock() - start


def slices_of(case: Case, rows: SliceRows) -> Slices:
    """Behind the network's door, CLAHE included."""
    online = OnlineSettings() if case.online else None
    return Slices(rows, network_input, cache_mb=case.running.worker_cache_mb, online=online)


def write_slices(folder: Path, on: Material) -> SliceRows:
    """A slice file with the material's slices of 512x512, repeated to ``N_SLICES``."""
    chosen = [each for each in [*on.nodules, *on.chest] if each.hu.shape == (512, 512)]
    used = list(itertools.islice(itertools.cycle(chosen), N_SLICES))
    records = empty_slices(N_SLICES)
    records["patient"], records["index"] = b"p", np.arange(N_SLICES)
    hu, nodule = (np.stack([getattr(each, name) for each in used]) for name in ("hu", "nodule"))
    with SliceWriter(folder / "slices.h5", Provenance("benchmark", "{}", "")) as writer:
        writer.append(records, hu=hu, nodule=nodule)
    columns: dict[str, Any] = {"file": "slices.h5", "row": range(N_SLICES), "group": "512x512"}
    columns |= {"key": [slice_key(record) for record in records], "patient": "p"}
    return SliceRows(pd.DataFrame({**columns, "lung_rads": "", "origin": "real"}), folder)
