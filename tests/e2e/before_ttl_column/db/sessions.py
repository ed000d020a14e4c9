"""Parties: made, joined, tightened, ended. Each change is one transaction; tokens come as digests only.

Every change counts the session's revision up. Locks are taken in one order everywhere: user, fence,
session, member. Nothing here knows the clock or sends anything: commit first, then publish.
"""

from __future__ import annotations

import asyncpg
import msgspec

from db.erasure import (
    Erasure,
    Receipt,
    carry_on_erasure,
    erase_user,
    finish_erasure,
    unfinished_erasures,
)
from db.fence import SHARDS, fenced, shard_of, transaction
from db.members import (
    JoinRefused,
    NoSuchMember,
    check_digest,
    check_name,
    join,
    kick,
    leave,
    member,
    members,
    session_of_member_token,
    set_member_precision,
)
from db.pool import Database
from db.queries import load
from db.records import MemberRow, SessionRow, session_of
from db.times import from_ms
from db.tracks import TrackRow, track
from db.users import NoSuchUser, create_guest, find_user
from protocol.messages import Role
from protocol.options import Options
from protocol.precision import Precision, tightens

__all__ = [
    "SHARDS", "Erasure", "JoinRefused", "MemberRow", "NoSuchMember", "NoSuchSession", "NoSuchTrip",
    "NoSuchUser", "Receipt", "SessionRow", "TrackRow", "carry_on_erasure", "create_guest", "create_session",
    "end_session", "erase_user", "find_session", "find_session_by_token", "find_user", "finish_erasure",
    "join", "kick", "leave", "members", "rotate_token", "session_of_member_token", "set_member_precision",
    "set_options", "set_session_precision", "shard_of", "track", "unfinished_erasures",
]  # fmt: skip

_SESSIONS = load("sessions")
_MEMBERS = load("members")
_USERS = load("users")


class NoSuchTrip(LookupError):
    """The trip is somebody else's, or there is none: which of the two, nobody is told."""

    def __init__(self) -> None:
        super().__init__("there is no such trip for this user")


class NoSuchSession(LookupError):
    """There is no such session."""

    def __init__(self) -> None:
        super().__init__("there is no such session")


async def create_session(
    conn: Database,
    *,
    host_user_id: int,
    display_name: str,
    sharable_digest: bytes,
    member_digest: bytes,
    precision: Precision,
    options: Options,
    started_at_ms: int,
    trip_id: int | None = None,
) -> tuple[SessionRow, MemberRow]:
    """A new party, with its host as member 1, whose own choice is `exact`: the session's is theirs to set.

    `trip_id`: a recommended trip, or one of the host's own. Raises `NoSuchUser`, `NoSuchTrip`, and
    `ValueError` for a name, digest or options that cannot be stored.
    """
    check_name(display_name)
    check_digest(sharable_digest)
    check_digest(member_digest)
    started_at, stored = from_ms(started_at_ms), _stored(options)
    async with transaction(conn) as tx:
        if not await tx.fetchval(_USERS["hold_user"], host_user_id):
            raise NoSuchUser
        if trip_id is not None and not await tx.fetchval(_SESSIONS["hold_trip"], trip_id, host_user_id):
            raise NoSuchTrip
        made = await tx.fetchrow(
            _SESSIONS["create"], host_user_id, trip_id, started_at, sharable_digest, precision.value, stored
        )
        session = session_of(_there(made))
        await tx.execute(
            _MEMBERS["add"],
            session.id,
            host_user_id,
            Role.HOST.value,
            display_name,
            member_digest,
            Precision.EXACT.value,
            started_at,
        )
        return session, await member(tx, session.id, host_user_id)


async def find_session(conn: Database, session_id: int) -> SessionRow | None:
    """The session, live or ended."""
    row = await conn.fetchrow(_SESSIONS["find"], session_id)
    return None if row is None else session_of(row)


async def find_session_by_token(conn: Database, digest: bytes) -> SessionRow | None:
    """The session of a sharable token, also when the token has expired or is used up: `join` decides that."""
    row = await conn.fetchrow(_SESSIONS["find_by_token"], digest)
    return None if row is None else session_of(row)


async def set_session_precision(conn: Database, session_id: int, precision: Precision) -> SessionRow:
    """What the host allows. Returns when no row that is finer can be committed any more (G3).

    A loosening leaves everybody but the host where they were, until they choose for themselves (G4).
    Raises `NoSuchSession`.
    """
    async with fenced(conn, session_id) as tx:
        before = await tx.fetchval(_SESSIONS["lock"], session_id)
        if before is None:
            raise NoSuchSession
        if tightens(precision, Precision(before)):
            await tx.execute(_MEMBERS["pin"], session_id, before)
        row = await tx.fetchrow(_SESSIONS["set_precision"], session_id, precision.value)
        return session_of(_there(row))


async def set_options(conn: Database, session_id: int, options: Options) -> SessionRow:
    """New options, whole. Fenced, because `live_only` stops storing. Raises `NoSuchSession`, `ValueError`."""
    stored = _stored(options)
    async with fenced(conn, session_id) as tx:
        return session_of(_there(await tx.fetchrow(_SESSIONS["set_options"], session_id, stored)))


async def rotate_token(conn: Database, session_id: int, digest: bytes) -> SessionRow:
    """A new invitation; the old one is dead when it returns. Raises `NoSuchSession`, `ValueError`."""
    check_digest(digest)
    async with transaction(conn) as tx:
        return session_of(_there(await tx.fetchrow(_SESSIONS["rotate_token"], session_id, digest)))


async def end_session(conn: Database, session_id: int) -> SessionRow:
    """Ends the session, now. One that has ended stays as it is. Raises `NoSuchSession`."""
    async with transaction(conn) as tx:
        row = await tx.fetchrow(_SESSIONS["end"], session_id)
        return session_of(_there(row or await tx.fetchrow(_SESSIONS["find"], session_id)))


def _there(row: asyncpg.Record | None) -> asyncpg.Record:
    if row is None:
        raise NoSuchSession
    return row


def _stored(options: Options) -> str:
    if options.ttl_hours is None:
        raise ValueError("options.ttl_hours must be filled in with the server's default before storing")
    return msgspec.json.encode(options).decode()
