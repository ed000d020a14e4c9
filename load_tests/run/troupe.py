"""One party of the crowd on a real server: made over HTTP, joined by its members, steered by its host.

The host steers over HTTP with its member token, so also while its phone sleeps, or by its WebSocket. What it
asks for is done one after the other. A call that was not answered, or not done, is made again, over HTTP and
at the next gateway; the audit hears of it, for it may still be done where it was made first.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

from load_tests.crowd.draw import Draw
from load_tests.crowd.events import End, HostEvent, Loosen, MemberEvent, Tighten
from load_tests.crowd.model import Member
from load_tests.crowd.model import Party as CrowdParty
from load_tests.party_http import CallFailed, Party, PartyHttp
from load_tests.phone import Phone
from load_tests.place import Place
from load_tests.run.actor import Actor, Clock
from load_tests.run.agenda import Agenda
from load_tests.run.counting import Counter
from load_tests.run.notes import Audited
from load_tests.run.scenario import Slow, Storm
from load_tests.run.unaudited import Unaudited
from protocol.client import ClientSession
from protocol.codec import Codec
from protocol.precision import Precision

if TYPE_CHECKING:
    from load_tests.audit.party import PartyAudit
    from load_tests.audit.stored_row import StoredRow

AGAIN_S = 1.0
"""Between two tries of a host's call."""
BY_PHONE = 0.5
"""Of the host's changes: by the phone's own connection, if it has one."""
BEFORE_ENDING_S = 15.0
"""A host who ends waits so long, at most, for the last fixes of all to be settled."""
LOOK_S = 0.2
SMALL_BUFFER = 4 * 1024
"""Bytes in a slow phone's kernel, so that it is the server that waits for it."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all parties of a worker share."""

    http: PartyHttp
    places: list[Place]
    """The gateways'. A party's members begin at one after the other."""
    codec: Codec
    clock: Clock
    counter: Counter
    jitter: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Moment:
    """Something of the scenario's own that is due."""

    at_ms: int
    reading: bool = True


