"""Ticks: what changed in a session is encoded once and sent to everybody of it on this gateway.

Pure; the clock is passed in. A session that lives here alone has its tick when its time comes. One that
others hold too has its ticks at the same moments on every gateway, by the wall clock: each publishes what its
own members sent, and sends its frame a little later, so that what the others published is in the same frame.
What they publish at another moment goes out that little later as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.session import Session, positions_frame
from server.slots import SLOT_MS

if TYPE_CHECKING:
    from server.hub import Hub

SETTLE_MS = 2 * SLOT_MS
"""What the frame of a shared session waits for the others."""
_SPREAD = 7919
"""A prime: sessions have their moments all over the tick."""


class Ticks:
    """The ticks of all sessions of a hub."""

    __slots__ = ("_due", "_hub")

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._due: dict[int, list[Session]] = {}

    def want(self, session: Session, now_ms: int) -> None:
        """Something changed in `session`: a tick is due in the slot in which its time comes."""
        session.waiting = True
        if session.peers:
            if not session.publish_ms:
                tick_ms = session.options.tick_ms
                session.publish_ms = now_ms + tick_ms - (now_ms - session.id * _SPREAD) % tick_ms
                self._put(session, session.publish_ms)
        else:
            self._put(session, max(session.last_tick_ms + session.options.tick_ms, now_ms))

    def soon(self, session: Session, now_ms: int) -> None:
        """Another gateway has shown something: it goes out with a frame that is due, or its own."""
        if session.frame_ms <= now_ms:
            self._want_frame(session, now_ms)

    def repeat(self, session: Session, tick: int) -> None:
        """What changed in `tick` or later is due again: somebody could not be given it."""
        for member in session.members.values():
            if member.shown is not None and member.changed_tick >= tick:
                session.changed[member.number] = member
        if session.changed and not session.waiting:
            self.want(session, self._hub.clock())

    def run(self, now_ms: int) -> None:
        """Those that are due."""
        slot = now_ms // SLOT_MS
        for due in [due for due in self._due if due <= slot]:
            for session in self._due.pop(due):
                self._tick(session, now_ms)

    def _put(self, session: Session, due_ms: int) -> None:
        self._due.setdefault(due_ms // SLOT_MS, []).append(session)

    def _want_frame(self, session: Session, now_ms: int) -> None:
        """At the beginning of a slot: what comes in that slot after the frame needs another one."""
        session.frame_ms = (now_ms + SETTLE_MS) // SLOT_MS * SLOT_MS
        self._put(session, session.frame_ms)

    def _hold_back(self, session: Session, now_ms: int) -> None:
        """Comes again a tick later, once, however much comes due meanwhile."""
        session.waiting = True
        if session.again_ms // SLOT_MS <= now_ms // SLOT_MS:
            session.again_ms = now_ms + session.options.tick_ms
            self._put(session, session.again_ms)

    def _tick(self, session: Session, now_ms: int) -> None:
        if not self._hub.may_send() or session.withheld:
            self._hold_back(session, now_ms)
            return
        if session.publish_ms and session.publish_ms // SLOT_MS <= now_ms // SLOT_MS:
            session.publish_ms = 0
            if session.here:
                self._hub.relay.show(session, session.here)
                session.here.clear()
                self._want_frame(session, now_ms)
                return
        self._send(session, now_ms)
        if session.here:  # it came after the last publication
            self.want(session, now_ms)

    def _send(self, session: Session, now_ms: int) -> None:
        tick = session.tick
        rows = session.take_tick(now_ms)
        if not rows:
            return
        self._hub.stats.ticks += 1
        frames: dict[bool, bytes] = {}
        for member in session.members.values():
            connection = member.connection
            if connection is not None:
                codec = connection.codec
                frame = frames.get(codec.text)
                if frame is None:
                    frame = frames[codec.text] = positions_frame(codec, now_ms, rows)
                connection.positions(frame, len(rows), tick)
