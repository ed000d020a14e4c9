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
from typing import Any

import msgspec
from redis.exceptions import RedisError

from protocol.close_codes import CloseCode
from server.channels import Channels
from server.hub import Hub
from server.peers import (
    PEERS_BOUND,
    Bye,
    Hello,
    Message,
    Moved,
    Presence,
    Shown,
    decode,
    encode,
    forget,
    forget_members,
    is_there,
    place,
    present,
    shown_rows,
    take_rows,
)
from server.session import Member, Session

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


class _Unsaid:
    """What is to be said of one session."""

    __slots__ = ("ask", "hello", "moved", "shown")

    def __init__(self) -> None:
        self.hello = self.ask = False
        self.moved: set[int] = set()
        self.shown: set[int] = set()


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
        self._unsaid: dict[Session, _Unsaid] = {}
        self._woken = asyncio.Event()
        self._shared: set[Session] = set()
        self._expected: dict[int, int] = {}
        """Others on the channel when this gateway asked, by session, until they have answered."""

    # --- what the hub tells (`peers.Relaying`) ----------------------------------------------------

    def loaded(self, session: Session) -> None:
        """The hello follows when the channel is joined."""
        self._channels.want(live_channel(session.id))

    def dropped(self, session: Session) -> None:
        """Says goodbye, if anybody is there."""
        self._channels.drop(live_channel(session.id))
        self._shared.discard(session)
        self._expected.pop(session.id, None)
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
        """It is not withheld any more."""
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
        try:
            message = decode(data)
        except msgspec.MsgspecError:
            self._hub.stats.relay_unreadable += 1
            return
        if message.gateway != self._id:
            self._take(session, message)

    def regained(self) -> None:
        """The lease is held again: all may be different."""
        for session in self._hub.sessions.values():
            self._ask(session)

    def live(self, gateways: frozenset[str], now_ms: int) -> None:
        """Who has a lease; who has not had one for a while has no members any more."""
        for session in list(self._shared):
            for gateway, seen_ms in list(session.peers.items()):
                if gateway in gateways:
                    session.peers[gateway] = now_ms
                elif now_ms - seen_ms > SILENT_MS:
                    self._forget(session, gateway)

    async def answered(self, session: Session) -> None:
        """Waits a little until every other gateway has said who is connected to it."""
        async with asyncio.timeout(ANSWERS_S):
            while self._expected.get(session.id, 1) > len(session.peers):  # noqa: ASYNC110 - a rare call
                await asyncio.sleep(0.005)

    # --- inside -------------------------------------------------------------------------------------

    def _session_of(self, channel: str) -> Session | None:
        number = channel[len(PREFIX) :].partition("}")[0]
        return self._hub.sessions.get(int(number)) if number.isdecimal() else None

    def _ask(self, session: Session) -> None:
        unsaid = self._say(session)
        unsaid.hello = unsaid.ask = True
        if session.peers:  # who did not hear us does not have what we have shown
            unsaid.shown.update(member.number for member in session.connected())

    def _say(self, session: Session) -> _Unsaid:
        unsaid = self._unsaid.get(session)
        if unsaid is None:
            unsaid = self._unsaid[session] = _Unsaid()
        self._woken.set()
        return unsaid

    def _take(self, session: Session, message: Message) -> None:
        now_ms = self._hub.clock()
        if isinstance(message, Bye):
            self._forget(session, message.gateway)
            return
        if not self._know(session, message.gateway, now_ms):
            return
        if isinstance(message, Shown):
            if take_rows(session, message.rows):
                self._hub.ticks.soon(session, now_ms)
            return
        if isinstance(message, Hello):
            forget_members(session, message.gateway)
            if message.ask:
                unsaid = self._say(session)
                unsaid.hello = True
                unsaid.shown.update(member.number for member in session.connected())
        for presence in message.members:
            self._place(session, message.gateway, presence)
        if message.revision > session.revision:
            self._reread(session.id)
        self._hub.announce_moved(session, now_ms)

    def _know(self, session: Session, gateway: str, now_ms: int) -> bool:
        if gateway not in session.peers:
            if len(session.peers) >= PEERS_BOUND:
                return False
            self._shared.add(session)
            self._say(session).shown.update(member.number for member in session.connected())
        session.peers[gateway] = now_ms
        return True

    def _place(self, session: Session, gateway: str, presence: Presence) -> None:
        number, _, since_ms = presence
        member = session.members.get(number)
        if is_there(presence) and member is not None and member.connection is not None:
            if (since_ms, gateway) < (member.since_ms, self._id):
                return  # an older connection, which the other gateway closes
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
            try:
                await self._send()
            except (RedisError, OSError, TimeoutError):
                await asyncio.sleep(RETRY_S)

    async def _send(self) -> None:
        """One pipeline for many sessions. What Redis does not take is not said again: who joins asks."""
        hub = self._hub
        if not hub.may_send():
            self._unsaid.clear()  # with the lease everybody is asked anew
            return
        asked: list[Session | None] = []
        pipeline = self._redis.pipeline(transaction=False)
        for session in list(self._unsaid)[:SESSIONS_A_ROUND]:
            if session.withheld:
                continue  # its release wakes us
            unsaid = self._unsaid.pop(session)
            for message in self._messages(session, unsaid):
                self._channels.publish(pipeline, live_channel(session.id), encode(message))
                asked.append(session if isinstance(message, Hello) and message.ask else None)
        if any(not session.withheld for session in self._unsaid):
            self._woken.set()
        if not asked:
            return
        answers = await pipeline.execute(raise_on_error=False)
        hub.stats.relayed += len(asked)
        for asker, answer in zip(asked, answers, strict=True):
            if asker is not None and isinstance(answer, int) and asker.id in hub.sessions:
                self._expected[asker.id] = answer - 1  # we hear ourselves

    def _messages(self, session: Session, unsaid: _Unsaid) -> Iterable[Message]:
        if self._hub.sessions.get(session.id) is not session:
            yield Bye(self._id)
            return
        if unsaid.hello:
            yield Hello(self._id, session.revision, unsaid.ask, present(session))
        elif unsaid.moved:
            yield Moved(self._id, session.revision, self._presences(session, unsaid.moved))
        rows = shown_rows(session, unsaid.shown)
        if rows:
            yield Shown(self._id, rows)

    def _presences(self, session: Session, numbers: Iterable[int]) -> list[Presence]:
        members = (session.members.get(number) for number in numbers)
        return [
            (member.number, member.state, member.since_ms)
            for member in members
            if member is not None and member.number not in session.elsewhere
        ]
