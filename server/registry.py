"""Loads sessions from PostgreSQL into the hub, one change at a time a session.

Whoever loads, joins or steers a session holds its lock, so that nobody attaches to a session with a
precision or a membership that a steering call has just replaced (G3).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from weakref import WeakValueDictionary

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db import sessions as store
from db.sessions import MemberRow, SessionRow
from protocol.precision import coarsest
from server.hub import Hub
from server.session import Member, Session
from server.snapshots import read_snapshots, restore_masks

logger = logging.getLogger("partyline.registry")


class Registry:
    """The way from rows to sessions."""

    def __init__(self, *, hub: Hub, pool: asyncpg.Pool, redis: Redis) -> None:
        self._hub = hub
        self._pool = pool
        self._redis = redis
        self._locks: WeakValueDictionary[int, asyncio.Lock] = WeakValueDictionary()

    def lock(self, session_id: int) -> asyncio.Lock:
        """The lock of a session; it lives as long as somebody holds or awaits it."""
        lock = self._locks.get(session_id)
        if lock is None:
            lock = self._locks[session_id] = asyncio.Lock()
        return lock

    async def load(self, row: SessionRow) -> Session:
        """The session in the hub; with its members and what is shown of them when it was not there.

        The caller holds the lock.
        """
        session = self._hub.sessions.get(row.id)
        if session is not None:
            return session
        session = Session(
            session_id=row.id,
            started_at_ms=row.started_at_ms,
            precision=row.precision,
            options=row.options,
            revision=row.revision,
        )
        session.idle_since_ms = self._hub.clock()
        present = [member for member in await store.members(self._pool, row.id) if member.left_at_ms is None]
        await self.remember_masks(member.user_id for member in present)
        for member in present:
            self.put(session, member)
        await self._show_snapshots(session)
        self._hub.sessions[row.id] = session
        return session

    async def remember_masks(self, user_ids: Iterable[int]) -> None:
        """Users who are new to this gateway go on with the masks that another life of it left."""
        fresh = {user: self._hub.masks_of(user) for user in user_ids if not self._hub.knows_masks_of(user)}
        try:
            await restore_masks(self._redis, fresh)
        except (RedisError, OSError):
            logger.warning("mask states could not be read; masks start afresh")

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
        member.own = coarsest(member.own, row.precision)
        member.name, member.privacy = row.display_name, row.privacy_level
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
