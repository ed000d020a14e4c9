"""Members who play recorded tracks: the model's life of a phone, with a recording's fixes. Pure.

A reading is measured and sent at its recorded times, moved so that the reading at which the member starts
comes as the member joins; after the last one the track begins again a second later. What a recording says
falsely (a clock in 1901) stays false: the server has to cope with it.
"""

from __future__ import annotations

from collections.abc import Iterator

from load_tests.crowd.draw import Draw
from load_tests.crowd.events import Daylight, Kill, Measured, MemberEvent, Resume, Send, Sleep, Tunnel, Wake
from load_tests.crowd.model import Member
from load_tests.readings import Track
from load_tests.shift import Timing

UNKNOWN = float("nan")
"""What the recording does not tell, and the phone leaves out."""
AGAIN_MS = 1_000
"""Between the last reading of a track and the first, when it is played again."""


def number_of(member: Member) -> int:
    """The member's number in the whole crowd."""
    return member.party.number * member.party.crowd.party_size + member.number


def recorded(member: Member, track: Track, timing: Timing) -> Iterator[MemberEvent]:
    """The member's events with the track's fixes in place of the model's; the track must hold a reading."""
    life = (event for event in member if not isinstance(event, Send))
    there = member.membership()
    draw = Draw(member.party.crowd.seed, "track", member.party.number, member.number)
    sends = _sends(track, timing, there.join_ms, int(draw.between(0, len(track.readings))))
    following = next(sends)
    away: MemberEvent | None = None
    late: list[Send] = []

    def until(at_ms: int) -> Iterator[Send]:
        nonlocal following
        while following.at_ms < at_ms:
            if away is None:
                yield following
            elif isinstance(away, Tunnel):
                late.append(following)
            following = next(sends)

    for event in life:
        yield from until(event.at_ms)
        yield event
        if isinstance(event, Tunnel | Sleep | Kill):
            away = event
        elif isinstance(event, Daylight | Wake | Resume):
            away = None
            yield from (Send(event.at_ms, send.fix) for send in late)
            late.clear()
    yield from until(there.end_ms)


def _sends(track: Track, timing: Timing, join_ms: int, start: int) -> Iterator[Send]:
    """The track's fixes from the reading `start` on, again and again, the first one at `join_ms`."""
    shift = join_ms - timing.clocks[start]
    while True:
        for index in range(start, len(track.readings)):
            reading, clock = track.readings[index], timing.clocks[index]
            acc = UNKNOWN if reading.acc is None else reading.acc
            spd = UNKNOWN if reading.spd is None else reading.spd
            fix = Measured(reading.at + shift, reading.lat, reading.lon, acc, spd, UNKNOWN, False)
            yield Send(clock + shift, fix)
        shift += timing.last - timing.first + AGAIN_MS
        start = 0
