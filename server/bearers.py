"""Who asks: from `Authorization: Bearer` to a user, or to somebody's place in a session.

A bearer is a member token, or a user's JWT. Somebody else's session and one that does not exist are the
same `NOT_FOUND`: no oracle. Neither token nor id is ever in a problem's text.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from db import sessions as store
from db.pool import Pool
from db.sessions import MemberRow, SessionRow
from protocol.messages import Role
from server.auth import BadToken, UserTokens, is_jwt
from server.problems import Kind, Problem
from server.tokens import digest

MAX_TOKEN = 4096
"""Characters, as on the wire."""
MAX_ID = 2**63 - 1
"""PostgreSQL's `bigint`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Somebody's place in a session."""

    row: SessionRow
    member: MemberRow

    @property
    def is_host(self) -> bool:
        """Whether they may change the session."""
        return self.member.role is Role.HOST and not self.member.kicked

    def must_host(self) -> None:
        """Raises `FORBIDDEN` for anybody else."""
        if not self.is_host:
            raise Problem(Kind.FORBIDDEN)


def bearer_of(headers: Mapping[str, str]) -> str | None:
    """The bearer token of a request; `None` without the header. Raises `UNAUTHORIZED` for another form."""
    header = headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not 0 < len(token) <= MAX_TOKEN or not token.isascii() or " " in token:
        raise Problem(Kind.UNAUTHORIZED)
    return token


class Bearers:
    """Looks bearers up."""

    def __init__(self, *, pool: Pool, users: UserTokens) -> None:
        self._pool = pool
        self._users = users

    async def user(self, token: str | None) -> int:
        """The user behind a member token or a JWT. Raises `UNAUTHORIZED`."""
        if token is None:
            raise Problem(Kind.UNAUTHORIZED)
        return await self.account(token) if is_jwt(token) else (await self._member(token)).member.user_id

    async def account(self, token: str) -> int:
        """The user that a JWT is for. Raises `UNAUTHORIZED`, also for a member token."""
        try:
            user_id = await self._users.user_id(token)
        except BadToken:
            raise _no_such_bearer() from None
        if not 0 < user_id <= MAX_ID or not await store.find_user(self._pool, user_id):
            raise _no_such_bearer()
        return user_id

    async def standing(self, token: str | None, session_id: int) -> Standing:
        """The bearer's place in a session. Raises `UNAUTHORIZED`, or `NOT_FOUND` for somebody without one."""
        if token is None:
            raise Problem(Kind.UNAUTHORIZED)
        standing = (
            await self._standing_of_user(token, session_id) if is_jwt(token) else await self._member(token)
        )
        if standing is None or standing.row.id != session_id:
            raise Problem(Kind.NOT_FOUND)
        return standing

    async def _member(self, token: str) -> Standing:
        found = await store.session_of_member_token(self._pool, digest(token))
        if found is None or found[1].left_at_ms is not None or found[1].kicked:
            raise _no_such_bearer()
        return Standing(*found)

    async def _standing_of_user(self, token: str, session_id: int) -> Standing | None:
        """A user is a member by their account; the host stays the host, also after leaving."""
        user_id = await self.account(token)
        row = await store.find_session(self._pool, session_id) if session_id <= MAX_ID else None
        if row is None:
            return None
        for member in await store.members(self._pool, session_id):
            if member.user_id == user_id and (member.left_at_ms is None or member.role is Role.HOST):
                return Standing(row, member)
        return None


def _no_such_bearer() -> Problem:
    return Problem(
        Kind.UNAUTHORIZED,
        "This bearer is not valid here: it is mistyped, expired, or was replaced or taken away.",
        {"WWW-Authenticate": 'Bearer realm="partyline", error="invalid_token"'},
    )
