"""WebSocket frames as bytes: the two shapes of the fast path. Pure; RFC 6455 section 5.2.

A whole, unfragmented, masked data frame in; a whole, unfragmented, unmasked data frame out. All other
frames are for `websockets`' `ServerProtocol`.
"""

from __future__ import annotations

import struct

TEXT_FIN = 0x81
BINARY_FIN = 0x82
PING_FIN = 0x89
PONG_FIN = 0x8A
MASKED = 0x80
CONTROL_BYTES = 125
"""The most that a control frame carries."""

_pack_16 = struct.Struct("!BBH").pack
_pack_64 = struct.Struct("!BBQ").pack


def data_frame(payload: bytes, *, text: bool) -> bytes:
    """A server's data frame around `payload`."""
    opcode = TEXT_FIN if text else BINARY_FIN
    length = len(payload)
    if length < 126:
        return bytes((opcode, length)) + payload
    if length < 65536:
        return _pack_16(opcode, 126, length) + payload
    return _pack_64(opcode, 127, length) + payload


def frame_size(data: bytes, pos: int) -> tuple[int, int]:
    """Header and payload bytes of the frame that starts at `pos`.

    A payload size of -1: the header is not complete; the first number then says how many bytes are
    needed to know more.
    """
    available = len(data) - pos
    if available < 2:
        return 2, -1
    second = data[pos + 1]
    length = second & 0x7F
    header = 6 if second & 0x80 else 2
    if length < 126:
        return header, length
    extended = 2 if length == 126 else 8
    if available < 2 + extended:
        return 2 + extended, -1
    return header + extended, int.from_bytes(data[pos + 2 : pos + 2 + extended], "big")
