"""A WebSocket's client end, cheap enough for thousands in one process: no task, no queue, no copy twice.

The ordinary data frame takes a short path. The handshake, control frames, fragments and everything odd go
through `websockets`' sans-I/O `ClientProtocol`, which is only ever fed whole frames. It knows nothing of
parties or messages, and logs nothing of a frame.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from secrets import token_bytes
from typing import Protocol, cast

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.speedups import apply_mask
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

OPEN_S = 10.0
CLOSE_S = 2.0
PING_S = 20.0
"""A connection on which nothing was sent for so long sends a ping: that keeps the way open. A late pong
means nothing: a server that holds us back reads no ping either."""
MAX_SERVER_FRAME = 1024 * 1024
"""Bytes of one frame of the server: a `welcome` of 500 members is about 100 KB."""
MAX_HEAD = 16 * 1024
WRITE_HIGH_WATER = 64 * 1024

CUT = 1006
NORMAL = 1000
PROTOCOL_ERROR = 1002

_TEXT, _BINARY = 0x81, 0x82
_ORDINARY = frozenset((_TEXT, _BINARY))
_quiet = logging.getLogger("load_tests.websocket")
_quiet.setLevel(logging.CRITICAL)  # below it websockets would log frames, and with them tokens


class Listener(Protocol):
    """Who hears what happens on a socket."""

    def opened(self) -> None:
        """Messages may be sent."""

    def received(self, payload: bytes) -> None:
        """A whole message."""

    def writable(self) -> None:
        """It takes bytes again, after it did not."""

    def lost(self, code: int) -> None:
        """The connection is over: the peer's close code, or `CUT`. The last that is heard."""


class _Nobody:
    def opened(self) -> None: ...
    def received(self, payload: bytes) -> None: ...
    def writable(self) -> None: ...
    def lost(self, code: int) -> None: ...


NOBODY: Listener = _Nobody()


