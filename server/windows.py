"""Windows: 5 seconds of event time of one member, of which the newest position becomes one row (G2).

Pure; the clock is passed in. A window is open until a second after its end, or a second after it was
opened if that is later (a phone back from a tunnel sends ten minutes at once, out of order). Then it is
taken for a batch, and settled when its row is committed, or refused. A fix that comes for a window
that is no longer open waits for the same row, which supersedes it.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING

from protocol.limits import WINDOW_MS
from protocol.messages import Reject

if TYPE_CHECKING:
    from server.masking import Position
    from server.session import Member

GRACE_MS = 1_000
"""How long a window waits for stragglers."""

_BUCKET_MS = 250
"""Closing times are rounded up to this, so that closing costs nothing a window."""


class WindowState(Enum):
    """Where a window is on its way to PostgreSQL."""

    OPEN = auto()
    IN_FLIGHT = auto()
    SETTLED = auto()
    REFUSED = auto()


_OPEN = WindowState.OPEN  # looked up once: the hot path


class Window:
    """One member's 5 seconds. `position` is the newest that came while it was open."""

    __slots__ = ("done", "member", "opened_ms", "position", "refusal", "start", "state")

    def __init__(self, member: Member, start: int, position: Position, now_ms: int) -> None:
        self.member = member
        self.start = start
        self.position = position
        self.opened_ms = now_ms
        self.state = _OPEN
        self.done = False
        """Whether nothing more will come of it: settled or refused."""
        self.refusal: Reject | None = None

    @property
    def key(self) -> tuple[int, int, int]:
        """`(session_id, user_id, start)`: the row's primary key."""
        return (self.member.session.id, self.member.user_id, self.start)

    def settle(self, refusal: Reject | None) -> None:
        """The row is committed, or `refusal` says why it never will be."""
        self.state = WindowState.SETTLED if refusal is None else WindowState.REFUSED
        self.refusal = refusal
        self.done = True

    def __repr__(self) -> str:  # no coordinate in a repr
        return f"Window(start={self.start}, {self.state.name})"


class WindowBook:
    """All windows of a gateway that are not settled yet."""

    __slots__ = ("_closing", "unsettled")

    def __init__(self) -> None:
        self._closing: dict[int, list[Window]] = {}
        self.unsettled = 0
        """Windows opened and neither settled nor refused: what the backlog's bound counts."""

    def put(self, member: Member, position: Position, now_ms: int) -> Window:
        """The window that `position` belongs to, holding the newest of what it has seen."""
        at = position.at
        start = at - at % WINDOW_MS
        window = member.windows.get(start)
        if window is not None:
            if window.state is _OPEN and at >= window.position.at:
                window.position = position
            return window
        if (settled := member.settled) is not None and settled.start == start:
            return settled
        window = Window(member, start, position, now_ms)
        member.windows[start] = window
        self.unsettled += 1
        closes = max(start + WINDOW_MS, now_ms) + GRACE_MS
        bucket = -(-closes // _BUCKET_MS)
        self._closing.setdefault(bucket, []).append(window)
        return window

    def take_closed(self, now_ms: int, *, everything: bool = False, most: int | None = None) -> list[Window]:
        """Windows whose time has passed (or all, when draining), `most` at most, now in flight."""
        due = [bucket for bucket in self._closing if everything or bucket * _BUCKET_MS <= now_ms]
        taken: list[Window] = []
        for bucket in sorted(due):
            waiting = self._closing[bucket]
            while waiting and (most is None or len(taken) < most):
                window = waiting.pop()
                if window.state is _OPEN:
                    window.state = WindowState.IN_FLIGHT
                    taken.append(window)
            if waiting:
                break
            del self._closing[bucket]
        return taken

    def settle(self, window: Window, refusal: Reject | None = None) -> None:
        """The window's row is committed, or `refusal` says why it never will be. Idempotent."""
        if window.done:
            return
        window.settle(refusal)
        self.unsettled -= 1
        member = window.member
        if member.windows.get(window.start) is window:
            del member.windows[window.start]
        if refusal is None and (member.settled is None or member.settled.start < window.start):
            member.settled = window

    def forget(self, user_id: int) -> None:
        """Refuses the open windows of a user who was erased, and holds them no longer (G7)."""
        for waiting in self._closing.values():
            for window in waiting:
                if window.member.user_id == user_id:
                    self.settle(window, Reject.GONE)
            waiting[:] = [window for window in waiting if window.member.user_id != user_id]
