"""The masking call: from a fix to the position that others may see, and from stored rows to the same.

Pure; no clock, no randomness. No object keeps a fix's latitude or longitude after the call (G5).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import msgspec

from protocol.precision import Precision
from server.position import LATE, Late, Position, Reading
from server.rough import ACCURACY_M, MaskKey, RoughMask, RoughState

__all__ = ["LATE", "Late", "MaskKey", "MaskState", "Position", "UserMasks", "day_start", "mask", "remask"]

DAY_MS = 86_400_000
"""Stored exact rows are read back as rough a whole UTC day at a time."""

_EXACT, _ROUGH, _INF = Precision.EXACT, Precision.ROUGH, math.inf  # looked up once: the hot path
_SIDE_OF_ACCURACY = {acc: side for side, acc in ACCURACY_M.items()}


class MaskState(msgspec.Struct, array_like=True, frozen=True):
    """What a user's masks have shown."""

    rough: list[RoughState]


class UserMasks:
    """A user's masks on this gateway: one for each side, at most five. Whoever looks sees the same."""

    __slots__ = ("_grid", "_key", "_rough", "_user")

    def __init__(self, key: MaskKey, user_id: int) -> None:
        self._key = key
        self._user = user_id
        self._grid = key.grid(user_id)
        self._rough: dict[int, RoughMask] = {}

    def rough(self, side: int) -> RoughMask:
        """The mask at a side of 250, 500, 1000, 2000 or 4000 metres. Raises `ValueError` for another."""
        mask = self._rough.get(side)
        if mask is None:
            mask = self._rough[side] = self.fresh(side)
        return mask

    def fresh(self, side: int) -> RoughMask:
        """A mask of this user that has shown nothing, and that no session shares."""
        return RoughMask(self._key, self._user, self._grid, side)

    def state(self) -> MaskState:
        """What all of this user's masks have shown."""
        return MaskState([mask.state() for mask in self._rough.values()])

    def restore(self, state: MaskState) -> None:
        """Goes on from a `state()`, side by side, where it is newer. Raises `ValueError` for a bad one."""
        for rough in state.rough:
            self.rough(rough.side).restore(rough)


def mask(precision: Precision, masks: UserMasks, side: int, fix: Reading) -> Position | Late | None:
    """What others may see of a fix that passed `admission.check`: the one call, and the fix dies in it.

    `side` in metres matters to `rough` alone. `None`: nothing may be seen. `LATE`: refuse it as `late`.
    Never raises for such a fix. Anything but the members of `Precision` is taken as `private`.
    """
    if precision is _EXACT:
        acc, spd, hdg = fix.acc, fix.spd, fix.hdg
        if acc is not None and not 0.0 <= acc < _INF:
            acc = None
        if spd is not None and not 0.0 <= spd < _INF:
            spd = None
        if hdg is not None and not 0.0 <= hdg <= 360.0:
            hdg = None
        return Position(fix.at, fix.lat, fix.lon, acc, spd, hdg, precision)
    if precision is _ROUGH:
        return masks.rough(side).show(fix)
    return None


def remask(
    rows: Iterable[Position], *, precision: Precision, masks: UserMasks, side: int, complete_from_ms: int
) -> Iterator[Position]:
    """One member's stored rows, in time order, as the precision of now allows.

    At `rough`, rows finer than `side` (exact, or rough at a smaller side) go through a mask that starts
    afresh with each UTC day; the others stay. A mask that started wherever a reader asks would give the
    cell at any moment, so days start where the clock says: **give whole days** (`day_start(from)` on)
    and cut afterwards. `complete_from_ms`: from here on every stored row of the member is in `rows` (the
    time-to-live's horizon; 0 if nothing is hidden). Finer rows of a day that began before are left out.
    Raises `ValueError` for a side that is none.
    """
    if precision is _EXACT:
        yield from rows
    elif precision is _ROUGH:
        day, rough, last = -1, masks.fresh(side), None
        for row in rows:
            stored = _side_of(row)
            if stored is None or (stored < side and day_start(row.at) < complete_from_ms):
                continue
            shown: Position | Late = row
            if stored < side:
                if day_start(row.at) != day:
                    day, rough = day_start(row.at), masks.fresh(side)
                shown = rough.show(row)
            if shown is not LATE and shown != last:
                last = shown
                yield shown


def _side_of(row: Position) -> int | None:
    """How fine a stored row is, metres: 0 for exact, `None` for what is no row of ours."""
    if row.precision is _EXACT:
        return 0
    return _SIDE_OF_ACCURACY.get(row.acc or 0.0) if row.precision is _ROUGH else None


def day_start(at_ms: int) -> int:
    """The start of the UTC day, epoch milliseconds."""
    return at_ms - at_ms % DAY_MS
