"""Networks as feature spaces."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from lungaug.errors import InputError
from lungaug.evaluation.realism import encoder
from lungaug.evaluation.realism.encoder import encoder_features, inception_features


def test_the_middle_of_the_deepest_maps_is_averaged() -> None:
    def maps(batch: Tensor) -> list[Tensor]:
        rows = torch.arange(4.0).view(1, 1, 4, 1).expand(len(batch), 2, 4, 4).clone()
        rows[:, :, 0], rows[..., 0] = 1e6, 1e6
        rows[:, 1] *= batch[:, 0, 0, 0, None, None]
        return [batch, rows]

    views = np.full((70, 8, 8), 2, np.float32)  # more than one batch
    found = encoder_features(maps, views)
    assert found.shape == (70, 2)
    np.testing.assert_array_equal(found, np.tile([1.5, 3.0], (70, 1)))


def test_the_number_of_threads_stays() -> None:
    before = torch.get_num_threads()
    encoder_features(lambda batch: [batch], np.zeros((1, 8, 8), np.float32))
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("content", [b"", b"no weights"])
def test_a_file_without_weights(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "weights.pt"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"inception_weights: .*weights\.pt cannot be used"):
        inception_features(path, np.zeros((1, 64, 64), np.int16))


def test_weights_of_another_network(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    torch.save({"conv": torch.zeros(3)}, path)
    with pytest.raises(InputError, match="accepted: the state dict"):
        inception_features(path, np.zeros((1, 64, 64), np.int16))


def test_inception_sees_windowed_colour_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []

    def network(batch: Tensor) -> Tensor:
        seen.append(batch)
        return batch.mean((2, 3))

    monkeypatch.setattr(encoder, "_inception", lambda _: network)
    hu = np.stack([np.full((64, 64), v, np.int16) for v in (-2000, 400)])
    found = inception_features(Path("unused"), hu)
    assert seen[0].shape == (2, 3, 299, 299)
    np.testing.assert_allclose(found[0], [-0.485 / 0.229, -0.456 / 0.224, -0.406 / 0.225], 1e-5)
    np.testing.assert_allclose(found[1, 0], (1 - 0.485) / 0.229, 1e-5)


@pytest.mark.slow
def test_inception_of_a_state_dict(tmp_path: Path) -> None:
    from torchvision.models import inception_v3

    torch.manual_seed(0)
    torch.save(inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "w.pt")
    hu = np.random.default_rng(0).normal(-600, 200, (2, 64, 64)).astype(np.int16)
    found = inception_features(tmp_path / "w.pt", hu)
    assert found.shape == (2, 2048)
    assert np.isfinite(found).all()
