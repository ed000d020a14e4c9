"""A phone on a real network: the sans-I/O client session, a WebSocket, and the patience to come back.

Decides nothing about fixes: `ClientSession` does. Tokens travel in the first frame, never in a URL, and
nothing of a frame is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    WebSocketException,
)
from websockets.typing import Subprotocol

from protocol.client import ClientSession
from protocol.client_events import Event, GiveUp, Welcomed
from protocol.client_table import PeerMistake
from protocol.codec import Codec
from protocol.limits import MAX_FIXES

OPEN_S = 10.0
CLOSE_S = 2.0
PING_S = 20.0
"""Pings keep the way open. A late pong means nothing: a server that holds us back reads no ping either."""
MAX_SERVER_FRAME = 1024 * 1024
"""Bytes of one frame of the server: a `welcome` of 500 members is about 100 KB."""

CUT = 1006
PROTOCOL_ERROR = 1002

_LOG = logging.getLogger(__name__)
_LOG.setLevel(logging.WARNING)  # below it websockets would log frames, and with them tokens


class Phone:
    """Keeps one member in a session until it is stopped or told not to come again."""

    def __init__(
        self,
        session: ClientSession,
        codec: Codec,
        url: str,
        *,
        batch: int = 1,
        jitter: Callable[[], float],
        seen: Callable[[Event], None] = lambda _: None,
    ) -> None:
        self.session = session
        self._codec = codec
        self._url = url
        self._batch = min(max(batch, 1), MAX_FIXES)
        self._jitter = jitter
        self._seen = seen
        self._due = asyncio.Event()
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.welcomed = False
        self.gave_up: int | None = None
        """The close code after which the phone does not come again."""
        self.connections = 0

    def start(self) -> None:
        """Begin to connect. Needs a running loop; starting again does nothing."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Leave the network; returns when that is done. May come twice, and before `start`."""
        if self._task is None:
            return
        self._task.cancel()
        await asyncio.wait([self._task])
        if not self._task.cancelled() and (error := self._task.exception()):
            raise error

    def offer(
        self,
        at: int,
        lat: float,
        lon: float,
        *,
        acc: float | None = None,
        spd: float | None = None,
        hdg: float | None = None,
        alt: float | None = None,
        bat: float | None = None,
    ) -> None:
        """Hand over a fix; it goes out as soon as it can. Raises `LocalMistake`."""
        self.session.offer(at, lat, lon, acc=acc, spd=spd, hdg=hdg, alt=alt, bat=bat)
        self._due.set()

    async def room(self, most: int) -> None:
        """Wait until fewer than `most` fixes are held, or the phone gave up."""
        while self.gave_up is None and self.session.account.held >= most:
            await self._next_move()

    async def joined(self) -> None:
        """Wait for the first `welcome`, or until the phone gave up."""
        while self.gave_up is None and not self.welcomed:
            await self._next_move()

    async def _next_move(self) -> None:
        self._moved.clear()
        await self._moved.wait()

    async def _run(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            code = await self._one_connection()
            verdict = self.session.closed(code, clock(), self._jitter())
            if isinstance(verdict, GiveUp):
                self.gave_up = verdict.code
                self._moved.set()
                return
            await asyncio.sleep(verdict.after_s)

    async def _one_connection(self) -> int:
        """One connection, from its opening to its close code."""
        try:
            async with connect(
                self._url,
                subprotocols=[Subprotocol(self._codec.subprotocol)],
                compression=None,
                proxy=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=PING_S,
                ping_timeout=None,
                max_size=MAX_SERVER_FRAME,
                logger=_LOG,
            ) as socket:
                if socket.subprotocol != self._codec.subprotocol:
                    return PROTOCOL_ERROR
                return await self._talk(socket)
        except InvalidStatus as refused:
            status = refused.response.status_code
            return CUT if status >= 500 or status in (408, 429) else PROTOCOL_ERROR
        except (InvalidMessage, OSError, EOFError):  # not there, or cut while opening
            return CUT
        except (InvalidHandshake, WebSocketException):
            return PROTOCOL_ERROR

    async def _talk(self, socket: ClientConnection) -> int:
        self.connections += 1
        sender: asyncio.Task[None] | None = None
        try:
            hello = self.session.connect(asyncio.get_running_loop().time())
            await socket.send(hello, text=self._codec.text)
            sender = asyncio.get_running_loop().create_task(self._send_due(socket))
            while True:
                for event in self.session.receive(await socket.recv(decode=False)):
                    self.welcomed = self.welcomed or isinstance(event, Welcomed)
                    self._seen(event)
                self._due.set()
                self._moved.set()
        except ConnectionClosed as closed:
            return CUT if closed.rcvd is None else closed.rcvd.code
        except PeerMistake:
            await socket.close(PROTOCOL_ERROR)
            return PROTOCOL_ERROR
        except asyncio.CancelledError:  # `stop`: without this the peer would read an internal error
            await socket.close()
            raise
        finally:
            if sender is not None:
                sender.cancel()
                await asyncio.wait([sender])

    async def _send_due(self, socket: ClientConnection) -> None:
        try:
            while True:
                while (frame := self.session.next_frame(self._batch)) is not None:
                    await socket.send(frame, text=self._codec.text)
                self._due.clear()
                await self._due.wait()
        except ConnectionClosed:
            return  # the reader sees it too, and knows the code
