"""Recorded tracks in the place of the model's movement: the same life, the recording's fixes, moved to now."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import pytest

from load_tests.crowd.events import Daylight, Join, Kill, MemberEvent, Resume, Send, Sleep, Tunnel, Wake
from load_tests.crowd.model import Crowd, Member
from load_tests.crowd.traits import Traits
from load_tests.readings import Reading, Track
from load_tests.run.recorded import number_of, recorded
from load_tests.shift import timing
from load_tests.tracks import read_all

GPS = Path(__file__).parents[4] / "shared" / "gps"
RESTLESS = Traits(
    tunnels_per_hour=120, tunnel_s=(5, 20), sleeps_per_hour=60, sleep_s=(5, 20), kills_per_hour=60,
    killed_s=(5, 20), host_changes_per_hour=60,
)  # fmt: skip


def track(fixes: int = 40) -> Track:
    return Track(
        "a", [Reading(1_400_000_000_000 + 2000 * n, 37 + n / 1000, 127.0, acc=5.0) for n in range(fixes)]
    )


def crowd(seed: int = 3, traits: Traits = RESTLESS) -> Crowd:
    return Crowd(seed, 12, 4, 1.0, 5.0, traits=traits)


def played(member: Member, one: Track) -> list[MemberEvent]:
    return list(recorded(member, one, timing(one.readings)))


def test_the_life_is_the_models_and_every_event_in_order() -> None:
    for party in crowd():
        for member in party:
            events = played(member, track())
            ats = [event.at_ms for event in events]
            assert ats == sorted(ats)
            assert isinstance(events[0], Join)
            mine = [event for event in events if not isinstance(event, Send)]
            assert mine == [event for event in member if not isinstance(event, Send)]


def test_fixes_are_the_tracks_in_its_order_from_a_point_of_the_seed() -> None:
    steady = crowd(traits=Traits(
        tunnels_per_hour=0, sleeps_per_hour=0, kills_per_hour=0, late_joiner_share=0, leaver_share=0, ended_share=0,
        host_changes_per_hour=0,
    ))  # fmt: skip
    starts = set()
    for member in itertools.chain.from_iterable(steady):
        sends = [event for event in played(member, track()) if isinstance(event, Send)]
        lats = [send.fix.lat for send in sends]
        start = round((lats[0] - 37) * 1000)
        starts.add(start)
        assert lats == [37 + (start + n) % 40 / 1000 for n in range(len(lats))]
        assert [sends[0].at_ms, sends[0].fix.at_ms] == [0, 0]
        assert {b.at_ms - a.at_ms for a, b in itertools.pairwise(sends)} <= {2000, 1000}
        assert sends[-1].at_ms < member.party.end_ms
        assert math.isnan(sends[0].fix.spd)
    assert len(starts) > 3
    first = next(iter(next(iter(steady))))
    assert played(first, track())[1].fix.lat == played(first, track())[1].fix.lat  # type: ignore[union-attr]


def test_in_a_tunnel_fixes_wait_and_of_a_sleeping_phone_there_are_none() -> None:
    waited = 0
    for member in itertools.chain.from_iterable(crowd()):
        away: MemberEvent | None = None
        for event in played(member, track()):
            if isinstance(event, Send):
                assert away is None
                waited += event.late_ms > 0
                assert event.late_ms >= 0
            elif isinstance(event, Tunnel | Sleep | Kill):
                away = event
            elif isinstance(event, Daylight | Wake | Resume):
                away = None
    assert waited > 10


@pytest.mark.skipif(not GPS.is_dir(), reason="the recordings are not beside the repository")
def test_real_recordings_play() -> None:
    tracks = read_all([GPS / "gpx-misc.ndjson.gz"])
    usable = [one for one in tracks if one.readings]
    for member in itertools.chain.from_iterable(crowd()):
        events = played(member, usable[number_of(member) % len(usable)])
        assert [event.at_ms for event in events] == sorted(event.at_ms for event in events)
