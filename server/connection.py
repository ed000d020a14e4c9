"""One member's connection: from messages to the party's state, and what is said back.

The hot path of a fix is `received` → `_take`: one decode, one masking call, no task, no log line, no
lock. It does no I/O of its own: the socket and the hub are given.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.codec import CODECS, DECODE_ERRORS, JSON, Codec
from protocol.limits import FIXES_BURST, FIXES_PER_S, JOIN_TIMEOUT_S
from protocol.messages import Ack, ClientMessage, Error, Fix, Fixes, Reject, Rejected, Role
from protocol.server import Phase, Refused, ServerSession, Step
from server.acks import AckLedger
from server.admission import check
from server.frames import data_frame
from server.holding import HoldGate
from server.masking import Late, mask
from server.outbox import Outbox, Overflow
from server.rate import TokenBucket
from server.session import Member, positions_frame

if TYPE_CHECKING:
    from server.hub import Hub
    from server.websocket import WebSocket


logger = logging.getLogger("partyline.connection")


class Connection:
    """The `Peer` of a `WebSocket`."""

    __slots__ = (
        "_bucket",
        "_gate",
        "_hub",
        "_last_seq",
        "_ledger",
        "_outbox",
        "_protocol",
        "_sends",
        "_throttled_until_ms",
        "bearer",
        "codec",
        "deadline_ms",
        "member",
        "socket",
    )

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._protocol = ServerSession()
        self._ledger = AckLedger()
        self.socket: WebSocket | None = None
        self._outbox: Outbox | None = None
        self._bucket: TokenBucket | None = None
        self._last_seq = -1
        """Highest `seq` taken on this connection."""
        self._gate = HoldGate()
        self._sends = False
        """Whether its role may send fixes: what the hot path asks instead of the table."""
        self.codec: Codec = JSON
        self.bearer = ""
        """The token of the handshake's `Authorization`, until the connection has entered."""
        self.member: Member | None = None
        self.deadline_ms = 0
        """When it must have entered."""
        self._throttled_until_ms = 0

    # --- the socket's side ------------------------------------------------------------------------

    def opened(self, socket: WebSocket, subprotocol: str | None, bearer: str) -> bool:
        self.socket = socket
        self.codec = CODECS.get(subprotocol or JSON.subprotocol, JSON)
        self._outbox = Outbox(socket.write)
        self.bearer = bearer
        now_ms = self._hub.clock()
        self._bucket = TokenBucket(rate_s=FIXES_PER_S, burst=FIXES_BURST, now_ms=now_ms)
        self.deadline_ms = now_ms + int(JOIN_TIMEOUT_S * 1000)
        self._hub.opened(self)
        return self.codec.text

    def received(self, payload: bytes) -> None:
        try:
            message = self.codec.decode_client(payload)
        except DECODE_ERRORS:
            self.fail(CloseCode.BAD_FRAME)
            return
        if type(message) is Fix and self._sends:
            now_ms = self._hub.clock()
            refusal = self._take(message, now_ms)
            if refusal is not None:
                self._reject([(message.seq, refusal)])
            self._count(1, now_ms)
        else:
            self._step(message)

    def writable(self, yes: bool) -> None:
        outbox = self._outbox
        if outbox is None:
            return
        if not yes:
            outbox.paused = True
            return
        ack, behind = outbox.resume()
        if ack is not None:
            self.say(Ack(seq=ack))
        if behind is None or self.member is None:
            return
        session = self.member.session
        rows = session.rows_since(behind)
        if rows and self._hub.may_send() and not session.withheld:
            self.positions(positions_frame(self.codec, self._hub.clock(), rows), len(rows), behind)
        elif rows:  # with the first tick that may be sent
            self._hub.repeat(session, behind)

    def draining(self) -> None:
        self.close(CloseCode.GOING_AWAY)

    def lost(self) -> None:
        if self._protocol.phase is not Phase.CLOSED:
            self._protocol.closed()
            self._hub.closed(self)

    # --- from the client ----------------------------------------------------------------------------

    def _step(self, message: ClientMessage) -> None:
        try:
            step = self._protocol.step(message)
        except Refused as refused:
            self.fail(refused.code)
            return
        if step is Step.TAKE and isinstance(message, Fixes):
            self._take_all(message.items)
        else:
            self.hold_reading()
            self._hub.command(self, step, message)

    def _take_all(self, fixes: list[Fix]) -> None:
        now_ms = self._hub.clock()
        rejected: list[tuple[int, Reject]] = []
        for fix in fixes:
            refusal = self._take(fix, now_ms)
            if refusal is not None:
                rejected.append((fix.seq, refusal))
        if rejected:
            self._reject(rejected)
        self._count(len(fixes), now_ms)

    def _count(self, fixes: int, now_ms: int) -> None:
        """Stops reading for a while when they were too many."""
        hub = self._hub
        hub.stats.fixes_in += fixes
        wait_s = self._bucket.spend(fixes, now_ms)  # type: ignore[union-attr]
        if wait_s > 0 or self._ledger.full:
            self._throttled_until_ms = now_ms + int(wait_s * 1000) + 1
            hub.throttled(self)
            self.socket.pause_reading()  # type: ignore[union-attr]

    def _take(self, fix: Fix, now_ms: int) -> Reject | None:
        """One fix, which dies in here. Returns why it is refused, or None."""
        seq = fix.seq
        if seq <= self._last_seq:  # sent again while the first is on its way to its ack
            self._hub.stats.repeated += 1
            return None
        member: Member = self.member  # type: ignore[assignment]
        session = member.session
        refusal = check(fix, now_ms, session.started_at_ms)
        position = None
        if refusal is None:
            shown = mask(member.allowed, member.masks, session.options.rough_cell_m, fix)
            if shown is Late.LATE:
                refusal = Reject.LATE
            else:
                position = shown
        hub = self._hub
        if position is not None and session.show(member, position) and not session.waiting:
            hub.want_tick(session, now_ms)
        if refusal is None:
            member.heard_ms = now_ms
            hub.heard(member)
        held = (hub.holding or self._gate.closed) and not session.options.live_only
        if held and not self._gate.takes(seq, holding=hub.holding, refused=refusal is not None):
            return refusal
        self._last_seq = seq
        if position is None or session.options.live_only:
            self._ledger.note(None, seq)
            hub.want_ack(self)
        else:
            window = hub.windows.put(member, position, now_ms)
            self._ledger.note(window, seq)
            if window.done:
                hub.want_ack(self)
        return refusal

    # --- to the client --------------------------------------------------------------------------------

    def say(self, message: wire.ServerMessage) -> None:
        """A control message."""
        self.control(data_frame(self.codec.encode(message), text=self.codec.text))

    def control(self, frame: bytes) -> None:
        """A control frame that was encoded already. A queue that is full closes the connection."""
        if self._outbox is None:
            return
        try:
            self._outbox.control(frame)
        except Overflow:
            self.close(CloseCode.SLOW)

    def positions(self, frame: bytes, rows: int, tick: int) -> None:
        """A tick's positions; a connection that is not writable is skipped, the newest wins."""
        if self._outbox is not None and self._outbox.positions(frame, tick):
            self._hub.stats.positions_out += rows
        else:
            self._hub.stats.conflated += rows

    def settle(self) -> None:
        """Says which fixes are settled by now."""
        acked, rejected = self._ledger.settle()
        if rejected:
            self._reject(rejected)
        if acked is None:
            return
        if self._outbox is not None and self._outbox.paused:
            self._outbox.ack = acked
        else:
            self.say(Ack(seq=acked))

    def _reject(self, rejected: list[tuple[int, Reject]]) -> None:
        self._hub.stats.rejected.update(code for _, code in rejected)
        messages = (self.codec.encode(Rejected(seq=seq, code=code)) for seq, code in rejected)
        self.control(b"".join(data_frame(message, text=self.codec.text) for message in messages))

    # --- its life ---------------------------------------------------------------------------------------

    def entered(self, member: Member) -> None:
        """The first message was good."""
        self._protocol.entered(member.role)
        self.member = member
        self.became(member.role)
        self.bearer = ""

    def became(self, role: Role) -> None:
        """What it may send is by this role from now on."""
        self._protocol.role, self._sends = role, role is not Role.VIEWER

    @property
    def is_open(self) -> bool:
        """Whether it still counts: commands finish after their connection may be gone."""
        return self._protocol.phase is not Phase.CLOSED

    @property
    def waits_to_enter(self) -> bool:
        """Whether the join timeout applies."""
        return self._protocol.phase is Phase.OPENING

    @property
    def has_unsent(self) -> bool:
        """Whether bytes handed over before wait inside this process (G3)."""
        return self.socket is not None and self.socket.unsent_bytes > 0

    def hold_reading(self) -> None:
        """Nothing is read while a command is carried out: order without a queue."""
        if self.socket is not None:
            self.socket.pause_reading()

    def may_read_on(self, now_ms: int) -> bool:
        """Whether the rate allows more, and not too many fixes wait for their acks."""
        return self._throttled_until_ms <= now_ms and not self._ledger.full

    def resume_reading(self) -> None:
        """The command is done, or the rate allows more."""
        if self.socket is not None and self.is_open:
            self.socket.resume_reading()

    def fail(self, code: CloseCode) -> None:
        """The other side's error: said, counted, logged without its content, closed."""
        self._hub.refused(code)
        logger.info("connection refused", extra={"code": code.reason})
        self.say(Error(code=code.reason))
        self.close(code)

    def close(self, code: CloseCode) -> None:
        """Ends the connection. Idempotent."""
        if self.socket is not None:
            self.socket.close(code, code.reason)
        self.lost()

    def abort(self) -> None:
        """Ends it without another byte, unsent ones forgotten."""
        if self.socket is not None:
            self.socket.abort()
        self.lost()
