"""Members move as their mode can, without a gap, inside the box; they drift apart and meet at spots."""

from __future__ import annotations

import math
from itertools import combinations, islice, pairwise
from statistics import mean, median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.crowd.city import SEOUL, City
from load_tests.crowd.movement import INNER_EDGE_M, Path, pieces
from load_tests.crowd.traits import Traits
from load_tests.crowd.trip import TOP_MS, Mode, legs, nominal_s
from tests.load_tests.crowd.test_city import cities

RESTLESS = Traits(stray_share=1.0, missed_share=0.5, walk=1, bus=1, metro=1, stay_s=(30, 600))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 6), cities(), st.sampled_from([Traits(), RESTLESS]))
def test_pieces_have_no_gap_no_haste_and_stay_inside(
    seed: int, member: int, city: City, traits: Traits
) -> None:
    for before, after in pairwise(islice(pieces(seed, 0, member, city, traits), 150)):
        assert after.start_ms == before.end_ms >= before.start_ms
        assert after.here == before.there
        assert city.inside(after.there, INNER_EDGE_M - 0.001)
        length, span_s = math.dist(after.here, after.there), (after.end_ms - after.start_ms) / 1000
        steepest = 1.5 if after.eased else 1.0
        assert length * steepest <= TOP_MS[after.mode] * span_s * 1.000001 + 1e-6


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.integers(100, 3_000))
def test_nobody_is_seen_faster_than_the_mode_allows(seed: int, step_ms: int) -> None:
    path = Path(seed, 0, 1, SEOUL, RESTLESS)
    places = [path.at(at_ms) for at_ms in range(0, 1_200 * step_ms, step_ms)]
    for before, after in pairwise(places):
        top = max(TOP_MS[before.mode], TOP_MS[after.mode])
        assert math.dist(before.point, after.point) <= top * step_ms / 1000 + 1e-6
        assert 0 <= after.speed_ms <= TOP_MS[after.mode] + 1e-6
        assert 0 <= after.heading_deg < 360


def test_a_path_goes_forward_only() -> None:
    path = Path(1, 0, 0, SEOUL, Traits())
    path.at(7_200_000)
    with pytest.raises(ValueError, match="rising order"):
        path.at(0)


def spread_m(seed: int, part: float, mode: Mode, traits: Traits) -> list[float]:
    """Distances within parties at a part of each way's nominal time; 0: when the party departs."""
    found = []
    for party in range(12):
        ways = [leg for leg in islice(legs(seed, party, SEOUL, traits), 15) if leg.depart_ms > 0]
        paths = [Path(seed, party, member, SEOUL, traits) for member in range(5)]
        for leg in ways:
            at_ms = leg.depart_ms + 1000 * part * nominal_s(leg)
            points = [path.at(at_ms).point for path in paths]
            if leg.mode is mode:
                found += [math.dist(a, b) for a, b in combinations(points, 2)]
    return found


@pytest.mark.parametrize("seed", [1, 2])
def test_walkers_drift_apart_on_the_way_and_meet_at_spots(seed: int) -> None:
    traits = Traits(stray_share=0.3)
    at_spots, on_the_way = (spread_m(seed, part, Mode.WALK, traits) for part in (0.0, 0.7))
    assert median(at_spots) < 40
    assert median(on_the_way) > 1.5 * median(at_spots)


def test_riders_share_a_bus_and_who_missed_it_comes_after() -> None:
    together = spread_m(3, 0.6, Mode.BUS, Traits(missed_share=0.0, stay_s=(600, 900)))
    apart = spread_m(3, 0.6, Mode.BUS, Traits(missed_share=0.5, stay_s=(600, 900)))
    assert median(together) < 20
    assert mean(apart) > 10 * mean(together)
