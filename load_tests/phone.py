"""A phone on a real network: the sans-I/O client session, a WebSocket, and the patience to come back.

Decides nothing about fixes: `ClientSession` does. Tokens travel in the first frame, never in a URL, and
nothing of a frame is logged. A phone has no task of its own while it is connected.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from load_tests.client_socket import CUT, NORMAL, PROTOCOL_ERROR, ClientSocket
from load_tests.place import Place
from protocol.client import ClientSession
from protocol.client_events import Event, GiveUp, Welcomed
from protocol.client_table import PeerMistake, State
from protocol.codec import Codec
from protocol.limits import MAX_FIXES
from protocol.messages import Leave, SetPrecision, Share

IN_PARTY = (State.LIVE, State.HOLDING)


class Phone:
    """Keeps one member in a session until it is stopped or told not to come again.

    `where` is a `ws:` or `wss:` address, or the places of several gateways: the first is dialled, and after
    each connection that ended unasked, or never opened, the one after it. `seen` is told what the server
    said, `closed` the code of each connection that ended, or never opened, without the owner's doing.
    """

    def __init__(
        self,
        session: ClientSession,
        codec: Codec,
        where: str | Sequence[Place],
        *,
        batch: int = 1,
        jitter: Callable[[], float],
        seen: Callable[[Event], None] = lambda _: None,
        closed: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.session = session
        self._codec = codec
        self._places = [Place.of(where)] if isinstance(where, str) else where
        self._at = 0
        self._batch = min(max(batch, 1), MAX_FIXES)
        self._jitter = jitter
        self._seen, self._closed = seen, closed
        self._socket: ClientSocket | None = None
        self._dialling: asyncio.Task[None] | None = None
        self._again: asyncio.TimerHandle | None = None
        self._flushing: asyncio.Handle | None = None
        self._waiting: list[asyncio.Future[None]] = []
        self._gone: asyncio.Future[None] | None = None
        self._fault: Exception | None = None
        self._on = False
        """Whether it is to be connected, or to come again."""
        self.welcomed = False
        self.gave_up: int | None = None
        """The close code after which the phone does not come again."""
        self.connections = 0
        self.dialled_at = 0.0
        """When it dialled last, by the loop's clock."""

    # --- what the owner calls -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect, also after `cut`. Needs a running loop; starting again does nothing."""
        if not self._on and self.gave_up is None:
            self._on = True
            self._dial()

    def cut(self) -> None:
        """The network is gone, or the app: no goodbye, and no coming again until `start`. Idempotent."""
        self._on = False
        self._stay_off()
        if self._socket is not None:
            self._socket.forsake()
            self._socket = None
            self.session.closed(CUT, asyncio.get_running_loop().time(), self._jitter())

    def drop(self) -> None:
        """The connection is cut; the phone notices, and comes again by its back-off."""
        if self._socket is not None:
            self._socket.abort()

    async def stop(self) -> None:
        """Leave the network; returns when that is done. May come twice, and before `start`."""
        self._on = False
        self._stay_off()
        if self._socket is not None:
            self._gone = asyncio.get_running_loop().create_future()
            self._socket.close(NORMAL)
            await self._gone
        if self._fault is not None:
            raise self._fault

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
    ) -> int:
        """Hand over a fix; it goes out as soon as it can. Returns its `seq`. Raises `LocalMistake`."""
        seq = self.session.offer(at, lat, lon, acc=acc, spd=spd, hdg=hdg, alt=alt, bat=bat)
        if self._flushing is None and self.in_party:
            self._flushing = asyncio.get_running_loop().call_soon(self._send_due)
        return seq

    def say(self, message: Share | Leave | SetPrecision) -> bool:
        """Say what is no fix; whether it could be said now."""
        if not self.ready or self._socket is None:
            return False
        self._send_due()  # what was offered before comes before
        self._socket.send(self._codec.encode(message), text=self._codec.text)
        return True

    def read(self, yes: bool) -> None:
        """Stop to read what the server sends, or go on."""
        if self._socket is not None:
            self._socket.read(yes)

    @property
    def in_party(self) -> bool:
        """Whether what is offered goes out at once."""
        return self.session.state in IN_PARTY

    @property
    def ready(self) -> bool:
        """In the party, and the network takes what is sent."""
        return self.in_party and self._socket is not None and self._socket.writes

    async def room(self, most: int) -> None:
        """Wait until fewer than `most` fixes are held, or the phone gave up."""
        while self.gave_up is None and self.session.account.held >= most:
            await self._next_move()

    async def joined(self) -> None:
        """Wait for the first `welcome`, or until the phone gave up."""
        while self.gave_up is None and not self.welcomed:
            await self._next_move()

    # --- what the socket tells ----------------------------------------------------------------------------

    def opened(self) -> None:
        self.connections += 1
        hello = self.session.connect(asyncio.get_running_loop().time())
        self._socket.send(hello, text=self._codec.text)  # type: ignore[union-attr]

    def received(self, payload: bytes) -> None:
        try:
            for event in self.session.receive(payload):
                self.welcomed = self.welcomed or isinstance(event, Welcomed)
                self._seen(event)
        except PeerMistake:
            self._leave(PROTOCOL_ERROR)
        except Exception as mistake:  # ours: whoever waits for the phone is told
            self._fault = mistake
            self._on = False
            self._leave(PROTOCOL_ERROR)
            about = {"message": "a phone met a mistake of ours", "exception": mistake}
            asyncio.get_running_loop().call_exception_handler(about)
        else:
            self._send_due()
            self._moved()

    def writable(self) -> None:
        self._send_due()

    def lost(self, code: int) -> None:
        self._socket = None
        if self._gone is None:
            self._over(code)
        elif not self._gone.done():
            self._gone.set_result(None)

    # --- the parts of it ----------------------------------------------------------------------------------

    def _dial(self) -> None:
        loop = asyncio.get_running_loop()
        self.dialled_at = loop.time()
        place = self._places[self._at]
        self._socket = ClientSocket(place.url, self._codec.subprotocol, self)
        self._dialling = loop.create_task(self._connect(self._socket, place))

    async def _connect(self, socket: ClientSocket, place: Place) -> None:
        try:
            await place.dial(socket)
        except OSError:  # TimeoutError is one
            if self._socket is socket:
                socket.forsake()
                self.lost(CUT)
        finally:
            if self._dialling is asyncio.current_task():
                self._dialling = None

    def _over(self, code: int) -> None:
        """A connection is over, or never was one."""
        self._closed(code)
        self._at = (self._at + 1) % len(self._places)
        verdict = self.session.closed(code, asyncio.get_running_loop().time(), self._jitter())
        if isinstance(verdict, GiveUp):
            self.gave_up, self._on = verdict.code, False
        elif self._on:
            self._again = asyncio.get_running_loop().call_later(verdict.after_s, self._dial)
        self._moved()

    def _leave(self, code: int) -> None:
        """End the connection for a reason of our own, and take that as its close code."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.dismiss(code)
        self._over(code)

    def _send_due(self) -> None:
        self._flushing = None
        socket = self._socket
        while socket is not None and socket.writes:
            frame = self.session.next_frame(self._batch)
            if frame is None:
                return
            socket.send(frame, text=self._codec.text)

    def _stay_off(self) -> None:
        """No dialling any more, not now and not later."""
        if self._again is not None:
            self._again.cancel()
        if self._dialling is not None:
            self._dialling.cancel()
            self._dialling = None
            if self._socket is not None and not self._socket.open:
                self._socket.forsake()
                self._socket = None

    def _moved(self) -> None:
        for future in self._waiting:
            if not future.done():
                future.set_result(None)
        self._waiting.clear()

    async def _next_move(self) -> None:
        if self._fault is not None:
            raise self._fault
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future
