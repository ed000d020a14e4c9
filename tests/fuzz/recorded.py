"""Frames of a real talk: what an honest phone's session sends in a party, framed by `websockets`, and the answers."""

from __future__ import annotations

from random import Random

from websockets.frames import Frame, Opcode

from protocol import messages as wire
from protocol.client import ClientSession
from protocol.codec import CODECS
from protocol.precision import Precision
from tests.fuzz.world import World, server_frames, welcome
from tests.server.parties import NOW, Party


def masked(payload: bytes, *, text: bool) -> bytes:
    """A client's whole data frame."""
    return Frame(Opcode.TEXT if text else Opcode.BINARY, payload).serialize(mask=True)


def payloads(subprotocol: str) -> list[bytes]:
    """What a phone says: its own session's frames, and each of the rarer messages."""
    codec, random = CODECS[subprotocol], Random(1)
    phone = ClientSession(codec, name="Ana", token="an-invitation")
    said = [phone.connect(0.0)]
    party = Party()
    member, _ = party.enter(1)
    phone.receive(codec.encode(welcome(party.session, member, NOW)))
    for most in (1, 1, 7, 40):
        for _ in range(most):
            at = NOW + random.randint(-60_000, 10_000)
            phone.offer(at, random.uniform(37, 38), random.uniform(126, 127), acc=5.0, spd=1.5, hdg=90.0)
        frame = phone.next_frame(most)
        assert frame is not None
        said.append(frame)
    rarer: list[wire.ClientMessage] = [
        wire.Share(Precision.ROUGH),
        wire.Share(Precision.EXACT),
        wire.Resume("a-member-token"),
        wire.SetPrecision(Precision.PRIVATE),
        wire.Kick(1),
        wire.End(),
        wire.Leave(),
    ]
    return said + [codec.encode(message) for message in rarer]


def client_frames(subprotocol: str) -> list[bytes]:
    """The phone's frames on the wire, pings and a close among them."""
    said = [masked(payload, text=CODECS[subprotocol].text) for payload in payloads(subprotocol)]
    ping = Frame(Opcode.PING, b"still there?").serialize(mask=True)
    close = Frame(Opcode.CLOSE, (1000).to_bytes(2, "big") + b"bye").serialize(mask=True)
    return [*said, ping, close]


def answers(world: World, subprotocol: str) -> list[bytes]:
    """The server's frames in that talk."""
    talk = client_frames(subprotocol)
    return server_frames(world, talk[:6], subprotocol) + server_frames(
        world, [talk[0], talk[-3]], subprotocol
    )
