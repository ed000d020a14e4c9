"""Rough positions of one person: which cell is shown, and when that changes. Pure: keyed hashes only.

It keeps cells that were shown, the beats of their showing, and the beat at which the next change may
show; never a latitude or longitude of a fix (G5).

How `rough` hides a place. The centre of a cell tells its edges, so the edges must not be where the shown
cell changes. Everything is decided about the *moved* place: the fix less a *shift* (north and east, each
up to 3/8 of a side either way), drawn from the keyed hash once for a person and side. So all that is ever
shown is a function of place minus shift: whoever averages over crossings, walks, joins or years gets
that difference better and better, and the place no better than the shift, which is uniform (median
error 3/16 of a side along each axis). A threshold drawn anew for each crossing would average out. The
shifts of the five sides are nested: parties of several sides tell what the finest of them tells.

A cell is held until the moved place is 1/8 of a side past its edge, which starts a *crossing*; back
inside the cell ends it. The crossing's delay (0 to 300 s) is drawn by keyed hash for that one crossing.
The first fix of the first beat after it gives the new cell. So a fix that stays is at most half a side
past the shown cell's edge. The delay is what remains to somebody who has learned the shift.
`tests/attacks/test_rough_attacks.py` measures each attack.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from hashlib import blake2b

import msgspec

from protocol.limits import BEAT_MS
from protocol.precision import Precision
from server.grid import SIDES, Cell, Grid, origin
from server.position import LATE, Late, Position, Reading

MAX_DELAY_MS = 300_000
"""A crossing's delay is shorter than this."""

GAP_MS = MAX_DELAY_MS + BEAT_MS
"""After so long without a fix a crossing needs no delay: nobody can tell when it was."""

HISTORY = 64
"""Changes of the shown cell that are remembered, so that a fix sent again gets the same answer."""

KEY_BYTES = 32

SHIFT = 3 / 8
"""Sides that the shift may have along an axis, either way."""

HOLD = 1 / 8
"""Sides past its edge up to which a cell is held, so that a GPS's noise does not flap. With `SHIFT` it
makes half a side."""

_NUDGE_M = 0.01
"""What is pulled back to an edge goes so far inside it, so that rounding cannot put it outside."""

ACCURACY_M = {side: float(math.ceil(side * math.sqrt(2) / 2)) for side in SIDES}
"""A cell's half diagonal, rounded up, by its side. In a stored row it tells the side."""


class ShownCell(msgspec.Struct, array_like=True, frozen=True):
    """From `beat` (epoch milliseconds) on this cell was shown."""

    beat: int
    row: int
    col: int


class RoughState(msgspec.Struct, array_like=True, frozen=True):
    """What a `RoughMask` has shown, oldest first, and its newest beat. Nothing finer than was shown."""

    side: int
    beat: int
    shown: list[ShownCell]


class MaskKey:
    """The secret that grids, shifts and delays are drawn from. Changing it moves every grid."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_BYTES:
            raise ValueError(f"the mask key has {KEY_BYTES} bytes: give 64 hexadecimal digits")
        self._secret = secret

    def grid(self, user_id: int) -> Grid:
        """The user's grid."""
        return Grid(*origin(self._secret, user_id))

    def shift(self, user_id: int, side: int) -> tuple[float, float]:
        """A user's shift at a side: metres north and east, each uniform up to `SHIFT` sides either way.

        A side's shift is the next finer one's and a step of half the reach, to the one side or the other by
        keyed hash: uniform again, and whoever knows both shifted places has learned the step alone.
        """
        finest = SIDES[0]
        north, east, _, _ = self.draw(b"partyline.shift", user_id, finest)
        north_m, east_m = (2 * north - 1) * SHIFT * finest, (2 * east - 1) * SHIFT * finest
        for coarser in SIDES[1 : SIDES.index(side) + 1]:
            north, east, _, _ = self.draw(b"partyline.shift", user_id, coarser)
            step_m = SHIFT * coarser / 2
            north_m += math.copysign(step_m, north - 0.5)
            east_m += math.copysign(step_m, east - 0.5)
        return north_m, east_m

    def draw(self, person: bytes, *about: int) -> tuple[float, float, float, float]:
        """Four numbers in [0, 1) that depend on the secret, the purpose and the integers alone."""
        text = b"".join(number.to_bytes(16, "big", signed=True) for number in about)
        digest = blake2b(text, digest_size=32, key=self._secret, person=person).digest()
        a, b, c, d = (int.from_bytes(digest[i : i + 8], "big") >> 11 for i in (0, 8, 16, 24))
        return a / 2**53, b / 2**53, c / 2**53, d / 2**53

    def __repr__(self) -> str:
        return "MaskKey(…)"


