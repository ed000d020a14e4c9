"""The sessions on one gateway, and what happens by the clock: acks, presence, keepalive; ticks: `ticks`.

Pure: `now_ms` is passed in or read from the clock it was given, and nothing here waits. The shell calls
`run` a few times a tick; what needs PostgreSQL or Redis is handed to `command`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from protocol.close_codes import CloseCode
from protocol.messages import ClientMessage, MemberState, Policy, Reject, ServerMessage
from protocol.server import Step
from server.batches import BatchLedger
from server.connection import Connection
from server.frames import data_frame
from server.keepalive import Keepalive
from server.masking import MaskKey, UserMasks
from server.metrics import Stats
from server.peers import Alone, Relaying
from server.session import Member, Session
from server.ticks import Ticks
from server.windows import WindowBook, WindowState

SWEEP_MS = 1_000
SESSION_IDLE_MS = 60_000
"""A session without connections stays in memory this long."""
MASKS_BOUND = 100_000
"""Users whose rough masks are remembered; the one unused longest goes first."""
REPORT_INTERVAL_MS = 1_000

_STALE = MemberState.STALE  # looked up once: the hot path

Commander = Callable[[Connection, Step, ClientMessage], None]


class Hub:
    """Everything a gateway holds in memory."""

    def __init__(
        self,
        *,
        clock: Callable[[], int],
        may_send: Callable[[], bool],
        mask_key: MaskKey,
        backlog_rows: int,
        max_connections: int,
    ) -> None:
        self.clock = clock
        self.may_send = may_send
        """Whether positions may be sent: false without a lease (G3)."""
        self.stats = Stats()
        self.windows = WindowBook()
        self.batches = BatchLedger(self.windows)
        self.sessions: dict[int, Session] = {}
        self.connections: set[Connection] = set()
        self.holding = False
        """Whether fixes are kept out of batches, because too many wait for PostgreSQL."""
        self.streams_full = False
        """Whether a stream took no more when it was asked last."""
        self.command: Commander = _no_commander
        self.relay: Relaying = Alone()
        self.ticks = Ticks(self)
        self.want_tick = self.ticks.want
        self.repeat = self.ticks.repeat
        self._mask_key = mask_key
        self._masks: OrderedDict[int, UserMasks] = OrderedDict()
        self._backlog_rows = backlog_rows
        self._max_connections = max_connections
        self._acks: set[Connection] = set()
        self._entering: set[Connection] = set()
        self._throttled: set[Connection] = set()
        self._leaving: set[Connection] = set()
        """Closed, with bytes that the other side has not taken yet."""
        self._next_sweep_ms = 0
        self._keepalive = Keepalive()

    # --- connections ----------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        """A handshake is done; the first message must follow."""
        self.connections.add(connection)
        if len(self.connections) > self._max_connections:
            connection.fail(CloseCode.UNAVAILABLE)
            return
        self._entering.add(connection)

    def closed(self, connection: Connection) -> None:
        """A connection is over, for whatever reason."""
        for group in (self.connections, self._entering, self._throttled, self._acks):
            group.discard(connection)
        self._keepalive.forget(connection)
        if connection.has_unsent:
            self._leaving.add(connection)
        member = connection.member
        if member is not None and member.connection is connection:
            member.connection = None
            self.relay.moved(member)
            self.announce_moved(member.session, self.clock())

    def attach(self, connection: Connection, member: Member, now_ms: int) -> None:
        """The connection is now the member's; an older one of the same member is replaced."""
        self._entering.discard(connection)
        older, member.connection = member.connection, connection
        member.heard_ms = now_ms
        connection.entered(member)
        if older is not None:
            older.close(CloseCode.REPLACED)
        there = member.session.elsewhere.pop(member.number, None)
        # The newest connection counts, also when that gateway's clock is ahead of ours.
        member.since_ms = now_ms if there is None else max(now_ms, there.since_ms + 1)
        member.state = member.state_at(now_ms)
        self.relay.moved(member)

    def refused(self, code: CloseCode) -> None:
        """Counts a connection closed for an error."""
        self.stats.closed[code] += 1

    def throttled(self, connection: Connection) -> None:
        """Its rate is used up: read on when its time has come."""
        self._throttled.add(connection)

    # --- sessions and members ---------------------------------------------------------------------

    def add(self, session: Session) -> None:
        """The session is on this gateway from here on."""
        self.sessions[session.id] = session
        self.relay.loaded(session)

    def drop(self, session: Session) -> None:
        """It is not any more."""
        if self.sessions.pop(session.id, None) is not None:
            self.relay.dropped(session)

    def masks_of(self, user_id: int) -> UserMasks:
        """One mask a person, the same in every session (G5)."""
        masks = self._masks.get(user_id)
        if masks is None:
            masks = self._masks[user_id] = UserMasks(self._mask_key, user_id)
            if len(self._masks) > MASKS_BOUND:
                self._masks.popitem(last=False)
        self._masks.move_to_end(user_id)
        return masks

    def knows_masks_of(self, user_id: int) -> bool:
        """Whether the user's masks are in memory already."""
        return user_id in self._masks

    def forget_user(self, user_id: int) -> None:
        """Drops what is remembered of a user, rows on their way too (G7)."""
        self._masks.pop(user_id, None)
        self.windows.forget(user_id)
        self.batches.forget(user_id)

    def remove(self, session: Session, number: int, code: CloseCode) -> None:
        """A member left, was kicked or erased: gone from the party, connection closed."""
        member = session.remove(number)
        if member is None:
            return
        connection, member.connection = member.connection, None
        if connection is not None and connection.has_unsent:
            connection.abort()  # nothing at all to the revoked, not even what waits already
        elif connection is not None:
            connection.close(code)
        self.broadcast(session, member.message())

    def restrict(self, session: Session) -> None:
        """Nothing finer than allowed by now is taken from the session's state from here on (G3).

        Open windows of whoever became coarser are refused; batches on their way are refused by the
        writer; for bytes that were handed to a socket before there is `cut_unsent`.
        """
        for member in session.restrict():
            for window in list(member.windows.values()):
                if window.state is WindowState.OPEN:
                    self.windows.settle(window, Reject.PRECISION)
            member.settled = None
            if member.connection is not None:
                self.want_ack(member.connection)

    def cut_unsent(self, session: Session) -> None:
        """Before a tightening returns: what sockets have not sent by now is forgotten with them (G3)."""
        for member in session.connected():
            if member.connection is not None and member.connection.has_unsent:
                member.connection.abort()
        for connection in [leaving for leaving in self._leaving if leaving.has_unsent]:
            if connection.member is not None and connection.member.session is session:
                connection.abort()

    def end(self, session: Session) -> None:
        """The session is over for everybody."""
        session.ended = True
        self.drop(session)
        for member in session.connected():
            connection, member.connection = member.connection, None
            if connection is not None:
                connection.close(CloseCode.ENDED)

    # --- what the hot path asks for ---------------------------------------------------------------

    def want_ack(self, connection: Connection) -> None:
        """Something of this connection is settled."""
        self._acks.add(connection)

    def heard(self, member: Member) -> None:
        """A fix came: a stale member is live again."""
        if member.state is _STALE:
            self.announce_moved(member.session, member.heard_ms)

    # --- by the clock -----------------------------------------------------------------------------

    def run(self, now_ms: int) -> None:
        """Ticks that are due, and now and then the sweeps."""
        self.ticks.run(now_ms)
        if self._throttled:
            self._release(now_ms)
        if now_ms >= self._next_sweep_ms:
            self._next_sweep_ms = now_ms + SWEEP_MS
            self._sweep(now_ms)

    def say_acks(self) -> None:
        """Tells every connection with something settled what it may forget."""
        acks, self._acks = self._acks, set()
        for connection in acks:
            connection.settle()

    def hold(self, now_ms: int) -> None:
        """Tells everybody when fixes are held, or taken again: below half the bound, not to flutter."""
        bound = self._backlog_rows // 2 if self.holding else self._backlog_rows
        holding = self.windows.unsettled >= bound or self.streams_full
        if holding != self.holding:
            self.holding = holding
            self.policy()

    def policy(self) -> None:
        """Tells everybody the present policy."""
        for session in list(self.sessions.values()):
            self.broadcast(session, self.current_policy())

    def current_policy(self) -> Policy:
        """How often to report, and whether fixes are held."""
        return Policy(interval_ms=REPORT_INTERVAL_MS, hold=self.holding or not self.may_send())

    def broadcast(self, session: Session, message: ServerMessage, but: Connection | None = None) -> None:
        """A control message to everybody in the session, encoded once an encoding."""
        frames: dict[bool, bytes] = {}
        for member in session.connected():
            connection = member.connection
            if connection is None or connection is but:
                continue
            codec = connection.codec
            frame = frames.get(codec.text)
            if frame is None:
                frame = frames[codec.text] = data_frame(codec.encode(message), text=codec.text)
            connection.control(frame)

    def announce_moved(self, session: Session, now_ms: int) -> None:
        """Tells the party whose state changed."""
        for member in session.sweep(now_ms):
            self.broadcast(session, member.message())
            if member.connection is not None:
                self.relay.moved(member)

    def _release(self, now_ms: int) -> None:
        for connection in [c for c in self._throttled if c.may_read_on(now_ms)]:
            self._throttled.discard(connection)
            connection.resume_reading()

    def _sweep(self, now_ms: int) -> None:
        for connection in [c for c in self._entering if c.waits_to_enter and c.deadline_ms <= now_ms]:
            connection.fail(CloseCode.JOIN_TIMEOUT)
        self._leaving = {connection for connection in self._leaving if connection.has_unsent}
        for session in list(self.sessions.values()):
            self.announce_moved(session, now_ms)
            if session.connected():
                session.idle_since_ms = now_ms
            elif now_ms - session.idle_since_ms > SESSION_IDLE_MS and not session.has_windows:
                self.drop(session)
        self._keepalive.sweep(self.connections, now_ms)


def _no_commander(connection: Connection, step: Step, message: ClientMessage) -> None:
    raise RuntimeError("the hub was not given a commander")
