"""The optimiser, and the learning rate of every step."""

from __future__ import annotations

import math

import torch
from torch import nn

from lungaug.training.settings import TrainingSettings

POLY_POWER = 0.9


def make_optimiser(module: nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """AdamW, or SGD with momentum, over all parameters that are trained."""
    rate, decay = settings.learning_rate, settings.weight_decay
    trained = [weight for weight in module.parameters() if weight.requires_grad]
    if settings.optimiser == "sgd":
        return torch.optim.SGD(trained, rate, momentum=settings.momentum, weight_decay=decay)
    # The fused one unscales gradients itself, after which they cannot be clipped.
    fused = settings.precision != "16-mixed"
    return torch.optim.AdamW(trained, rate, weight_decay=decay, fused=fused)


def learning_rate(step: int, n_steps: int, settings: TrainingSettings) -> float:
    """The rate of a step, counted from 0.

    References:
        Loshchilov I, Hutter F, SGDR, ICLR 2017, equation 5, without restarts (cosine).
        Chen L-C et al., DeepLab, TPAMI 40(4), 2018, section 4.1.2 (poly).
        Goyal P et al., Accurate, large minibatch SGD, arXiv 1706.02677, section 2.2 (warm-up).
    """
    warmup = settings.warmup_steps
    if step < warmup:
        return settings.learning_rate * (step + 1) / warmup
    done = (step - warmup) / (n_steps - warmup)
    if settings.schedule == "cosine":
        return settings.learning_rate * (1 + math.cos(math.pi * done)) / 2
    if settings.schedule == "poly":
        return settings.learning_rate * float((1 - done) ** POLY_POWER)
    return settings.learning_rate
