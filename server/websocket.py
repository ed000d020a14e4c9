"""The gateway's WebSocket: a protocol class that uvicorn hands an upgraded connection to.

Bytes in, whole messages out to a `Peer`; prepared frames in, bytes out. The ordinary data frame takes a
short path; closes, fragments and everything odd go through `websockets`' sans-I/O `Protocol`, which is
only ever fed whole frames. It knows nothing of parties or messages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import Protocol, Side, State
from websockets.speedups import apply_mask

from protocol.close_codes import CloseCode
from protocol.limits import MAX_FRAME_BYTES
from server.doors import Doors
from server.frames import BINARY_FIN, CONTROL_BYTES, MASKED, PING_FIN, PONG_FIN, TEXT_FIN, frame_size
from server.handshake import Handshake, quiet
from server.peer import NOBODY, Peer
from server.slots import Slots

CLOSE_TIMEOUT_S = 3.0
"""How long the other side has to answer a close frame, or to take its last bytes."""
WRITE_HIGH_WATER_BYTES = 16 * 1024
"""Unsent bytes at which a connection counts as slow: a few frames, beside the kernel's own buffer."""
ODD_BOUND = 1_000
"""Control frames and fragments between two sweeps of the keepalive: they cost more than their bytes."""


class WebSocket(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        *("_connections", "_data_byte", "_fragments", "_handshake", "_max_message_bytes", "_need"),
        *("_peer", "_skip", "_slots", "_tail", "_timer", "_transport", "_writable", "_ws"),
        *("address", "doors", "heard", "late", "odd", "open", "reading"),
    )

    def __init__(
        self,
        *,
        peer: Peer,
        slots: Slots,
        connections: set[Any],
        subprotocols: Sequence[str],
        origins: frozenset[str] = frozenset(),
        max_message_bytes: int = MAX_FRAME_BYTES,
    ) -> None:
        """`max_message_bytes`: of one message, whole or in fragments; more closes with `TOO_LARGE`."""
        self._peer = peer
        self._max_message_bytes = max_message_bytes
        self._slots = slots
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._handshake: Handshake | None = Handshake(subprotocols, origins)
        self._ws: Protocol | None = None
        self._fragments: bytearray | None = None
        self._data_byte = TEXT_FIN
        self._tail = bytearray()
        """Bytes of a frame that is not complete, or that wait until reading goes on."""
        self._need = 0
        """Bytes the tail must hold before it is worth another look."""
        self._skip = 0
        """Bytes still to come of a frame that is too large: they are read and forgotten."""
        self.reading = self._writable = True
        self._timer: asyncio.TimerHandle | None = None
        self.open = False
        """Whether data frames may be written."""
        self.heard = True
        """Set by any byte received; the keepalive sweep clears it."""
        self.odd = self.late = 0
        """Odd frames since the last sweep, which clears it; sweeps that saw the present message begun."""
        self.doors: Doors | None = None
        self.address: str | None = None
        """What it counts for in the book of `doors`; `None`: not limited."""

    # --- what the peer calls --------------------------------------------------------------------

    def write(self, frame: bytes) -> None:
        """Writes a prepared frame; nothing when the connection is not open."""
        if self.open:
            self._transport.write(frame)  # type: ignore[union-attr]

    @property
    def unfinished(self) -> bool:
        """Whether a message has begun to come."""
        return bool(self._tail) or self._fragments is not None

    @property
    def unsent_bytes(self) -> int:
        """Bytes that were written and that the kernel has not taken."""
        return 0 if self._transport is None else self._transport.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Backpressure: bytes stay with the sender. Idempotent."""
        if self.reading and self._transport is not None and not self._transport.is_closing():
            self.reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Reads on, with what waits first. Idempotent."""
        if self.reading or self._transport is None or self._transport.is_closing():
            return
        self.reading = True
        self._transport.resume_reading()
        self._need = self.late = 0
        self.data_received(b"")

    def close(self, code: int, reason: str = "") -> None:
        """Starts the closing handshake. Idempotent."""
        if not self.open:
            return
        self.open = False
        library = self._library()
        if library.state is State.OPEN:
            library.send_close(code, reason)
            self._flush(library)
        if not self.reading and self._transport is not None and not self._transport.is_closing():
            self.reading = True  # to read the answer
            self._transport.resume_reading()
            asyncio.get_running_loop().call_soon(self.data_received, b"")  # it may be here already
        self._arm(CLOSE_TIMEOUT_S)

    def abort(self) -> None:
        """Cuts the connection and forgets unsent bytes (G3: they may be finer than allowed by now)."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    # --- asyncio's callbacks --------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER_BYTES)

    def data_received(self, data: bytes) -> None:
        self.heard = True
        self._slots.read()
        if self._handshake is not None:
            self._shake(self._handshake, data)
            return
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        if self._tail or not self.reading:
            self._tail += data
            if len(self._tail) < self._need or not self.reading:
                return
            data = bytes(self._tail)
            self._tail.clear()
        pos = self._consume(data)
        if pos < len(data):
            self._tail += data[pos:]
            if pos and self._fragments is None:
                self.late = 0

    def _consume(self, data: bytes) -> int:
        """Handles whole frames; returns how far it came."""
        pos, end = 0, len(data)
        while end - pos >= 2 and self.reading:
            header, length = frame_size(data, pos)
            if length < 0:
                self._need = header
                return pos
            stop = pos + header + length
            if length > self._max_message_bytes:
                self.close(CloseCode.TOO_LARGE, CloseCode.TOO_LARGE.reason)
                self._skip = max(0, stop - end)
                pos = min(stop, end)
                continue
            if stop > end:
                self._need = stop - pos
                return pos
            ordinary = data[pos] == self._data_byte and data[pos + 1] & 0x80 and self._fragments is None
            if ordinary and self.open:
                key = pos + header - 4
                self._peer.received(apply_mask(data[pos + header : stop], data[key : key + 4]))
            elif not self._odd(data[pos:stop]):
                return end
            pos = stop
        self._need = 0
        return pos

    def eof_received(self) -> None:
        self._peer_gone()

    def connection_lost(self, exc: Exception | None) -> None:
        self._peer_gone()
        self._connections.discard(self)
        if self.doors is not None:
            self.doors.leave(self.address)
        if self._timer is not None:
            self._timer.cancel()
        self._tail.clear()

    def pause_writing(self) -> None:
        self._writable = False
        self._peer.writable(False)

    def resume_writing(self) -> None:
        self._writable = True
        if self.open:
            self._peer.writable(True)

    def shutdown(self) -> None:
        """uvicorn stops."""
        if self.open:
            self._peer.draining()
        elif self._handshake is not None and self._transport is not None:
            self._transport.close()

    # --- the unusual ------------------------------------------------------------------------------

    def _shake(self, handshake: Handshake, data: bytes) -> None:
        answer, transport = handshake.receive(data), self._transport
        if answer is None or transport is None or transport.is_closing():
            return
        transport.write(answer.response)
        if not answer.accepted:
            transport.close()
            return
        self._handshake, self.open = None, True
        text = self._peer.opened(self, answer.subprotocol, answer.bearer)
        self._data_byte = TEXT_FIN if text else BINARY_FIN

    def _library(self) -> Protocol:
        """`websockets`' state of this connection: most never need one."""
        if self._ws is None:
            self._ws = Protocol(Side.SERVER, max_size=None, logger=quiet)  # frames are measured here
        return self._ws

    def _odd(self, frame: bytes) -> bool:
        """A whole frame that is not the ordinary one. False: nothing after it counts."""
        self.odd += 1
        if self.odd > ODD_BOUND and self.open:
            self.close(CloseCode.RATE, CloseCode.RATE.reason)
        if self.open and frame[0] == PING_FIN and MASKED <= frame[1] <= MASKED + CONTROL_BYTES:
            if self._writable:  # a pong to who does not read would wait without bound
                pong = bytes((PONG_FIN, frame[1] - MASKED))
                self.write(pong + apply_mask(frame[6:], frame[2:6]))
            return True
        library = self._library()
        library.receive_data(frame)
        for event in library.events_received():
            if isinstance(event, Frame) and self.open:
                self._data(event)
        self._flush(library)
        if library.state is not State.OPEN and self.open:  # the other side closes, or broke the protocol
            self._peer_gone()
            self._arm(CLOSE_TIMEOUT_S)
        return library.state is not State.CLOSED and library.parser_exc is None

    def _data(self, frame: Frame) -> None:
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            if (frame.opcode is Opcode.TEXT) != (self._data_byte == TEXT_FIN):
                self.close(CloseCode.BAD_FRAME, CloseCode.BAD_FRAME.reason)
                return
            self._fragments, self.late = bytearray(), 0
        elif frame.opcode is not Opcode.CONT or self._fragments is None:
            return
        if len(self._fragments) + len(frame.data) > self._max_message_bytes:
            self.close(CloseCode.TOO_LARGE, CloseCode.TOO_LARGE.reason)
            return
        self._fragments += frame.data
        if frame.fin:
            whole, self._fragments = bytes(self._fragments), None
            self._peer.received(whole)

    def _flush(self, library: Protocol) -> None:
        """Writes what the library wants to say; an empty chunk means: close."""
        chunks, transport = library.data_to_send(), self._transport
        if transport is None or transport.is_closing():
            return
        for chunk in chunks:
            if chunk:
                transport.write(chunk)
            else:
                transport.close()
                self._arm(CLOSE_TIMEOUT_S)

    def _peer_gone(self) -> None:
        self.open = False
        peer, self._peer = self._peer, NOBODY
        peer.lost()

    def _arm(self, seconds: float) -> None:
        if self._timer is None and self._transport is not None:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._transport.abort)
