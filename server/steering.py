"""The host's hand, the same for WebSocket and HTTP: precision, kicks, rotation, end; and who was erased goes.

A tightening is applied here first, then committed behind the writers' fence, then the cache is dropped;
only then it returns (G3). A loosening is committed first. Each call holds the session's lock.
"""

from __future__ import annotations

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

from db import sessions as store
from db.sessions import Erasure, SessionRow
from protocol.close_codes import CloseCode
from protocol.messages import Ended, PrecisionChanged
from protocol.options import Options
from protocol.precision import Precision, tightens
from server.flusher import Flusher
from server.hub import Hub
from server.registry import Registry
from server.session import Member, Session
from server.snapshots import forget_snapshots


class Steering:
    """Changes sessions."""

    def __init__(
        self, *, hub: Hub, registry: Registry, pool: asyncpg.Pool, redis: Redis, flusher: Flusher
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._pool = pool
        self._redis = redis
        self._flusher = flusher

    async def set_session_precision(self, session_id: int, precision: Precision) -> SessionRow:
        """The session's precision; returns when it holds everywhere. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            session = self._hub.sessions.get(session_id)
            loosening = session is not None and tightens(precision, session.precision)
            if session is not None and not loosening:
                session.precision = precision
                self._hub.restrict(session)
            row = await store.set_session_precision(self._pool, session_id, precision)
            if session is not None:
                members = await store.members(self._pool, session_id)
                session.precision, session.revision = row.precision, row.revision
                for member_row in members:
                    if member_row.left_at_ms is None:
                        self._registry.put(session, member_row)
                self._hub.restrict(session)
            await self._forget_snapshots(session_id)
            if session is not None:
                if not loosening:  # also the second time, when the first has failed half-way
                    self._hub.cut_unsent(session)
                self._hub.broadcast(
                    session, PrecisionChanged(precision=session.precision, revision=session.revision)
                )
                self._hub.announce_moved(session, self._hub.clock())
            return row

    async def share(self, session: Session, member: Member, precision: Precision) -> None:
        """A member's own choice."""
        async with self._registry.lock(session.id):
            loosening = tightens(precision, member.own)
            if not loosening:
                member.own = precision
                self._hub.restrict(session)
            row = await store.set_member_precision(self._pool, session.id, member.user_id, precision)
            member.own = row.precision
            self._hub.restrict(session)
            await self._forget_snapshots(session.id, member.number)
            if not loosening:
                self._hub.cut_unsent(session)
            self._hub.announce_moved(session, self._hub.clock())

    async def before_join(self, session_id: int, user_id: int, precision: Precision) -> None:
        """A known member comes in again with a coarser choice: it holds before they are welcomed (G3).

        The caller holds the session's lock.
        """
        for row in await store.members(self._pool, session_id):
            if row.user_id == user_id and tightens(row.precision, precision):
                session = self._hub.sessions.get(session_id)
                member = session.members.get(row.member_no) if session is not None else None
                if session is not None and member is not None:
                    member.own = precision
                    self._hub.restrict(session)
                await store.set_member_precision(self._pool, session_id, user_id, precision)
                await self._forget_snapshots(session_id, row.member_no)
                if session is not None:
                    self._hub.cut_unsent(session)

    async def kick(self, session_id: int, number: int) -> None:
        """Removes a member for good. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            if await store.kick(self._pool, session_id, number) is None:
                raise LookupError("there is no such member to remove")
            await self._gone(session_id, number, CloseCode.KICKED)

    async def leave(self, session: Session, member: Member) -> None:
        """The member leaves; the member token dies."""
        async with self._registry.lock(session.id):
            await store.leave(self._pool, session.id, member.user_id)
            await self._gone(session.id, member.number, CloseCode.BAD_TOKEN)

    async def end(self, session_id: int, reason: str) -> None:
        """Ends the session for everybody. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            await store.end_session(self._pool, session_id)
            await self._ended(session_id, reason)

    async def set_options(self, session_id: int, options: Options) -> SessionRow:
        """New options. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            row = await store.set_options(self._pool, session_id, options)
            session = self._hub.sessions.get(session_id)
            if session is not None:
                session.options, session.revision = row.options, row.revision
            if row.options.live_only:  # nothing is stored from here on, and nothing cached
                await self._forget_snapshots(session_id)
            return row

    async def rotate(self, session_id: int, sharable_digest: bytes) -> SessionRow:
        """A new sharable token; the old one lets nobody in any more. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            return await store.rotate_token(self._pool, session_id, sharable_digest)

    async def forget_user(self, erasure: Erasure) -> None:
        """Drops what this gateway holds of a user who is erased in PostgreSQL by now (G7)."""
        for session_id in erasure.session_ids:
            async with self._registry.lock(session_id):
                session = self._hub.sessions.get(session_id)
                members = list(session.members.values()) if session is not None else []
                for member in members:
                    if member.user_id == erasure.user_id:
                        await self._gone(session_id, member.number, CloseCode.BAD_TOKEN)
                if session_id in erasure.ended_session_ids:
                    await self._ended(session_id, "ended")
        self._hub.forget_user(erasure.user_id)

    # --- shared steps ---------------------------------------------------------------------------------

    async def _gone(self, session_id: int, number: int, code: CloseCode) -> None:
        session = self._hub.sessions.get(session_id)
        if session is not None:
            self._hub.remove(session, number, code)
        await self._forget_snapshots(session_id, number)

    async def _ended(self, session_id: int, reason: str) -> None:
        session = self._hub.sessions.get(session_id)
        if session is not None:
            self._hub.broadcast(session, Ended(reason=reason))
            self._hub.end(session)
        await self._forget_snapshots(session_id)

    async def _forget_snapshots(self, session_id: int, *numbers: int) -> None:
        """Drops cached positions after any flush under way, which may carry finer ones.

        Without Redis there is no lease and nothing is sent; the cache is gone or expires.
        """
        try:
            async with self._flusher.quiet():
                await forget_snapshots(self._redis, session_id, *numbers)
        except (RedisError, OSError):
            self._flusher.forget_later(session_id)
