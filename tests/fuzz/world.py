"""A hub on which anything may be thrown: the gateway's protocol class and connections, fed bytes directly.

Beside the thrower two witnesses share their positions in the same party: each must go on getting what the
other sends, and its acks. Transports keep what is written, so that it can be judged too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from protocol import messages as wire
from protocol.close_codes import CloseCode
from protocol.codec import CODECS, Codec, decode_server
from protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK, WINDOW_MS
from protocol.messages import Join, Leave, Positions, Resume, Role, Share
from protocol.server import Step
from server.connection import Connection
from server.frames import frame_size
from server.session import Member, Session
from server.slots import Slots
from server.websocket import WebSocket
from tests.server.parties import Party, make_member, messages_of
from tests.server.test_websocket import request

SUBPROTOCOLS = (SUBPROTOCOL_MSGPACK, SUBPROTOCOL_JSON)
STRANGERS = range(100, 140)
"""Member numbers of who throws."""
_HEADS = {name: request(Sec_WebSocket_Protocol=name) for name in SUBPROTOCOLS}


class Wire:
    """What a `WebSocket` knows of a transport. It delivers what comes while reading is paused later, as a real one."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.reading = True
        self.closing = False
        self.waiting = bytearray()

    def write(self, data: bytes) -> None:
        assert type(data) is bytes
        self.written.append(data)

    def close(self) -> None:
        self.closing = True

    abort = close

    def is_closing(self) -> bool:
        return self.closing

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Nothing waits here."""


class Thrown:
    """One connection of who throws bytes."""

    def __init__(self, world: World, subprotocol: str) -> None:
        self.codec = CODECS[subprotocol]
        self.wire = Wire()
        self.connection = Connection(world.party.hub)
        self.socket = WebSocket(
            peer=self.connection, slots=world.slots, connections=world.connections, subprotocols=SUBPROTOCOLS
        )
        self.socket.connection_made(self.wire)  # type: ignore[arg-type]
        self._gone = False

    def shake(self) -> None:
        self.feed(_HEADS[self.codec.subprotocol])
        assert self.wire.written.pop().startswith(b"HTTP/1.1 101 ")

    def feed(self, data: bytes) -> None:
        """Bytes come. Nothing may be raised, whatever they are."""
        wire = self.wire
        if wire.closing:
            return
        if wire.waiting:
            data, wire.waiting = bytes(wire.waiting + data), bytearray()
        if wire.reading:
            self.socket.data_received(data)
        else:
            wire.waiting += data

    def end(self) -> None:
        """The other side goes; what was said to it is judged."""
        if not self._gone:
            self._gone = True
            self.socket.connection_lost(None)
            judge(self.codec, b"".join(self.wire.written))


def judge(codec: Codec, written: bytes) -> None:
    """Whole frames of a server, each a message of ours, a pong or a close."""
    at = 0
    while at < len(written):
        header, length = frame_size(written, at)
        stop = at + header + length
        first, second = written[at : at + 2]
        assert length >= 0 and stop <= len(written) and second < 0x80
        if first == (0x81 if codec.text else 0x82):
            decode_server(codec, written[at + header : stop])
        else:
            assert first in (0x88, 0x89, 0x8A) and length <= 125
        at = stop


class World:
    """The party, its witnesses and the strangers. To be used on a running loop."""

    def __init__(self) -> None:
        self.party = Party(backlog_rows=10**9)
        self.connections: set[Any] = set()
        self.slots = Slots(
            now_ns=lambda: self.party.clock.now_ms * 1_000_000,
            sleep=lambda seconds: None,
            after_reads=lambda rest: None,
        )
        self.commands: list[tuple[Connection, Step, wire.ClientMessage]] = []
        self.witnesses = [
            self.party.enter(number, codec)[1] for number, codec in enumerate(CODECS.values(), 1)
        ]
        self.party.hub.command = lambda *command: self.commands.append(command)
        self._numbers = 0
        self._seq = 0
        self.glances = 0
        self._raised: list[BaseException] = []
        asyncio.get_running_loop().set_exception_handler(
            lambda loop, context: self._raised.append(
                context.get("exception", RuntimeError(context["message"]))
            )
        )

    def open(self, subprotocol: str) -> Thrown:
        """A connection after its handshake."""
        thrown = Thrown(self, subprotocol)
        thrown.shake()
        return thrown

    def carry_out(self) -> None:
        """The rare messages, as the gateway's shell does them, without a database."""
        commands, self.commands = self.commands, []
        session, hub = self.party.session, self.party.hub
        for connection, _, message in commands:
            member = connection.member
            if isinstance(message, Join | Resume) and connection.is_open:
                self._numbers += 1
                number = STRANGERS[self._numbers % len(STRANGERS)]
                role = Role.VIEWER if number % 8 == 0 else Role.MEMBER
                known = session.members.get(number) or make_member(session, number, role=role)
                hub.restrict(session)
                hub.attach(connection, known, hub.clock())
                connection.say(welcome(session, known, hub.clock()))
            elif member is not None and isinstance(message, Share):
                member.own = message.precision
                hub.restrict(session)
            elif member is not None and isinstance(message, Leave):
                hub.remove(session, member.number, CloseCode.BAD_TOKEN)
            connection.resume_reading()

    def glance(self) -> None:
        """A second goes by. Each witness sends a fix, gets its ack, and the other's position."""
        party, self._seq = self.party, self._seq + 1
        for socket in self.witnesses:
            socket.said()
            socket.heard = True  # as any byte of theirs does
            party.fix(socket, self._seq)
        at = party.clock()
        party.later(1_000)
        party.commit()
        for socket in self.witnesses:
            member = socket.connection.member
            assert member is not None and socket.closed_with is None and not socket.aborted, (
                "a witness is out"
            )
            said = socket.said()
            rows = {row[0]: row[1] for message in said if isinstance(message, Positions) for row in message.p}
            assert all(rows[other] == at for other in (1, 2)), "a witness is without the other's position"
            assert wire.Ack(seq=self._seq) in said, "a witness is without its ack"
        self.glances += 1

    async def breathe(self) -> None:
        """What was put off to the loop is done, and timers that were cancelled are forgotten."""
        await asyncio.sleep(0)
        if self._raised:
            raise self._raised[0]

    def is_empty(self) -> bool:
        """Whether nothing is left of the strangers' connections."""
        hub, mine = self.party.hub, {socket.connection for socket in self.witnesses}
        return not self.connections and hub.connections == mine and hub._throttled | hub._acks <= mine


def welcome(session: Session, member: Member, now_ms: int, token: str = "a-member-token") -> wire.Welcome:
    """What is said to who comes in."""
    return wire.Welcome(
        session=session.id,
        you=member.number,
        role=member.role,
        member_token=token,
        precision=member.allowed,
        session_precision=session.precision,
        revision=session.revision,
        tick_ms=session.options.tick_ms,
        window_ms=WINDOW_MS,
        now=now_ms,
        members=[other.message() for other in session.members.values()],
        positions=session.rows_since(0),
    )


def server_frames(world: World, frames: Sequence[bytes], subprotocol: str) -> list[bytes]:
    """What the server answers to these frames, one connection, whole frames."""
    thrown = world.open(subprotocol)
    for frame in frames:
        thrown.feed(frame)
        world.carry_out()
        world.party.later(1_000)
        world.party.commit()
    written = list(thrown.wire.written)
    thrown.end()
    assert any(isinstance(one, wire.Welcome) for one in messages_of(thrown.codec, written[0]))
    return written
