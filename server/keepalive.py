"""Keepalive: who was silent is asked for a sign of life, and cut when it gives none. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from protocol.close_codes import CloseCode
from server.frames import PING_FIN

if TYPE_CHECKING:
    from server.connection import Connection

KEEPALIVE_MS = 20_000
"""A connection silent for this long is asked, and cut after as long again."""
MESSAGE_SWEEPS = 3
"""A message that this many looks find unfinished (40 to 60 s) ends its connection: it holds 64 KiB."""
PING = bytes((PING_FIN, 0))


class Keepalive:
    """Looks at all connections now and then."""

    __slots__ = ("_asked", "_next_ms")

    def __init__(self) -> None:
        self._asked: set[Connection] = set()
        self._next_ms = 0

    def sweep(self, connections: Iterable[Connection], now_ms: int) -> None:
        """Asks and cuts, when it is time."""
        if now_ms >= self._next_ms:
            self._next_ms = now_ms + KEEPALIVE_MS
            self._asked = {connection for connection in list(connections) if self._asks(connection)}

    def forget(self, connection: Connection) -> None:
        """It is over."""
        self._asked.discard(connection)

    def _asks(self, connection: Connection) -> bool:
        socket = connection.socket
        if socket is not None:
            socket.odd = 0
        if socket is None or not socket.reading:  # what we do not read we cannot miss
            return False
        heard, socket.heard = socket.heard, False
        if socket.unfinished:
            socket.late += 1
            if socket.late >= MESSAGE_SWEEPS:
                connection.fail(CloseCode.SLOW)
                return False
        if heard:
            return False
        if connection in self._asked:
            socket.abort()
            return False
        socket.write(PING)
        return True
