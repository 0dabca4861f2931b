"""The VQ-VAE as a generator: its sizes, its two trainings, what it samples and keeps."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from generators.devices import META, OneDevice, keep_channels
from lungaug.crops import Conditions, Crops
from lungaug.errors import InputError, SettingError
from lungaug.generators import vqvae
from lungaug.generators.channels import to_channels
from lungaug.generators.penalty_settings import PenaltySettings
from lungaug.generators.protocol import FitRun, HistoryRow
from lungaug.generators.settings import BudgetSettings
from lungaug.generators.vqvae import Vqvae, from_state
from lungaug.generators.vqvae_learning import (
    AutoencoderLearner,
    PriorLearner,
    n_symmetries,
    nodule_mean,
    symmetry,
)
from lungaug.generators.vqvae_networks import Autoencoder
from lungaug.generators.vqvae_settings import (
    PUBLISHED,
    CodebookSettings,
    PixelCnnSettings,
    RateSettings,
    VqvaeSettings,
)
from lungaug.settings import as_mapping, from_mapping
from lungaug.training.checkpoint import Checkpoint
from lungaug.training.devices import make_fabric, reproducible

BUDGET = BudgetSettings(steps=6, batch_size=4, log_every=2, sheet_every=4, checkpoint_every=2)
SETTINGS = VqvaeSettings(
    min_nodules=4,
    widths=(4, 6),
    residual_layers=1,
    residual_width=3,
    codebook=CodebookSettings(size=8, width=4),
    pixelcnn=PixelCnnSettings(layers=2, width=6, head=8, condition_width=4),
    autoencoder=BUDGET,
    prior=BUDGET,
)


def make_crops(n: int = 10, shape: tuple[int, int] = (16, 16)) -> Crops:
    """Discs of 4 to 10 mm on noise."""
    rng = np.random.default_rng(0)
    diameter = np.linspace(4, 10, n).astype(np.float32)
    rows, columns = np.indices(shape)
    distance = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2)
    mask = distance < diameter[:, None, None] / 2
    hu = np.where(mask, 0, -850) + rng.normal(0, 30, mask.shape)
    text = np.full(n, "p")
    kind, lung_rads = (np.resize(values, n) for values in (["solid", "part_solid"], ["LR2", "LR3"]))
    spacing = np.ones((n, 2), np.float32)
    label, origin = np.ones(n, np.int64), np.full(n, "cut:scaled")
    hu = hu.astype(np.int16)
    pose = np.full(n, "")
    return Crops(diameter, kind, lung_rads, hu, mask, text, text, label, pose, spacing, origin)


def conditions_of(crops: Crops) -> Conditions:
    return Conditions(crops.diameter_mm, crops.kind, crops.lung_rads)


def fit(
    settings: VqvaeSettings = SETTINGS, crops: Crops | None = None, **run: Any
) -> tuple[Vqvae, list[HistoryRow]]:
    generator, fabric = Vqvae(settings), make_fabric("cpu")
    with reproducible(1, fabric):
        history = generator.fit(crops or make_crops(), FitRun("test", 0, fabric, **run))
    return generator, history


def flat(state: Mapping[str, Any]) -> dict[str, Any]:
    """Weights by name."""
    return {f"{part}.{k}": v for part in ("autoencoder", "prior") for k, v in state[part].items()}


def equal(left: Vqvae, right: Vqvae) -> bool:
    a, b = flat(left.state()), flat(right.state())
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.fixture(scope="module")
def fitted() -> tuple[Vqvae, list[HistoryRow]]:
    return fit()


class TestNetworks:
    def test_published_sizes(self) -> None:
        """2,167,873 with one channel: all parameters, and the codebook's 512 x 64 once.

        Ours keeps the codebook as a buffer, since averages and not gradients move it; the two
        buffers of the averages are not counted.
        """
        with torch.device("meta"):
            network = Autoencoder(PUBLISHED, channels=1)
        parameters = sum(value.numel() for value in network.parameters())
        assert parameters == 2_167_873 - 512 * 64
        assert parameters + network.codebook.vectors.numel() == 2_167_873

    @pytest.mark.parametrize("shape", [(16, 16), (24, 8)])
    def test_images_come_back_in_their_shape(self, shape: tuple[int, int]) -> None:
        network = Autoencoder(SETTINGS).eval()
        images = torch.randn(2, 2, *shape)
        output, quantised = network(images)
        assert output.shape == images.shape
        assert quantised.indices.shape == (2, shape[0] // 4, shape[1] // 4)
        torch.testing.assert_close(network.decode(network.encode(images)), output)

    @pytest.mark.parametrize("k", range(8))
    def test_symmetries_of_a_square_are_eight(self, k: int) -> None:
        image = torch.arange(9).view(1, 3, 3)
        turned = symmetry(image, k)
        assert sorted(turned.flatten().tolist()) == list(range(9))
        assert sum(torch.equal(turned, symmetry(image, other)) for other in range(8)) == 1

    def test_only_symmetries_that_keep_the_shape_are_used(self) -> None:
        wide = torch.zeros(1, 3, 4)
        assert [n_symmetries(wide, flips) for flips in (True, False)] == [4, 1]
        assert all(symmetry(wide, k).shape == wide.shape for k in range(4))

    def test_every_nodule_counts_the_same(self) -> None:
        crops = make_crops()
        images = to_channels(crops.hu, crops.mask, SETTINGS.window)
        error = torch.ones_like(images) * torch.arange(len(images))[:, None, None, None]
        assert nodule_mean(error, images).item() == pytest.approx(error.mean().item())
        error[:, :, 0, 0] += 100  # far from any nodule
        assert nodule_mean(error, images).item() == pytest.approx(4.5)


class TestFit:
    def test_history_names_both_phases_and_what_they_learn(
        self, fitted: tuple[Vqvae, list[HistoryRow]]
    ) -> None:
        rows = fitted[1]
        found = [(row["phase"], row["step"]) for row in rows]
        assert found == [(p, s) for p in ("autoencoder", "prior") for s in (2, 4, 6)]
        assert {"reconstruction", "nodule", "commitment", "perplexity", "codes_used"} < set(rows[0])
        assert 1 <= rows[0]["perplexity"] <= SETTINGS.codebook.size
        assert "nll" in rows[-1]

    def test_equal_seeds_give_equal_weights(self, fitted: tuple[Vqvae, list[HistoryRow]]) -> None:
        again, history = fit()
        assert equal(fitted[0], again)
        assert history == fitted[1]

    @pytest.mark.parametrize("learner", [AutoencoderLearner, PriorLearner])
    def test_interrupted_fit_goes_on_to_the_same_bits(
        self,
        learner: type[Any],
        fitted: tuple[Vqvae, list[HistoryRow]],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        whole = learner.learn

        def interrupted(self: Any, index: torch.Tensor, step: int) -> Any:
            if step == 5:
                raise KeyboardInterrupt
            return whole(self, index, step)

        checkpoint = Checkpoint(tmp_path / "checkpoint.pt", "same")
        monkeypatch.setattr(learner, "learn", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fit(checkpoint=checkpoint)
        torch.rand(3)  # the global generator is elsewhere by now
        steps: list[int] = []

        def counted(self: Any, index: torch.Tensor, step: int) -> Any:
            steps.append(step)
            return whole(self, index, step)

        monkeypatch.setattr(learner, "learn", counted)
        generator, history = fit(checkpoint=checkpoint)
        assert steps == [4, 5]  # from the last checkpoint, not from the start
        assert equal(generator, fitted[0])
        assert history == fitted[1]

    @pytest.mark.learning
    def test_training_learns(self) -> None:
        budget = replace(BUDGET, steps=90, log_every=30)
        rates = RateSettings((1e-2,), ())
        settings = replace(
            SETTINGS, autoencoder=budget, prior=budget, autoencoder_rates=rates, prior_rates=rates
        )
        _, rows = fit(settings)
        assert rows[2]["reconstruction"] < 0.7 * rows[0]["reconstruction"]
        assert rows[5]["nll"] < 0.8 * rows[3]["nll"]

    def test_few_nodules_are_unconditional_and_say_so(self) -> None:
        generator, rows = fit(replace(SETTINGS, min_nodules=11))
        notes = [row["note"] for row in rows if "unconditional" in row["note"]]
        assert notes == ["unconditional: 10 nodules, fewer than min_nodules 11"]
        crops = conditions_of(make_crops())
        other = Conditions(crops.diameter_mm[::-1], crops.kind[::-1], crops.lung_rads[::-1])
        hu = [generator.sample(each, seed=1).hu for each in (crops, other)]
        np.testing.assert_array_equal(*hu)

    def test_collapses_are_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(
            Autoencoder, "decode", lambda self, codes: torch.zeros(len(codes), 2, 16, 16)
        )
        monkeypatch.setattr("lungaug.generators.codebook.Codebook.n_used", lambda self: 1)
        _, rows = fit()
        assert rows[0]["note"] == "collapse: 1 codes in use"
        assert "collapse: samples are alike" in rows[-1]["note"]

    def test_penalties_are_paid_in_the_first_phase(self) -> None:
        weights = PenaltySettings(hinge=1.0, wasserstein=1.0, texture=1.0)
        _, rows = fit(replace(SETTINGS, penalties=weights))
        assert {"hinge", "wasserstein", "texture"} < set(rows[0])
        assert "hinge" not in rows[-1]

    def test_mixed_precision_keeps_the_codebook_in_float32(self) -> None:
        crops, fabric = make_crops(), make_fabric("cpu", precision="bf16-mixed")
        images = to_channels(crops.hu, crops.mask, SETTINGS.window)
        learner = AutoencoderLearner(crops, images, SETTINGS, FitRun("test", 0, fabric))
        types: list[torch.dtype] = []
        for module in (learner.module.encoder, learner.module.codebook):
            module.register_forward_hook(
                lambda _module, _inputs, out: types.append(
                    out.dtype if isinstance(out, torch.Tensor) else out.codes.dtype
                )
            )
        losses = learner.learn(torch.arange(4), 0)
        assert types == [torch.bfloat16, torch.float32]
        assert all(torch.isfinite(loss) for loss in losses.values())
        assert {value.dtype for value in learner.module.parameters()} == {torch.float32}

    def test_sheets_are_drawn_when_asked_for(self, tmp_path: Path) -> None:
        fit(sheets=tmp_path)
        names = sorted(path.name for path in tmp_path.iterdir())
        assert names == [f"{p}_{s:06d}.png" for p in ("autoencoder", "prior") for s in (4, 6)]

    def test_sheets_change_nothing(
        self, fitted: tuple[Vqvae, list[HistoryRow]], tmp_path: Path
    ) -> None:
        assert equal(fit(sheets=tmp_path)[0], fitted[0])

    def test_crops_that_do_not_fit_are_refused(self) -> None:
        with pytest.raises(InputError, match="crops of 18 x 16; accepted: multiples of 4"):
            fit(crops=make_crops(shape=(18, 16)))
        with pytest.raises(InputError, match="no crops"):
            Vqvae(SETTINGS).fit(
                make_crops().take(np.arange(0)), FitRun("test", 0, make_fabric("cpu"))
            )
        wrong = replace(make_crops(), diameter_mm=np.full(10, np.nan, np.float32))
        with pytest.raises(InputError, match="not a number"):
            fit(crops=wrong)


class TestSample:
    def test_one_nodule_for_each_condition(self, fitted: tuple[Vqvae, list[HistoryRow]]) -> None:
        samples = fitted[0].sample(conditions_of(make_crops()), seed=3)
        assert samples.hu.shape == samples.mask.shape == (10, 16, 16)
        assert samples.hu.dtype == samples.mask.dtype == np.float32
        low, high = SETTINGS.window
        assert low <= samples.hu.min()
        assert samples.hu.max() <= high
        assert 0 <= samples.mask.min() <= samples.mask.max() <= 1
        assert set(samples.donor) == {""}
        assert not samples.label.any()

    def test_equal_seeds_give_equal_bytes(self, fitted: tuple[Vqvae, list[HistoryRow]]) -> None:
        asked = conditions_of(make_crops())
        first, again, other = (fitted[0].sample(asked, seed=seed).hu for seed in (3, 3, 4))
        assert first.tobytes() == again.tobytes()
        assert not np.array_equal(first, other)

    def test_first_nodules_do_not_depend_on_how_many_follow(
        self, fitted: tuple[Vqvae, list[HistoryRow]]
    ) -> None:
        asked = conditions_of(make_crops())
        few, all_ = (fitted[0].sample(asked.take(np.arange(n)), seed=3) for n in (4, 10))
        np.testing.assert_allclose(few.hu, all_.hu[:4], atol=1e-2)  # HU; float32 of 1000 HU

    def test_chunks_change_nothing(
        self, fitted: tuple[Vqvae, list[HistoryRow]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked = conditions_of(make_crops())
        together = fitted[0].sample(asked, seed=3)
        monkeypatch.setattr("lungaug.generators.vqvae_networks._CHUNK", 3)
        np.testing.assert_allclose(fitted[0].sample(asked, seed=3).hu, together.hu, atol=1e-2)

    def test_on_another_device_all_of_the_work_is_done_there(
        self, fitted: tuple[Vqvae, list[HistoryRow]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        moved, made = from_state(fitted[0].state()), keep_channels(monkeypatch, vqvae)
        moved.to(META)
        with OneDevice(META):
            moved.sample(conditions_of(make_crops()), seed=3)
        assert [(x.device, x.shape) for x in made] == [(META, (10, 2, 16, 16))]

    def test_what_was_never_seen_is_refused(self, fitted: tuple[Vqvae, list[HistoryRow]]) -> None:
        asked = replace(conditions_of(make_crops()), kind=np.full(10, "ground_glass"))
        with pytest.raises(InputError, match="'ground_glass': the generator never saw one"):
            fitted[0].sample(asked, seed=0)
        with pytest.raises(InputError, match="not fitted"):
            Vqvae(SETTINGS).sample(conditions_of(make_crops()), seed=0)

    def test_state_is_whole(self, fitted: tuple[Vqvae, list[HistoryRow]]) -> None:
        file = io.BytesIO()
        torch.save(dict(fitted[0].state()), file)
        file.seek(0)
        again = from_state(torch.load(file, weights_only=True))
        asked = conditions_of(make_crops())
        assert again.settings == SETTINGS
        assert (
            again.sample(asked, seed=5).hu.tobytes() == fitted[0].sample(asked, seed=5).hu.tobytes()
        )

    def test_crops_need_not_be_square(self) -> None:
        crops = make_crops(shape=(16, 24))
        generator, _ = fit(crops=crops)
        assert generator.sample(conditions_of(crops), seed=0).hu.shape == crops.hu.shape
        assert tuple(generator.state()["latent"]) == (4, 6)


class TestSettings:
    def test_published_preset_goes_through_yaml(self) -> None:
        assert from_mapping(VqvaeSettings, as_mapping(PUBLISHED)) == PUBLISHED

    def test_published_rates_change_after_11_and_21_epochs(self) -> None:
        rates = [PUBLISHED.prior_rates.at(step, 1116) for step in (0, 395, 396, 755, 756, 1115)]
        assert rates == [3e-4, 3e-4, 1e-4, 1e-4, 5e-5, 5e-5]

    @pytest.mark.parametrize(
        ("values", "named"),
        [
            ({"autoencoder_rates": {"values": [1e-3], "changes_at": [0.5]}}, "one fewer"),
            ({"prior_rates": {"values": [1, 2, 3], "changes_at": [0.9, 0.1]}}, "rising"),
            ({"prior_rates": {"values": [0], "changes_at": []}}, "above 0"),
            ({"window": [400, -1000]}, "low, then high"),
            ({"widths": []}, "at least one"),
        ],
    )
    def test_what_cannot_be_is_refused(self, values: dict[str, Any], named: str) -> None:
        with pytest.raises(SettingError, match=named):
            from_mapping(VqvaeSettings, values)
