"""How a connection enters a party: `join` with the sharable token, `resume` with the member token.

A signed-in user's JWT stands in `Authorization: Bearer` or in `join.user`. There a guest's phone may also
show a member token of any party: it stays the same person, with the same mask. Else a guest is made, where
guests are allowed. Every failure is a close code; none of them repeats a token.
"""

from __future__ import annotations

from typing import NoReturn

import asyncpg

from db import sessions as store
from db.sessions import JoinRefused, MemberRow, NoSuchUser, SessionRow
from protocol.close_codes import CloseCode
from protocol.limits import WINDOW_MS
from protocol.messages import Join, Resume, Welcome
from protocol.server import Refused
from server.auth import BadToken, UserTokens, is_jwt
from server.connection import Connection
from server.doors import Doors
from server.hub import Hub
from server.refresher import Refresher
from server.registry import Registry
from server.session import Member, Session
from server.steering import Steering
from server.tokens import digest, new_member_token
from server.turns import Turns

_REFUSALS = {
    "bad_token": CloseCode.BAD_TOKEN,
    "ended": CloseCode.ENDED,
    "full": CloseCode.FULL,
    "kicked": CloseCode.KICKED,
}


class Entrance:
    """Lets connections in."""

    def __init__(
        self,
        *,
        hub: Hub,
        registry: Registry,
        pool: asyncpg.Pool,
        refresher: Refresher,
        steering: Steering,
        users: UserTokens,
        allow_guests: bool,
        doors: Doors,
        max_sessions: int,
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._pool = pool
        self._refresher = refresher
        self._steering = steering
        self._users = users
        self._allow_guests = allow_guests
        self._doors = doors
        self._max_sessions = max_sessions
        self._turns = Turns()

    async def enter(self, connection: Connection, message: Join | Resume) -> None:
        """Looks the token up and attaches the connection. Raises `Refused`."""
        if connection.socket is not None and self._doors.join(connection.socket.address) > 0:
            raise Refused(CloseCode.UNAVAILABLE)
        async with self._turns.turn():
            if not connection.is_open:
                return
            if isinstance(message, Join):
                await self._join(connection, message)
            else:
                await self._resume(connection, message.token or connection.bearer)

    def _must_have_room(self, session_id: int) -> None:
        """Before anything is written: a join that is refused later would leave a member behind."""
        sessions = self._hub.sessions
        if session_id not in sessions and len(sessions) >= self._max_sessions:
            raise Refused(CloseCode.UNAVAILABLE)

    async def _join(self, connection: Connection, message: Join) -> None:
        token, user_token = message.token, message.user
        if connection.bearer:
            if is_jwt(connection.bearer) or token:
                user_token = user_token or connection.bearer
            else:
                token = connection.bearer
        user_id = await self._user(user_token)
        found = await store.find_session_by_token(self._pool, digest(token)) if token else None
        if found is None:
            raise Refused(CloseCode.BAD_TOKEN)
        self._must_have_room(found.id)
        member_token = new_member_token()
        lock = self._registry.lock(found.id)
        async with lock:
            if user_id is not None:
                await self._steering.before_join(found.id, user_id, message.precision)
            touched = lock.touched
            try:
                row, member_row = await store.join(
                    self._pool,
                    digest=digest(token),
                    user_id=user_id,
                    display_name=message.name,
                    member_digest=digest(member_token),
                    precision=message.precision,
                    now_ms=self._hub.clock(),
                )
            except JoinRefused as refused:
                raise Refused(_REFUSALS[refused.reason]) from None
            except NoSuchUser:  # erased a moment ago
                _bad_token()
            await self._attach(connection, row, member_row, member_token, touched, chosen=True)

    async def _user(self, user_token: str) -> int | None:
        """`None`: a new guest, also with a member token that leads to nobody: that tells nothing of it."""
        if is_jwt(user_token):
            try:
                user_id = await self._users.user_id(user_token)
            except BadToken:
                _bad_token()
            if not await store.find_user(self._pool, user_id):
                _bad_token()
            return user_id
        if not self._allow_guests:
            _bad_token()
        found = await store.session_of_member_token(self._pool, digest(user_token)) if user_token else None
        return (
            None if found is None or found[1].kicked or found[1].left_at_ms is not None else found[1].user_id
        )

    async def _resume(self, connection: Connection, token: str) -> None:
        member_digest = digest(token)
        found = await store.session_of_member_token(self._pool, member_digest) if token else None
        if found is None:
            _bad_token()
        self._must_have_room(found[0].id)
        lock = self._registry.lock(found[0].id)
        async with lock:
            touched = lock.touched
            found = await store.session_of_member_token(self._pool, member_digest)  # again, under the lock
            if found is None:
                _bad_token()
            row, member_row = found
            if member_row.kicked:
                raise Refused(CloseCode.KICKED)
            if row.status == "ended":
                raise Refused(CloseCode.ENDED)
            if member_row.left_at_ms is not None:
                _bad_token()
            await self._attach(connection, row, member_row, token, touched)

    async def _attach(
        self,
        connection: Connection,
        row: SessionRow,
        member_row: MemberRow,
        member_token: str,
        touched: int,
        *,
        chosen: bool = False,
    ) -> None:
        """`touched`: of the session's lock, before the rows were read. `chosen`: the member has just said
        what they share, which may be more than before (G4).
        """
        try:
            session = await self._registry.load(row.id)
        except LookupError:
            raise Refused(CloseCode.ENDED) from None
        known = session.members.get(member_row.member_no)
        if chosen and known is not None:
            known.pledged = None
        await self._bring_up(session, row, member_row, touched, chosen=chosen)
        # Nothing is awaited from here on: what another gateway has told meanwhile is applied.
        member = session.members.get(member_row.member_no)
        if session.ended:
            raise Refused(CloseCode.ENDED)
        if member is None or member.user_id != member_row.user_id:
            _bad_token()
        if not connection.is_open:
            return
        now_ms = self._hub.clock()
        self._hub.attach(connection, member, now_ms)
        may_send = self._hub.may_send() and not session.withheld
        connection.say(_welcome(session, member, member_token, now_ms, with_positions=may_send))
        if not may_send:  # they come with the first tick that may be sent
            self._hub.repeat(session, 0)
        connection.say(self._hub.current_policy())
        self._hub.broadcast(session, member.message(), but=connection)

    async def _bring_up(
        self, session: Session, row: SessionRow, member_row: MemberRow, touched: int, *, chosen: bool
    ) -> None:
        """The session knows the member, as of `row` or later. Only the own join is new in most cases."""
        lock = self._registry.lock(session.id)
        await self._registry.take_masks_along(member_row.user_id)
        if lock.touched == touched:
            if session.revision >= row.revision and member_row.member_no in session.members:
                return
            if chosen and session.revision + 1 == row.revision and not session.withheld:
                self._registry.put(session, member_row)
                session.revision = row.revision
                self._hub.restrict(session)
                return
        while True:
            touched = lock.touched
            await self._refresher.refresh(session.id)
            if lock.touched == touched:
                return


def _welcome(
    session: Session, member: Member, member_token: str, now_ms: int, *, with_positions: bool
) -> Welcome:
    return Welcome(
        session=session.id,
        you=member.number,
        role=member.role,
        member_token=member_token,
        precision=member.allowed,
        session_precision=session.precision,
        revision=session.revision,
        tick_ms=session.options.tick_ms,
        window_ms=WINDOW_MS,
        now=now_ms,
        members=[other.message() for other in session.members.values()],
        positions=session.rows_since(0) if with_positions else [],
    )


def _bad_token() -> NoReturn:
    raise Refused(CloseCode.BAD_TOKEN)
