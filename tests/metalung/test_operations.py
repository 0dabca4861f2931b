"""What every operation promises, and the registry."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lungaug.errors import InputError
from lungaug.metalung.operations import (
    DEFAULT_OPERATIONS,
    OPERATIONS,
    Inapplicable,
    replay,
    rng_for,
)
from lungaug.store import pack_parameters
from metalung.cases import Slice, chest, drawn

TWO = ((50, 30, 5, 3), (60, 95, 3, 6))


def frozen(case: Slice) -> Slice:
    for image in case:
        image.setflags(write=False)
    return case


@pytest.mark.parametrize("name", OPERATIONS)
class TestEveryOperation:
    """One class for the whole family."""

    def test_keeps_sizes_types_and_its_inputs(self, name):
        case = frozen(chest(nodules=TWO))
        hu, nodule = OPERATIONS[name].apply(*case[:2], drawn(name, case))
        assert hu.shape == nodule.shape == (96, 128)
        assert (hu.dtype, nodule.dtype) == (np.int16, np.uint8)
        assert not np.shares_memory(hu, case[0])
        assert not np.shares_memory(nodule, case[1])

    def test_keeps_the_labels(self, name):
        case = chest(nodules=TWO)
        for seed in range(8):
            _, nodule = OPERATIONS[name].apply(*case[:2], drawn(name, case, seed))
            assert set(np.unique(nodule)) == {0, 1, 2}

    def test_replays_from_its_record(self, name):
        case = chest(nodules=TWO)
        parameters = drawn(name, case)
        recorded = json.loads(pack_parameters({**parameters, "copy": 0}))
        again = replay(f"metalung:{name}", *case[:2], recorded)
        for made, replayed in zip(
            OPERATIONS[name].apply(*case[:2], parameters), again, strict=True
        ):
            np.testing.assert_array_equal(made, replayed)

    def test_draws_the_same_for_the_same_seed_only(self, name):
        case = chest(nodules=TWO)
        assert drawn(name, case) == drawn(name, case)
        if name != "mirror":
            assert any(drawn(name, case, seed) != drawn(name, case) for seed in range(1, 5))

    def test_refuses_a_slice_without_nodule(self, name):
        assert drawn(name, chest(nodules=())) == Inapplicable("no nodule")

    @pytest.mark.parametrize("shape", [(40, 64), (97, 61), (33, 33)])
    def test_works_at_any_size(self, name, shape):
        height, width = shape
        case = chest(shape, ((height // 2, width // 4, 3, 2),))
        parameters = drawn(name, case)
        if not isinstance(parameters, Inapplicable):
            hu, nodule = OPERATIONS[name].apply(*case[:2], parameters)
            assert hu.shape == nodule.shape == shape
            assert nodule.any()

    @pytest.mark.parametrize("corner", [(0, 0), (0, 127), (95, 0), (95, 127), (50, 0)])
    def test_takes_a_nodule_on_the_border(self, name, corner):
        hu, nodule, lung = chest(nodules=((*corner, 4, 6),))
        parameters = drawn(name, (hu, nodule, np.ones_like(lung)))
        if isinstance(parameters, Inapplicable):
            assert name in ("rotate_slice", "rotate_nodule")
        else:
            assert OPERATIONS[name].apply(hu, nodule, parameters)[1].any()

    @settings(
        max_examples=15,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.differing_executors],
    )
    @given(data=st.data())
    def test_labels_mark_the_nodule_wherever_it_is(self, name, data):
        """A nodule of one HU that occurs nowhere else, whatever its form, stays under its label."""
        shape = data.draw(st.tuples(st.integers(24, 60), st.integers(24, 60)))
        seed = data.draw(st.integers(0, 2**32))
        rng = np.random.default_rng(seed)
        nodule = np.zeros(shape, np.uint8)
        top, left = rng.integers(0, shape[0] - 9), rng.integers(0, shape[1] - 9)
        nodule[top : top + 9, left : left + 9] = rng.random((9, 9)) < 0.7
        hu = rng.integers(-950, -800, shape).astype(np.int16)
        hu[nodule == 1] = 700
        parameters = drawn(name, (hu, nodule, np.ones_like(nodule)), seed)
        if isinstance(parameters, Inapplicable) or name == "blur":
            return
        new_hu, new_nodule = OPERATIONS[name].apply(hu, nodule, parameters)
        np.testing.assert_array_equal(new_hu > 600, new_nodule == 1)


def test_the_default_set_is_the_six_published_operations():
    assert set(DEFAULT_OPERATIONS) < set(OPERATIONS)
    assert "blur" not in DEFAULT_OPERATIONS
    assert len(DEFAULT_OPERATIONS) == 6


def test_streams_differ_by_each_part_of_their_name():
    names = [
        (0, "a", "x", 0),
        (1, "a", "x", 0),
        (0, "b", "x", 0),
        (0, "a", "y", 0),
        (0, "a", "x", 1),
    ]
    assert len({int(rng_for(*name).integers(2**63)) for name in names}) == len(names)
    assert rng_for(0, "a", "x", 0).integers(1000) == rng_for(0, "a", "x", 0).integers(1000)


def test_replay_names_what_it_does_not_know():
    hu, nodule, _ = chest()
    with pytest.raises(InputError, match=r"real.*metalung:mirror"):
        replay("real", hu, nodule, {})
    with pytest.raises(InputError, match="seed"):
        replay("metalung:noise_slice", hu, nodule, {"intensity": 20})
