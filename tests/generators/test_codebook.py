"""The codebook: what a step does to it, and what it leaves alone."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from lungaug.generators.codebook import Codebook, perplexity
from lungaug.generators.vqvae_settings import CodebookSettings

SETTINGS = CodebookSettings(size=8, width=4, decay=0.9, dead_below=0)


@pytest.fixture
def encodings() -> Tensor:
    return torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))


def codebook(settings: CodebookSettings = SETTINGS, seed: int = 0) -> Codebook:
    torch.manual_seed(seed)
    return Codebook(settings)


def test_codes_are_the_nearest_vectors(encodings: Tensor) -> None:
    book = codebook().eval()
    found = book(encodings)
    distances = torch.cdist(encodings.movedim(1, -1).flatten(0, -2), book.vectors)
    assert torch.equal(found.indices.flatten(), distances.argmin(dim=1))
    torch.testing.assert_close(found.codes, book.embed(found.indices))


def test_gradient_passes_as_if_nothing_was_replaced(encodings: Tensor) -> None:
    encodings.requires_grad_()
    codebook()(encodings).codes.sum().backward()
    assert torch.equal(encodings.grad, torch.ones_like(encodings))


def test_moving_averages_follow_as_monai_has_it(encodings: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what MONAI imports
        from monai.networks.layers.vector_quantizer import EMAQuantizer

    book = codebook().train()
    peer = EMAQuantizer(2, SETTINGS.size, SETTINGS.width, decay=SETTINGS.decay)
    peer.embedding.weight.data.copy_(book.vectors)
    peer.ema_w.copy_(book.sums)
    for _ in range(2):
        found = book(encodings)
        codes, loss, indices = peer(encodings)
        assert torch.equal(found.indices, indices)
        torch.testing.assert_close(found.codes, codes)
        torch.testing.assert_close(found.commitment * peer.commitment_cost, loss)
        torch.testing.assert_close(book.uses, peer.ema_cluster_size)
        torch.testing.assert_close(book.sums, peer.ema_w)
        torch.testing.assert_close(book.vectors, peer.embedding.weight)


def test_nothing_moves_outside_training(encodings: Tensor) -> None:
    book = codebook().eval()
    before = {name: value.clone() for name, value in book.state_dict().items()}
    book(encodings)
    assert all(torch.equal(before[name], value) for name, value in book.state_dict().items())


def test_dead_codes_are_set_onto_encodings_of_the_batch(encodings: Tensor) -> None:
    book = codebook(replace(SETTINGS, dead_below=0.5)).train()
    book.uses.fill_(10)
    book.uses[[2, 5]] = 0
    book.vectors[[2, 5]] = 1e6  # where no encoding is near
    book(encodings, seed=1)
    flat = encodings.movedim(1, -1).flatten(0, -2)
    for dead in (2, 5):
        assert (flat == book.vectors[dead]).all(dim=1).any()
    torch.testing.assert_close(book.sums[2] / book.uses[2], book.vectors[2])
    assert book.n_used() == SETTINGS.size


def test_a_code_in_just_enough_use_is_not_dead(encodings: Tensor) -> None:
    settings = replace(SETTINGS, decay=0.5, dead_below=0.5)
    book = codebook(settings).train()
    # Vectors are sums over uses: these two stay where no encoding is near.
    book.uses.fill_(1.0)
    book.vectors[[2, 5]] = book.sums[[2, 5]] = 1e6
    book.uses[5] = 0.999
    book(encodings, seed=1)
    assert book.uses[2] == settings.dead_below
    assert (book.vectors[2] > 1e5).all()
    assert (book.vectors[5].abs() < 10).all()


def test_restarts_follow_from_the_seed_alone(encodings: Tensor) -> None:
    settings = replace(SETTINGS, dead_below=0.5)
    vectors = []
    for seed in (1, 1, 2):
        book = codebook(settings).train()
        torch.rand(seed)  # the global generator is elsewhere each time
        book(encodings, seed=seed)
        vectors.append(book.vectors)
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


def test_codes_are_float32_under_mixed_precision(encodings: Tensor) -> None:
    book = codebook().train()
    with torch.autocast("cpu", torch.bfloat16):
        found = book(encodings.bfloat16())
    assert {found.codes.dtype, found.commitment.dtype, book.vectors.dtype} == {torch.float32}


@pytest.mark.parametrize(("shares", "wanted"), [([0.25] * 4, 4.0), ([1.0, 0.0, 0.0], 1.0)])
def test_perplexity_counts_codes_in_equal_use(shares: list[float], wanted: float) -> None:
    assert math.isclose(perplexity(torch.tensor(shares)).item(), wanted, rel_tol=1e-6)