class ClientSocket(asyncio.Protocol):
    """One connection."""

    __slots__ = (
        "_code",
        "_fragments",
        "_idle",
        "_listener",
        "_tail",
        "_timer",
        "_transport",
        "_ws",
        "open",
        "writes",
    )

    def __init__(self, url: str, subprotocol: str, listener: Listener) -> None:
        self._listener = listener
        self._ws = ClientProtocol(
            parse_uri(url),
            subprotocols=[Subprotocol(subprotocol)],
            max_size=MAX_SERVER_FRAME,
            logger=_quiet,
        )
        self._transport: asyncio.Transport | None = None
        self._tail = b""
        self._fragments: bytearray | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._code = CUT
        self._idle = False
        self.open = False
        """Whether messages may be sent."""
        self.writes = True
        """Whether the network takes what is sent. `False`: wait for `writable`."""

    # --- what the owner calls -----------------------------------------------------------------------------

    def send(self, payload: bytes, *, text: bool) -> None:
        """One message; nothing when the connection is not open."""
        if not self.open:
            return
        length = len(payload)
        if length < 126:
            head = bytes((_TEXT if text else _BINARY, 0x80 | length))
        elif length < 65536:
            head = bytes((_TEXT if text else _BINARY, 0xFE, length >> 8, length & 0xFF))
        else:
            head = bytes((_TEXT if text else _BINARY, 0xFF)) + length.to_bytes(8, "big")
        key = token_bytes(4)
        self._idle = False
        self._write(head + key + apply_mask(payload, key))

    def close(self, code: int) -> None:
        """Start the closing handshake; `lost` follows. Idempotent."""
        if self.open:
            self.open = False
            self._ws.send_close(code)
            self._flush()
            self._arm(CLOSE_S, self.abort)
        elif self._ws.state is State.CONNECTING:
            self.abort()

    def abort(self) -> None:
        """As when the network goes: no close frame. `lost` follows."""
        self.open = False
        if self._transport is not None:
            self._transport.abort()

    def forsake(self) -> None:
        """Cut, and tell the listener nothing more, not even of the end."""
        self._listener = NOBODY
        self.abort()

    def dismiss(self, code: int) -> None:
        """Close, and tell the listener nothing more, not even of the end."""
        self._listener = NOBODY
        self.close(code)

    def read(self, yes: bool) -> None:
        """Stop to read, or go on. Idempotent."""
        transport = self._transport
        if transport is None or transport.is_closing() or transport.is_reading() == yes:
            return
        if yes:
            transport.resume_reading()
        else:
            transport.pause_reading()

    # --- asyncio's callbacks ------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH_WATER)
        self._ws.send_request(self._ws.connect())
        self._flush()
        self._arm(OPEN_S, self.abort)

    def data_received(self, data: bytes) -> None:
        if self._tail:
            data, self._tail = self._tail + data, b""
        if self._ws.state is State.CONNECTING:
            data = self._handshake(data)
        pos = self._frames(data)
        if pos < len(data):
            self._tail = data[pos:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.open = False
        if self._timer is not None:
            self._timer.cancel()
        listener, self._listener = self._listener, NOBODY
        listener.lost(self._code)

    def pause_writing(self) -> None:
        self.writes = False

    def resume_writing(self) -> None:
        self.writes = True
        if self.open:
            self._listener.writable()

    # --- reading ------------------------------------------------------------------------------------------

    def _handshake(self, data: bytes) -> bytes:
        """Takes the response when it is whole; returns what comes after it."""
        end = data.find(b"\r\n\r\n") + 4
        if end < 4:
            self._tail = data
            if len(data) > MAX_HEAD:
                self._refuse()
            return b""
        status = data[9:12]
        if status != b"101":
            may_pass = status[:1] == b"5" or status in (b"408", b"429")
            self._refuse(CUT if may_pass else PROTOCOL_ERROR)
            return b""
        self._ws.receive_data(data[:end])
        asked = self._ws.available_subprotocols or []
        if self._ws.state is not State.OPEN or self._ws.subprotocol not in asked:
            self._refuse()
            return b""
        self.open = True
        self._arm(PING_S, self._keep_open)
        self._listener.opened()
        return data[end:]

    def _frames(self, data: bytes) -> int:
        """Hands on whole frames; returns how far it came."""
        pos, end = 0, len(data)
        while end - pos >= 2:
            second = data[pos + 1]
            length, header = second & 0x7F, 2
            if length > 125:
                header = 4 if length == 126 else 10
                if end - pos < header:
                    break
                length = int.from_bytes(data[pos + 2 : pos + header], "big")
            if length > MAX_SERVER_FRAME:
                self._refuse()
                return end
            stop = pos + header + length
            if stop > end:
                break
            first = data[pos]
            if first in _ORDINARY and second < 0x80 and self._fragments is None:
                if self.open:
                    self._listener.received(data[pos + header : stop])
            else:
                self._odd(data[pos:stop])
            if self._transport is None or self._transport.is_closing():
                return end
            pos = stop
        return pos

    def _odd(self, frame: bytes) -> None:
        """A whole frame that is not the ordinary one."""
        self._ws.receive_data(frame)
        for event in self._ws.events_received():
            if isinstance(event, Frame) and event.opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                self._fragment(event)
        self._flush()
        if self._ws.state is not State.OPEN:
            if self._ws.close_rcvd is not None:
                self._code = self._ws.close_rcvd.code
            self.open = False
            self._arm(CLOSE_S, self.abort)

    def _fragment(self, part: Frame) -> None:
        self._fragments = self._fragments or bytearray()
        self._fragments += part.data
        if len(self._fragments) > MAX_SERVER_FRAME:
            self._refuse()
        elif part.fin:
            whole, self._fragments = bytes(self._fragments), None
            if self.open:
                self._listener.received(whole)

    # --- the rest -----------------------------------------------------------------------------------------

    def _refuse(self, code: int = PROTOCOL_ERROR) -> None:
        self._code = code
        self.abort()

    def _flush(self) -> None:
        """Writes what `ClientProtocol` wants to say; an empty chunk means: no more."""
        for chunk in self._ws.data_to_send():
            if chunk and self._transport is not None and not self._transport.is_closing():
                self._idle = False
                self._write(chunk)

    def _write(self, data: bytes) -> None:
        try:
            self._transport.write(data)  # type: ignore[union-attr]
        except RuntimeError:  # seen on uvloop under load: a closed handle that nobody was told of
            self.open = False
            asyncio.get_running_loop().call_soon(self.connection_lost, None)

    def _keep_open(self) -> None:
        if self.open:
            if self._idle:
                self._ws.send_ping(b"")
                self._flush()
            self._idle = True
            self._arm(PING_S, self._keep_open)

    def _arm(self, seconds: float, then: Callable[[], None]) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, then)
