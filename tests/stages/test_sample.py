"""The stage: what is asked for, what is kept, what is written, and how it ends without any."""

from __future__ import annotations

import importlib
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from generators.devices import META, OneDevice, keep_channels
from generators.small_crops import TINY, circumstances
from lungaug.cohort import read_table
from lungaug.crops import ROIS, Conditions, Crops, equivalent_diameter_mm, read_crops, write_crops
from lungaug.errors import FileFormatError, InputError, LeakageError, SettingError
from lungaug.generators import factory
from lungaug.generators.copypaste import Copypaste
from lungaug.generators.copypaste_settings import CopypasteSettings
from lungaug.generators.protocol import FitRun, Samples
from lungaug.insertion.quality import QualitySettings
from lungaug.stages import sample
from lungaug.stages.sample import Settings
from lungaug.store import Provenance, SliceFile

PROVENANCE = Provenance("sample", "{}", "c0de")
SIDE, MM = 32, 0.75
KINDS = ("solid", "solid", "ground_glass")
SHRUNK = {"small": 0.6, "smaller": 0.45}  # shares of the asked diameter
CLASSES = ("LR2", "LR3", "LR4A", "LR4B")


def discs(diameters: np.ndarray) -> np.ndarray:
    rows, columns = (np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2) * MM
    return np.array([np.hypot(rows, columns) <= d / 2 for d in diameters])


def training_crops(n: int = 12) -> Crops:
    mask = discs(np.linspace(4, 14, n))
    noise = np.random.default_rng(0).normal(-850, 20, mask.shape)
    return Crops(
        diameter_mm=np.array([equivalent_diameter_mm(m, (MM, MM)) for m in mask], np.float32),
        kind=np.resize(np.array(KINDS), n),
        lung_rads=np.resize(np.array(CLASSES), n),
        hu=np.where(mask, noise + 800, noise).astype(np.int16),
        mask=mask,
        patient=np.array([f"p{i}" for i in range(n)]),
        donor=np.array([f"p{i}/s{i}/{i:04d}" for i in range(n)]),
        label=np.arange(1, n + 1),
        pose=np.full(n, ""),
        spacing_mm=np.full((n, 2), MM, np.float32),
        origin=np.full(n, "cut:scaled"),
    )


class Network:
    """Discs of the asked diameter; sample ``i`` of a call is spoilt as ``spoil`` tells."""

    def __init__(self, spoil: dict[int, str] | None = None, only_first_call: bool = False) -> None:
        self.spoil, self.only_first_call = spoil or {}, only_first_call
        self.asked: list[Conditions] = []
        self.seeds: list[int] = []

    def to(self, device: torch.device) -> None:
        """Nothing: it has no network."""

    def sample(self, conditions: Conditions, *, seed: int) -> Samples:
        self.asked.append(conditions)
        self.seeds.append(seed)
        n = len(conditions)
        mask = discs(conditions.diameter_mm).astype(np.float32)
        hu = np.random.default_rng(seed).normal(0, 500, mask.shape).astype(np.float32)
        for i, how in self.spoil.items():
            if i < n and not (self.only_first_call and len(self.asked) > 1):
                mask[i], hu[i] = self._spoilt(mask[i], hu[i], how)
        return Samples.without_donors(hu, mask)

    @staticmethod
    def _spoilt(mask: np.ndarray, hu: np.ndarray, how: str) -> tuple[np.ndarray, np.ndarray]:
        if how == "empty":
            return np.zeros_like(mask), hu
        if how in SHRUNK:
            diameter_mm = SHRUNK[how] * equivalent_diameter_mm(mask > 0, (MM, MM))
            return discs(np.array([diameter_mm]))[0].astype(np.float32), hu
        if how == "crumb":
            mask[1, 1] = 1
            return mask, hu
        return mask, np.full_like(hu, np.nan)


