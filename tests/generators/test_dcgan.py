"""DCGAN: published sizes, exact resume, conditions, sampling that repeats, collapse by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from generators.devices import META, OneDevice, keep_channels
from generators.small_crops import blobs, circumstances
from lungaug.errors import InputError, SettingError
from lungaug.generators import dcgan
from lungaug.generators.conditions import Seen
from lungaug.generators.dcgan import Dcgan, Drawer, Judge, from_state
from lungaug.generators.dcgan_settings import PUBLISHED, DcganSettings
from lungaug.generators.penalty_settings import PenaltySettings
from lungaug.generators.settings import BudgetSettings, CollapseSettings
from lungaug.settings import from_mapping

CROPS = blobs(24)
SMALL = blobs(24, size=16)
SETTINGS = DcganSettings(
    latent=8,
    width=4,
    condition_width=4,
    min_nodules=10,
    learning_rate=2e-3,
    budget=BudgetSettings(steps=8, batch_size=8, log_every=4, sheet_every=4, checkpoint_every=3),
)


def fitted(settings: DcganSettings = SETTINGS, **circumstance: Any) -> Dcgan:
    generator = Dcgan(settings)
    generator.fit(CROPS, circumstances(**circumstance))
    return generator


@pytest.fixture(scope="module")
def generator() -> Dcgan:
    return fitted()


def weights(generator: Dcgan) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = generator.state()["weights"]
    return found


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def n_parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_published_networks_have_the_published_parameters() -> None:
    settings = from_mapping(DcganSettings, PUBLISHED)
    seen = Seen.of(CROPS, 1)
    assert n_parameters(Drawer(settings, seen, 64, channels=1)) == 3_804_032
    assert n_parameters(Judge(settings, seen, 64, channels=1)) == 2_763_648


def test_the_published_training_is_the_thesis_one() -> None:
    settings = from_mapping(DcganSettings, PUBLISHED)
    assert (settings.latent, settings.width, settings.budget.batch_size) == (128, 64, 128)
    assert (settings.learning_rate, settings.betas) == (2e-4, (0.5, 0.999))
    assert (settings.first_norm, settings.norm) == (True, "batch")


@pytest.mark.parametrize("norm", ["spectral", "batch"])
@pytest.mark.parametrize("size", [16, 48, 64])
def test_sizes_that_are_multiples_of_16_work(size: int, norm: Any) -> None:
    settings = replace(SETTINGS, norm=norm)
    seen = Seen.of(CROPS, 1)
    features = seen.features(CROPS)
    drawn = Drawer(settings, seen, size)(torch.randn(24, 8), features)
    assert drawn.shape == (24, 2, size, size)
    assert drawn.abs().max() <= 1
    assert Judge(settings, seen, size)(drawn, features).shape == (24,)


def test_other_sizes_are_refused_before_anything_is_built() -> None:
    with pytest.raises(InputError, match=r"40 x 40 pixels.*multiple of 16"):
        Dcgan(SETTINGS).fit(blobs(4, size=40), circumstances())


def test_the_first_layer_has_batch_normalisation_only_if_asked() -> None:
    seen = Seen.of(CROPS, 1)
    kinds = [
        [
            type(layer)
            for layer in Judge(replace(SETTINGS, norm="batch", first_norm=f), seen, 32).layers
        ]
        for f in (False, True)
    ]
    assert nn.BatchNorm2d not in kinds[0][:2]
    assert kinds[1][1] is nn.BatchNorm2d


def test_equal_seeds_fit_to_the_bit_and_others_do_not(generator: Dcgan) -> None:
    assert equal(weights(generator), weights(fitted()))
    assert not equal(weights(generator), weights(fitted(seed=1)))


@pytest.mark.parametrize("stop", [2, 5])
@pytest.mark.parametrize("norm", ["spectral", "batch"])
def test_an_interrupted_fit_resumes_to_the_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, norm: Any, stop: int
) -> None:
    settings = replace(SETTINGS, norm=norm, penalties=PenaltySettings(1.0, 1.0, 1.0))
    learn = dcgan._Learner.learn

    def interrupted(self: Any, index: torch.Tensor, step: int) -> Any:
        if step == stop:
            raise KeyboardInterrupt
        return learn(self, index, step)

    whole = Dcgan(settings)
    history = whole.fit(CROPS, circumstances())
    run = circumstances(checkpoint=tmp_path / "saved.pt")
    with monkeypatch.context() as patch:
        patch.setattr(dcgan._Learner, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            Dcgan(settings).fit(CROPS, run)
    resumed = Dcgan(settings)
    assert resumed.fit(CROPS, run) == history
    assert equal(weights(resumed), weights(whole))


def test_samples_repeat_and_do_not_depend_on_their_company(generator: Dcgan) -> None:
    first, again = (generator.sample(CROPS, seed=3) for _ in range(2))
    assert first.hu.tobytes() == again.hu.tobytes()
    assert first.hu.shape == first.mask.shape == (24, 32, 32)
    assert not np.array_equal(first.hu, generator.sample(CROPS, seed=4).hu)
    alone = generator.sample(CROPS.take([0]), seed=3)
    np.testing.assert_allclose(alone.hu[0], first.hu[0], atol=0.1)
    assert (first.donor == "").all()
    assert (first.label == 0).all()


def test_samples_lie_in_the_window(generator: Dcgan) -> None:
    samples = generator.sample(CROPS, seed=0)
    assert samples.hu.min() >= -1000
    assert samples.hu.max() <= 400
    assert samples.mask.min() >= 0
    assert samples.mask.max() <= 1


def test_state_makes_the_same_generator(generator: Dcgan) -> None:
    loaded = from_state(generator.state())
    assert loaded.sample(CROPS, seed=0).hu.tobytes() == generator.sample(CROPS, seed=0).hu.tobytes()


def test_on_another_device_all_of_the_work_is_done_there(
    generator: Dcgan, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved, made = from_state(generator.state()), keep_channels(monkeypatch, dcgan)
    moved.to(META)
    with OneDevice(META):
        moved.sample(CROPS, seed=0)
    assert [(x.device, x.shape) for x in made] == [(META, (24, 2, 32, 32))]


def test_a_model_can_be_moved_only_once_it_is_fitted() -> None:
    with pytest.raises(RuntimeError, match="neither fitted nor loaded"):
        Dcgan(SETTINGS).to(META)


def test_a_condition_never_seen_is_refused(generator: Dcgan) -> None:
    asked = replace(CROPS.take([0]), lung_rads=np.array(["LR4B"]))
    with pytest.raises(InputError, match="LR4B"):
        generator.sample(asked, seed=0)


def test_few_crops_make_it_unconditional_and_it_says_so() -> None:
    generator = Dcgan(replace(SETTINGS, min_nodules=25))
    history = generator.fit(CROPS, circumstances())
    assert "unconditional: 24 nodules, fewer than min_nodules 25" in history[-1]["note"]
    assert not any("embedding" in name for name in weights(generator))


@pytest.mark.learning
def test_it_learns_masks_of_the_size_asked_for() -> None:
    """Mean sizes of four draws: the noise of one would hide what the condition does."""
    budget = replace(SETTINGS.budget, steps=150, log_every=150, sheet_every=150)
    generator = Dcgan(replace(SETTINGS, width=8, learning_rate=3e-3, budget=budget))
    generator.fit(SMALL, circumstances())
    areas = [(generator.sample(SMALL, seed=k).mask >= 0.5).sum((1, 2)) for k in range(4)]
    assert np.corrcoef(np.mean(areas, axis=0), SMALL.mask.sum((1, 2)))[0, 1] > 0.6


def test_sheets_are_drawn_when_they_are_due(tmp_path: Path) -> None:
    fitted(sheets=tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step000004.png", "step000008.png"]


def test_penalties_are_columns_of_the_history() -> None:
    settings = replace(SETTINGS, penalties=PenaltySettings(hinge=1.0, texture=1.0))
    (row, _) = Dcgan(settings).fit(CROPS, circumstances())
    assert {"loss_d", "loss_g", "real_score", "drawn_score", "spread"} < row.keys()
    assert {"hinge", "texture"} < row.keys()
    assert "wasserstein" not in row


def test_penalties_see_hu_and_a_mask_from_0_to_1(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def penalty(hu: Tensor, mask: Tensor, *_: object) -> dict[str, Tensor]:
        seen.append((hu, mask))
        return {"hinge": hu.mean()}

    monkeypatch.setattr(dcgan, "penalty", penalty)
    learner = dcgan._Learner(SETTINGS, Seen.of(CROPS, 1), CROPS, circumstances())
    drawn = torch.stack(
        [torch.full((8, 32, 32), -0.5), torch.linspace(-1, 1, 8192).view(8, 32, 32)]
    )
    drawn = drawn.movedim(0, 1).requires_grad_()
    learner._teach_drawer(drawn, learner.features[:8], None)
    ((hu, mask),) = seen
    assert torch.equal(hu, drawn[:, 0])
    assert (mask.min(), mask.max()) == (0, 1)
    torch.testing.assert_close(2 * mask - 1, drawn[:, 1])


def test_samples_that_are_all_alike_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dcgan.Drawer, "forward", _always_the_same)
    history = Dcgan(SETTINGS).fit(CROPS, circumstances())
    assert "collapse: samples are alike (below " in history[-1]["note"]


@pytest.mark.learning
def test_a_discriminator_that_wins_for_long_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    # A drawer that never learns is soon told from real crops.
    monkeypatch.setattr(dcgan._Learner, "_teach_drawer", lambda *_: {})
    settings = replace(
        SETTINGS,
        width=8,
        flips=False,
        learning_rate=0.01,
        collapse=CollapseSettings(silent_steps=10),
        budget=replace(SETTINGS.budget, steps=120, log_every=10),
    )
    history = Dcgan(settings).fit(SMALL, circumstances())
    assert settings.smoothing == 0.1
    assert "discriminator loss within 0.05 of its least for 10 steps" in history[-1]["note"]
    assert "discriminator" not in history[0]["note"]


@pytest.mark.parametrize(
    ("real", "drawn", "silent"),
    [(0.9, 1e-6, True), (0.9, 0.1, False), (0.7, 1e-6, False), (0.5, 0.5, False)],
    ids=["right", "fooled at times", "in doubt", "knows nothing"],
)
def test_only_a_discriminator_that_is_always_right_is_silent(
    monkeypatch: pytest.MonkeyPatch, real: float, drawn: float, silent: bool
) -> None:
    def judged(self: Judge, crops: Tensor, *_: object) -> Tensor:
        # a real mask is exactly -1 or 1, which no tanh is
        is_real = (crops[:, 1].abs() == 1).flatten(1).all(1)
        nothing: Tensor = 0 * self.head(self.layers(crops)).flatten()
        return nothing + torch.where(is_real, torch.tensor(real), torch.tensor(drawn)).logit()

    monkeypatch.setattr(Judge, "forward", judged)
    settings = replace(SETTINGS, collapse=CollapseSettings(silent_steps=4))
    note = Dcgan(settings).fit(CROPS, circumstances())[-1]["note"]
    assert ("discriminator" in note) is silent


def test_the_mean_weights_follow_the_drawer() -> None:
    run = circumstances()
    for ema, same in ((0.0, True), (0.9, False)):
        learner = dcgan._Learner(replace(SETTINGS, ema=ema), Seen.of(CROPS, 1), CROPS, run)
        for step in range(3):
            learner.learn(torch.arange(8), step)
        now, mean = learner.drawer.state_dict(), learner.mean.state_dict()
        assert equal(dict(now), dict(mean)) is same


def test_orientations_keep_pixels_and_move_both_channels_alike() -> None:
    learner = dcgan._Learner(SETTINGS, Seen.of(CROPS, 1), CROPS, circumstances())
    crops = torch.randn(1, 1, 4, 4).expand(64, 2, -1, -1)
    turned = learner._turned(crops)
    assert torch.equal(turned[:, 0], turned[:, 1])
    assert torch.equal(turned.flatten(1).sort().values, crops.flatten(1).sort().values)
    assert len(turned.flatten(1).unique(dim=0)) == 8


@pytest.mark.parametrize(
    ("change", "words"),
    [({"window": (400.0, -1000.0)}, "window"), ({"betas": (0.5, 1.0)}, "betas")],
)
def test_settings_out_of_range_are_refused(change: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        replace(SETTINGS, **change)


def _always_the_same(self: Drawer, noise: torch.Tensor, *_: object) -> torch.Tensor:
    shape = (len(noise), self.layers[0].in_channels, 1, 1)
    one: torch.Tensor = self.layers.eval()(torch.ones(shape))
    return one
