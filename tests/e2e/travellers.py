"""Members who stream through restarts and measure them: how long each was without the party, and who seemed away.

Real phones of the load tests, on any number of gateways: whoever was cut dials the next one.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median

import asyncpg

from load_tests.phone import Phone
from load_tests.place import Place
from protocol.client import ClientSession
from protocol.client_events import Acked, Event, MemberSeen, Welcomed
from protocol.codec import MSGPACK
from protocol.limits import WINDOW_MS
from protocol.messages import MemberState

SEOUL = (37.5663, 126.9779)


@dataclass
class Measured:
    """Of all travellers. Seconds."""

    without: list[float] = field(default_factory=list)
    """From each close to the next welcome."""
    offline: list[float] = field(default_factory=list)
    """From the news that somebody is offline to the news that they are not, as one member saw it."""
    closes: Counter[int] = field(default_factory=Counter)

    def line(self) -> str:
        def figures(name: str, seconds: Sequence[float]) -> str:
            if not seconds:
                return f"{name}: none"
            return f"{name}: {len(seconds)}, p50 {median(seconds):.2f} s, max {max(seconds):.2f} s"

        return f"{figures('without the party', self.without)}; {figures('shown offline', self.offline)}"


class Traveller:
    """One member. `places` are dialled in turn, beginning with number `first`."""

    def __init__(self, name: str, token: str, places: Sequence[str], first: int, measured: Measured) -> None:
        self.session = ClientSession(MSGPACK, name=name, token=token)
        self._measured = measured
        self._since: float | None = None
        self._offline: dict[int, float] = {}
        self.acked: list[int] = []
        self.number = 0
        self.phone = Phone(
            self.session,
            MSGPACK,
            Place.each(places, first),
            jitter=random.random,
            seen=self._seen,
            closed=self._closed,
        )

    @property
    def away(self) -> float:
        """For how long it has been without the party."""
        return 0.0 if self._since is None else time.monotonic() - self._since

    def _closed(self, code: int) -> None:
        self._measured.closes[code] += 1
        if self._since is None:
            self._since = time.monotonic()
            self._offline.clear()  # what it does not see it cannot measure

    def _seen(self, event: Event) -> None:
        match event:
            case Acked():
                self.acked.extend(event.times)
            case MemberSeen():
                self._state(event.member.m, event.member.state)
            case Welcomed():
                self.number = event.welcome.you
                if self._since is not None:
                    self._measured.without.append(time.monotonic() - self._since)
                    self._since = None
                for member in event.welcome.members:
                    self._state(member.m, member.state)

    def _state(self, m: int, state: MemberState) -> None:
        if state is MemberState.OFFLINE:
            self._offline.setdefault(m, time.monotonic())
        elif m in self._offline:
            self._measured.offline.append(time.monotonic() - self._offline.pop(m))

    def sees_offline(self) -> dict[int, float]:
        """Members that it is shown as offline now, and for how long."""
        now = time.monotonic()
        return {m: now - since for m, since in self._offline.items()}


class Travellers:
    """Parties of travellers who send a fix a second each."""

    def __init__(self, sessions: Sequence[tuple[int, str]], members: int, places: Sequence[str]) -> None:
        """`sessions`: id and sharable token of each party, which gets `members`."""
        self.measured = Measured()
        self.parties: dict[int, list[Traveller]] = {
            session: [
                Traveller(f"Traveller {number}", token, places, number, self.measured)
                for number in range(members)
            ]
            for session, token in sessions
        }
        self.all = [traveller for party in self.parties.values() for traveller in party]
        self._sending: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Travellers:
        for traveller in self.all:
            traveller.phone.start()
        async with asyncio.timeout(60):
            for traveller in self.all:
                await traveller.phone.joined()
        self._sending = asyncio.create_task(self._send())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._sending is not None:
            self._sending.cancel()
        await asyncio.gather(*(traveller.phone.stop() for traveller in self.all))

    async def _send(self) -> None:
        while True:
            for index, traveller in enumerate(self.all):
                if index % 10 == 0:
                    await asyncio.sleep(10 / len(self.all))
                lat = SEOUL[0] + random.uniform(-0.01, 0.01)
                traveller.phone.offer(time.time_ns() // 1_000_000, lat, SEOUL[1])

    async def settled(self, timeout_s: float = 60) -> None:
        """They send nothing more; returns when every fix has its ack."""
        if self._sending is not None:
            self._sending.cancel()
        await until(lambda: all(not one.session.account.held for one in self.all), timeout_s)

    async def lost(self, database_url: str) -> list[tuple[int, int, int]]:
        """Acked fixes without a row of their window: session, member number, time. Must be empty."""
        missing = []
        connection = await asyncpg.connect(database_url)
        try:
            for session, party in self.parties.items():
                rows = await connection.fetch(
                    "SELECT member_no, (extract(epoch FROM recorded_at) * 1000)::bigint AS start "
                    "FROM party_positions JOIN party_members USING (session_id, user_id) WHERE session_id = $1",
                    session,
                )
                stored = {(row["member_no"], row["start"]) for row in rows}
                missing += [
                    (session, one.number, at)
                    for one in party
                    for at in one.acked
                    if (one.number, at - at % WINDOW_MS) not in stored
                ]
        finally:
            await connection.close()
        return missing


async def until(true: Callable[[], bool], timeout_s: float = 60) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():
            await asyncio.sleep(0.05)
