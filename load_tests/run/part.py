"""A worker's part of the crowd: made, joined, played by the clock, settled, judged. Knows no pipe.

One agenda holds all that its members and hosts will do; there is no task for a fix or a phone.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from load_tests.audit.adding import add
from load_tests.audit.party import PartyAudit
from load_tests.audit.rows import stored_rows
from load_tests.audit.stored_row import StoredRow
from load_tests.cannot_start import CannotStart
from load_tests.crowd.events import MemberEvent
from load_tests.crowd.model import Crowd, Member
from load_tests.crowd.model import Party as CrowdParty
from load_tests.party_http import CallFailed, PartyHttp, stream_url
from load_tests.place import Place
from load_tests.rows import CannotCount
from load_tests.run.actor import Actor
from load_tests.run.agenda import Agenda
from load_tests.run.counting import Counter, account_of, close_name
from load_tests.run.lines import Plan
from load_tests.run.notes import Audited, Ended, Tally
from load_tests.run.recorded import number_of, recorded
from load_tests.run.refusals import why_refused
from load_tests.run.troupe import Setting, Troupe
from load_tests.run.unaudited import Unaudited
from load_tests.shift import timing
from load_tests.tracks import read_all
from protocol.codec import JSON, MSGPACK

CODECS = {"json": JSON, "msgpack": MSGPACK}
MADE_AT_ONCE = 4
"""Sessions that a worker makes at the same time."""
JOIN_S = 30.0
"""Nobody joined for so long: the crowd does not come in."""
SETTLE_S = 30.0
"""Phones wait so long, at most, for their last acks."""
END_S = 15.0
"""For ending all sessions."""
LOOK_S = 0.1
SLOT_MS = 5
"""What is due within it is done together: a wake-up for each fix would cost more than the fix."""
AT_ONCE = 200
"""Events between two looks at the network."""


class Part:
    """The parties whose number is the worker's, modulo the number of workers."""

    def __init__(self, plan: Plan) -> None:
        self._plan, self._scenario = plan, plan.scenario
        self._crowd = Crowd(
            plan.seed,
            plan.members,
            plan.party_size,
            plan.rate,
            plan.minutes,
            city=plan.scenario.place,
            traits=plan.scenario.traits,
        )
        tracks = read_all([Path(name) for name in plan.tracks]) if plan.tracks else []
        self._tracks = [(track, timing(track.readings)) for track in tracks if track.readings]
        self._parties = [
            self._crowd.party(number) for number in range(plan.worker, len(self._crowd), plan.workers)
        ]
        self._steady_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000
        self._counter = Counter()
        self._troupes: list[Troupe] = []
        self._lag_ms = 0
        self.phase = "joining"

    def clock(self) -> int:
        """Epoch milliseconds, as they were when the part was made: they never step."""
        return self._steady_ms + time.monotonic_ns() // 1_000_000

    @property
    def phones(self) -> int:
        """How many phones it has."""
        return sum(len(party) for party in self._parties)

    @property
    def _actors(self) -> Iterator[Actor]:
        return (actor for troupe in self._troupes for actor in troupe.actors)

    # --- its life -----------------------------------------------------------------------------------------

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Finds the server. Afterwards all phones are off the network and, if the server lets us, all
        sessions are ended. Raises `CannotStart`."""
        bases = self._plan.bases
        places = [await self._place(base) for base in bases]
        async with PartyHttp(bases) as http:
            self._setting = Setting(
                http, places, CODECS[self._plan.codec], self.clock, self._counter, random.random
            )
            try:
                yield
            finally:
                await self._leave()
                await self._end_sessions()

    async def join(self) -> None:
        """Makes the sessions and brings in who is there from the start. Raises `CannotStart`."""
        numbers = iter(self._parties)
        makers = [asyncio.ensure_future(self._make(numbers)) for _ in range(MADE_AT_ONCE)]
        try:
            await asyncio.gather(*makers)
        finally:
            for maker in makers:
                maker.cancel()
        await self._bring_in([actor for troupe in self._troupes for actor in troupe.first()])

    async def play(self, begin_ms: int) -> None:
        """The crowd's time, from `begin_ms` on, until it is over."""
        agenda, end_ms = Agenda(), self._crowd.end_ms
        for troupe in self._troupes:
            troupe.enter(agenda, begin_ms, self._events, self._scenario.storms)
        self.phase = "playing"
        while True:
            now_ms = self.clock() - begin_ms
            self._lag_ms = max(self._lag_ms, agenda.act(min(now_ms, end_ms), AT_ONCE))
            due_ms = agenda.next_ms
            if due_ms is None or due_ms > end_ms:
                due_ms = end_ms
                if now_ms >= end_ms:
                    return
            wait_ms = due_ms - (self.clock() - begin_ms)
            await asyncio.sleep(0 if wait_ms <= -SLOT_MS else max(wait_ms, SLOT_MS) / 1000)

    async def settle(self) -> None:
        """Nothing more is offered; waits until nothing is held, or for `SETTLE_S`."""
        self.phase = "settling"
        for actor in self._actors:
            actor.phone.read(True)
            if actor.holds:
                actor.appear()
        clock = asyncio.get_running_loop().time
        end = clock() + SETTLE_S
        while clock() < end and self._is_unsettled:  # noqa: ASYNC110 - once a run
            await asyncio.sleep(LOOK_S)

    async def finish(self) -> Ended:
        """All phones leave; what was promised is held against what was seen and stored."""
        self.phase = "looking up"
        await self._leave()
        ended = Ended(account_of(actor.phone.session.account for actor in self._actors), Audited())
        for actor in self._actors:
            if actor.was_refused:
                name = close_name(actor.phone.gave_up or 0)
                ended.gave_up[name] = ended.gave_up.get(name, 0) + 1
        note = self._no_look_up
        for troupe in self._troupes:
            rows: list[StoredRow] | None = None
            if not note:
                try:
                    rows = await stored_rows(self._plan.database_url, troupe.session)
                except CannotCount as error:
                    note = f"rows were not looked up: {error}; check --database-url"
            add(ended.audited, troupe.finish(rows, note))
        return ended

    def second(self) -> tuple[Tally, float]:
        """What was counted since the last call, and the greatest lag; who wants to leave is reminded."""
        connected = wanted = 0
        for actor in self._actors:
            actor.go_on_leaving()
            if actor.is_wanted and self.phase != "looking up":
                wanted += 1
                connected += actor.phone.in_party
        account = account_of(actor.phone.session.account for actor in self._actors)
        lag_ms, self._lag_ms = self._lag_ms, 0
        return self._counter.end(self.clock() // 1000, account, connected=connected, wanted=wanted), lag_ms

    @property
    def _is_unsettled(self) -> bool:
        return any(actor.holds for actor in self._actors) or any(one.is_steering for one in self._troupes)

    # --- the parts of it ----------------------------------------------------------------------------------

    @property
    def _no_look_up(self) -> str:
        if not self._plan.audit:
            return "nothing was audited: --no-audit"
        if not self._plan.database_url:
            return "rows were not looked up: give the database's address with --database-url"
        return ""

    @staticmethod
    async def _place(base: str) -> Place:
        try:
            return await Place.of(stream_url(base)).found()
        except OSError:
            raise CannotStart(
                f"No server answers at {base}; start one with `partyline up`, or give its address with --url."
            ) from None

    def _events(self, member: Member) -> Iterable[MemberEvent]:
        if not self._tracks:
            return member
        track, times = self._tracks[number_of(member) % len(self._tracks)]
        return recorded(member, track, times)

    async def _make(self, parties: Iterator[CrowdParty]) -> None:
        options, traits = self._scenario.session, self._scenario.traits
        for party in parties:
            made = await self._setting.http.create(
                display_name="Host", precision=traits.precision, options=options, at=party.number
            )
            audit = (
                PartyAudit(
                    made.session,
                    precision=made.precision,
                    rough_cell_m=options.rough_cell_m,
                    live_only=options.live_only,
                    tick_ms=options.tick_ms,
                )
                if self._plan.audit
                else Unaudited()
            )
            self._troupes.append(Troupe(party, made, self._setting, audit, self._scenario.slow))

    async def _bring_in(self, actors: list[Actor]) -> None:
        clock = asyncio.get_running_loop().time
        step_s = self._plan.workers / self._scenario.joins_per_s
        begin = moved_at = clock()
        dialled = joined = 0
        while joined < len(actors):
            while dialled < len(actors) and clock() >= begin + dialled * step_s:
                actors[dialled].appear()
                dialled += 1
            await asyncio.sleep(LOOK_S / 4)
            refused = next((actor.phone.gave_up for actor in actors if actor.was_refused), None)
            if refused is not None:
                raise CannotStart(why_refused(refused))
            before, joined = joined, sum(actor.m is not None for actor in actors)
            if joined > before:
                moved_at = clock()
            elif clock() - moved_at > JOIN_S:
                raise CannotStart(
                    f"The server at {self._plan.bases[0]} let {joined} of {len(actors)} phones in, and then"
                    f" nobody for {JOIN_S:.0f} s; look at its log, or come with fewer --members."
                )

    async def _leave(self) -> None:
        await asyncio.gather(*(troupe.close() for troupe in self._troupes))

    async def _end_sessions(self) -> None:
        """So that no live session stays behind. A server that does not answer is left alone."""
        troupes = iter(self._troupes)

        async def end_some() -> None:
            for troupe in troupes:
                await troupe.end()

        ending = (end_some() for _ in range(MADE_AT_ONCE))
        try:
            async with asyncio.timeout(END_S):
                await asyncio.gather(*ending)
        except (CallFailed, TimeoutError):
            return
