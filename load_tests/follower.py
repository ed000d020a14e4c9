"""Follows one member of the modelled crowd through a party, in blocking calls: for a thread, or a greenlet.

What the sans-I/O `ClientSession` says is done, nothing else: it keeps what is not acked, sends it again, and
backs off by close code. What is measured is told to the caller in numbers; no frame and no token is logged.
"""

from __future__ import annotations

import heapq
import logging
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus, WebSocketException
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from load_tests.crowd import events as crowd
from load_tests.crowd.model import Member
from load_tests.run.counting import close_name
from protocol import messages as wire
from protocol.client import ClientSession
from protocol.client_events import Acked, Event, GiveUp, PositionsSeen, RejectedFix, Welcomed
from protocol.client_table import PeerMistake, State
from protocol.close_codes import CloseCode
from protocol.codec import JSON

CODEC = JSON
OPEN_S, CLOSE_S, PING_S = 10.0, 1.0, 20.0
MAX_SERVER_FRAME = 1024 * 1024
SETTLE_S = 15.0
"""How long a member waits for its last acks before its way is over."""
LIVE_MS = 1_000
"""A fix that goes out later after its measuring is no live one: its delivery says nothing of the server."""
REMEMBERED = 10_000
"""Sendings of a party that are remembered, to know their delay on arrival: the newest."""
CUT, PROTOCOL_ERROR = 1006, 1002
EXPECTED = (CloseCode.ENDED, CloseCode.KICKED)
"""Closes for good that a member of the crowd may meet: the host did so."""

_QUIET = logging.getLogger("load_tests.follower")
_QUIET.setLevel(logging.CRITICAL)  # below it websockets would log frames, and with them tokens

Act = crowd.MemberEvent | crowd.HostEvent


@dataclass(eq=False, slots=True)
class Sendings:
    """When a party's live fixes went out, by member number and the fix's time: one clock for both ends."""

    _sent: dict[tuple[int, int], float] = field(default_factory=dict)

    def add(self, m: int, at: int, now: float) -> None:
        self._sent[m, at] = now
        if len(self._sent) > REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def when(self, m: int, at: int) -> float | None:
        return self._sent.get((m, at))


class Tell(Protocol):
    """Hears what was measured: `join`, `ack`, `delivery`, `reject …`; with `error`, a sentence, a failure."""

    def __call__(self, name: str, took_s: float, error: str | None = None) -> None: ...


