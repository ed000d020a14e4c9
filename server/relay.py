"""The way of presence and positions between gateways that hold the same session.

One channel a session. Who joins it says hello and asks; who holds the session answers. Whoever knows of no
other publishes nothing. What is to be said is noted without waiting and encoded when it is sent, by one loop
for all sessions: while Redis is slow the newest replaces what was not sent, so what waits is bounded by the
members. Nothing is published without the lease, nor of a session that is withheld (G3).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import suppress
from itertools import islice
from typing import Any

from redis.exceptions import RedisError

from protocol.close_codes import CloseCode
from server.channels import Channels
from server.hub import Hub
from server.peers import (
    PEERS_BOUND,
    Bye,
    Hello,
    Message,
    Presence,
    Shown,
    decode,
    encode,
    forget,
    forget_members,
    is_there,
    place,
    take_rows,
)
from server.session import Member, Session
from server.unsaid import Unsaid

PREFIX = "{s:"
SILENT_MS = 1_500
"""A gateway without a lease for so long holds nothing: it may have heard of itself late, we of it early."""
SESSIONS_A_ROUND = 256
RETRY_S = 0.2
ANSWERS_S = 0.25
"""How long somebody waits for the answers of the others."""

logger = logging.getLogger("partyline.relay")


def live_channel(session_id: int) -> str:
    """The channel of a session; on the slot of its other keys."""
    return f"{{s:{session_id}}}:live"


class Relay:
    """One gateway's side."""

    def __init__(
        self,
        *,
        hub: Hub,
        channels: Channels,
        redis: Any,
        gateway_id: str,
        reread: Callable[[int], None],
    ) -> None:
        """`reread`: a session has changed in a way that this gateway has not read yet."""
        self._hub = hub
        self._channels = channels
        self._redis = redis
        self._id = gateway_id
        self._reread = reread
        self._unsaid: dict[Session, Unsaid] = {}
        self._woken = asyncio.Event()
        self._shared: set[Session] = set()
        self._early: set[Session] = set()
        """Of which something was told that this gateway could not take before it reads them again."""
        self._expected: dict[Session, int] = {}
        """How many others are to answer the first hello, until they have."""

    # --- what the hub tells (`peers.Relaying`) ----------------------------------------------------

    def loaded(self, session: Session) -> None:
        """The hello follows when the channel is joined."""
        self._expected[session] = PEERS_BOUND  # until Redis tells
        self._channels.want(live_channel(session.id))

    def dropped(self, session: Session) -> None:
        """Says goodbye, if anybody is there."""
        self._channels.drop(live_channel(session.id))
        self._shared.discard(session)
        self._early.discard(session)
        self._expected.pop(session, None)
        if session.peers:
            self._say(session)
        else:
            self._unsaid.pop(session, None)

    def moved(self, member: Member) -> None:
        """A member of this gateway came, went, or became live or stale."""
        if member.session.peers:
            self._say(member.session).moved.add(member.number)

    def show(self, session: Session, members: Iterable[int]) -> None:
        """What came to this gateway since the last tick."""
        if session.peers:
            self._say(session).shown.update(members)

    def released(self, session: Session) -> None:
        """It was read again, and is not withheld any more."""
        if session in self._early:
            self._early.discard(session)
            self._ask(session)
        if session in self._unsaid:
            self._woken.set()

    # --- what the channels tell -------------------------------------------------------------------

    def joined(self, channel: str) -> None:
        """Messages of this channel are heard from here on; before it they were not."""
        session = self._session_of(channel)
        if session is not None:
            self._ask(session)

    def heard(self, channel: str, data: bytes) -> None:
        """A message of another gateway, or our own."""
        session = self._session_of(channel)
        if session is None:
            return
        message = decode(data)
        if message is None:
            self._hub.stats.relay_unreadable += 1
        elif message.gateway != self._id:
            self._take(session, message)

    def regained(self) -> None:
        """The lease is held again: all may be different."""
        for session in self._hub.sessions.values():
            self._ask(session)

    def live(self, gateways: frozenset[str], now_ms: int) -> None:
        """Who has a lease; who has not had one for a while has no members any more."""
        if self._unsaid:  # what came while this gateway had none
            self._woken.set()
        for session in list(self._shared):
            for gateway, seen_ms in list(session.peers.items()):
                if gateway in gateways:
                    session.peers[gateway] = now_ms
                elif now_ms - seen_ms > SILENT_MS:
                    self._forget(session, gateway)

    async def answered(self, session: Session) -> None:
        """Waits a little until every other gateway has said who is connected to it."""
        with suppress(TimeoutError):
            async with asyncio.timeout(ANSWERS_S):
                while session in self._expected:  # noqa: ASYNC110 - a rare call
                    await asyncio.sleep(0.005)
        self._expected.pop(session, None)

    # --- inside -------------------------------------------------------------------------------------

    def _session_of(self, channel: str) -> Session | None:
        number = channel[len(PREFIX) :].partition("}")[0]
        return self._hub.sessions.get(int(number)) if number.isdecimal() else None

    def _ask(self, session: Session) -> None:
        unsaid = self._say(session)
        unsaid.hello = unsaid.ask = True
        if session.peers:  # who did not hear us does not have what we have shown
            unsaid.shown.update(member.number for member in session.connected())

    def _say(self, session: Session) -> Unsaid:
        unsaid = self._unsaid.get(session)
        if unsaid is None:
            unsaid = self._unsaid[session] = Unsaid()
        self._woken.set()
        return unsaid

    def _take(self, session: Session, message: Message) -> None:
        now_ms = self._hub.clock()
        if isinstance(message, Bye):
            self._forget(session, message.gateway)
            return
        if not self._know(session, message, now_ms):
            return
        if isinstance(message, Shown):
            taken = take_rows(session, message.rows)
            if taken.new:
                self._hub.ticks.soon(session, now_ms)
            if taken.early:
                self._early.add(session)
            return
        if isinstance(message, Hello):
            forget_members(session, message.gateway)
            if message.ask:
                unsaid = self._say(session)
                unsaid.hello = True
                unsaid.shown.update(member.number for member in session.connected())
        for presence in message.members:
            self._place(session, message.gateway, presence)
        self._count_answers(session)
        if message.revision > session.revision:
            self._reread(session.id)
        self._hub.announce_moved(session, now_ms)

    def _know(self, session: Session, message: Message, now_ms: int) -> bool:
        if message.gateway not in session.peers:
            if len(session.peers) >= PEERS_BOUND:
                return False
            self._shared.add(session)
            unsaid, here = self._say(session), [member.number for member in session.connected()]
            unsaid.shown.update(here)
            unsaid.moved.update(here)  # who entered between our hello and its answer was told to nobody
            if not isinstance(message, Hello):  # it was forgotten, or its hello was lost
                self._ask(session)
        session.peers[message.gateway] = now_ms
        return True

    def _count_answers(self, session: Session) -> None:
        if self._expected.get(session, 0) <= len(session.peers):
            self._expected.pop(session, None)

    def _place(self, session: Session, gateway: str, presence: Presence) -> None:
        number, _, since_ms = presence
        member = session.members.get(number)
        if is_there(presence) and member is not None and member.connection is not None:
            if (since_ms, gateway) < (member.since_ms, self._id):
                self._say(session).moved.add(number)  # the other gateway closes the older one
                return
            older, member.connection = member.connection, None
            older.close(CloseCode.REPLACED)
        place(session, gateway, presence)

    def _forget(self, session: Session, gateway: str) -> None:
        forget(session, gateway)
        if not session.peers:
            self._shared.discard(session)
            session.here.clear()
        self._hub.announce_moved(session, self._hub.clock())

    # --- the loop -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Sends what is to be said."""
        while True:
            await self._woken.wait()
            self._woken.clear()
            if not await self._send():
                await asyncio.sleep(RETRY_S)

    async def _send(self) -> bool:
        """One pipeline for many sessions. False: Redis did not take all of it, which is said again."""
        if not self._hub.may_send():  # the next renewal wakes us
            for session in [session for session in self._unsaid if self._is_gone(session)]:
                del self._unsaid[session]
            return True
        ready = (session for session in self._unsaid if not session.withheld or self._is_gone(session))
        sessions = list(islice(ready, SESSIONS_A_ROUND))  # the release of others wakes us
        if len(sessions) == SESSIONS_A_ROUND:
            self._woken.set()
        said: list[tuple[Session, Unsaid, Message]] = []
        pipeline = self._redis.pipeline(transaction=False)
        for session in sessions:
            unsaid = self._unsaid.pop(session)
            for message in self._messages(session, unsaid):
                self._channels.publish(pipeline, live_channel(session.id), encode(message))
                said.append((session, unsaid, message))
        return not said or await self._execute(pipeline, said)

    async def _execute(self, pipeline: Any, said: list[tuple[Session, Unsaid, Message]]) -> bool:
        try:
            answers = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError, TimeoutError) as error:
            answers = [error] * len(said)
        well = True
        for (session, unsaid, message), answer in zip(said, answers, strict=True):
            if isinstance(answer, Exception):
                well = False
                self._say(session).add(unsaid)
                continue
            self._hub.stats.relayed += 1
            if session in self._expected and isinstance(message, Hello) and message.ask:
                self._expected[session] = answer - 1  # we hear ourselves
                self._count_answers(session)
        return well

    def _is_gone(self, session: Session) -> bool:
        return self._hub.sessions.get(session.id) is not session

    def _messages(self, session: Session, unsaid: Unsaid) -> Iterable[Message]:
        if not self._is_gone(session):
            return unsaid.messages(session, self._id)
        return () if session.id in self._hub.sessions else (Bye(self._id),)  # or loaded anew
