"""Bytes of the load: a client's WebSocket frames, MQTT packets, fixes; and what comes back, taken apart.

Pure. Made to be cheap and to be trusted with our own servers only: it checks nothing.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from functools import cache
from itertools import pairwise

MASK = b"\x37\xfa\x21\x3d"
"""The masking key of every frame. Not zero: some servers skip the unmasking then."""
TEXT, BINARY, PING, PONG = 1, 2, 9, 10

SIGN_OF_LIFE_TEXT = b"here"
FLOW_MARK = b"!flow"
"""What a ping carries, and its pong: found in the bytes without taking frames apart."""
FIX_MARK = b'"lat"'
"""In every fix that is passed on as it came: one a delivery."""


@cache
def _key(length: int) -> int:
    return int.from_bytes((MASK * (length // 4 + 1))[:length], "big")


def client_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One whole masked frame of at most 65,535 bytes."""
    n = len(payload)
    masked = (int.from_bytes(payload, "big") ^ _key(n)).to_bytes(n, "big")
    if n < 126:
        return bytes((0x80 | opcode, 0x80 | n)) + MASK + masked
    return bytes((0x80 | opcode, 0xFE, n >> 8, n & 0xFF)) + MASK + masked


FLOW_PING = client_frame(FLOW_MARK, PING)
SIGN_OF_LIFE = client_frame(SIGN_OF_LIFE_TEXT, PONG)
"""An unsolicited pong: nobody answers it."""


def handshake(port: int, path: str, subprotocol: str) -> bytes:
    """The request that opens a WebSocket; the key is the same for all, which is the client's own affair."""
    lines = [
        f"GET {path} HTTP/1.1",
        f"Host: 127.0.0.1:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {base64.b64encode(bytes(range(16))).decode()}",
    ]
    if subprotocol:
        lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def latitude(phone: int, seq: int) -> str:
    """Where the fix `seq` of a phone is: a number of its own, as every JSON encoder writes it."""
    return repr(round(30 + phone * 0.005 + seq * 1e-6, 6))


def fix(phone: int, seq: int, at_ms: int) -> bytes:
    """A fix as JSON, about 90 bytes. Unique up to 4,999 fixes a phone and 10,000 phones."""
    return (
        f'{{"t":"fix","seq":{seq},"at":{at_ms},"lat":{latitude(phone, seq)},"lon":126.976912,"acc":5.5}}'
    ).encode()


def shows(received: bytes, phone: int, seq: int) -> bool:
    """Whether these bytes hold the place of that fix, in whatever JSON around it."""
    return f"{latitude(phone, seq)},".encode() in received


def server_frames(data: bytes) -> Iterator[bytes]:
    """Payloads of the unmasked frames in `data`, which begins at a frame; a cut-off last one is left out."""
    at = 0
    while at + 2 <= len(data):
        length, start = data[at + 1] & 0x7F, at + 2
        if length == 126:
            length, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
        elif length == 127:
            length, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
        if start + length > len(data):
            return
        yield data[start : start + length]
        at = start + length


def lateness_ms(frames: list[tuple[int, int]], tick_ms: int) -> list[int]:
    """How long after its due time each tick's frame came, milliseconds.

    `frames`: `(sent by the server, received)` of one connection, in order. With something to tell at all
    times, as a party at one fix a second has, the next tick is due `tick_ms` after the one before.
    """
    return [received - before - tick_ms for (before, _), (_, received) in pairwise(frames)]


# --- MQTT 5 (OASIS, 2019), as much as a relay needs ----------------------------------------------------


def _packet(kind: int, body: bytes) -> bytes:
    length, size = len(body), bytearray()
    while True:
        length, digit = divmod(length, 128)
        size.append(digit | (0x80 if length else 0))
        if not length:
            return bytes((kind, *size)) + body


def _text(text: bytes) -> bytes:
    return len(text).to_bytes(2, "big") + text


def mqtt_connect(client_id: bytes) -> bytes:
    """CONNECT: version 5, clean start, no keepalive, no properties."""
    return _packet(0x10, _text(b"MQTT") + b"\x05\x02\x00\x00\x00" + _text(client_id))


def mqtt_subscribe(topic: bytes) -> bytes:
    """SUBSCRIBE to one topic, quality 0, without one's own messages."""
    return _packet(0x82, b"\x00\x01\x00" + _text(topic) + b"\x04")


def mqtt_publish(topic: bytes, payload: bytes) -> bytes:
    """PUBLISH, quality 0."""
    return _packet(0x30, _text(topic) + b"\x00" + payload)
