"""A crowd: parties of members, each a stream of events in order of sending. Pure: same seed, same crowd.

Nothing is computed before it is asked for, and a member that is being read keeps a few numbers and, after
some tunnels, the fixes measured inside. Reading a member again gives the same again, on every machine and
in every process, so that workers may share a crowd out among themselves.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from load_tests.crowd.city import SEOUL, City
from load_tests.crowd.draw import Draw
from load_tests.crowd.events import (
    Daylight,
    HostEvent,
    Join,
    Kill,
    Leave,
    Measured,
    MemberEvent,
    Resume,
    Send,
    Share,
    Sleep,
    Tunnel,
    Wake,
)
from load_tests.crowd.gps_error import Receiver
from load_tests.crowd.host import answers, host_events, party_end_ms
from load_tests.crowd.life import Kind, Membership, Spell, membership, spells
from load_tests.crowd.movement import Path
from load_tests.crowd.traits import Traits
from protocol.limits import FIXES_PER_S

MAX_MEMBERS, MAX_PARTY, MAX_MINUTES = 1_000_000, 500, 10_080
MIN_RATE = 1 / 60
GOES: dict[Kind, type[Tunnel | Sleep | Kill]] = {Kind.TUNNEL: Tunnel, Kind.SLEEP: Sleep, Kind.KILL: Kill}
COMES: dict[Kind, type[Daylight | Wake | Resume]] = {
    Kind.TUNNEL: Daylight,
    Kind.SLEEP: Wake,
    Kind.KILL: Resume,
}
LATENCY_MS = (20.0, 400.0)
"""From measuring to sending; never longer than to the next fix."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """`members` people in parties of `party_size` (the last may be smaller), each with `rate` fixes a second.

    Raises `ValueError` that says what to give instead.
    """

    seed: int
    members: int
    party_size: int
    rate: float
    minutes: float
    city: City = SEOUL
    traits: Traits = field(default_factory=Traits)

    def __post_init__(self) -> None:
        if not 1 <= self.members <= MAX_MEMBERS:
            raise ValueError(f"members: give 1 to {MAX_MEMBERS}")
        if not 1 <= self.party_size <= MAX_PARTY:
            raise ValueError(f"party size: give 1 to {MAX_PARTY}")
        if not MIN_RATE <= self.rate <= FIXES_PER_S:
            raise ValueError(f"rate: give one fix a minute (0.0167) to {FIXES_PER_S:g} a second")
        if not 0 < self.minutes <= MAX_MINUTES:
            raise ValueError(f"minutes: give more than 0 and at most {MAX_MINUTES} (a week)")

    def __len__(self) -> int:
        """How many parties."""
        return (self.members + self.party_size - 1) // self.party_size

    def __iter__(self) -> Iterator[Party]:
        return (self.party(number) for number in range(len(self)))

    def party(self, number: int) -> Party:
        """Party `number`, from 0. Raises `IndexError` when there is none."""
        if not 0 <= number < len(self):
            raise IndexError(f"there are parties 0 to {len(self) - 1}")
        return Party(self, number)

    @property
    def end_ms(self) -> int:
        return int(self.minutes * 60_000)


@dataclass(frozen=True, slots=True)
class Party:
    """People on one trip. Member 0 is the host."""

    crowd: Crowd
    number: int

    def __len__(self) -> int:
        return min(self.crowd.party_size, self.crowd.members - self.number * self.crowd.party_size)

    def __iter__(self) -> Iterator[Member]:
        return (Member(self, number) for number in range(len(self)))

    @property
    def end_ms(self) -> int:
        """When the host ends it, or the crowd's time is up. No member's event is later."""
        return self._end()[0]

    def host_events(self) -> Iterator[HostEvent]:
        """What the host does, in order of time."""
        end_ms, ends = self._end()
        return host_events(self.crowd.seed, self.number, end_ms, ends, self.crowd.traits)

    def _end(self) -> tuple[int, bool]:
        return party_end_ms(self.crowd.seed, self.number, self.crowd.end_ms, self.crowd.traits)


@dataclass(frozen=True, slots=True)
class Member:
    """One phone. Each iteration gives its events from the start, in order of their `at_ms`."""

    party: Party
    number: int

    def __iter__(self) -> Iterator[MemberEvent]:
        crowd = self.party.crowd
        said = answers(crowd.seed, self.party.number, self.number, self.party.host_events(), crowd.traits)
        return _with_answers(self._alone(), said)

    def path(self) -> Path:
        """Where the member truly is, for who looks on."""
        crowd = self.party.crowd
        return Path(crowd.seed, self.party.number, self.number, crowd.city, crowd.traits)

    def membership(self) -> Membership:
        """When the member is there."""
        crowd = self.party.crowd
        return membership(crowd.seed, self.party.number, self.number, self.party.end_ms, crowd.traits)

    def _alone(self) -> Iterator[MemberEvent]:
        """All but the answers to the host."""
        crowd, there = self.party.crowd, self.membership()
        phone = _Phone(self)
        yield Join(there.join_ms)
        late: list[Send] = []
        for spell in spells(crowd.seed, self.party.number, self.number, there, crowd.traits):
            yield from _released(phone.sends(spell.start_ms), late)
            yield GOES[spell.kind](spell.start_ms)
            yield from phone.through(spell, late)
        yield from _released(phone.sends(there.end_ms), late)
        if there.leaves:
            yield Leave(there.end_ms)


class _Phone:
    """Measures at its rate, and knows when what it measured may go out."""

    def __init__(self, member: Member) -> None:
        crowd = member.party.crowd
        name = (crowd.seed, "phone", member.party.number, member.number)
        self._draw = Draw(*name)
        self._city = crowd.city
        self._path = member.path()
        self._receiver = Receiver(Draw(*name, "receiver"), crowd.traits.jumps_per_hour)
        self._step_ms = 1000 / crowd.rate
        there = member.membership()
        self._phase_ms = there.join_ms + self._draw.between(0, self._step_ms)
        self._latency_ms = self._draw.between(*LATENCY_MS)
        self._count = 0
        self._sent_ms = there.join_ms

    def sends(self, until_ms: int) -> Iterator[Send]:
        """What is measured before `until_ms`, each sent shortly afterwards and before `until_ms` as well."""
        while (at_ms := self._next_ms()) < until_ms:
            self._count += 1
            soon_ms = at_ms + int(min(self._latency_ms, self._step_ms) * self._draw.between(0.5, 1.0))
            self._sent_ms = max(self._sent_ms, min(soon_ms, until_ms - 1))
            yield Send(self._sent_ms, self._measured(at_ms))

    def through(self, spell: Spell, late: list[Send]) -> Iterator[MemberEvent]:
        """The end of a spell, and its burst of late fixes; into `late` those that wait for a fresh one."""
        self._sent_ms = spell.end_ms
        yield COMES[spell.kind](spell.end_ms)
        while (at_ms := self._next_ms()) < spell.end_ms:
            self._count += 1
            if spell.kind is Kind.TUNNEL:
                send = Send(spell.end_ms, self._measured(at_ms))
                if not spell.live_first:
                    yield send
                else:
                    late.append(send)

    def _next_ms(self) -> int:
        return int(self._phase_ms + self._count * self._step_ms)

    def _measured(self, at_ms: int) -> Measured:
        place = self._path.at(at_ms)
        wrong = self._receiver.at(at_ms, place.mode)
        shown = (place.point[0] + wrong.east_m, place.point[1] + wrong.north_m)
        lat, lon = self._city.degrees(shown if wrong.jump else self._city.held(shown, 0.0))
        return Measured(
            at_ms,
            round(lat, 7),
            round(lon, 7),
            round(wrong.acc_m, 1),
            round(place.speed_ms, 2),
            round(place.heading_deg, 1) % 360,
            wrong.jump,
        )


def _released(fresh: Iterator[Send], late: list[Send]) -> Iterator[Send]:
    """The fresh fixes, and after the first of them the late ones, which are then no longer kept."""
    first = next(fresh, None)
    if first is not None:
        yield first
    for send in late:
        yield send if first is None else Send(first.at_ms, send.fix)
    late.clear()
    yield from fresh


def _with_answers(events: Iterator[MemberEvent], said: Iterator[Share]) -> Iterator[MemberEvent]:
    """The events, and in between what the member says while its phone is awake and has a network."""
    share, there, last_ms = next(said, None), False, 0
    for event in events:
        while there and share is not None and share.at_ms <= event.at_ms:
            yield replace(share, at_ms=max(share.at_ms, last_ms))
            share = next(said, None)
        yield event
        last_ms = event.at_ms
        if isinstance(event, Join | Daylight | Wake | Resume):
            there = True
        elif isinstance(event, Tunnel | Sleep | Kill):
            there = False
