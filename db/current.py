"""Parties as they are now: each session with who is in it, of one moment, many sessions at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from db.pool import Pool
from db.queries import load
from db.records import MemberRow, SessionRow, member_of, session_of

_SQL = load("current")


class Party(NamedTuple):
    """A session and its present members, by number."""

    session: SessionRow
    members: list[MemberRow]


async def read_parties(pool: Pool, ids: Iterable[int]) -> dict[int, Party]:
    """The sessions of these ids that exist, by id. A session's members are of the same moment as its row."""
    wanted = list(ids)
    async with (
        pool.acquire() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        sessions = await connection.fetch(_SQL["sessions"], wanted)
        members = await connection.fetch(_SQL["members"], wanted)
    parties = {record["id"]: Party(session_of(record), []) for record in sessions}
    for record in members:
        parties[record["session_id"]].members.append(member_of(record))
    return parties


async def read_revisions(pool: Pool, ids: Iterable[int]) -> dict[int, int]:
    """The revision of each of these sessions that exists, by id."""
    return {record["id"]: record["revision"] for record in await pool.fetch(_SQL["revisions"], list(ids))}
