"""A party on a simulated network and clock, seeded: what an honest server and honest phones may do.

The hub, the mask, the windows and the client's session are the real ones. The network, the writer's moment,
the commands' moments and the kills are drawn. What the phones offer, ask and see becomes the log that a
`PartyAudit` is fed with, so that a test can spoil it first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

from load_tests.audit.party import PartyAudit, StoredRow
from load_tests.run.notes import Audited
from protocol import messages as wire
from protocol.client import ClientSession
from protocol.client_events import Account, Acked, PositionsSeen, PrecisionSeen, RejectedFix, Welcomed
from protocol.client_table import State
from protocol.codec import JSON
from protocol.options import Options
from protocol.precision import Precision, tightens
from server.connection import Connection
from server.hub import Hub
from server.session import Member
from server.windows import Window
from tests.server.parties import NOW, Party, RecordingSocket, make_member

STEP_MS = 50
CUT = 1006
IN_PARTY = (State.LIVE, State.HOLDING)
Call = tuple[str, tuple[Any, ...], dict[str, Any]]
Job = Iterator[int]


@dataclass
class Log:
    """What the audit is told."""

    calls: list[Call] = field(default_factory=list)
    accounts: dict[int, Account] = field(default_factory=dict)
    rows: list[StoredRow] = field(default_factory=list)
    live_only: bool = False

    def judged(self) -> Audited:
        audit = PartyAudit(7, precision=Precision.EXACT, live_only=self.live_only, tick_ms=250)
        for name, arguments, named in self.calls:
            getattr(audit, name)(*arguments, **named)
        return audit.finish(self.accounts, self.rows)


class _Line:
    """One connection's two ways, each in order, each message with a delay of its own."""

    def __init__(self, connection: Connection, socket: RecordingSocket) -> None:
        self.connection, self.socket = connection, socket
        self.up: deque[tuple[int, bytes]] = deque()
        self.down: deque[tuple[int, Any]] = deque()
        self.stuck_until = 0
        self.lost_at: int | None = None
        """When the phone notices that the connection is over."""


class _Phone:
    def __init__(self, number: int, own: Precision, token: str) -> None:
        self.number, self.own = number, own
        self.session = ClientSession(JSON, name=f"p{number}", token="s", precision=own, member_token=token)
        self.line: _Line | None = None
        self.again_at = 0
        self.out_until = 0
        self.measured: list[int] = []
        """Times of fixes that wait for the end of a tunnel."""
        self.next_at = 0
        self.lat, self.lon = 37.5 + number / 30, 127.0 + number / 30
        self.places: dict[int, tuple[float, float]] = {}


