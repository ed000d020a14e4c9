"""Reads sessions anew from PostgreSQL, and releases what was withheld until then (G3).

Who wants a session read says so without waiting; one loop reads them, many at once. A second loop compares
revisions now and then: what was told to nobody, because Redis or the teller died, is found there.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

import asyncpg
from redis.exceptions import RedisError

from db.current import Party, read_parties, read_revisions
from db.pool import Pool
from protocol.close_codes import CloseCode
from protocol.messages import PrecisionChanged
from server.applying import doubt, end, release
from server.hub import Hub
from server.registry import Registry
from server.session import Session

AWAY = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a statement that meets the server's goodbye
    RedisError,
    OSError,
    TimeoutError,
)
"""PostgreSQL or Redis does not answer, or not now."""
RETRY_S = 0.5
COMPARE_S = 5.0
AT_ONCE = 200
"""Sessions read in one transaction."""

logger = logging.getLogger("partyline.refresher")


class Refresher:
    """One gateway's way from what PostgreSQL says to what its sessions are."""

    def __init__(self, *, hub: Hub, registry: Registry, pool: Pool) -> None:
        self._hub = hub
        self._registry = registry
        self._pool = pool
        self._wanted: set[int] = set()
        self._woken = asyncio.Event()

    def want(self, session_id: int) -> None:
        """The session is to be read again, soon."""
        self._wanted.add(session_id)
        self._woken.set()

    async def run(self) -> None:
        """Reads what is wanted."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            try:
                await self.refresh(*self._wanted)
            except AWAY as error:
                logger.warning("sessions cannot be read again now", extra={"error": type(error).__name__})
                self._woken.set()
                await asyncio.sleep(RETRY_S)

    async def run_comparing(self) -> None:
        """Finds sessions that have changed and of which nobody told."""
        while True:
            await asyncio.sleep(COMPARE_S)
            try:
                await self.compare()
            except AWAY:
                continue

    async def compare(self) -> None:
        """One look. A session that is not as it is in PostgreSQL is withheld and read again."""
        known = {session.id: session.revision for session in self._hub.sessions.values()}
        if not known:
            return
        now = await read_revisions(self._pool, known)
        for session_id, revision in known.items():
            session = self._hub.sessions.get(session_id)
            if session is not None and now.get(session_id, -1) > max(revision, session.revision):
                doubt(self._hub, session)
                self.want(session_id)

    async def reread_all(self) -> None:
        """Every session; raises when PostgreSQL is away."""
        await self.refresh(*self._hub.sessions)

    async def refresh(self, *session_ids: int, quietly: bool = False) -> None:
        """These sessions are as PostgreSQL has them when it returns, or are wanted once more.

        `quietly`: the caller tells the party of the precision. Raises what drivers raise.
        """
        ids = list(session_ids)
        for first in range(0, len(ids), AT_ONCE):
            await self._read(ids[first : first + AT_ONCE], quietly=quietly)

    async def _read(self, ids: Iterable[int], *, quietly: bool) -> None:
        sessions = [session for id_ in ids if (session := self._hub.sessions.get(id_)) is not None]
        doubts = {session.id: session.doubts for session in sessions}
        self._wanted -= {*ids}  # whoever wants it from here on wants it read once more
        try:
            parties = await read_parties(self._pool, doubts)
            people = {member.user_id for party in parties.values() for member in party.members}
            await self._registry.remember_masks(people)
        except BaseException:
            self._wanted |= {*ids}
            self._woken.set()  # the caller may give up
            raise
        for session in sessions:
            if self._hub.sessions.get(session.id) is not session:
                continue
            party = parties.get(session.id)
            if party is None or party.session.status == "ended":
                end(self._hub, session, "ended")
            elif party.session.revision < session.revision:  # an own change was committed meanwhile
                self.want(session.id)
            else:
                self._renew(session, party, quietly=quietly)
                if session.doubts == doubts[session.id]:
                    release(self._hub, session)
                else:
                    self.want(session.id)

    def _renew(self, session: Session, party: Party, *, quietly: bool) -> None:
        hub, before = self._hub, session.precision
        present = {row.member_no: row for row in party.members}
        for number, member in list(session.members.items()):
            if number not in present or present[number].user_id != member.user_id:
                hub.remove(session, number, CloseCode.BAD_TOKEN)
        self._registry.bring_up(session, party.session)
        for number, row in present.items():
            known = number in session.members
            member = self._registry.put(session, row)
            if not known:
                member.state = member.state_at(hub.clock())  # live, when another gateway has said so already
                hub.broadcast(session, member.message())
        hub.restrict(session)
        if session.precision is not before and not quietly:
            hub.broadcast(session, PrecisionChanged(precision=session.precision, revision=session.revision))
        hub.announce_moved(session, hub.clock())
