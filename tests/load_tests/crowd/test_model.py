"""A crowd is its seed; what phones say is in order, in the box, at the rate, and never from the future."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from collections.abc import Callable
from hashlib import blake2b
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from load_tests.crowd.city import SEOUL, City
from load_tests.crowd.events import (
    Daylight,
    Join,
    Kill,
    Leave,
    MemberEvent,
    Resume,
    Send,
    Share,
    Sleep,
    Tunnel,
    Wake,
)
from load_tests.crowd.gps_error import MAX_JUMP_M
from load_tests.crowd.model import LATENCY_MS, Crowd, Member
from load_tests.crowd.traits import Traits
from tests.load_tests.crowd.test_city import sphere_m

HARD = Traits(
    tunnels_per_hour=40,
    tunnel_s=(1, 90),
    sleeps_per_hour=40,
    sleep_s=(1, 60),
    kills_per_hour=40,
    killed_s=(1, 60),
    late_joiner_share=0.5,
    leaver_share=0.5,
    ended_share=0.5,
    host_changes_per_hour=120,
    jumps_per_hour=60,
)
CALM = Traits(
    tunnels_per_hour=0,
    sleeps_per_hour=0,
    kills_per_hour=0,
    late_joiner_share=0,
    leaver_share=0,
    ended_share=0,
)
TINY = City("a small box", south=-33.9, west=151.2, north=-33.88, east=151.225)
NORTHERN = City("far north", south=69.6, west=18.8, north=69.75, east=19.2)

crowds = st.builds(
    Crowd,
    seed=st.integers(0, 2**40),
    members=st.integers(1, 6),
    party_size=st.integers(1, 4),
    rate=st.sampled_from([0.1, 0.5, 1.0, 3.0]),
    minutes=st.sampled_from([0.001, 0.5, 3.0, 12.0]),
    city=st.sampled_from([SEOUL, TINY, NORTHERN]),
    traits=st.sampled_from([Traits(), HARD]),
)
law = settings(max_examples=40, deadline=None)


def everybody(crowd: Crowd) -> list[Member]:
    return [member for party in crowd for member in party]


def sends(member: Member) -> list[Send]:
    return [event for event in member if isinstance(event, Send)]


def fingerprint(crowd: Crowd) -> str:
    digest = blake2b()
    for party in crowd:
        for host_event in party.host_events():
            digest.update(repr(host_event).encode())
        for member in party:
            for event in member:
                fix = event.fix if isinstance(event, Send) else None
                place = () if fix is None else (fix.at_ms, fix.lat, fix.lon, fix.acc, fix.spd, fix.hdg)
                digest.update(repr((type(event).__name__, event.at_ms, place)).encode())
    return digest.hexdigest()


@law
@given(crowds)
def test_iterating_twice_gives_the_same_and_members_are_as_many_as_asked(crowd: Crowd) -> None:
    members = everybody(crowd)
    assert len(members) == crowd.members == sum(len(party) for party in crowd)
    assert len(list(crowd)) == len(crowd)
    for member in members:
        assert list(member) == list(member)


def test_the_same_seed_is_the_same_crowd_also_in_another_process() -> None:
    program = (
        "from tests.load_tests.crowd.test_model import *\n"
        "import sys; sys.stdout.write(fingerprint(Crowd(11, 7, 3, 1.0, 10, traits=HARD)))"
    )
    told = subprocess.run(
        [sys.executable, "-c", program],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONHASHSEED": "4711"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout == fingerprint(Crowd(11, 7, 3, 1.0, 10, traits=HARD))


@given(st.integers(0, 2**40))
@settings(max_examples=10, deadline=None)
def test_another_seed_is_another_crowd(seed: int) -> None:
    assert fingerprint(Crowd(seed, 2, 2, 1.0, 1)) != fingerprint(Crowd(seed + 1, 2, 2, 1.0, 1))


def test_a_party_does_not_depend_on_how_many_others_there_are() -> None:
    few, many = Crowd(5, 8, 4, 1.0, 5), Crowd(5, 4_000, 4, 1.0, 5)
    assert [list(member) for member in few.party(1)] == [list(member) for member in many.party(1)]
    assert [list(m) for m in Crowd(5, 4, 4, 1.0, 5).party(0)] != [list(m) for m in few.party(1)]


@law
@given(crowds)
def test_events_come_in_order_of_sending_from_join_to_leave(crowd: Crowd) -> None:
    for member in everybody(crowd):
        events = list(member)
        assert isinstance(events[0], Join)
        assert all(before.at_ms <= after.at_ms for before, after in pairwise(events))
        assert events[-1].at_ms <= member.party.end_ms <= crowd.end_ms
        assert isinstance(events[-1], Leave) == member.membership().leaves
        assert sum(isinstance(event, Join | Leave) for event in events) <= 2
        awaited: type[MemberEvent] | None = None
        pairs: dict[type[Any], type[Any]] = {Tunnel: Daylight, Sleep: Wake, Kill: Resume}
        for event in events:
            if awaited is not None:
                assert type(event) is awaited  # nothing is sent or said meanwhile
                awaited = None
            else:
                assert not isinstance(event, Daylight | Wake | Resume)
                awaited = pairs.get(type(event))
        assert awaited is None


@law
@given(crowds)
def test_each_fix_is_sent_once_never_before_it_was_measured_and_late_only_after_a_tunnel(
    crowd: Crowd,
) -> None:
    for member in everybody(crowd):
        tunnels: list[tuple[int, int]] = []
        begun = newest = -1
        times = set()
        for event in member:
            if isinstance(event, Tunnel):
                begun = event.at_ms
            elif isinstance(event, Daylight):
                tunnels.append((begun, event.at_ms))
            elif isinstance(event, Send):
                at_ms = event.fix.at_ms
                assert at_ms not in times
                times.add(at_ms)
                assert event.late_ms >= 0
                from_tunnel = bool(tunnels) and tunnels[-1][0] <= at_ms < tunnels[-1][1]
                if not from_tunnel:
                    assert event.late_ms <= LATENCY_MS[1]
                    assert at_ms > newest
                newest = max(newest, at_ms)


def test_after_a_tunnel_some_phones_send_late_fixes_after_fresh_ones() -> None:
    def out_of_order(live_first: float) -> int:
        traits = Traits(tunnels_per_hour=30, sleeps_per_hour=0, live_first_share=live_first)
        found = [
            [send.fix.at_ms for send in sends(member)]
            for member in everybody(Crowd(1, 5, 5, 1.0, 30, traits=traits))
        ]
        return sum(a > b for times in found for a, b in pairwise(times))

    assert out_of_order(0.0) == 0
    assert out_of_order(1.0) > 5
    waited = [
        send.late_ms for member in everybody(Crowd(1, 5, 5, 1.0, 30, traits=HARD)) for send in sends(member)
    ]
    assert max(waited) > 20_000


@law
@given(crowds)
def test_the_offered_rate_is_the_rate_while_the_phone_is_awake(crowd: Crowd) -> None:
    for member in everybody(crowd):
        there = member.membership()
        away_ms, spells, begun = 0, 0, 0
        for event in member:
            if isinstance(event, Sleep | Kill):
                begun = event.at_ms
            elif isinstance(event, Wake | Resume):
                away_ms += event.at_ms - begun
                spells += 1
        awake_s = (there.end_ms - there.join_ms - away_ms) / 1000
        assert abs(len(sends(member)) - crowd.rate * awake_s) <= 1 + spells + 1e-6


@law
@given(crowds)
def test_everything_is_in_the_box_but_jumps_which_are_bounded(crowd: Crowd) -> None:
    for member in everybody(crowd):
        true = member.path()
        for fix in sorted((send.fix for send in sends(member)), key=lambda fix: fix.at_ms):
            place = true.at(fix.at_ms)
            shown, there = (fix.lat, fix.lon), crowd.city.degrees(place.point)
            assert crowd.city.contains(*there)
            assert crowd.city.contains(*shown) or fix.jump
            assert sphere_m(shown, there) <= (MAX_JUMP_M * 1.04 if fix.jump else 100)
            assert fix.spd == round(place.speed_ms, 2)
            assert fix.acc >= 1 and 0 <= fix.hdg < 360


def test_members_agree_while_their_phones_are_there() -> None:
    crowd = Crowd(2, 40, 5, 0.2, 30, traits=HARD)
    said = [event for member in everybody(crowd) for event in member if isinstance(event, Share)]
    assert len(said) > 50
    hosts = [next(iter(party)) for party in crowd]
    assert not [event for host in hosts for event in host if isinstance(event, Share)]


def test_the_load_is_spread_over_the_interval() -> None:
    phases = [sends(member)[0].fix.at_ms for member in everybody(Crowd(3, 400, 5, 1.0, 0.2, traits=CALM))]
    assert all(60 <= sum(low <= at < low + 250 for at in phases) <= 140 for low in range(0, 1_000, 250))


def test_coordinates_stay_out_of_every_repr() -> None:
    send = sends(Member(Crowd(1, 1, 1, 1.0, 1).party(0), 0))[0]
    assert str(math.trunc(send.fix.lat)) not in repr(send) and "lat" not in repr(send)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Crowd(1, 0, 5, 1, 1), "members: give 1"),
        (lambda: Crowd(1, 5, 501, 1, 1), "party size: give 1 to 500"),
        (lambda: Crowd(1, 5, 5, 0, 1), "rate: give"),
        (lambda: Crowd(1, 5, 5, math.nan, 1), "rate: give"),
        (lambda: Crowd(1, 5, 5, 51, 1), "rate: give"),
        (lambda: Crowd(1, 5, 5, 1, 0), "minutes: give"),
        (lambda: Crowd(1, 5, 5, 1, math.inf), "minutes: give"),
    ],
)
def test_a_crowd_out_of_range_says_what_to_give(make: Callable[[], Crowd], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()


def test_a_party_that_is_not_there_says_which_are() -> None:
    with pytest.raises(IndexError, match="parties 0 to 1"):
        Crowd(1, 6, 5, 1, 1).party(2)
