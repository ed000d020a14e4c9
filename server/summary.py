"""A session's summary for its host: what the database says, with member numbers, as exactly as allowed now.

Bounded: gaps a member, seconds, one call at a time on a gateway. Nothing of who is private.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from db import summaries
from db.pool import Pool
from db.sessions import MemberRow, SessionRow
from db.summaries import Delays, MemberSummary
from protocol.precision import Precision
from server import bodies
from server.problems import Kind, Problem
from server.readback import TRIES, allowed, chosen_members, no_coarser, party_of

SUMMARIES_AT_ONCE = 1
"""A summary reads every row of its members several times: more calls wait."""
SUMMARY_S = 30.0
MOST_GAPS = 100
"""Gaps of a member that are listed; all are counted."""


class Summaries:
    """Makes summaries."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._turn = asyncio.Semaphore(SUMMARIES_AT_ONCE)

    async def summary(self, session_id: int, numbers: frozenset[int]) -> bodies.Summary:
        """Of the members of these numbers; of everybody, for none.

        Who tightened meanwhile is not told of more finely: then everything is asked again. Raises `NOT_FOUND`
        for a number that nobody has, `UNAVAILABLE` when it takes too long or changes all the time.
        """
        try:
            async with asyncio.timeout(SUMMARY_S), self._turn:
                for _ in range(TRIES):
                    row, members = await party_of(self._pool, session_id)
                    chosen = chosen_members(members, numbers)
                    found, delays = await summaries.summary(
                        self._pool,
                        session_id,
                        user_ids=[member.user_id for member in chosen],
                        most_gaps=MOST_GAPS,
                    )
                    if no_coarser(row, members, *await party_of(self._pool, session_id)):
                        return bodies.Summary(_figures(row, chosen, found), _delays(delays))
        except TimeoutError:
            raise Problem(
                Kind.UNAVAILABLE, "It takes too long: ask for some of the members by `member`."
            ) from None
        raise Problem(Kind.UNAVAILABLE, "Precision is being changed just now: ask again.")


def _figures(
    row: SessionRow, members: Sequence[MemberRow], found: Sequence[MemberSummary]
) -> list[bodies.MemberFigures]:
    by_user = {member.user_id: member for member in found}
    return [
        _member(member, allowed(row, member), by_user[member.user_id])
        for member in members
        if member.user_id in by_user and allowed(row, member) is not Precision.PRIVATE
    ]


def _member(member: MemberRow, precision: Precision, did: MemberSummary) -> bodies.MemberFigures:
    return bodies.MemberFigures(
        m=member.member_no,
        name=member.display_name,
        precision=precision,
        fixes=did.fixes,
        first_at=did.first_at_ms,
        last_at=did.last_at_ms,
        live_s=did.live_s,
        gap_count=did.gap_count,
        gaps=[bodies.Gap(*gap) for gap in did.gaps_ms],
        mean_accuracy_m=_rounded(did.mean_accuracy_m),
        distance_m=_rounded(did.distance_m),
        spots=[
            bodies.Spot(
                sequence=spot.sequence,
                place=spot.place,
                planned_stay_min=spot.planned_stay_min,
                nearest_m=round(spot.nearest_m, 1),
                arrived_at=spot.arrived_at_ms,
                left_at=spot.left_at_ms,
                stay_s=spot.stay_s,
            )
            for spot in did.spots
        ],
    )


def _delays(delays: Delays) -> bodies.DelayFigures:
    p50, p95, p99 = (
        None if value is None else round(value) for value in (delays.p50_ms, delays.p95_ms, delays.p99_ms)
    )
    return bodies.DelayFigures(p50, p95, p99, delays.counted)


def _rounded(metres: float | None) -> float | None:
    return None if metres is None else round(metres, 1)
