"""Walkers walk: the same way for the same seed, no faster than people, and they stay in town."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.walkers import FASTEST_MS, MAX_STEP_M, PLACES, SLOWEST_MS, WAYS, Step, walk


def metres(a: Step, b: Step) -> float:
    """The haversine distance, on a sphere of the Earth's mean radius."""
    phi, psi = math.radians(a.lat), math.radians(b.lat)
    lam = math.radians(b.lon - a.lon)
    h = math.sin((psi - phi) / 2) ** 2 + math.cos(phi) * math.cos(psi) * math.sin(lam / 2) ** 2
    return 2 * 6_371_008.8 * math.asin(math.sqrt(h))


@given(st.integers())
@settings(max_examples=20)
def test_the_same_seed_is_the_same_walk(seed: int) -> None:
    assert list(islice(walk(seed), 200)) == list(islice(walk(seed), 200))


def test_other_seeds_are_other_walks() -> None:
    assert len({tuple(islice(walk(seed), 50)) for seed in range(20)}) == 20


@given(st.integers())
@settings(max_examples=20, deadline=None)
def test_nobody_moves_faster_than_walking_and_drifting(seed: int) -> None:
    steps = list(islice(walk(seed), 2000))
    assert all(metres(a, b) <= MAX_STEP_M * 1.001 for a, b in pairwise(steps))
    assert all(step.spd == 0 or SLOWEST_MS <= step.spd + 0.005 <= FASTEST_MS + 0.01 for step in steps)
    assert all(0 <= step.hdg < 360 and step.acc > 0 for step in steps)


@given(st.integers())
@settings(max_examples=10, deadline=None)
def test_walkers_get_on_and_stay_in_town(seed: int) -> None:
    steps = list(islice(walk(seed), 7200))
    lats, lons = zip(*PLACES.values(), strict=True)
    for step in steps:
        assert min(lats) - 0.0005 < step.lat < max(lats) + 0.0005
        assert min(lons) - 0.0005 < step.lon < max(lons) + 0.0005
    assert max(metres(steps[0], step) for step in steps) > 150
    assert any(step.spd == 0 for step in steps)


@pytest.mark.parametrize("place", sorted(PLACES))
def test_every_place_is_on_a_way(place: str) -> None:
    assert any(place in way for way in WAYS)