class RoughMask:
    """One person's rough positions at one side, shared by all of their sessions on this gateway."""

    __slots__ = (
        "_beat",
        "_beats",
        "_cells",
        "_due",
        "_grid",
        "_hold_m",
        "_key",
        "_newest",
        "_row",
        "_shift_m",
        "_user",
        "side",
    )

    def __init__(self, key: MaskKey, user_id: int, grid: Grid, side: int) -> None:
        if side not in SIDES:
            raise ValueError(f"a rough cell's side is one of {SIDES} metres")
        self.side = side
        self._key = key
        self._user = user_id
        self._grid = grid
        self._shift_m = key.shift(user_id, side)
        self._hold_m = HOLD * side
        self._cells: list[Cell] = []
        """The cells that were shown, oldest first; `_beats` says from when. Both hold `HISTORY` at most."""
        self._beats: list[int] = []
        self._beat = 0
        """The newest beat that was answered."""
        self._newest = 0
        """The time of the newest fix: an older one never moves anything."""
        self._due: int | None = None
        """During a crossing: the first beat at which the shown cell may change."""
        self._row: Position | None = None
        """The answer of the newest beat: one object for the whole beat, so the bytes are the same."""

    def show(self, fix: Reading) -> Position | Late:
        """The position at the fix's beat, or `LATE`. The fix must have passed `admission.check`."""
        at = fix.at
        if self._cells and at <= self._newest:
            return self._shown_at(at - at % BEAT_MS)
        north, east = self._shift_m
        return self._advance(at, *self._grid.moved(fix.lat, fix.lon, -north, -east))

    def _advance(self, at: int, lat: float, lon: float) -> Position:
        """Takes a newer moved place."""
        beat = at - at % BEAT_MS
        if not self._cells:
            self._change(beat, self._grid.cell(lat, lon, self.side))
        elif beat > self._beat and self._may_change(beat):
            self._change(beat, self._held_cell(lat, lon))
        if beat != self._beat or self._row is None:
            self._row = self._position(beat, self._cells[-1])
        self._beat, self._newest = beat, at
        self._watch(at, lat, lon)
        return self._row

    def _may_change(self, beat: int) -> bool:
        """Asked of the first fix of a beat alone: within a beat nothing changes."""
        return beat - self._beat >= GAP_MS or (self._due is not None and beat >= self._due)

    def _watch(self, at: int, lat: float, lon: float) -> None:
        """Starts a crossing, or ends it."""
        cell = self._cells[-1]
        north, east = self._grid.beyond(cell, lat, lon)
        if north == 0.0 and east == 0.0:
            self._due = None
        elif self._due is None and max(abs(north), abs(east)) > self._hold_m:
            numbers = (self._user, self.side, cell.row, cell.col, at // BEAT_MS)
            delay = int(self._key.draw(b"partyline.delay", *numbers)[0] * MAX_DELAY_MS)
            self._due = -(-(at + delay) // BEAT_MS) * BEAT_MS

    def _change(self, beat: int, cell: Cell) -> None:
        self._due = None
        if self._cells and self._cells[-1] == cell:
            return
        self._cells.append(cell)
        self._beats.append(beat)
        if len(self._cells) > HISTORY:
            del self._cells[0], self._beats[0]

    def _held_cell(self, lat: float, lon: float) -> Cell:
        """The cell nearest to the shown one that would be held here."""
        north, east = self._grid.beyond(self._cells[-1], lat, lon)
        back = self._pull(north), self._pull(east)
        return self._grid.cell(*self._grid.moved(lat, lon, *back), self.side)

    def _pull(self, past: float) -> float:
        """Metres to go back: just inside the shown cell, or as far as a cell is held."""
        return math.copysign(min(abs(past) + _NUDGE_M, self._hold_m), -past) if past else 0.0

    def _shown_at(self, beat: int) -> Position | Late:
        if beat == self._beat and self._row is not None:
            return self._row
        index = bisect_right(self._beats, beat) - 1
        return LATE if index < 0 else self._position(beat, self._cells[index])

    def _position(self, beat: int, cell: Cell) -> Position:
        lat, lon = self._grid.centre(cell)
        return Position(beat, lat, lon, ACCURACY_M[self.side], None, None, Precision.ROUGH)

    def state(self) -> RoughState:
        """What a restarted gateway needs to go on. A crossing is left out: it was not shown yet."""
        shown = [ShownCell(b, c.row, c.col) for b, c in zip(self._beats, self._cells, strict=True)]
        return RoughState(self.side, self._beat, shown)

    def restore(self, state: RoughState) -> None:
        """Goes on from a `state()` that is newer than what was shown. Raises `ValueError` for a bad one."""
        beats = [shown.beat for shown in state.shown]
        if state.side != self.side or len(beats) > HISTORY or beats != sorted(set(beats)):
            raise ValueError("not a state of this mask: start it without one")
        if any(beat % BEAT_MS for beat in (*beats, state.beat)) or (beats and beats[-1] > state.beat):
            raise ValueError("a mask's state holds whole beats: start it without one")
        if any(max(abs(shown.row), abs(shown.col)) > 2**24 for shown in state.shown):
            raise ValueError("a mask's state holds cells on Earth: start it without one")
        if not beats or (self._cells and state.beat <= self._beat):
            return
        self._cells = [Cell(self.side, shown.row, shown.col) for shown in state.shown]
        self._beats, self._beat = beats, state.beat
        self._due = self._row = None
        self._newest = state.beat + BEAT_MS - 1  # the rest of that beat was answered already