class Troupe:
    """The members of one party, with what judges them."""

    def __init__(
        self,
        party: CrowdParty,
        made: Party,
        setting: Setting,
        audit: PartyAudit | Unaudited,
        slow: Slow,
    ) -> None:
        self._party, self._made, self._setting, self._audit = party, made, setting, audit
        self._slow = slow
        self._steps: list[HostEvent] = []
        self._at = int(Draw(party.crowd.seed, "gateway", party.number).between(0, len(setting.places)))
        """The gateway that the host's next call goes to, counted through."""
        self._uncertain: set[Precision] = set()
        """What was asked for without an answer, and so may be said at any time."""
        self._hand = Draw(party.crowd.seed, "hand", party.number)
        self._steering: asyncio.Task[None] | None = None
        self.ended = False
        self.actors = [self._actor(member) for member in party]

    @property
    def session(self) -> int:
        """The session's number."""
        return self._made.session

    def _actor(self, member: Member) -> Actor:
        setting, made = self._setting, self._made
        session = ClientSession(
            setting.codec,
            name=f"Member {member.number}",
            token=made.sharable_token,
            member_token=made.host.member_token if member.number == 0 else "",
        )
        slow = _drawn(member, "slow").chance(self._slow.share)
        places = setting.places[(first := (self._at + member.number) % len(setting.places)) :]
        places += setting.places[:first]
        if slow:
            places = [replace(place, buffer=SMALL_BUFFER) for place in places]
        return Actor(
            lambda actor: Phone(
                session,
                setting.codec,
                places,
                jitter=setting.jitter,
                seen=actor.seen,
                closed=actor.closed,
            ),
            clock=setting.clock,
            counter=setting.counter,
            audit=self._audit,
            slow=slow,
            off_ms=_off_ms(member),
        )

    # --- what is due --------------------------------------------------------------------------------------

    def first(self) -> list[Actor]:
        """Who is there from the start."""
        return [
            actor
            for actor, member in zip(self.actors, self._party, strict=True)
            if member.membership().join_ms == 0
        ]

    def enter(
        self,
        agenda: Agenda,
        begin_ms: int,
        events: Callable[[Member], Iterable[MemberEvent]],
        storms: list[Storm],
    ) -> None:
        """Put all that the party will do into the agenda."""
        for actor, member in zip(self.actors, self._party, strict=True):
            actor.begin_ms = begin_ms
            agenda.add(events(member), actor.act)
            for number, storm in enumerate(storms):
                if _drawn(member, f"storm {number}").chance(storm.share):
                    agenda.add([Moment(int(storm.at_s * 1000))], _dropping(actor))
            if actor.is_slow:
                agenda.add(self._pauses(member), _reading(actor))
        agenda.add(self._party.host_events(), self.steer)

    def _pauses(self, member: Member) -> Iterator[Moment]:
        draw, at_ms = _drawn(member, "pauses"), 0
        while at_ms < self._party.end_ms:
            at_ms += int(1000 * draw.between(*self._slow.every_s))
            yield Moment(at_ms, reading=False)
            at_ms += int(1000 * draw.between(*self._slow.pause_s))
            yield Moment(at_ms)

    # --- the host's hand ----------------------------------------------------------------------------------

    def steer(self, event: HostEvent) -> None:
        """The host tightens, loosens or ends."""
        self._steps.append(event)
        if self._steering is None:
            self._steering = asyncio.get_running_loop().create_task(self._steer())

    @property
    def is_steering(self) -> bool:
        """Whether the host's last wish is not done yet."""
        return self._steering is not None

    async def _steer(self) -> None:
        while self._steps:
            step = self._steps.pop(0)
            if isinstance(step, End):
                await self._settled()
                await self._until_done(self.end)
            else:
                await self._change(step)
        self._steering = None

    async def _change(self, step: Tighten | Loosen) -> None:
        tally, precision = self._setting.counter.tally, step.precision
        self._audit.session_asked(precision, self._setting.clock())
        tightens = isinstance(step, Tighten)
        tally.tightenings += tightens
        tries = count()

        async def ask() -> None:
            asked = time.monotonic()
            try:
                await self._ask(precision, first=next(tries) == 0)
            except CallFailed:
                self._uncertain.add(precision)
                self._audit.session_failed(precision, self._setting.clock())
                raise
            if tightens:
                self._setting.counter.returned((time.monotonic() - asked) * 1000)

        if await self._until_done(ask):
            self._audit.session_returned(precision, self._setting.clock())

    async def _ask(self, precision: Precision, *, first: bool) -> None:
        """By the host's phone or by HTTP, as is drawn; only a first try's echo is surely its own."""
        host = self.actors[0]
        by_phone = self._hand.chance(BY_PHONE) and first and precision not in self._uncertain
        if by_phone and host.phone.ready:
            await host.set_precision(precision)
        else:
            await self._setting.http.set_precision(self._made, precision, at=self._at)

    async def _settled(self) -> None:
        clock = asyncio.get_running_loop().time
        end = clock() + BEFORE_ENDING_S
        while clock() < end and any(actor.holds for actor in self.actors):  # noqa: ASYNC110 - once a party
            await asyncio.sleep(LOOK_S)

    async def _until_done(self, call: Callable[[], Awaitable[None]]) -> bool:
        """Whether the call was done in the end, or refused for good."""
        while True:
            try:
                await call()
            except CallFailed as failed:
                self._setting.counter.trouble(str(failed))
                self._at += 1
                if not failed.may_pass:
                    return False
                await asyncio.sleep(AGAIN_S)
            else:
                return True

    async def end(self) -> None:
        """End the session, unless it is over. Raises `CallFailed`."""
        if not self.ended:
            for actor in self.actors:
                actor.party_ends = True
            await self._setting.http.end(self._made, at=self._at)
            self.ended = True

    async def close(self) -> None:
        """The host's hand rests, and all phones leave the network."""
        if self._steering is not None:
            self._steering.cancel()
        await asyncio.gather(*(actor.phone.stop() for actor in self.actors))

    # --- the end ------------------------------------------------------------------------------------------

    def finish(self, rows: Iterable[StoredRow] | None, note: str) -> Audited:
        """What the audit found."""
        accounts = {actor.m: actor.phone.session.account for actor in self.actors if actor.m is not None}
        return self._audit.finish(accounts, rows, note=note)


def _drawn(member: Member, what: str) -> Draw:
    return Draw(member.party.crowd.seed, what, member.party.number, member.number)


def _off_ms(member: Member) -> int:
    """How far a phone's clock is ahead: some are off by hours, either way."""
    traits, draw = member.party.crowd.traits, _drawn(member, "clock")
    if not draw.chance(traits.clock_off_share):
        return 0
    return int(3_600_000 * draw.between(*traits.clock_off_hours)) * (1 if draw.chance(0.5) else -1)


def _dropping(actor: Actor) -> Callable[[Moment], None]:
    return lambda _: actor.phone.drop()


def _reading(actor: Actor) -> Callable[[Moment], None]:
    return lambda moment: actor.phone.read(moment.reading)
