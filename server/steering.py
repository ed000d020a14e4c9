"""The host's hand, the same for WebSocket and HTTP: precision, kicks, rotation, end; and who was erased goes.

A tightening is applied here first, then committed behind the writers' fence, then told to the other gateways,
which apply it or have lost their lease, then the cache is dropped; only then it returns (G3). A loosening is
committed first, and nobody is waited for. Each call holds the session's lock on this gateway.
"""

from __future__ import annotations

import asyncio
from typing import Any

from redis.exceptions import RedisError

from db import sessions as store
from db.pool import Pool
from db.sessions import Erasure, SessionRow
from protocol.close_codes import CloseCode
from protocol.messages import PrecisionChanged
from protocol.options import Options
from protocol.precision import Precision, tightens
from server.announcer import Announcer
from server.applying import end
from server.control_entry import Changed, Erased, Gone, Over, Tightened
from server.flusher import Flusher
from server.hub import Hub
from server.refresher import Refresher
from server.registry import Registry
from server.session import Member, Session
from server.snapshots import forget_snapshots


class Steering:
    """Changes sessions. Every call raises `Unconfirmed` when another gateway may not know of it yet."""

    def __init__(
        self,
        *,
        hub: Hub,
        registry: Registry,
        refresher: Refresher,
        announcer: Announcer,
        pool: Pool,
        redis: Any,
        flusher: Flusher,
    ) -> None:
        self._hub = hub
        self._registry = registry
        self._refresher = refresher
        self._announcer = announcer
        self._pool = pool
        self._redis = redis
        self._flusher = flusher

    async def set_session_precision(self, session_id: int, precision: Precision) -> SessionRow:
        """The session's precision; returns when it holds everywhere. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            session = self._hub.sessions.get(session_id)
            loosening = session is not None and tightens(precision, session.precision)
            if session is not None and not loosening:
                session.precision = session.pledged = precision
                self._hub.restrict(session)
            row = await store.set_session_precision(self._pool, session_id, precision)
            if session is not None:
                session.pledged = None
                await self._refresher.refresh(session_id, quietly=True)
            await self._holds_everywhere(row, loosening=loosening)
            if session is not None:
                self._hub.broadcast(
                    session, PrecisionChanged(precision=session.precision, revision=session.revision)
                )
            return row

    async def share(self, session: Session, member: Member, precision: Precision) -> None:
        """A member's own choice."""
        async with self._registry.lock(session.id):
            loosening = tightens(precision, member.own)
            if not loosening:
                member.own = member.pledged = precision
                self._hub.restrict(session)
            row = await store.set_member_precision(self._pool, session.id, member.user_id, precision)
            member.pledged = None
            member.own = row.precision
            self._hub.restrict(session)
            await self._refresher.refresh(session.id)
            await self._member_holds(session.id, member.number, loosening=loosening)

    async def before_join(self, session_id: int, user_id: int, precision: Precision) -> None:
        """A known member comes in again with a coarser choice: it holds before they are welcomed (G3).

        The caller holds the session's lock.
        """
        for row in await store.members(self._pool, session_id):
            if row.user_id == user_id and tightens(row.precision, precision):
                session = self._hub.sessions.get(session_id)
                member = session.members.get(row.member_no) if session is not None else None
                if session is not None and member is not None:
                    member.own = member.pledged = precision
                    self._hub.restrict(session)
                await store.set_member_precision(self._pool, session_id, user_id, precision)
                if member is not None:
                    member.pledged = None
                await self._member_holds(session_id, row.member_no, loosening=False)

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
            row = await store.end_session(self._pool, session_id)
            session = self._hub.sessions.get(session_id)
            if session is not None:
                end(self._hub, session, reason)
            try:
                await self._announcer.confirm(Over(session_id, reason))
            finally:
                await self._uncache(session_id, row.revision)

    async def set_options(self, session_id: int, options: Options) -> SessionRow:
        """New options, of which `live_only` and a larger cell take something away. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            row = await store.set_options(self._pool, session_id, options)
            await self._refresher.refresh(session_id)
            await self._holds_everywhere(row, loosening=False)
            return row

    async def rotate(self, session_id: int, sharable_digest: bytes) -> SessionRow:
        """A new sharable token; the old one lets nobody in any more. Raises `LookupError`."""
        async with self._registry.lock(session_id):
            row = await store.rotate_token(self._pool, session_id, sharable_digest)
            await self._refresher.refresh(session_id)
            await self._announcer.tell(Changed(session_id))  # who joins asks PostgreSQL anyway
            return row

    # --- erasure ----------------------------------------------------------------------------------------

    async def forget_user_elsewhere(self, erasure: Erasure) -> None:
        """Every other gateway has dropped what it held of a user who is erased in PostgreSQL by now (G7)."""
        await self._announcer.confirm(Erased(str(erasure.receipt)))

    async def forget_receipt(self, receipt: str) -> None:
        """What another gateway has told of."""
        for erasure in await store.unfinished_erasures(self._pool, 0.0):
            if str(erasure.receipt) == receipt:
                await self.forget_user_here(erasure)

    async def forget_user_here(self, erasure: Erasure) -> None:
        """Drops what this gateway holds of the user. No flush with rows of theirs is under way then."""
        for session_id in erasure.session_ids:
            self._registry.touched(session_id)
            session = self._hub.sessions.get(session_id)
            for member in list(session.members.values()) if session is not None else []:
                if session is not None and member.user_id == erasure.user_id:
                    self._hub.remove(session, member.number, CloseCode.BAD_TOKEN)
            if session is not None and session_id in erasure.ended_session_ids:
                end(self._hub, session, "ended")
        self._hub.forget_user(erasure.user_id)
        async with self._flusher.quiet():
            await asyncio.sleep(0)

    # --- shared steps ---------------------------------------------------------------------------------

    async def _gone(self, session_id: int, number: int, code: CloseCode) -> None:
        session = self._hub.sessions.get(session_id)
        if session is not None:
            self._hub.remove(session, number, code)
            await self._refresher.refresh(session_id)
        try:
            await self._announcer.confirm(Gone(session_id, number, code))
        finally:
            await self._uncache(session_id, 0, number)

    async def _member_holds(self, session_id: int, number: int, *, loosening: bool) -> None:
        row = await store.find_session(self._pool, session_id)
        if row is not None:
            await self._holds_everywhere(row, number, loosening=loosening)

    async def _holds_everywhere(self, row: SessionRow, *numbers: int, loosening: bool) -> None:
        """The others know; nothing finer is cached, and none waits in a socket."""
        try:
            if loosening:
                await self._announcer.tell(Changed(row.id))
            else:
                await self._announcer.confirm(Tightened(row.id))
        finally:
            await self._uncache(row.id, row.revision, *numbers)
        session = self._hub.sessions.get(row.id)
        if session is not None:
            if not loosening:  # also the second time, when the first has failed half-way
                self._hub.cut_unsent(session)
            self._hub.announce_moved(session, self._hub.clock())

    async def _uncache(self, session_id: int, revision: int, *numbers: int) -> None:
        """Drops cached positions. Those of a flush under way are of an older revision, and refused."""
        try:
            await forget_snapshots(self._redis, session_id, revision, *numbers)
        except (RedisError, OSError):
            self._flusher.forget_later(session_id, revision)
