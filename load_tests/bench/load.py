"""The load: phones in parties of five on raw sockets, one thread, one epoll: cheap beside what it measures.

A flood is kept in step with the server: at most two fixes of a phone are on their way. Without that a slow
server would find many fixes in one read and look fast. A relay shows by its deliveries how far it is; a
server that tells in ticks by the pongs of every 100th phone.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from load_tests.bench.dialects import Dialect, Place
from load_tests.bench.frames import (
    FIX_MARK,
    FLOW_MARK,
    FLOW_PING,
    SIGN_OF_LIFE,
    fix,
    handshake,
    shows,
)
from load_tests.bench.phone import ANSWER_S, READ, LoadError, Phone, read_until, timed

PARTY = 5
OPENED_AT_ONCE = 125
LOST_S = 3.0
"""What a relay has not delivered by then it has lost."""
KEPT = 4_096
"""Bytes of each connection that are kept to look the last positions up in."""
MOST_FIXES = 4_900
"""Of a phone, in its life: within the burst that Partyline allows, and `latitude`."""
FLOW_EACH = 100
"""A ping is no fix, and dearer than one: few of them, or they would be what is measured."""
SENDS_BETWEEN_READS = 32
FLOOD_READS_S = 0.001
"""Between two rounds of reading in a flood: less often is less work, and the kernel keeps what waits."""

Invite = Callable[[int], list[Place]]
"""Makes a party whose first phone has this number."""


@dataclass
class Outcome:
    """What a load has sent and seen since it was opened."""

    sent: int = 0
    delivered: int = 0
    """Fixes that came to others; not counted for ticks, which conflate them."""
    missing: int = 0
    """Deliveries of a relay that did not come."""
    stale: int = 0
    """Connections that did not see the last position of everybody in the party."""
    unacked: int = 0
    """Connections whose last fix was not acked, where the subject acks."""


class Load:
    """The phones of one load process, of one subject at a time."""

    def __init__(self, dialect: Dialect, port: int, invite: Invite, *, ticks: bool, first: int = 0) -> None:
        self._dialect = dialect
        self._port = port
        self._invite = invite
        self._ticks = ticks
        self._mark = FLOW_MARK if ticks else FIX_MARK
        self._fanout = PARTY if dialect.echoes else PARTY - 1
        self._next = first
        self._sockets: list[socket.socket] = []
        self._phones: list[Phone] = []
        self._by_fd: dict[int, Phone] = {}
        self._epoll = select.epoll()
        self._marks = 0
        self._given_up = 0
        """Deliveries that a flood waits for no more. The account counts by itself."""
        self._sent = 0
        self._random = random.Random(1)

    def close(self) -> None:
        """Closes every connection."""
        for sock in self._sockets:
            sock.close()
        self._phones.clear()
        self._by_fd.clear()
        self._epoll.close()

    # --- opening ------------------------------------------------------------------------------------------

    def open(self, parties: int) -> int:
        """So many parties more; returns how many connections there are now."""
        waiting: list[Phone] = []
        for _ in range(parties):
            waiting.extend(self._dial(place) for place in self._invite(self._next))
            self._next += PARTY
            if len(waiting) >= OPENED_AT_ONCE:
                self._enter(waiting)
                waiting = []
        self._enter(waiting)
        self._read(0.2)
        return len(self._phones)

    def _dial(self, place: Place) -> Phone:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=ANSWER_S)
        self._sockets.append(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        path = self._dialect.path(place, self._ticks)
        sock.sendall(handshake(self._port, path, self._dialect.subprotocol))
        return Phone(sock, place)

    def _enter(self, phones: list[Phone]) -> None:
        steps = [[(b"", b"\r\n\r\n"), *self._dialect.enter(phone.place)] for phone in phones]
        heard = [b""] * len(phones)
        for stage in range(len(steps[0]) if steps else 0):
            for phone, mine in zip(phones, steps, strict=True):
                phone.sock.sendall(mine[stage][0])
            for index, phone in enumerate(phones):
                heard[index] = read_until(phone.sock, heard[index], steps[index][stage][1])
        for start in range(0, len(phones), PARTY):
            party = phones[start : start + PARTY]
            for phone in party:
                phone.party = party
        for phone in phones:
            phone.sock.setblocking(False)
            self._by_fd[phone.sock.fileno()] = phone
            self._epoll.register(phone.sock.fileno(), select.EPOLLIN)
        self._phones.extend(phones)

    # --- sending ------------------------------------------------------------------------------------------

    def flood(self, seconds: float) -> int:
        """As fast as the server keeps up with; returns how many fixes were sent."""
        before, sweeps, due = self._sent, 0, [self._marks, self._marks]
        end = time.perf_counter() + seconds
        room = MOST_FIXES - max((phone.seq for phone in self._phones), default=MOST_FIXES)
        while sweeps < room and time.perf_counter() < end:
            frames = [self._frame(phone) for phone in self._phones]
            self._until_marks(due[-2])
            pings = 0
            for index, (phone, frame) in enumerate(zip(self._phones, frames, strict=True)):
                flows = self._ticks and (index + sweeps) % FLOW_EACH == 0
                pings += flows
                self._send(phone, frame + FLOW_PING if flows else frame)
            due.append(due[-1] + (pings if self._ticks else len(frames) * self._fanout))
            sweeps += 1
        self._until_marks(due[-1])
        return self._sent - before

    def pace(self, rate_s: float, seconds: float) -> int:
        """Every phone `rate_s` fixes a second, each in its own time; returns how many fixes were sent."""
        before = self._sent
        order = list(self._phones)
        self._random.shuffle(order)
        step_s = 1 / (rate_s * len(order))
        begun, total = time.perf_counter(), round(rate_s * len(order) * seconds)
        for number in range(total):
            wait = begun + number * step_s - time.perf_counter()
            while wait > 0:
                self._read(wait)
                wait = begun + number * step_s - time.perf_counter()
            if number % SENDS_BETWEEN_READS == 0:
                self._read(0)
            phone = order[number % len(order)]
            if phone.seq >= MOST_FIXES:
                raise LoadError("the phones have sent what they may: a shorter run, or more --connections")
            self._send(phone, self._frame(phone))
        self._read(max(0.0, begun + seconds - time.perf_counter()))
        return self._sent - before

    def sign_of_life(self) -> int:
        """Tells the server that idle phones are there."""
        for phone in self._phones:
            self._send(phone, SIGN_OF_LIFE)
        self._sent -= len(self._phones)
        return len(self._phones)

    def _frame(self, phone: Phone) -> bytes:
        phone.seq += 1
        phone.at_ms = max(phone.at_ms + 1, time.time_ns() // 1_000_000)
        return self._dialect.frame(phone.place, fix(phone.place.phone, phone.seq, phone.at_ms))

    def _send(self, phone: Phone, frame: bytes) -> None:
        end = time.perf_counter() + ANSWER_S
        while frame:
            try:
                frame = frame[phone.sock.send(frame) :]
            except BlockingIOError:
                if time.perf_counter() > end:
                    raise LoadError("the server has stopped reading") from None
                self._read(0.001)
            except OSError:
                raise LoadError("the server closed a connection in the middle of the load") from None
        self._sent += 1

    # --- receiving ----------------------------------------------------------------------------------------

    def _read(self, seconds: float) -> None:
        """What is there now, or comes first within so long."""
        for fd, _ in self._epoll.poll(seconds):
            self._take(self._by_fd[fd])

    def _take(self, phone: Phone) -> None:
        try:
            data = phone.sock.recv(READ)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            raise LoadError("the server closed a connection in the middle of the load")
        if phone.seen is not None:
            phone.seen.append((time.time_ns() // 1_000_000, data))
        before = len(phone.tail)
        whole = phone.tail + data
        marks = whole.count(self._mark, max(0, before - len(self._mark) + 1))
        phone.marks += marks
        self._marks += marks
        phone.tail = whole[-KEPT:]

    def _until_marks(self, due: int) -> None:
        end = time.perf_counter() + (ANSWER_S if self._ticks else LOST_S)
        self._read(0)
        while self._marks + self._given_up < due:
            time.sleep(FLOOD_READS_S)
            self._read(0.05)
            if time.perf_counter() > end:
                if self._ticks:
                    raise LoadError("the server does not answer pings under load")
                self._given_up = due - self._marks

    # --- the account --------------------------------------------------------------------------------------

    def settle(self, within_s: float) -> Outcome:
        """Waits until everything that was sent is seen, or for so long; then says what is missing."""
        end = time.perf_counter() + within_s
        while True:
            outcome = self._outcome()
            if not (outcome.missing or outcome.stale or outcome.unacked) or time.perf_counter() > end:
                return outcome
            pause = time.perf_counter() + 0.1
            while (left := pause - time.perf_counter()) > 0:
                self._read(left)

    def _outcome(self) -> Outcome:
        outcome = Outcome(sent=self._sent)
        if not self._ticks:
            outcome.delivered = self._marks
            outcome.missing = max(0, self._sent * self._fanout - self._marks)
        for phone in self._phones:
            others = [one for one in phone.party if one.seq and (self._ticks or one is not phone)]
            outcome.stale += not all(shows(phone.tail, one.place.phone, one.seq) for one in others)
            if self._dialect.acks and phone.seq:
                outcome.unacked += b'{"t":"ack","seq":%d}' % phone.seq not in phone.tail
        return outcome

    def watch(self) -> int:
        """From here on everything that comes is kept with its time, for `seen`. Between two frames only."""
        for phone in self._phones:
            phone.seen = []
        return len(self._phones)

    def seen(self) -> list[list[tuple[int, bytes]]]:
        """Of each connection what came since `watch`: `(epoch milliseconds, payload)` of each frame."""
        return [list(timed(phone.seen or [])) for phone in self._phones]
