"""An honest phone's side of one session, sans I/O: what it sends, keeps, sends again and forgets.

It never opens a socket, reads a clock or draws a number: time and jitter are passed in. It never
forgets a fix that is neither acked nor rejected, but for the oldest when it holds `max_held`, and
then it counts the loss. So after every call `offered = acked + rejected + held + lost` (`Account`).

The protocol is a table, `client_table.TABLE`: what is not in it is a mistake. `LocalMistake` is ours
(the caller did what this state does not allow), `PeerMistake` is theirs (the server broke the
protocol). Neither changes the session. After a `PeerMistake` close the connection with 1002 and
report that as `closed`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from protocol import messages as wire
from protocol.client_events import (
    Account,
    Acked,
    EndedSeen,
    Event,
    Failed,
    GiveUp,
    MemberSeen,
    PolicySeen,
    PositionsSeen,
    PrecisionSeen,
    Reconnect,
    RejectedFix,
    Welcomed,
)
from protocol.client_table import TABLE, Input, LocalMistake, PeerMistake, State
from protocol.close_codes import CloseCode, may_come_again
from protocol.codec import BadFrame, Codec, decode_server
from protocol.limits import MAX_FIXES, MAX_FRAME_BYTES
from protocol.precision import Precision

MAX_HELD = 100_000
"""Fixes kept until they are settled. When full the oldest is lost, so that the newest is not."""

BACKOFF_LOW_S = 0.25
BACKOFF_HIGH_S = 30.0
AWAY_HIGH_S = 0.5
"""The first wait after a goodbye (4000) is below this: the server spreads its goodbyes, others are there."""
STEADY_S = 10.0
"""A connection that lived this long, or settled a fix, starts the backoff from its low end again."""


class ClientSession:
    """One member's session over any number of connections, one at a time."""

    def __init__(
        self,
        codec: Codec,
        *,
        name: str = "",
        token: str = "",
        precision: Precision = Precision.EXACT,
        member_token: str = "",
        user: str = "",
        max_held: int = MAX_HELD,
    ) -> None:
        if max_held < 1:
            raise LocalMistake("a session holds at least one fix")
        self._codec = codec
        self._join = wire.Join(name=name, token=token, precision=precision, user=user)
        """`user`: a JWT, or a member token of another party that the phone holds: the same person again."""
        self._max_held = max_held
        self.state = State.OFFLINE
        self.member_token = member_token
        """Known after the first `welcome`; from then on the session resumes instead of joining."""
        self.account = Account()
        self._held: dict[int, wire.Fix] = {}
        """Not settled, by `seq`, which only ever rises: so in order, and found without a search."""
        self._low = 1
        """The oldest held `seq`, or one more than `_last` when nothing is held."""
        self._last = 0
        """The newest `seq` ever given out."""
        self._due = 1
        """The next `seq` to send on this connection."""
        self._backlog = 0
        """Up to this `seq` fixes go in full batches: they waited for this connection or for the hold."""
        self._ever_sent = 0
        self._sent_here = 0
        """The highest `seq` sent on this connection: nothing above it can be settled."""
        self._connected_at = math.inf
        self._steady = False
        self._was_in = False
        """Whether this connection came as far as a `welcome`."""
        self._tries = 0

    # --- what the caller does --------------------------------------------------------------------

    def connect(self, now: float) -> bytes:
        """The first message of a connection that is open since `now` (seconds, any origin)."""
        self._take(Input.CONNECT, LocalMistake)
        self._connected_at, self._sent_here = now, 0
        self._steady = self._was_in = False
        return self._codec.encode(wire.Resume(self.member_token) if self.member_token else self._join)

    def offer(
        self,
        at: int,
        lat: float,
        lon: float,
        *,
        acc: float | None = None,
        spd: float | None = None,
        hdg: float | None = None,
        alt: float | None = None,
        bat: float | None = None,
    ) -> int:
        """Keep a fix until it is settled; `next_frame` sends it. Returns its `seq`.

        Raises `LocalMistake` for what the wire cannot carry, and once the session is over.
        """
        if not all(map(math.isfinite, (v for v in (lat, lon, acc, spd, hdg, alt, bat) if v is not None))):
            raise LocalMistake("a fix holds finite numbers only")
        if not -(2**53) <= at < 2**53:
            raise LocalMistake("a fix's time is beyond what the wire carries")
        self._take(Input.OFFER, LocalMistake)
        if len(self._held) >= self._max_held:
            del self._held[self._low]
            self.account.lost += 1
        self._last += 1
        self._held[self._last] = wire.Fix(self._last, at, lat, lon, acc, spd, hdg, alt, bat)
        self.account.offered += 1
        self._recount()
        return self._last

    def next_frame(self, most: int = 1) -> bytes | None:
        """The next frame that is due, oldest fix first; `None` when all is sent or nothing may be.

        `most` bounds the new fixes in a frame (1 to 500); what waited goes 500 at a time. A frame is
        never longer than the server reads.
        """
        if self.state not in (State.LIVE, State.HOLDING):
            return None
        most = MAX_FIXES if self._due <= self._backlog else min(max(most, 1), MAX_FIXES)
        items: list[wire.Fix] = []
        while self._due <= self._last and len(items) < most:
            item = self._held.get(self._due)
            if item is not None:
                items.append(item)
            self._due += 1
        if not items:
            return None
        frame = self._encode(items)
        while len(frame) > MAX_FRAME_BYTES:
            items = items[: len(items) // 2]
            frame = self._encode(items)
        self._due = items[-1].seq + 1
        self.account.sent_again += sum(item.seq <= self._ever_sent for item in items)
        self._ever_sent = max(self._ever_sent, items[-1].seq)
        self._sent_here = max(self._sent_here, items[-1].seq)
        return frame

    def receive(self, frame: bytes) -> list[Event]:
        """What the server said. Raises `PeerMistake`, which leaves the session as it was."""
        try:
            message = decode_server(self._codec, frame)
        except BadFrame:
            raise PeerMistake("the server sent what is not a message of this protocol") from None
        what, effect = _EFFECTS[type(message)]
        if isinstance(message, wire.Policy):
            what = Input.HOLD if message.hold else Input.RELEASE
        after = self._after(what, PeerMistake)
        events: list[Event] = effect(self, message)
        self.state = after
        return events

    def closed(self, code: int, now: float, jitter: float) -> Reconnect | GiveUp:
        """The connection closed with `code` (1006 without one, and when it never opened).

        `jitter` is drawn by the caller, uniformly from 0 to 1. The backoff's bound doubles with each
        try from four times `BACKOFF_LOW_S` to `BACKOFF_HIGH_S`, and the wait is drawn below it, so that
        a crowd that was cut together does not come back together. A server that says goodbye (4000) to
        a member spreads that itself: then the first wait is drawn below `AWAY_HIGH_S`.
        """
        if not may_come_again(code):
            self._take(Input.REFUSED, LocalMistake)
            return GiveUp(code)
        self._take(Input.CUT, LocalMistake)
        told = code == CloseCode.GOING_AWAY and self._was_in
        if self._steady or told or now - self._connected_at >= STEADY_S:
            self._tries = 0
        self._connected_at, self._steady, self._was_in = math.inf, False, False
        low_s, bound_s = BACKOFF_LOW_S, 4 * BACKOFF_LOW_S * 2.0 ** min(self._tries, 16)
        if told:
            low_s, bound_s = 0.0, AWAY_HIGH_S
        bound_s = min(BACKOFF_HIGH_S, bound_s)
        self._tries += 1
        return Reconnect(low_s + min(max(jitter, 0.0), 1.0) * (bound_s - low_s), bound_s)

    def held_times(self) -> list[int]:
        """The times of the fixes that are not settled, epoch milliseconds."""
        return [item.at for item in self._held.values()]

    # --- what the server's messages do -----------------------------------------------------------

    def _welcome(self, welcome: wire.Welcome) -> list[Event]:
        self.member_token = welcome.member_token or self.member_token
        self._was_in = True
        self._send_all_again()
        return [Welcomed(welcome)]

    def _positions(self, positions: wire.Positions) -> list[Event]:
        return [PositionsSeen(positions)]

    def _member(self, member: wire.Member) -> list[Event]:
        return [MemberSeen(member)]

    def _precision(self, change: wire.PrecisionChanged) -> list[Event]:
        return [PrecisionSeen(change.precision, change.revision)]

    def _ack(self, ack: wire.Ack) -> list[Event]:
        self._check_sent(ack.seq)
        settled = [self._held.pop(seq) for seq in range(self._low, ack.seq + 1) if seq in self._held]
        self._steady = True
        self._recount()
        self.account.acked += len(settled)
        return [Acked(tuple(item.at for item in settled))] if settled else []

    def _rejected(self, reject: wire.Rejected) -> list[Event]:
        self._check_sent(reject.seq)
        if reject.seq not in self._held:  # said twice, because it was sent twice
            return []
        del self._held[reject.seq]
        self._steady = True
        self._recount()
        self.account.rejected[reject.code] = self.account.rejected.get(reject.code, 0) + 1
        return [RejectedFix(reject.seq, reject.code)]

    def _policy(self, policy: wire.Policy) -> list[Event]:
        if self.state is State.HOLDING and not policy.hold:
            self._send_all_again()
        return [PolicySeen(policy.interval_ms, policy.hold)]

    def _ended(self, ended: wire.Ended) -> list[Event]:
        return [EndedSeen(ended.reason)]

    def _error(self, error: wire.Error) -> list[Event]:
        return [Failed(error.code)]

    # --- the rest --------------------------------------------------------------------------------

    def _after(self, what: Input, mistake: type[Exception]) -> State:
        after = TABLE.get((self.state, what))
        if after is None:
            raise mistake(f"not while {self.state.value}: {what.value}")
        return after

    def _take(self, what: Input, mistake: type[Exception]) -> None:
        self.state = self._after(what, mistake)

    def _send_all_again(self) -> None:
        self._due, self._backlog = self._low, self._last

    def _check_sent(self, seq: int) -> None:
        if seq > self._sent_here:
            raise PeerMistake("the server settled a fix that was not sent on this connection")

    def _recount(self) -> None:
        while self._low <= self._last and self._low not in self._held:
            self._low += 1
        self.account.held = len(self._held)

    def _encode(self, items: list[wire.Fix]) -> bytes:
        if len(items) > 1:
            return self._codec.encode(wire.Fixes(items))
        one = items[0]
        return self._codec.encode(
            wire.Fix(one.seq, one.at, one.lat, one.lon, one.acc, one.spd, one.hdg, one.alt, one.bat)
        )


_EFFECTS: dict[type, tuple[Input, Callable[[ClientSession, Any], list[Event]]]] = {
    wire.Welcome: (Input.WELCOME, ClientSession._welcome),
    wire.Positions: (Input.NEWS, ClientSession._positions),
    wire.Member: (Input.NEWS, ClientSession._member),
    wire.PrecisionChanged: (Input.NEWS, ClientSession._precision),
    wire.Ack: (Input.SETTLED, ClientSession._ack),
    wire.Rejected: (Input.SETTLED, ClientSession._rejected),
    wire.Policy: (Input.RELEASE, ClientSession._policy),
    wire.Ended: (Input.LAST, ClientSession._ended),
    wire.Error: (Input.LAST, ClientSession._error),
}