class Simulation:
    """`run()` gives the log of one party."""

    def __init__(self, seed: int, *, seconds: int = 110, members: int = 3, live_only: bool = False) -> None:
        self.random = Random(seed)
        self.seconds = seconds
        self.now = NOW
        """The load's clock."""
        self.skew = self.random.randint(-3_000, 3_000)
        self.options = Options(tick_ms=250, live_only=live_only)
        self.log = Log(live_only=live_only)
        self.stored: dict[tuple[int, int], StoredRow] = {}
        self.db_session, self.db_own = Precision.EXACT, dict[int, Precision]()
        self.phones = [
            _Phone(1 + n, Precision.EXACT if n == 0 else self._choice(), f"t{1 + n}") for n in range(members)
        ]
        self.batches: list[tuple[int, Any]] = []
        self.next_flush = 0
        self.share_chance = 0.005
        self.next_change = NOW + self.random.randint(5_000, 20_000)
        self._begin()

    def _choice(self) -> Precision:
        return self.random.choice([Precision.EXACT, Precision.EXACT, Precision.EXACT, Precision.ROUGH])

    # --- the server ----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """A gateway's life: it knows what is in the database."""
        self.party = Party(precision=self.db_session, options=self.options)
        self.party.session.started_at_ms = NOW - 60_000
        self.jobs: deque[Job] = deque()
        self.job_at = 0
        self.batches.clear()
        for m, own in self.db_own.items():
            self._member(m, own)

    def _member(self, m: int, own: Precision) -> Member:
        role = wire.Role.HOST if m == 1 else wire.Role.MEMBER
        member = make_member(self.party.session, m, role=role, own=own)
        member.masks = self.party.hub.masks_of(member.user_id)
        return member

    @property
    def _hub(self) -> Hub:
        return self.party.hub

    def _serve(self) -> None:
        self.party.clock.now_ms = self.now + self.skew
        for connection, _, message in self.party.commands:
            self.jobs.append(self._job(connection, message))
        self.party.commands.clear()
        while self.jobs and self.job_at <= self.now:
            wait = next(self.jobs[0], None)
            if wait is None:
                self.jobs.popleft()
            else:
                self.job_at = self.now + wait
        self._hub.run(self.party.clock())
        if self.now >= self.next_flush:
            self.next_flush = self.now + 200
            now = self.party.clock()
            self._hub.batches.collect(self._hub.windows.take_closed(now), now)
            self._hub.batches.refuse_finer()
            for count, batch in enumerate(self._hub.batches.unsent()):
                self._hub.batches.sent(batch, f"{now}-{count}", now)
                self.batches.append((self.now + self.random.randint(0, 900), batch))
        for due, batch in list(self.batches):
            if due <= self.now:
                self.batches.remove((due, batch))
                self._commit(batch)
        self._hub.say_acks()

    def _commit(self, batch: Any, *, told: bool = True) -> None:
        refused = []
        for window in batch.windows:
            if not window.done and not self._store(window):
                refused.append((*window.key, wire.Reject.PRECISION.value))
        if told:
            for window in self._hub.batches.committed(batch.shard, batch.entry_id, refused):
                if window.member.connection is not None:
                    self._hub.want_ack(window.member.connection)

    def _store(self, window: Window) -> bool:
        m, shown = window.member.number, window.position
        if max(self.db_session.coarseness, self.db_own[m].coarseness) > shown.precision.coarseness:
            return False
        row = StoredRow(
            m, window.start, shown.at - window.start, shown.lat, shown.lon, shown.acc, shown.precision
        )
        self.stored.setdefault((m, window.start), row)
        return True

    def _job(self, connection: Connection, message: Any) -> Job:
        if isinstance(message, wire.Share):
            return self._share(connection, message.precision)
        return self._enter(connection, int(message.token.removeprefix("t")))

    def _pause(self) -> int:
        return self.random.choice([0, 0, 50, 300])

    def _enter(self, connection: Connection, m: int) -> Job:
        yield self._pause()
        if not connection.is_open:
            return
        session = self.party.session
        if m not in self.db_own:
            self.db_own[m] = next(phone.own for phone in self.phones if phone.number == m)
        member = session.members.get(m) or self._member(m, self.db_own[m])
        now = self.party.clock()
        self._hub.attach(connection, member, now)
        people = [other.message() for other in session.members.values()]
        fixed = (member.allowed, session.precision, 1, 250, 5_000, now)
        connection.say(
            wire.Welcome(session.id, m, member.role, f"t{m}", *fixed, people, session.rows_since(0))
        )
        connection.resume_reading()

    def _share(self, connection: Connection, precision: Precision) -> Job:
        member = connection.member
        assert member is not None
        if not tightens(precision, member.own):
            member.own = precision
            self._hub.restrict(self.party.session)
        yield self._pause()
        self.db_own[member.number] = member.own = precision
        self._hub.restrict(self.party.session)
        yield self._pause()
        self._hub.cut_unsent(self.party.session)
        connection.resume_reading()

    def _change(self, precision: Precision, done: Callable[[], None]) -> Job:
        session = self.party.session
        loosening = tightens(precision, session.precision)
        if not loosening:
            session.precision = precision
            self._hub.restrict(session)
        yield self._pause()
        if loosening:
            for m, own in self.db_own.items():
                pinned = own if m == 1 else max(own, self.db_session, key=lambda one: one.coarseness)
                self.db_own[m] = pinned
                if m in session.members:
                    session.members[m].own = pinned
        self.db_session = session.precision = precision
        self._hub.restrict(session)
        yield self._pause()
        if not loosening:
            self._hub.cut_unsent(session)
        self._hub.broadcast(session, wire.PrecisionChanged(precision, 1))
        done()

    def _kill(self) -> None:
        """The gateway dies; some batches are stored all the same, and nobody is told."""
        for _, batch in self.batches:
            if self.random.random() < 0.5:
                self._commit(batch, told=False)
        for phone in self.phones:
            self._cut(phone)
        self._begin()

    # --- the network ---------------------------------------------------------------------------------

    def _later(self, line: deque[Any]) -> int:
        at = self.now + self.random.choice([0, 0, 50, 50, 150, 400])
        return max(at, line[-1][0]) if line else at

    def _carry(self, phone: _Phone, line: _Line) -> None:
        socket = line.socket
        if line.stuck_until and self.now >= line.stuck_until:
            line.stuck_until = 0
            socket.moves()
        while line.up and line.up[0][0] <= self.now and socket.reading:
            line.connection.received(line.up.popleft()[1])
        for message in socket.said():
            line.down.append((self._later(line.down), message))
        if (socket.aborted or socket.closed_with is not None) and line.lost_at is None:
            line.lost_at = self._later(line.down)
        while phone.line is line and line.down and line.down[0][0] <= self.now:
            self._hear(phone, line.down.popleft()[1])
        if phone.line is line and line.lost_at is not None and line.lost_at <= self.now:
            self._cut(phone)

    def _cut(self, phone: _Phone) -> None:
        line, phone.line = phone.line, None
        if line is None:
            return
        if self._known(phone):
            self._tell("disconnected", phone.number, self.now)
        line.connection.lost()
        wait = phone.session.closed(CUT, self.now / 1000, self.random.random())
        phone.again_at = self.now + int(getattr(wait, "after_s", 0) * 1000)

    def _known(self, phone: _Phone) -> bool:
        return any(call[0] == "welcomed" and call[1][0] == phone.number for call in self.log.calls)

    # --- the phones ----------------------------------------------------------------------------------

    def _tell(self, name: str, *arguments: Any, **named: Any) -> None:
        self.log.calls.append((name, arguments, named))

    def _hear(self, phone: _Phone, message: Any) -> None:
        for event in phone.session.receive(JSON.encode(message)):
            match event:
                case Welcomed(welcome):
                    self._tell("welcomed", phone.number, welcome, self.now, phone.own)
                case PositionsSeen(frame):
                    self._tell("positions", phone.number, frame, self.now)
                case Acked(times):
                    self._tell("acked", phone.number, times, self.now)
                case RejectedFix(seq, code):
                    self._tell("rejected", phone.number, seq, code, self.now)
                case PrecisionSeen(precision, revision):
                    self._tell("precision_seen", phone.number, precision, revision, self.now)

    def _live(self, phone: _Phone) -> None:
        dice = self.random
        if phone.line is None and self.now >= max(phone.again_at, phone.out_until):
            line = phone.line = _Line(*self.party.connect())
            line.up.append((self._later(line.up), phone.session.connect(self.now / 1000)))
        if self._known(phone) and self.now >= phone.next_at:
            phone.next_at = self.now + dice.randint(400, 1_500)
            phone.measured.append(self.now - dice.randint(0, 99))
        if self.now >= phone.out_until:
            self._offer(phone)
            if dice.random() < 0.002:  # a tunnel: the network goes, measuring goes on
                self._cut(phone)
                phone.out_until = self.now + dice.randint(1_000, 15_000)
        line = phone.line
        if line is None:
            return
        if phone.session.state in IN_PARTY and dice.random() < self.share_chance:
            choice = dice.choice([*Precision, *[Precision.EXACT] * 5])
            self._tell("share_asked", phone.number, choice, self.now)
            line.up.append((self._later(line.up), JSON.encode(wire.Share(choice))))
        while (frame := phone.session.next_frame(1)) is not None:
            line.up.append((self._later(line.up), frame))
        if not line.stuck_until and dice.random() < 0.003:
            line.stuck_until = self.now + dice.randint(100, 3_000)
            line.socket.stuck()

    def _offer(self, phone: _Phone) -> None:
        late = len(phone.measured) > 1
        if late and self.random.random() < 0.5:  # the fresh one first
            phone.measured.insert(0, phone.measured.pop())
        for at in phone.measured:
            phone.lat += self.random.uniform(-1e-3, 3e-3)
            phone.lon += self.random.uniform(-1e-3, 3e-3)
            live = not late and phone.session.state in IN_PARTY
            seq = phone.session.offer(at, phone.lat, phone.lon, acc=5.0, spd=1.4, hdg=90.0)
            place = (phone.lat, phone.lon)
            self._tell("offered", phone.number, seq, at, *place, self.now, live=live)
        phone.measured.clear()

    # --- all of it -----------------------------------------------------------------------------------

    def _step(self) -> None:
        dice = self.random
        if self.now >= self.next_change:
            self.next_change = 2**62
            others = [one for one in Precision if one is not self.db_session]
            to = others[0] if dice.random() < 0.7 else dice.choice(others)
            self._tell("session_asked", to, self.now)

            def done() -> None:
                self._tell("session_returned", to, self.now)
                self.next_change = self.now + dice.randint(500, 25_000)

            self.jobs.append(self._change(to, done))
        if dice.random() < 0.0003 and not self.jobs:
            self._kill()
        for phone in self.phones:
            self._live(phone)
        self._serve()
        for phone in self.phones:
            if phone.line is not None:
                self._carry(phone, phone.line)
        self.now += STEP_MS

    def run(self) -> Log:
        while self.now < NOW + self.seconds * 1_000:
            self._step()
        self.log.accounts = {phone.number: phone.session.account for phone in self.phones}
        self.log.rows = list(self.stored.values())
        return self.log