class Follower:
    """One member's way through one party. `follow` returns when it is over; `hang_up` ends it at any time."""

    def __init__(
        self,
        member: Member,
        *,
        url: str,
        sharable_token: str,
        member_token: str = "",
        sendings: Sendings,
        tell: Tell,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """`member_token`: the host's, who is in the session already."""
        self.session = ClientSession(
            CODEC, name=f"Phone {member.number}", token=sharable_token, member_token=member_token
        )
        self._member, self._url, self._sendings = member, url, sendings
        self._tell, self._jitter = tell, jitter
        self._socket: ClientConnection | None = None
        self._m = 0
        self._wanted = False
        """Whether the phone has a network and its app runs."""
        self._dialled_at = self._retry_at = 0.0
        self._welcomed = False
        """On this connection."""
        self._offered: dict[int, float] = {}
        """When the fixes of this connection were offered, by their time."""
        self._over = False

    def follow(self) -> None:
        """From joining to leaving, or until the server says not to come again."""
        begin, begin_ms = time.monotonic(), time.time_ns() // 1_000_000
        for event in self._events():
            self._until(begin + event.at_ms / 1000)
            if self._over:
                return
            self._act(event, begin_ms)
        last = time.monotonic() + SETTLE_S
        while not self._over and self.session.account.held and time.monotonic() < last:
            self._until(time.monotonic() + 0.5)

    def hang_up(self) -> None:
        """Off the network. May come twice, and before `follow`."""
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close()

    def _events(self) -> Iterable[Act]:
        if self._member.number:
            return self._member
        return heapq.merge(self._member, self._member.party.host_events(), key=lambda event: event.at_ms)

    def _until(self, due: float) -> None:
        """Hears what comes until then, and dials while there is no connection."""
        while not self._over and (left_s := due - time.monotonic()) > 0:
            if self._socket is not None:
                self._hear(self._socket, left_s)
            elif self._wanted and time.monotonic() >= self._retry_at:
                self._dial()
            else:
                wait_s = self._retry_at - time.monotonic() if self._wanted else left_s
                time.sleep(min(left_s, max(0.01, wait_s)))

    def _act(self, event: Act, begin_ms: int) -> None:
        match event:
            case crowd.Join() | crowd.Resume() | crowd.Daylight():
                self._wanted, self._retry_at = True, 0.0
            case crowd.Tunnel() | crowd.Kill():
                self._wanted = False
                self._lost(CUT)  # without a word
            case crowd.Send(fix=fix):
                self._offer(begin_ms + fix.at_ms, fix, live=event.late_ms <= LIVE_MS)
            case crowd.Share(precision=precision):
                self._say(wire.Share(precision))
            case crowd.Tighten(precision=precision) | crowd.Loosen(precision=precision):
                self._say(wire.SetPrecision(precision))
            case crowd.End():
                self._say(wire.End())
            case crowd.Leave():
                self._say(wire.Leave())
                self._over = True

    def _offer(self, at: int, fix: crowd.Measured, *, live: bool) -> None:
        if self.session.state is State.OVER:
            return
        self.session.offer(at, fix.lat, fix.lon, acc=fix.acc, spd=fix.spd, hdg=fix.hdg)
        if self._socket is not None and self.session.state is State.LIVE:
            now = self._offered[at] = time.monotonic()
            if live:
                self._sendings.add(self._m, at, now)
        self._send_due()

    # --- the connection --------------------------------------------------------------------------

    def _dial(self) -> None:
        self._dialled_at, self._welcomed = time.monotonic(), False
        try:
            self._socket = connect(
                self._url,
                subprotocols=[Subprotocol(CODEC.subprotocol)],
                compression=None,
                proxy=None,
                open_timeout=OPEN_S,
                close_timeout=CLOSE_S,
                ping_interval=PING_S,
                ping_timeout=None,
                max_size=MAX_SERVER_FRAME,
                logger=_QUIET,
                legacy=True,  # the connection itself: `_lost` and `hang_up` close it
            )
        except InvalidStatus as refused:
            status = refused.response.status_code
            self._failed(CUT if status >= 500 or status in (408, 429) else PROTOCOL_ERROR)
        except (InvalidMessage, OSError, EOFError):
            self._failed(CUT)
        except WebSocketException:
            self._failed(PROTOCOL_ERROR)
        else:
            self._write(self.session.connect(time.monotonic()))

    def _hear(self, socket: ClientConnection, wait_s: float) -> None:
        try:
            frame = socket.recv(wait_s, decode=False)
            for event in self.session.receive(frame):
                self._heard(event)
        except TimeoutError:
            return
        except ConnectionClosed as closed:
            self._failed(CUT if closed.rcvd is None else closed.rcvd.code)
        except PeerMistake:
            self._failed(PROTOCOL_ERROR)
        else:
            self._send_due()

    def _heard(self, event: Event) -> None:
        now = time.monotonic()
        match event:
            case Welcomed(welcome):
                self._m, self._welcomed = welcome.you, True
                self._tell("join", now - self._dialled_at)
            case PositionsSeen(positions):
                for m, at, *_ in positions.p:
                    sent = self._sendings.when(m, at)
                    if sent is not None and m != self._m:
                        self._tell("delivery", now - sent)
            case Acked(times):
                for at in times:
                    if (offered := self._offered.pop(at, None)) is not None:
                        self._tell("ack", now - offered)
            case RejectedFix(_, code):
                self._tell(f"reject {code.value}", 0.0)

    def _send_due(self) -> None:
        while self._socket is not None and (frame := self.session.next_frame()) is not None:
            self._write(frame)

    def _say(self, message: wire.ClientMessage) -> None:
        if self._socket is not None and self.session.state is State.LIVE:
            self._write(CODEC.encode(message))

    def _write(self, frame: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.send(frame, text=CODEC.text)
            except ConnectionClosed as closed:
                self._failed(CUT if closed.rcvd is None else closed.rcvd.code)

    def _failed(self, code: int) -> None:
        """The connection ended, or never was, and the phone did not want that."""
        if code not in EXPECTED:
            self._tell(
                "connection" if self._welcomed else "join",
                time.monotonic() - self._dialled_at,
                _sentence(code),
            )
        self._lost(code)

    def _lost(self, code: int) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            socket.close_socket()
        self._offered.clear()
        verdict = self.session.closed(code, time.monotonic(), self._jitter())
        if isinstance(verdict, GiveUp):
            self._over = True
        else:
            self._retry_at = time.monotonic() + verdict.after_s


def _sentence(code: int) -> str:
    if code == CUT:
        return "The connection was cut, or nothing answers there; see whether the server runs."
    return f"The server closed the connection ({close_name(code)}); see its log."
