"""Parties to test with: a hub on a clock that stands still, and sockets that record what is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from protocol import messages as wire
from protocol.codec import JSON, Codec, decode_server
from protocol.options import Options
from protocol.precision import Precision
from protocol.server import Step
from server.connection import Connection
from server.frames import frame_size
from server.hub import Hub
from server.keepalive import PING
from server.masking import MaskKey, Position, UserMasks
from server.session import Member, Session

NOW = 1_700_000_000_000
KEY = MaskKey(bytes(range(32)))


class Clock:
    def __init__(self, now_ms: int = NOW) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


def position(at: int, lat: float = 50.0, precision: Precision = Precision.EXACT) -> Position:
    return Position(at=at, lat=lat, lon=8.0, acc=None, spd=None, hdg=None, precision=precision)


def make_session(
    number: int = 1,
    *,
    precision: Precision = Precision.EXACT,
    started_at_ms: int = NOW - 86_400_000,
    options: Options | None = None,
) -> Session:
    return Session(
        session_id=number,
        started_at_ms=started_at_ms,
        precision=precision,
        options=options or Options(),
        revision=1,
    )


def make_member(
    session: Session,
    number: int = 1,
    *,
    user_id: int | None = None,
    role: wire.Role = wire.Role.MEMBER,
    own: Precision = Precision.EXACT,
    privacy: Precision = Precision.EXACT,
) -> Member:
    user_id = 1000 + number if user_id is None else user_id
    member = Member(
        session,
        number=number,
        user_id=user_id,
        name=f"member {number}",
        role=role,
        own=own,
        privacy=privacy,
        masks=UserMasks(KEY, user_id),
    )
    session.add(member)
    return member


@dataclass
class RecordingSocket:
    """What a `Connection` knows of a `WebSocket`. Takes bytes until it is `stuck`."""

    connection: Connection
    written: list[bytes] = field(default_factory=list)
    closed_with: int | None = None
    aborted: bool = False
    reading: bool = True
    heard: bool = True
    pings: int = 0
    unsent_bytes: int = 0
    address: str | None = None
    odd: int = 0
    late: int = 0
    unfinished: bool = False

    def write(self, frame: bytes) -> None:
        if frame == PING:
            self.pings += 1
        elif self.closed_with is None and not self.aborted:
            self.written.append(frame)

    def close(self, code: int, reason: str = "") -> None:
        if self.closed_with is None:
            self.closed_with = int(code)

    def abort(self) -> None:
        self.aborted = True
        self.unsent_bytes = 0

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def stuck(self, unsent_bytes: int = 20_000) -> None:
        self.unsent_bytes = unsent_bytes
        self.connection.writable(False)

    def moves(self) -> None:
        self.unsent_bytes = 0
        self.connection.writable(True)

    def said(self) -> list[Any]:
        """The messages that were written, decoded; forgets them."""
        written, self.written = b"".join(self.written), []
        return messages_of(self.connection.codec, written)


def messages_of(codec: Codec, data: bytes) -> list[Any]:
    """The messages of a run of unmasked frames."""
    found, at = [], 0
    while at < len(data):
        header, length = frame_size(data, at)
        assert length >= 0
        found.append(decode_server(codec, data[at + header : at + header + length]))
        at += header + length
    return found


class Party:
    """A hub with one session, and members that come in without a database."""

    def __init__(
        self,
        *,
        precision: Precision = Precision.EXACT,
        options: Options | None = None,
        backlog_rows: int = 1_000_000,
        max_connections: int = 1000,
    ) -> None:
        self.clock = Clock()
        self.lease = True
        self.commands: list[tuple[Connection, Step, wire.ClientMessage]] = []
        self.hub = Hub(
            clock=self.clock,
            may_send=lambda: self.lease,
            mask_key=KEY,
            backlog_rows=backlog_rows,
            max_connections=max_connections,
        )
        self.hub.command = lambda *command: self.commands.append(command)
        self.session = make_session(precision=precision, options=options)
        self.hub.sessions[self.session.id] = self.session

    def connect(self, codec: Codec = JSON, bearer: str = "") -> tuple[Connection, RecordingSocket]:
        """A connection that has not said who it is."""
        connection = Connection(self.hub)
        socket = RecordingSocket(connection)
        connection.opened(socket, codec.subprotocol, bearer)  # type: ignore[arg-type]
        return connection, socket

    def enter(
        self, number: int = 1, codec: Codec = JSON, role: wire.Role = wire.Role.MEMBER
    ) -> tuple[Member, RecordingSocket]:
        """A member who is in the party, as the gateway's entrance does it."""
        connection, socket = self.connect(codec)
        connection.received(codec.encode(wire.Resume("t")))
        member = self.session.members.get(number) or make_member(self.session, number, role=role)
        self.hub.attach(connection, member, self.clock())
        connection.resume_reading()
        socket.said()
        return member, socket

    def fix(self, socket: RecordingSocket, seq: int, at: int | None = None, **more: Any) -> None:
        """The phone behind `socket` sends a fix."""
        message = wire.Fix(
            seq=seq, at=self.clock() if at is None else at, **({"lat": 50.0, "lon": 8.0} | more)
        )
        self.send(socket, message)

    def send(self, socket: RecordingSocket, message: Any) -> None:
        socket.connection.received(socket.connection.codec.encode(message))

    def later(self, ms: int) -> None:
        """The clock goes on, and the hub's clocked work is done."""
        self.clock.now_ms += ms
        self.hub.run(self.clock())

    def commit(self, refused: dict[int, wire.Reject] | None = None, *, closed_only: bool = False) -> None:
        """Everything waiting is stored, or refused by window start; acks are said."""
        hub, now = self.hub, self.clock()
        hub.batches.collect(hub.windows.take_closed(now, everything=not closed_only), now)
        for count, batch in enumerate(hub.batches.unsent()):
            entry = f"{now}-{count}"
            hub.batches.sent(batch, entry, now)
            rows = [(*w.key, refused[w.start].value) for w in batch.windows if refused and w.start in refused]
            for window in hub.batches.committed(batch.shard, entry, rows):
                if window.member.connection is not None:
                    hub.want_ack(window.member.connection)
        hub.say_acks()
