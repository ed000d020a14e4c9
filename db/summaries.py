"""What members of a session did, from stored rows: live times, gaps, accuracy, distance, stops, delays.

Answers never tell more than is allowed at the moment they are asked for; of who is private there are none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import asyncpg
import msgspec

from db.pool import Pool
from db.queries import load
from db.times import to_ms, to_ms_or_none

_SQL = load("summaries")


class SpotRow(msgspec.Struct, frozen=True, gc=False):
    """A member at a stop of the trip; epoch milliseconds, metres, seconds."""

    sequence: int
    place: str
    planned_stay_min: int | None
    nearest_m: float
    arrived_at_ms: int | None
    """The first fix there; `None` for who never came."""
    left_at_ms: int | None
    """The last fix there."""
    stay_s: float

    def __repr__(self) -> str:  # no place in a log
        return f"SpotRow(sequence={self.sequence}, …)"


class MemberSummary(msgspec.Struct, frozen=True):
    """What one member did; epoch milliseconds, metres, seconds."""

    user_id: int
    fixes: int
    """Windows with a fix; for who is rough now, beats."""
    first_at_ms: int
    last_at_ms: int
    live_s: float
    gap_count: int
    gaps_ms: list[tuple[int, int]]
    """The longest, in order."""
    mean_accuracy_m: float | None
    distance_m: float | None
    """`None` where no place may be told."""
    spots: list[SpotRow]

    def __repr__(self) -> str:
        return f"MemberSummary(user_id={self.user_id}, …)"


class Delays(msgspec.Struct, frozen=True):
    """From fix to commit, milliseconds; of exact rows whose commit the server still knows."""

    counted: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


async def summary(
    pool: Pool, session_id: int, *, user_ids: Sequence[int] | None, most_gaps: int
) -> tuple[list[MemberSummary], Delays]:
    """What these members did (everybody, for `None`), and the delays of their rows; all of one moment.

    Who has no rows, is private now, or was erased is left out.
    """
    whose = None if user_ids is None else list(user_ids)
    async with (
        pool.acquire() as taken,
        taken.transaction(isolation="repeatable_read", readonly=True),
    ):
        spans = await taken.fetch(_SQL["spans"], session_id, whose)
        liveness = _by_user(await taken.fetch(_SQL["liveness"], session_id, whose, most_gaps))
        accuracy = _by_user(await taken.fetch(_SQL["accuracy"], session_id, whose))
        distances = _by_user(await taken.fetch(_SQL["distances"], session_id, whose))
        spots: defaultdict[int, list[SpotRow]] = defaultdict(list)
        for row in await taken.fetch(_SQL["spots"], session_id, whose):
            spots[row["user_id"]].append(_spot_of(row))
        delays = await taken.fetchrow(_SQL["delays"], session_id, whose)
    return [
        _member_of(
            span,
            liveness[span["user_id"]],
            accuracy.get(span["user_id"]),
            distances.get(span["user_id"]),
            spots[span["user_id"]],
        )
        for span in spans
    ], Delays(*(delays or (0, None, None, None)))


def _by_user(rows: Sequence[asyncpg.Record]) -> dict[int, asyncpg.Record]:
    return {row["user_id"]: row for row in rows}


def _spot_of(row: asyncpg.Record) -> SpotRow:
    return SpotRow(
        sequence=row["sequence"],
        place=row["place"],
        planned_stay_min=row["planned_stay_min"],
        nearest_m=row["nearest_m"],
        arrived_at_ms=to_ms_or_none(row["arrived_at"]),
        left_at_ms=to_ms_or_none(row["left_at"]),
        stay_s=row["stay_s"],
    )


def _member_of(
    span: asyncpg.Record,
    liveness: asyncpg.Record,
    accuracy: asyncpg.Record | None,
    distance: asyncpg.Record | None,
    spots: list[SpotRow],
) -> MemberSummary:
    return MemberSummary(
        user_id=span["user_id"],
        fixes=span["fixes"],
        first_at_ms=to_ms(span["first_at"]),
        last_at_ms=to_ms(span["last_at"]),
        live_s=liveness["live_s"],
        gap_count=liveness["gap_count"],
        gaps_ms=list(zip(map(to_ms, liveness["gaps_from"]), map(to_ms, liveness["gaps_to"]), strict=True)),
        mean_accuracy_m=None if accuracy is None else accuracy["mean_accuracy_m"],
        distance_m=None if distance is None else distance["distance_m"],
        spots=spots,
    )
