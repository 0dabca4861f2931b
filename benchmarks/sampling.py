"""Sampling nodules from the published prior, beside the published loop."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.harness import Row
from lungaug.generators.pixelcnn import PixelCnn, pick, uniforms_of
from lungaug.generators.vqvae_settings import PUBLISHED, PixelCnnSettings

N_NODULES = 800
AT_LEAST = 5
CHUNK = 64  # ours, as the generator has it
PUBLISHED_BATCH = 16
LATENT = (16, 16)
SMALL = PixelCnnSettings(layers=4, width=16, head=32)


def sampling(n_ours: int = 2 * CHUNK, pixels: int = 3) -> Iterator[Row]:
    """Seconds for 800 nodules in one thread, both extrapolated from fewer.

    Args:
        n_ours: nodules that ours draws, in whole chunks.
        pixels: of 256, that the published loop draws for one batch: each costs the same, since
            each computes the whole image anew.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        same = _same_codes()
        network = _network(PUBLISHED.pixelcnn)
        with torch.no_grad():
            ours = _ours(network, n_ours) * N_NODULES / n_ours
            n_passes = N_NODULES / PUBLISHED_BATCH * np.prod(LATENT)
            peer = _peer(network, pixels) * n_passes
    finally:
        torch.set_num_threads(threads)
    yield Row(
        f"sampling {N_NODULES} nodules, published prior (ours from {n_ours} nodules, published "
        f"loop from {pixels} of {np.prod(LATENT)} pixels of one batch); same codes: "
        f"{'yes' if same else 'NO'}",
        f"{ours:.0f} s",
        f"{peer:.0f} s",
        f"{peer / ours:.0f}",
        f">= {AT_LEAST}x",
        bool(peer >= AT_LEAST * ours) and same,
    )


def published_loop(network: PixelCnn, condition: Tensor, uniforms: Tensor, pixels: int) -> Tensor:
    """Codes by the published loop: the whole image is computed for each of its pixels.

    Args:
        network: the prior.
        condition: (B, C).
        uniforms: (B, H, W); the publication draws by ``torch.multinomial``, at the same cost.
        pixels: after how many to stop.
    """
    codes = torch.zeros(uniforms.shape, dtype=torch.long)
    for row, column in list(np.ndindex(*uniforms.shape[1:]))[:pixels]:
        logits = network(codes, condition)[:, :, row, column]
        codes[:, row, column] = pick(logits, uniforms[:, row, column])
    return codes


def _network(settings: PixelCnnSettings) -> PixelCnn:
    torch.manual_seed(0)
    return PixelCnn(PUBLISHED.codebook.size, settings).eval()


def _same_codes() -> bool:
    """Whether both draw the same, on a small prior that the loop can finish."""
    network, uniforms = _network(SMALL), uniforms_of(0, (4, 8, 6))
    condition = torch.randn(4, SMALL.condition_width)
    with torch.no_grad():
        peer = published_loop(network, condition, uniforms, pixels=8 * 6)
    return torch.equal(network.draw(condition, uniforms), peer)


def _ours(network: PixelCnn, n: int) -> float:
    width = PUBLISHED.pixelcnn.condition_width

    def draw() -> None:
        for _ in range(n // CHUNK):
            network.draw(torch.randn(CHUNK, width), uniforms_of(0, (CHUNK, *LATENT)))

    network.draw(torch.randn(2, width), uniforms_of(0, (2, 2, 2)))
    return _seconds(draw)


def _peer(network: PixelCnn, pixels: int) -> float:
    """Seconds a pass over one batch."""
    condition = torch.randn(PUBLISHED_BATCH, PUBLISHED.pixelcnn.condition_width)
    uniforms = uniforms_of(0, (PUBLISHED_BATCH, *LATENT))
    published_loop(network, condition, uniforms, pixels=1)
    return _seconds(lambda: published_loop(network, condition, uniforms, pixels)) / pixels


def _seconds(call: Callable[[], Any]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start
