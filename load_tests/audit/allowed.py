"""What each member may have been showing at any time, from the load's side alone. Pure.

The load knows when it asked for a change and when the answer was here; when the server made the change
lies somewhere between. So for each member every state is kept that may be: the session's precision, the
member's own choice, and which of the open changes are still to come. Asking adds the states after the
change, the answer takes away those before it. So a loosening counts from when it was asked and a tightening
from when it returned, whatever overlaps. A request that failed or was not answered may be done late, also
after another try has returned: for `OPEN_MS` it stays possible.

The law of one change is the server's (G4): a host who loosens leaves everybody else as coarse as they
were, until their own `share`.

Sets of precisions are bits: 1 `exact`, 2 `rough`, 4 `private`.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from typing import NamedTuple

from protocol.precision import Precision

EXACT, ROUGH, PRIVATE = (1 << one.coarseness for one in Precision)
OPEN_MS = 60_000
"""A change that was not answered for this long has been made by now, or never will be."""
JOINING_MS = 30_000
"""A welcome that is here now may have been made up to so long ago."""

_Open = frozenset[int]
_World = tuple[int, int, _Open]
"""The session's precision and the own choice by coarseness, and the changes still to come."""


def finest(bits: int) -> Precision:
    """The finest of a set."""
    return Precision.EXACT if bits & EXACT else Precision.ROUGH if bits & ROUGH else Precision.PRIVATE


class Timeline:
    """The set of precisions that may be in force, as it changes with time."""

    __slots__ = ("_bits", "_from", "now")

    def __init__(self, bits: int) -> None:
        self.now = bits
        self._from = array("q", [-(2**62)])
        self._bits = bytearray([bits])

    def turn(self, at_ms: int, bits: int) -> None:
        """From `at_ms` on it is `bits`. A clock that stepped back is taken to stand."""
        if bits != self.now:
            self._from.append(max(at_ms, self._from[-1]))
            self._bits.append(bits)
            self.now = bits

    def between(self, from_ms: int, to_ms: int) -> int:
        """What may have been in force at some time from `from_ms` to `to_ms`, both included."""
        starts, bits = self._from, self._bits
        index = len(starts) - 1
        while index and starts[index] > to_ms:
            index -= 1
        found = bits[index]
        while index and starts[index] >= from_ms:
            index -= 1
            found |= bits[index]
        return found

    def since(self, mask: int) -> int | None:
        """From when on nothing of `mask` may have been in force; `None`: never anything, or it may be now."""
        index = len(self._from)
        while index and not self._bits[index - 1] & mask:
            index -= 1
        return self._from[index] if 0 < index < len(self._from) else None


class _Change(NamedTuple):
    m: int | None
    """The member whose choice it is; `None`: the host's, for the session."""
    level: int
    asked_ms: int


class _Who:
    """A member; or the session, as a member who is never pinned and always chooses `exact`."""

    __slots__ = ("pinned", "timeline", "worlds")

    def __init__(self, worlds: set[_World], *, pinned: bool) -> None:
        self.worlds = worlds
        self.pinned = pinned
        """Whether a host's loosening leaves them where they were."""
        self.timeline = Timeline(self.bits())

    def bits(self) -> int:
        bits = 0
        for session, own, _ in self.worlds:
            bits |= 1 << max(session, own)
        return bits


class Allowed:
    """One session's precisions."""

    def __init__(self, precision: Precision) -> None:
        self._open: dict[int, _Change] = {}
        self._number = 0
        self._session = _Who({(precision.coarseness, 0, frozenset())}, pinned=False)
        self._members: dict[int, _Who] = {}
        self._late: dict[int, int] = {}
        """Levels that the host asked for in vain, and when that was seen last: done late, or even twice."""

    @property
    def session(self) -> Timeline:
        """What the session alone may have allowed."""
        return self._session.timeline

    def of(self, m: int) -> Timeline | None:
        """What may have been in force of member `m`; `None` before they came."""
        who = self._members.get(m)
        return None if who is None else who.timeline

    def came(self, m: int, own: Precision, *, host: bool, at_ms: int) -> Timeline:
        """Member `m` is here for the first time, with this choice. Returns their timeline."""
        levels = {own.coarseness}
        if not host:  # loosened after they joined and before their welcome was here
            lately = self.session.between(at_ms - JOINING_MS, at_ms)
            levels |= {max(own.coarseness, level) for level in range(3) if lately >> level & 1}
        worlds = {(s, level, still) for s, _, still in self._session.worlds for level in levels}
        who = self._members[m] = _Who(worlds, pinned=not host)
        self._close(who, at_ms)
        return who.timeline

    def asked(self, m: int | None, precision: Precision, at_ms: int) -> None:
        """The host (`None`) or member `m` asks for a precision: from now on it may be in force."""
        self._give_up(at_ms)
        number = self._number = self._number + 1
        self._open[number] = _Change(m, precision.coarseness, at_ms)
        for who in self._touched(m):
            who.worlds = {(s, own, still | {number}) for s, own, still in who.worlds}
            self._close(who, at_ms)

    def failed(self, precision: Precision, at_ms: int) -> None:
        """A try of the host's change came to nothing, as far as is known."""
        self._give_up(at_ms)
        self._late[precision.coarseness] = at_ms
        for who in self._touched(None):
            self._close(who, at_ms)

    def late(self, at_ms: int) -> Iterable[int]:
        """The levels that may still be set by a request of the host that failed."""
        return [level for level, failed_ms in self._late.items() if at_ms - failed_ms <= OPEN_MS]

    def returned(self, m: int | None, precision: Precision, at_ms: int) -> None:
        """The newest such change is made. Of a change that nobody asked for nothing follows."""
        found = [n for n, one in self._open.items() if (one.m, one.level) == (m, precision.coarseness)]
        if not found:
            return
        number = found[-1]
        for who in self._touched(m):
            who.worlds = {world for world in who.worlds if number not in world[2]}
            self._close(who, at_ms)
        del self._open[number]

    # --- the rest ------------------------------------------------------------------------------------

    def _touched(self, m: int | None) -> list[_Who]:
        if m is None:
            return [self._session, *self._members.values()]
        return [self._members[m]] if m in self._members else []

    def _give_up(self, at_ms: int) -> None:
        """Changes that were never answered: both ways stay possible, and nothing is still to come."""
        self._late = {
            level: failed_ms for level, failed_ms in self._late.items() if at_ms - failed_ms <= OPEN_MS
        }
        for number in [n for n, one in self._open.items() if at_ms - one.asked_ms > OPEN_MS]:
            for who in self._touched(self._open.pop(number).m):
                who.worlds = {(s, own, still - {number}) for s, own, still in who.worlds}

    def _close(self, who: _Who, at_ms: int) -> None:
        """Adds every world that the changes still to come may lead to."""
        ahead = list(who.worlds)
        while ahead:
            session, own, still = ahead.pop()
            following = [
                (*self._made(who, session, own, self._open[number]), still - {number}) for number in still
            ]
            following += [
                (*self._made(who, session, own, _Change(None, level, 0)), still) for level in self._late
            ]
            for world in following:
                if world not in who.worlds:
                    who.worlds.add(world)
                    ahead.append(world)
        who.timeline.turn(at_ms, who.bits())

    @staticmethod
    def _made(who: _Who, session: int, own: int, change: _Change) -> tuple[int, int]:
        if change.m is not None:
            return session, change.level
        if who.pinned and change.level < session:
            own = max(own, session)
        return change.level, own
