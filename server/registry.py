"""Loads sessions from PostgreSQL into the hub, one change at a time a session.

Whoever loads, joins or steers a session holds its lock, so that nobody attaches to a session with a
precision or a membership that a steering call has just replaced (G3). Another gateway's calls hold no lock
here: what they touch while somebody reads is read once more.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from typing import Any
from weakref import WeakValueDictionary

from redis.exceptions import RedisError

from db.current import Party, read_parties
from db.pool import Pool
from db.sessions import MemberRow, SessionRow
from protocol.precision import Precision, coarsest
from server.hub import Hub
from server.session import Member, Session
from server.snapshots import read_snapshots, restore_masks

logger = logging.getLogger("partyline.registry")

ENTER_S = 1.0
"""How long a phone that enters waits for its mask state."""


class SessionLock(asyncio.Lock):
    """One change of a session at a time on this gateway."""

    def __init__(self) -> None:
        super().__init__()
        self.touched = 0
        """How often another gateway has told of a change while this lock was in use."""


class Registry:
    """The way from rows to sessions."""

    def __init__(self, *, hub: Hub, pool: Pool, redis: Any) -> None:
        self._hub = hub
        self._pool = pool
        self._redis = redis
        self._locks: WeakValueDictionary[int, SessionLock] = WeakValueDictionary()

    def lock(self, session_id: int) -> SessionLock:
        """The lock of a session; it lives as long as somebody holds or awaits it."""
        lock = self._locks.get(session_id)
        if lock is None:
            lock = self._locks[session_id] = SessionLock()
        return lock

    def touched(self, session_id: int | None) -> None:
        """What was read of the session before now does not count; `None`: of any."""
        locks = list(self._locks.values()) if session_id is None else [self._locks.get(session_id)]
        for lock in locks:
            if lock is not None:
                lock.touched += 1

    async def load(self, session_id: int) -> Session:
        """The session in the hub; with its members and what is shown of them when it was not there.

        The caller holds the lock. Raises `LookupError` for a session that is none, or has ended.
        """
        lock = self.lock(session_id)
        while (session := self._hub.sessions.get(session_id)) is None:
            touched = lock.touched
            party = (await read_parties(self._pool, [session_id])).get(session_id)
            if party is None or party.session.status == "ended":
                raise LookupError("there is no such session, or it has ended")
            await self.remember_masks(member.user_id for member in party.members)
            fresh = self._made(party)
            await self._show_snapshots(fresh)
            if lock.touched == touched:
                self._hub.add(fresh)
        return session

    def _made(self, party: Party) -> Session:
        row = party.session
        session = Session(
            session_id=row.id,
            started_at_ms=row.started_at_ms,
            precision=row.precision,
            options=row.options,
            revision=row.revision,
        )
        session.idle_since_ms = self._hub.clock()
        for member in party.members:
            self.put(session, member)
        return session

    async def remember_masks(self, user_ids: Iterable[int]) -> None:
        """Users who are new to this gateway go on with the masks that another life of it left."""
        fresh = {user: self._hub.masks_of(user) for user in user_ids if not self._hub.knows_masks_of(user)}
        try:
            await restore_masks(self._redis, fresh)
        except (RedisError, OSError):
            logger.warning("mask states could not be read; masks start afresh")

    async def take_masks_along(self, user_id: int) -> None:
        """A phone enters here: its masks go on from what another gateway has shown since."""
        try:
            async with asyncio.timeout(ENTER_S):
                await restore_masks(self._redis, {user_id: self._hub.masks_of(user_id)})
        except (RedisError, OSError):
            logger.warning("a mask state could not be read; the mask goes on from what is known here")

    def bring_up(self, session: Session, row: SessionRow) -> None:
        """The session is as its row says; `put` of its members and `Hub.restrict` must follow.

        A tightening that could not be committed stays in force, until the host says otherwise.
        """
        session.precision = coarsest(row.precision, session.pledged or Precision.EXACT)
        session.options, session.revision = row.options, row.revision

    def put(self, session: Session, row: MemberRow) -> Member:
        """The member of a row, made or brought up to date; `Hub.restrict` must follow."""
        member = session.members.get(row.member_no)
        if member is None or member.user_id != row.user_id:
            member = Member(
                session,
                number=row.member_no,
                user_id=row.user_id,
                name=row.display_name,
                role=row.role,
                own=row.precision,
                privacy=row.privacy_level,
                masks=self._hub.masks_of(row.user_id),
            )
            session.add(member)
            return member
        # A tightening that could not be committed stays in force: only the member's own yes loosens it.
        member.own = coarsest(row.precision, member.pledged or Precision.EXACT)
        member.name, member.privacy, member.role = row.display_name, row.privacy_level, row.role
        if member.connection is not None:
            member.connection.became(row.role)
        return member

    async def _show_snapshots(self, session: Session) -> None:
        try:
            snapshots = await read_snapshots(self._redis, session.id)
        except (RedisError, OSError):
            logger.warning("snapshots could not be read; the session starts without them")
            return
        for number, position in snapshots.items():
            member = session.members.get(number)
            if member is not None and position.precision.coarseness >= member.allowed.coarseness:
                member.shown = position
