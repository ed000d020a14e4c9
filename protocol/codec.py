"""Bytes to messages and back, in JSON and MessagePack. One decoder and one encoder a codec.

Pure. What does not decode raises `BadFrame`, whose text never repeats the sender's bytes (msgspec's
own messages echo unknown tags and keys, which may be tokens or coordinates).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from protocol.limits import SUBPROTOCOL_JSON, SUBPROTOCOL_MSGPACK
from protocol.messages import ClientMessage, ServerMessage


class BadFrame(ValueError):
    """The bytes are not a message of this protocol."""

    def __init__(self) -> None:
        super().__init__("not a message of this protocol")


@dataclass(frozen=True, slots=True)
class Codec:
    """One encoding of the wire."""

    subprotocol: str
    text: bool
    """Whether its WebSocket frames are text frames."""
    encode: Callable[[Any], bytes]
    decode_client: Callable[[bytes], ClientMessage]
    """Raw decoder of the hot path: raises whatever `DECODE_ERRORS` names."""
    decode_server: Callable[[bytes], ServerMessage]


DECODE_ERRORS = (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, OverflowError)

JSON = Codec(
    subprotocol=SUBPROTOCOL_JSON,
    text=True,
    encode=msgspec.json.Encoder().encode,
    decode_client=msgspec.json.Decoder(ClientMessage).decode,
    decode_server=msgspec.json.Decoder(ServerMessage).decode,
)
MSGPACK = Codec(
    subprotocol=SUBPROTOCOL_MSGPACK,
    text=False,
    encode=msgspec.msgpack.Encoder().encode,
    decode_client=msgspec.msgpack.Decoder(ClientMessage).decode,
    decode_server=msgspec.msgpack.Decoder(ServerMessage).decode,
)
CODECS = {codec.subprotocol: codec for codec in (JSON, MSGPACK)}


def decode_client(codec: Codec, frame: bytes) -> ClientMessage:
    """A client's message. Raises `BadFrame`."""
    try:
        return codec.decode_client(frame)
    except DECODE_ERRORS:
        raise BadFrame from None


def decode_server(codec: Codec, frame: bytes) -> ServerMessage:
    """A server's message. Raises `BadFrame`."""
    try:
        return codec.decode_server(frame)
    except DECODE_ERRORS:
        raise BadFrame from None
