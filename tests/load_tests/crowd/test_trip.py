"""A trip is several spots with stays between ways of their mode's length, all inside the box."""

from __future__ import annotations

import math
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.crowd.city import SEOUL, City
from load_tests.crowd.traits import Traits
from load_tests.crowd.trip import SLOW_TOP_MS, TOP_MS, WAY_M, Mode, begin, legs, nominal_s
from tests.load_tests.crowd.test_city import cities

SEEDS = st.integers(0, 2**32)


@settings(max_examples=60)
@given(SEEDS, st.integers(0, 1_000), cities())
def test_every_trip_stays_and_goes_on_inside_the_box(seed: int, party: int, city: City) -> None:
    traits = Traits()
    clock_ms, spot = begin(seed, party, city)
    assert clock_ms <= 0 and city.inside(spot)
    for leg in islice(legs(seed, party, city, traits), 8):
        stay_s = (leg.depart_ms - clock_ms) / 1000
        assert traits.stay_s[0] - 0.001 <= stay_s
        assert leg.origin == spot
        assert all(city.inside(hop.point, 199.0) for hop in leg.hops)
        assert math.dist(spot, leg.goal) > 50
        for hop in leg.hops:
            if leg.mode is Mode.WALK:
                assert hop.top_ms == 0
            else:
                assert SLOW_TOP_MS[leg.mode] <= hop.top_ms <= TOP_MS[leg.mode]
        clock_ms, spot = leg.depart_ms + 1000 * nominal_s(leg), leg.goal


@given(SEEDS)
def test_a_day_out_has_several_spots_each_of_its_own(seed: int) -> None:
    spots = [leg.goal for leg in islice(legs(seed, 0, SEOUL, Traits()), 10)]
    assert len(set(spots)) == 10
    for leg in islice(legs(seed, 0, SEOUL, Traits()), 10):
        low, high = WAY_M[leg.mode]
        assert low - 1 <= math.dist(leg.origin, leg.goal) <= high + 1


@pytest.mark.parametrize("mode", list(Mode))
def test_the_weights_choose_the_mode(mode: Mode) -> None:
    only = Traits(**{one.value: float(one is mode) for one in Mode})
    assert {leg.mode for leg in islice(legs(3, 1, SEOUL, only), 20)} == {mode}


def test_the_same_seed_makes_the_same_trip_and_another_another() -> None:
    def some(seed: int, party: int) -> list[float]:
        return [leg.depart_ms for leg in islice(legs(seed, party, SEOUL, Traits()), 5)]

    assert some(1, 1) == some(1, 1)
    assert some(1, 1) != some(1, 2) != some(2, 1)