class Stage:
    """Runs the stage on training crops with a generator that needs no file."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.crops = training_crops()

    def __call__(self, generator: object, name: str = "dcgan", **settings: object) -> Crops:
        held = factory.Loaded("dcgan" if name == "vqvae" else name, generator, self.digest())
        with self.monkeypatch.context() as patch:
            patch.setattr(factory, "load", lambda path: held)
            return self.of_model(name, **settings)

    def digest(self, crops: Crops | None = None) -> str:
        """Of ``rois.h5``, written with these crops or the usual ones."""
        path = self.folder / "rois.h5"
        write_crops(path, crops or self.crops, Provenance("rois", "{}", ""))
        with SliceFile(path) as file:
            return file.content_digest

    def of_model(self, name: str, **settings: object) -> Crops:
        """Runs it on the ``model.pt`` that there is."""
        sample.run(
            model=self.folder / "model.pt",
            rois=self.folder / "rois.h5",
            generator=name,
            device="cpu",
            output=self.folder / "patches.h5",
            rejected=self.folder / "patches.rejected.tsv",
            settings=Settings(**settings),
            provenance=PROVENANCE,
        )
        return read_crops(self.folder / "patches.h5")

    def rejected(self) -> list[list[object]]:
        table = read_table(self.folder / "patches.rejected.tsv", sample.REJECTED_COLUMNS)
        return table.to_numpy().tolist()

    def written(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.name != "rois.h5")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


def test_as_many_as_the_crops_with_their_conditions(stage: Stage) -> None:
    network = Network()
    patches = stage(network, jitter=0.0)
    assert len(patches) == len(stage.crops)
    for name in ("diameter_mm", "kind", "lung_rads"):
        found, real = (sorted(getattr(c, name).tolist()) for c in (patches, stage.crops))
        assert found == real
    of = {float(d): k for d, k in zip(stage.crops.diameter_mm, stage.crops.kind, strict=True)}
    assert [of[float(d)] for d in patches.diameter_mm] == patches.kind.tolist(), "drawn jointly"
    assert stage.rejected() == []


def test_what_a_network_made_has_no_patient(stage: Stage) -> None:
    patches = stage(Network(), n=5)
    assert set(patches.origin) == {"generated:dcgan"}
    assert set(patches.patient) == set(patches.donor) == {""}
    assert set(patches.label) == {0}
    np.testing.assert_array_equal(patches.spacing_mm, np.full((5, 2), MM, np.float32))
    assert patches.hu.min() == -1024, "HU below the floor are at the floor"


def test_copies_keep_donor_label_and_patient(stage: Stage) -> None:
    generator = Copypaste(CopypasteSettings())
    generator.fit(stage.crops, FitRun("copypaste", seed=0))
    patches = stage(generator, "copypaste", n=30)
    assert len(patches) == 30
    row = {key: i for i, key in enumerate(stage.crops.donor.tolist())}
    donors = stage.crops.take([row[key] for key in patches.donor.tolist()])
    np.testing.assert_array_equal(patches.patient, donors.patient)
    np.testing.assert_array_equal(patches.label, donors.label)
    np.testing.assert_array_equal(patches.kind, donors.kind)


def test_a_crumb_within_the_bound_is_dropped(stage: Stage) -> None:
    patches = stage(Network({0: "crumb"}))
    assert not patches.mask[:, 1, 1].any()


@pytest.mark.parametrize("jitter", [0.0, 0.2])
def test_a_generator_that_draws_too_small_does_not_decide_the_diameter(
    stage: Stage, jitter: float
) -> None:
    network = Network(dict.fromkeys(range(40), "small"))
    patches = stage(network, n=40, jitter=jitter, diameter_mm=(9.0, 14.0))
    assert patches.diameter_mm.tolist() == network.asked[0].diameter_mm.tolist()
    drawn = [equivalent_diameter_mm(mask, (MM, MM)) for mask in patches.mask]
    np.testing.assert_array_less(drawn, 0.75 * patches.diameter_mm)


def test_masks_far_from_the_asked_size_are_rejected_and_asked_again(stage: Stage) -> None:
    network = Network({1: "small", 2: "smaller", 3: "smaller"}, only_first_call=True)
    large = (10.0, 14.0)
    patches = stage(network, n=6, jitter=0.0, diameter_mm=large)
    assert len(patches) == 6
    assert [len(asked) for asked in network.asked] == [6, 2]
    assert stage.rejected() == [["not of the asked size", 2, 0]]
    strict = Network({1: "small", 2: "smaller"}, only_first_call=True)
    stage(strict, n=6, jitter=0.0, diameter_mm=large, diameter_factor=1.3)
    assert [len(asked) for asked in strict.asked] == [6, 2]
    lax = Network({1: "small", 2: "smaller"})
    stage(lax, n=6, jitter=0.0, diameter_mm=large, diameter_factor=3.0)
    assert [len(asked) for asked in lax.asked] == [6]


def test_sizes_are_not_compared_where_spacing_is_unknown(stage: Stage) -> None:
    stage.crops.spacing_mm[:] = np.nan
    patches = stage(Network(dict.fromkeys((10, 11), "small")), jitter=0.0, diameter_factor=1.2)
    assert sorted(patches.diameter_mm) == sorted(stage.crops.diameter_mm)
    assert np.isnan(patches.spacing_mm).all()


def test_jitter_stays_within_what_was_seen(stage: Stage) -> None:
    network = Network()
    stage(network, n=400, jitter=0.25)
    (asked,) = network.asked
    seen = stage.crops.diameter_mm
    assert (asked.diameter_mm.min(), asked.diameter_mm.max()) == (seen.min(), seen.max())
    assert len(np.unique(asked.diameter_mm)) > 200


def test_rejected_ones_are_asked_again_under_the_same_conditions(stage: Stage) -> None:
    network = Network({0: "empty", 3: "nan", 5: "nan"}, only_first_call=True)
    patches = stage(network, jitter=0.0)
    assert len(patches) == 12
    first, second = network.asked
    assert second.diameter_mm.tolist() == first.diameter_mm[[0, 3, 5]].tolist()
    assert len(set(network.seeds)) == 2
    assert stage.rejected() == [["not finite", 2, 0], ["empty", 1, 0]]


def test_rounds_end_with_fewer_and_a_warning(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    patches = stage(Network({0: "empty"}), max_rounds=3, n=4)
    assert len(patches) == 3
    assert stage.rejected() == [["empty", 1, round_] for round_ in range(3)]
    (warning,) = [r for r in caplog.records if r.levelno == logging.WARNING]
    assert warning.getMessage() == "dcgan: 3 of 4 nodules accepted; rejected: empty 3"


def test_oversampling_needs_fewer_rounds(stage: Stage) -> None:
    network = Network({0: "empty", 1: "empty"})
    assert len(stage(network, n=6, oversample=1.5)) == 6
    assert [len(asked) for asked in network.asked] == [9]


def test_nothing_left_is_an_error_and_leaves_no_file(stage: Stage) -> None:
    with pytest.raises(InputError, match=r"0 of 4 .* not finite 8, after 2 rounds"):
        stage(Network(dict.fromkeys(range(4), "nan")), n=4, max_rounds=2)
    assert stage.written() == []


def test_a_model_of_another_generator_is_refused(stage: Stage) -> None:
    with pytest.raises(InputError, match=r"model.pt.*'dcgan'.*accepted: 'vqvae'"):
        stage(Network(), "vqvae")
    assert stage.written() == []


def save_model(stage: Stage, name: str, crops: Crops, digest: str) -> None:
    generator = factory.build(name, TINY)
    generator.fit(crops, circumstances())
    factory.save(stage.folder / "model.pt", name, generator, digest)


@pytest.mark.parametrize("name", ["gaussian", "dcgan"])
def test_a_model_of_other_crops_is_refused(stage: Stage, name: str) -> None:
    others = training_crops(11)
    save_model(stage, name, others, stage.digest(others))
    before = stage.written()
    stage.digest()
    model = stage.folder / "model.pt"
    message = rf"{model}: fitted to other crops .*rois\.h5.*snakemake --force {model}"
    with pytest.raises(FileFormatError, match=message):
        stage.of_model(name)
    assert stage.written() == before


def test_crops_that_differ_in_their_patient_alone_are_other_crops(stage: Stage) -> None:
    save_model(stage, "gaussian", stage.crops, stage.digest())
    stage.crops.patient[0] = "p99"
    stage.digest()
    with pytest.raises(FileFormatError, match="other crops"):
        stage.of_model("gaussian")


def test_patches_name_the_crops_that_their_model_was_fitted_to(stage: Stage) -> None:
    digest = stage.digest()
    save_model(stage, "gaussian", stage.crops, digest)
    assert len(stage.of_model("gaussian")) == 12
    with SliceFile(stage.folder / "patches.h5") as file:
        assert file.sources == {ROIS: digest}


@pytest.mark.parametrize(
    ("settings", "name", "kept"),
    [
        ({"kind": "ground_glass"}, "kind", {"ground_glass"}),
        ({"lung_rads": "LR4B"}, "lung_rads", {"LR4B"}),
    ],
)
def test_filters(stage: Stage, settings: dict, name: str, kept: set[str]) -> None:
    patches = stage(Network(), **settings)
    assert len(patches) == len(stage.crops)
    assert set(getattr(patches, name).tolist()) == kept


def test_the_filter_of_diameters_holds_after_the_jitter(stage: Stage) -> None:
    network = Network()
    stage(network, diameter_mm=(6.0, 9.0), n=200, jitter=0.25)
    assert network.asked[0].diameter_mm.min() >= 6
    assert network.asked[0].diameter_mm.max() <= 9


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kind": "part_solid"}, "kind part_solid"),
        ({"lung_rads": "LR9"}, "lung_rads LR9"),
        ({"diameter_mm": (40.0, 50.0)}, "diameter_mm of 40 to 50"),
        ({"diameter_mm": (1.0, 2.0)}, "diameter_mm of 1 to 2"),
        ({"kind": "ground_glass", "diameter_mm": (4.0, 5.0)}, "ground_glass.* of 4 to 5"),
    ],
)
@pytest.mark.parametrize("name", ["gaussian", "copypaste"])
def test_filters_that_nothing_passes_say_what_there_is(
    stage: Stage, settings: dict, message: str, name: str
) -> None:
    save_model(stage, name, stage.crops, stage.digest())
    there_is = r"accepted: ground_glass LR2 11\..*; solid LR2 4\.\d to \d+\.\d mm"
    with pytest.raises(InputError, match=f"sample: none of 12 .*{message}.*{there_is}"):
        stage.of_model(name, **settings)
    assert stage.written() == ["model.pt"]


def test_crops_of_unknown_diameter_are_none_to_ask_for(stage: Stage) -> None:
    stage.crops.diameter_mm[:] = np.nan
    with pytest.raises(InputError, match="solid LR2 size unknown"):
        stage(Network())


def test_what_is_too_small_to_be_accepted_is_not_asked_for(stage: Stage) -> None:
    network = Network()
    n_pixels = int(np.count_nonzero(stage.crops.mask[3]))
    patches = stage(network, n=60, jitter=0.25, quality=QualitySettings(min_px=n_pixels))
    assert network.asked[0].diameter_mm.min() == stage.crops.diameter_mm[3]
    assert len(patches) == 60


def test_equal_seeds_give_equal_bytes(stage: Stage) -> None:
    def bytes_of(seed: int) -> bytes:
        stage(Network({2: "empty"}, only_first_call=True), seed=seed)
        return (stage.folder / "patches.h5").read_bytes()

    first = bytes_of(1)
    assert bytes_of(1) == first
    assert bytes_of(2) != first


@pytest.mark.parametrize("name", ["vqvae", "dcgan"])
def test_networks_sample_on_the_device_that_was_found(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    save_model(stage, name, stage.crops, stage.digest())
    module = importlib.import_module(f"lungaug.generators.{name}")
    made = keep_channels(monkeypatch, module)
    monkeypatch.setattr(
        "lungaug.training.devices.make_fabric", lambda _: SimpleNamespace(device=META)
    )
    with pytest.raises(InputError, match="empty 12"), OneDevice(META):
        stage.of_model(name, max_rounds=1)
    assert [x.device for x in made] == [META]


@pytest.mark.parametrize(
    "settings", [{"kind": "calcified"}, {"diameter_mm": (9.0, 6.0)}], ids=["kind", "diameter"]
)
def test_settings_that_mean_nothing_are_refused(settings: dict) -> None:
    with pytest.raises(SettingError, match="accepted"):
        Settings(**settings)


@pytest.mark.parametrize("field", ["hu", "mask", "donor", "label", "patient"])
def test_a_model_that_keeps_other_crops_is_refused_whatever_it_says(
    stage: Stage, field: str
) -> None:
    """Digest and donors are forged: the crops of held-out patients under training names."""
    values = getattr(stage.crops, field).copy()
    values[3] = values[4]
    generator = Copypaste(CopypasteSettings())
    generator.fit(replace(stage.crops, **{field: values}), FitRun("copypaste", seed=0))
    factory.save(stage.folder / "model.pt", "copypaste", generator, stage.digest())
    with pytest.raises(LeakageError, match=rf"keeps other crops than .*\({field} differ"):
        stage.of_model("copypaste")
    assert not (stage.folder / "patches.h5").exists()


def test_crops_of_unknown_spacing_are_themselves(stage: Stage) -> None:
    unknown = np.full_like(stage.crops.spacing_mm, np.nan)
    stage.crops = replace(stage.crops, spacing_mm=unknown)
    generator = Copypaste(CopypasteSettings())
    generator.fit(stage.crops, FitRun("copypaste", seed=0))
    factory.save(stage.folder / "model.pt", "copypaste", generator, stage.digest())
    sample.check_kept(
        factory.load(stage.folder / "model.pt").generator,
        read_crops(stage.folder / "rois.h5"),
        stage.folder / "model.pt",
        stage.folder / "rois.h5",
    )
