"""Reading back what was stored. Rows come as stored: the gateway makes them as coarse as allowed now."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from db.pool import Database
from db.queries import load
from db.times import from_ms, to_ms
from protocol.precision import Precision

_SQL = load("tracks")

MAX_TRACK_ROWS = 1_000_000


class TrackRow(msgspec.Struct, frozen=True, gc=False):
    """One stored position: epoch milliseconds, degrees, metres."""

    user_id: int
    at_ms: int
    lat: float
    lon: float
    accuracy_m: float | None
    precision: Precision
    """How fine it was stored; what may be shown now can be coarser."""

    def __repr__(self) -> str:  # no coordinate in a log
        return f"TrackRow(user_id={self.user_id}, …)"


async def track(
    conn: Database, session_id: int, *, user_ids: Sequence[int] | None, from_ms: int, to_ms: int, limit: int
) -> list[TrackRow]:
    """The first `limit` positions from `from_ms` to `to_ms` (both included), oldest first.

    `user_ids`: whose, or everybody's for `None`. Expired rows, and those of members who are private now or
    erased, are left out. Raises `ValueError` for a limit out of range or a time that no calendar has.
    """
    return await _track(conn, session_id, user_ids, (from_ms, to_ms), limit)


async def _track(
    conn: Database, session_id: int, user_ids: Sequence[int] | None, span_ms: tuple[int, int], limit: int
) -> list[TrackRow]:
    if not 1 <= limit <= MAX_TRACK_ROWS:
        raise ValueError(f"a track's limit must be from 1 to {MAX_TRACK_ROWS}")
    whose = None if user_ids is None else list(user_ids)
    found = await conn.fetch(_SQL["track"], session_id, whose, *map(from_ms, span_ms), limit)
    return [
        TrackRow(
            user_id=user_id,
            at_ms=to_ms(recorded_at) + fix_offset_ms,
            lat=lat,
            lon=lon,
            accuracy_m=accuracy_m,
            precision=Precision(precision),
        )
        for user_id, recorded_at, fix_offset_ms, lat, lon, accuracy_m, precision in found
    ]
