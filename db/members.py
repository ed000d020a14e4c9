"""Who is in a party: coming in, choosing a precision, going, being removed.

Each change is one transaction and counts the session's revision up. Locks are taken in one order: fence,
user, session, member. Tokens come as digests only. Knows no clock, sends nothing.
"""

from __future__ import annotations

from db.fence import fenced, transaction
from db.pool import Connection, Database
from db.queries import load
from db.records import MemberRow, SessionRow, member_of, session_of
from db.times import from_ms
from db.users import NoSuchUser, create_guest
from protocol.limits import MAX_NAME
from protocol.messages import Role
from protocol.precision import Precision

_SESSIONS = load("sessions")
_MEMBERS = load("members")
_USERS = load("users")

DIGEST_BYTES = 32
"""Of SHA-256."""


class NoSuchMember(LookupError):
    """The session has no such member."""

    def __init__(self) -> None:
        super().__init__("the session has no such member")


class JoinRefused(Exception):
    """Why somebody may not come in: `bad_token`, `ended`, `full` or `kicked`."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


async def session_of_member_token(conn: Database, digest: bytes) -> tuple[SessionRow, MemberRow] | None:
    """Who comes back with a member token; `None` once they left, were kicked or erased."""
    row = await conn.fetchrow(_MEMBERS["find_by_token"], digest)
    if row is None:
        return None
    member = member_of(row)
    session = await conn.fetchrow(_SESSIONS["find"], member.session_id)
    return None if session is None else (session_of(session), member)


async def members(conn: Database, session_id: int) -> list[MemberRow]:
    """Everybody who is or was in the session, by number."""
    return [member_of(row) for row in await conn.fetch(_MEMBERS["of_session"], session_id)]


async def join(
    conn: Database,
    *,
    digest: bytes,
    user_id: int | None,
    display_name: str,
    member_digest: bytes,
    precision: Precision,
    now_ms: int,
) -> tuple[SessionRow, MemberRow]:
    """Comes in by a sharable token; without a user, as a guest who is made in the same transaction.

    A known member gets the same number and a new token, the old one dies, and no use of the invitation is
    counted. Raises `JoinRefused`, `NoSuchUser`, and `ValueError` for a name or digest that cannot be stored.
    """
    check_name(display_name)
    check_digest(member_digest)
    async with transaction(conn) as tx:
        if user_id is not None and not await tx.fetchval(_USERS["hold_user"], user_id):
            raise NoSuchUser
        found = await tx.fetchrow(_SESSIONS["find_by_token_locked"], digest)
        if found is None:
            raise JoinRefused("bad_token")
        session = session_of(found)
        row = await tx.fetchrow(_MEMBERS["find"], session.id, user_id)
        known = None if row is None else member_of(row)
        present = await tx.fetchval(_MEMBERS["count_present"], session.id)
        reason = _refusal(session, known, present, now_ms)
        if reason:
            raise JoinRefused(reason)
        uses = 0 if known else 1
        who = user_id if user_id is not None else await create_guest(tx)
        await tx.execute(
            _MEMBERS["come_back" if known else "add"],
            session.id,
            who,
            Role.MEMBER.value,
            display_name,
            member_digest,
            precision.value,
            from_ms(now_ms),
        )
        counted = await tx.fetchrow(_SESSIONS["count_change"], session.id, uses)
        return session if counted is None else session_of(counted), await member(tx, session.id, who)


def _refusal(session: SessionRow, known: MemberRow | None, present: int, now_ms: int) -> str | None:
    options = session.options
    if session.status != "live":
        return "ended"
    if options.token_expires_at is not None and now_ms >= options.token_expires_at:
        return "bad_token"
    if known and known.kicked:
        return "kicked"
    used_up = options.token_max_uses is not None and session.token_uses >= options.token_max_uses
    if used_up and not known:
        return "bad_token"
    is_present = known is not None and known.left_at_ms is None
    return "full" if present >= options.max_members and not is_present else None


async def set_member_precision(
    conn: Database, session_id: int, user_id: int, precision: Precision
) -> MemberRow:
    """The member's own choice. Returns when no row that is finer can be committed any more (G3).

    Raises `NoSuchMember`.
    """
    async with fenced(conn, session_id) as tx:
        await tx.fetchrow(_SESSIONS["count_change"], session_id, 0)
        await tx.execute(_MEMBERS["set_precision"], session_id, user_id, precision.value)
        return await member(tx, session_id, user_id)


async def kick(conn: Database, session_id: int, member_no: int) -> MemberRow | None:
    """Removes a member for good; their token is dead when it returns. `None`: nobody, or the host."""
    return await _depart(conn, "kick", session_id, member_no)


async def leave(conn: Database, session_id: int, user_id: int) -> MemberRow | None:
    """A member goes; their token is dead when it returns. `None`: they were never there."""
    return await _depart(conn, "leave", session_id, user_id)


async def _depart(conn: Database, how: str, session_id: int, who: int) -> MemberRow | None:
    async with transaction(conn) as tx:
        await tx.fetchval(_SESSIONS["lock"], session_id)
        user_id = await tx.fetchval(_MEMBERS[how], session_id, who)
        if user_id is None:
            return None
        await tx.execute(_SESSIONS["count_change"], session_id, 0)
        return await member(tx, session_id, user_id)


async def member(tx: Connection, session_id: int, user_id: int) -> MemberRow:
    """One member. Raises `NoSuchMember`."""
    row = await tx.fetchrow(_MEMBERS["find"], session_id, user_id)
    if row is None:
        raise NoSuchMember
    return member_of(row)


def check_digest(digest: bytes) -> None:
    """Raises `ValueError` for what is not a SHA-256."""
    if len(digest) != DIGEST_BYTES:
        raise ValueError("a token is stored as its SHA-256: 32 bytes")


def check_name(name: str) -> None:
    """Raises `ValueError` for a display name that cannot be stored."""
    if not 1 <= len(name) <= MAX_NAME or "\0" in name:
        raise ValueError(f"a display name must have 1 to {MAX_NAME} characters, and no NUL")
