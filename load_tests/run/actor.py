"""One member of the crowd on the real wire: the model's events become what an honest phone does.

It knows its party only by what it is given: a clock, a counter, and who judges. It never decides whether a
fix may be forgotten; `ClientSession` does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from load_tests.crowd.events import (
    Daylight,
    Join,
    Kill,
    Leave,
    MemberEvent,
    Resume,
    Send,
    Share,
    Tunnel,
)
from load_tests.party_http import STEER_S, CallFailed
from load_tests.phone import Phone
from load_tests.run.counting import Counter
from protocol import messages as wire
from protocol.client_events import Acked, Event, PositionsSeen, PrecisionSeen, RejectedFix, Welcomed
from protocol.close_codes import CloseCode
from protocol.precision import Precision

if TYPE_CHECKING:
    from load_tests.audit.party import PartyAudit
    from load_tests.run.unaudited import Unaudited

LIVE_MS = 1_000
"""A fix that is sent longer after it was measured is a late one."""
BEFORE_LEAVING_MS = 15_000
"""A member who leaves waits so long, at most, for its last fixes to be settled."""

Clock = Callable[[], int]
"""Epoch milliseconds, never stepping."""


class Actor:
    """A member who joins, sends, loses the network, comes back, shares, leaves."""

    def __init__(
        self,
        phone: Callable[[Actor], Phone],
        *,
        clock: Clock,
        counter: Counter,
        audit: PartyAudit | Unaudited,
        slow: bool,
        off_ms: int = 0,
    ) -> None:
        """`off_ms`: how far the phone's clock is ahead of the true time."""
        self._clock, self._counter, self._audit = clock, counter, audit
        self.is_slow = slow
        """Its reading is paused now and then: its times are its own, and do not count."""
        self._off_ms = off_ms
        self.phone = phone(self)
        self.begin_ms = 0
        """The crowd's time 0."""
        self.m: int | None = None
        self.is_out = True
        """Not to be connected now: not joined yet, no network, killed, or gone."""
        self.party_ends = False
        """The host is ending the session: being closed for good is what is wanted."""
        self._early: list[Send] = []
        """Fixes from before the first welcome: there was no party to offer them to."""
        self._on_way: dict[int, int] = {}
        """Of fixes that were offered on this connection: their time, and when they were."""
        self._in_party = False
        self._unsaid: Precision | None = None
        """A choice that waits for a connection."""
        self._echo: tuple[Precision, asyncio.Future[None]] | None = None
        """What it has asked for as host, until the server says so."""
        self._leave_by_ms: int | None = None
        self.left = False
        """Said that it leaves, or is gone."""

    # --- the model's events -------------------------------------------------------------------------------

    def act(self, event: MemberEvent) -> None:
        """Do what the event says, now."""
        if type(event) is Send:
            self._send(event)
            return
        match event:
            case Join() | Daylight() | Resume():
                self.appear()
            case Tunnel() | Kill():
                self._disappear()
            case Share():
                self._unsaid = event.precision
                self._say_choice()
            case Leave():
                self._leave_by_ms = self._clock() + BEFORE_LEAVING_MS
                self.go_on_leaving()

    def appear(self) -> None:
        """Dial, with the sharable token or, later, as oneself."""
        if self.is_out and not self.is_gone:
            self.is_out = False
            self.phone.start()

    def _disappear(self) -> None:
        if not self.is_gone:
            self._disconnected()
            self.is_out = True
            self.phone.cut()

    def _send(self, event: Send) -> None:
        if self.is_gone or self._leave_by_ms is not None:
            return
        if self.m is None:
            self._early.append(event)
            return
        fix, now_ms = event.fix, self._clock()
        at = self.begin_ms + fix.at_ms + self._off_ms
        live = event.late_ms <= LIVE_MS and self.phone.ready
        seq = self.phone.offer(
            at,
            fix.lat,
            fix.lon,
            acc=_known(fix.acc),
            spd=_known(fix.spd),
            hdg=_known(fix.hdg),
        )
        if live:
            self._on_way[at] = now_ms
        self._audit.offered(self.m, seq, at, fix.lat, fix.lon, now_ms, live=live)

    def _say_choice(self) -> None:
        if self._unsaid is not None and self.m is not None and self.phone.say(wire.Share(self._unsaid)):
            self._audit.share_asked(self.m, self._unsaid, self._clock())
            self._unsaid = None

    async def set_precision(self, precision: Precision) -> None:
        """The host's wish, by WebSocket; returns with the server's `precision`. Raises `CallFailed`."""
        if not self.phone.say(wire.SetPrecision(precision)):
            raise CallFailed(None)
        self._echo = (precision, asyncio.get_running_loop().create_future())
        try:
            async with asyncio.timeout(STEER_S):
                await self._echo[1]
        except TimeoutError:
            raise CallFailed(None) from None
        finally:
            self._echo = None

    def go_on_leaving(self) -> None:
        """Who wants to leave does so when its last fixes are settled, or have had their time."""
        if self._leave_by_ms is None or self.left:
            return
        if self.m is None:  # never came in: there is nothing to leave
            self._disappear()
            self.left = True
        elif self.phone.session.account.held == 0 or self._clock() >= self._leave_by_ms:
            self.left = self.phone.say(wire.Leave())

    # --- how it is ----------------------------------------------------------------------------------------

    @property
    def is_gone(self) -> bool:
        """Not to come again: left, or told so."""
        return self.left or self.phone.gave_up is not None

    @property
    def is_wanted(self) -> bool:
        """Should be in the party now."""
        return not (self.is_out or self.left or self.party_ends) and (self.phone.gave_up is None)

    @property
    def holds(self) -> bool:
        """Whether waiting may still settle something."""
        return self.phone.gave_up is None and self.phone.session.account.held > 0

    @property
    def was_refused(self) -> bool:
        """Told not to come again, and not because it left or the party is over."""
        return self.phone.gave_up is not None and not (self.left or self.party_ends)

    # --- what the phone tells -----------------------------------------------------------------------------

    def seen(self, event: Event) -> None:
        """What the server said."""
        now_ms = self._clock()
        tally = self._counter.tally
        tally.frames += 1
        if isinstance(event, PositionsSeen):
            self._positions(event.positions, now_ms)
        elif isinstance(event, Acked):
            self._acked(event, now_ms)
        elif isinstance(event, Welcomed):
            self._welcomed(event.welcome, now_ms)
        elif self.m is None:
            return
        elif isinstance(event, RejectedFix):
            self._audit.rejected(self.m, event.seq, event.code, now_ms)
        elif isinstance(event, PrecisionSeen):
            if self._echo is not None and self._echo[0] is event.precision and not self._echo[1].done():
                self._echo[1].set_result(None)
            self._audit.precision_seen(self.m, event.precision, event.revision, now_ms)
        if self._leave_by_ms is not None:
            self.go_on_leaving()

    def closed(self, code: int) -> None:
        """A connection ended, or never opened, without our doing."""
        self._disconnected()
        if self.left and self.m is not None:
            self._audit.left(self.m, self._clock())
        elif not (self.party_ends and code == CloseCode.ENDED):
            self._counter.close(code)

    # --- the parts of it ----------------------------------------------------------------------------------

    def _welcomed(self, welcome: wire.Welcome, now_ms: int) -> None:
        self.m = welcome.you
        self._counter.took("join_ms", (asyncio.get_running_loop().time() - self.phone.dialled_at) * 1000)
        self._in_party = True
        self._audit.welcomed(welcome.you, welcome, now_ms, Precision.EXACT)
        self._say_choice()
        early, self._early = self._early, []
        for send in early:
            self._send(send)

    def _positions(self, frame: wire.Positions, now_ms: int) -> None:
        m, tally = self.m, self._counter.tally
        if m is None:
            return
        tally.deliveries += sum(row[0] != m for row in frame.p)
        delays = self._audit.positions(m, frame, now_ms)
        if not self.is_slow:
            for delay_ms in delays:
                self._counter.took("delay_ms", delay_ms)

    def _acked(self, event: Acked, now_ms: int) -> None:
        if self.m is None:
            return
        self._audit.acked(self.m, event.times, now_ms)
        for at in event.times:
            offered_ms = self._on_way.pop(at, None)
            if offered_ms is not None and not self.is_slow:
                self._counter.took("ack_ms", now_ms - offered_ms)

    def _disconnected(self) -> None:
        self._on_way.clear()
        if self._echo is not None and not self._echo[1].done():
            self._echo[1].set_exception(CallFailed(None))
        if self.m is not None and self._in_party:
            self._in_party = False
            self._audit.disconnected(self.m, self._clock())


def _known(value: float) -> float | None:
    return value if value == value else None  # noqa: PLR0124 - not a number: a recording did not tell
