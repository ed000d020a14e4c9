"""Reads a session's tracks back: stored rows, member by member and day by day, as coarse as allowed now.

Never gives more than session, member and user allow at the moment of the answer, whatever was stored, and
nothing of who is private. Bounded: days a call, points an answer, seconds, and calls at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from db import sessions as store
from db.pool import Pool
from db.sessions import MemberRow, SessionRow
from protocol.precision import Precision, coarsest
from server.masking import DAY_MS, MaskKey, Position, UserMasks, day_start, remask
from server.problems import Kind, Problem
from server.track import MemberTrack, Thinned

READS_AT_ONCE = 2
"""Calls that read tracks at the same time on a gateway; more wait, so that joins keep their connections."""
READ_S = 30.0
MAX_DAYS = 8
"""Days a call may span."""
MAX_POINTS = 50_000
"""Points in an answer, all members together."""
DEFAULT_POINTS = 1_000
MOST_POINTS = 10_000
"""Points a member, at most."""
ROWS_A_DAY = DAY_MS // 5_000
TRIES = 3
CLOCKS_MS = 60_000
"""The database's clock and ours may differ by this."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a call asks for: member numbers (none: everybody), times in epoch milliseconds, both included."""

    members: frozenset[int]
    from_ms: int | None
    to_ms: int | None
    points: int


def allowed(row: SessionRow, member: MemberRow) -> Precision:
    """What may be shown of a member now (G4)."""
    return coarsest(row.precision, member.precision, member.privacy_level)


class Readback:
    """Reads tracks."""

    def __init__(self, *, pool: Pool, mask_key: MaskKey, ttl_hours: int) -> None:
        self._pool = pool
        self._mask_key = mask_key
        self._ttl_hours = ttl_hours
        self._turn = asyncio.Semaphore(READS_AT_ONCE)

    async def tracks(self, session_id: int, wanted: Wanted, now_ms: int) -> list[MemberTrack]:
        """The tracks, by member number. Raises `NOT_FOUND`, `INVALID` for the span, `UNAVAILABLE` in a storm.

        Who tightened meanwhile is not given finer: then everything is read again.
        """
        try:
            async with asyncio.timeout(READ_S), self._turn:
                for _ in range(TRIES):
                    row, members = await self._party(session_id)
                    tracks = await self._read(row, chosen_members(members, wanted.members), wanted, now_ms)
                    if no_coarser(row, members, *await self._party(session_id)):
                        return tracks
        except TimeoutError:
            raise Problem(Kind.UNAVAILABLE, "It takes too long: narrow `member`, `from` and `to`.") from None
        raise Problem(Kind.UNAVAILABLE, "Precision is being changed just now: ask again.")

    async def _party(self, session_id: int) -> tuple[SessionRow, list[MemberRow]]:
        return await party_of(self._pool, session_id)

    async def _read(
        self, row: SessionRow, members: Sequence[MemberRow], wanted: Wanted, now_ms: int
    ) -> list[MemberTrack]:
        from_ms, to_ms = span(row, wanted, now_ms)
        shown = [member for member in members if allowed(row, member) is not Precision.PRIVATE]
        most = max(2, min(wanted.points, MAX_POINTS // max(1, len(shown))))
        tracks = []
        for member in shown:
            points = Thinned(most)
            for day_ms in range(day_start(from_ms), to_ms + 1, DAY_MS):
                for position in await self._day(row, member, day_ms, now_ms):
                    if from_ms <= position.at <= to_ms:
                        points.add(position)
            tracks.append(
                MemberTrack(member.member_no, member.display_name, allowed(row, member), points.points())
            )
        return tracks

    async def _day(self, row: SessionRow, member: MemberRow, day_ms: int, now_ms: int) -> list[Position]:
        """A whole UTC day of one member: `remask` must see all of it, whatever part was asked for."""
        stored = await store.track(
            self._pool,
            row.id,
            user_ids=[member.user_id],
            from_ms=day_ms,
            to_ms=day_ms + DAY_MS - 1,
            limit=ROWS_A_DAY,
        )
        positions = (Position(r.at_ms, r.lat, r.lon, r.accuracy_m, None, None, r.precision) for r in stored)
        return list(
            remask(
                positions,
                precision=allowed(row, member),
                masks=UserMasks(self._mask_key, member.user_id),
                side=row.options.rough_cell_m,
                complete_from_ms=complete_from(row, self._ttl_hours, now_ms),
            )
        )


async def party_of(pool: Pool, session_id: int) -> tuple[SessionRow, list[MemberRow]]:
    """The session and its members as they are now. Raises `NOT_FOUND`."""
    row = await store.find_session(pool, session_id)
    if row is None:
        raise Problem(Kind.NOT_FOUND)
    return row, await store.members(pool, session_id)


def span(row: SessionRow, wanted: Wanted, now_ms: int) -> tuple[int, int]:
    """From when to when: by default the session's last `MAX_DAYS` days. Raises `INVALID`."""
    # A rough position's time is its beat, which may lie a minute before the session's start.
    first, last = row.started_at_ms - 60_000, (row.ended_at_ms or now_ms) + 60_000
    to_ms = last if wanted.to_ms is None else min(wanted.to_ms, last)
    from_ms = (
        max(first, to_ms - (MAX_DAYS - 1) * DAY_MS) if wanted.from_ms is None else max(wanted.from_ms, first)
    )
    if wanted.from_ms is not None and wanted.to_ms is not None and wanted.from_ms > wanted.to_ms:
        raise Problem(Kind.INVALID, "`from` is after `to`: swap them.")
    if to_ms - from_ms > MAX_DAYS * DAY_MS:
        raise Problem(Kind.INVALID, f"A call spans at most {MAX_DAYS} days: narrow `from` and `to`.")
    return from_ms, to_ms


def complete_from(row: SessionRow, ttl_hours: int, now_ms: int) -> int:
    """From here on no row is missing for its age; 0 while the session is younger than its time-to-live."""
    kept_ms = min(row.options.ttl_hours or ttl_hours, ttl_hours) * 3_600_000
    horizon_ms = now_ms - kept_ms + CLOCKS_MS
    return horizon_ms if horizon_ms > row.started_at_ms else 0


def chosen_members(members: Sequence[MemberRow], numbers: frozenset[int]) -> list[MemberRow]:
    """The members of these numbers; everybody, for none. Raises `NOT_FOUND` for a number that nobody has."""
    if numbers - {member.member_no for member in members}:
        raise Problem(Kind.NOT_FOUND, "There is no member of that number in this session.")
    return [member for member in members if not numbers or member.member_no in numbers]


def no_coarser(
    before_row: SessionRow, before: Sequence[MemberRow], row: SessionRow, members: Sequence[MemberRow]
) -> bool:
    """Whether all that could be shown before may still be shown."""
    now = {member.user_id: allowed(row, member).coarseness for member in members}
    return row.options.rough_cell_m <= before_row.options.rough_cell_m and all(
        now.get(member.user_id, Precision.PRIVATE.coarseness) <= allowed(before_row, member).coarseness
        for member in before
    )
