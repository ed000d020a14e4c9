"""Pub/sub over one server, Sentinel or a Cluster: says which channels are joined, and joins again by itself.

A channel lives at a place: the one server, or the node that has its slot, where it is sharded. Each place has
one connection, and what is wanted there is subscribed on it. When a connection ends, or a node says that a
slot is another's, its channels wait, with growing pauses, for the place where they live by then. A message
may be lost; whoever needs certainty asks again when `joined` is called.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any

from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisAway
from redis.exceptions import RedisError

from server.redis_link import RedisLink

BEAT_S = 2.0
"""How often a place is asked for a sign of life."""
SILENT_BEATS = 2
"""A place that was silent for more beats than these is left."""
FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 2.0
COMMANDS_A_WRITE = 256
"""Subscriptions sent in one go."""

Heard = Callable[[str, bytes], None]
Joined = Callable[[str], None]


def _nobody(*_: Any) -> None:
    """For who does not care."""


class Channels:
    """All channels of a process. What is called back runs on the loop, must be quick, and must not raise."""

    def __init__(self, link: RedisLink, heard: Heard = _nobody, joined: Joined = _nobody) -> None:
        """`heard` and `joined` are for channels that have no route."""
        self._link = link
        self._verbs = ("SSUBSCRIBE", "SUNSUBSCRIBE") if link.is_cluster else ("SUBSCRIBE", "UNSUBSCRIBE")
        self._routes: list[tuple[str, Heard, Joined]] = [("", heard, joined)]
        self._wanted: set[str] = set()
        self._homeless: set[str] = set()
        self._places: dict[str, _Place] = {}
        self._wake = asyncio.Event()
        self._running = False
        self._pause_s = 0.0
        self._failure: BaseException | None = None

    def route(self, prefix: str, heard: Heard, joined: Joined = _nobody) -> None:
        """Messages and joins of channels whose names begin like this go there."""
        self._routes.insert(0, (prefix, heard, joined))

    def want(self, channel: str) -> None:
        """From now on the channel is listened to; `joined` tells each time that it is."""
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._settle(channel)

    def drop(self, channel: str) -> None:
        """Nothing of the channel is heard any more."""
        self._wanted.discard(channel)
        self._homeless.discard(channel)
        for place in self._places.values():
            place.drop(channel)

    def publish(self, target: Any, channel: str, data: bytes) -> Any:
        """Queues a message on a pipeline; of a client, answers the awaitable that sends it."""
        return self._link.publish(target, channel, data)

    async def run(self) -> None:
        """Subscribes and listens until cancelled; whatever is away is tried again."""
        self._running = True
        self._wake.set()
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._failure is not None:
                    raise self._failure
                if self._homeless:
                    await self._settle_all()
        finally:
            self._running = False
            self._homeless = set(self._wanted)
            places, self._places = list(self._places.values()), {}
            for place in places:
                await place.close()

    # --- where each channel is listened to --------------------------------------------------------------

    async def _settle_all(self) -> None:
        await asyncio.sleep(self._pause_s)
        self._pause_s = min(max(self._pause_s * 2, FIRST_PAUSE_S), LONGEST_PAUSE_S)
        try:
            await self._link.refresh()
        except (RedisError, OSError):
            self._wake.set()
            return
        for channel in list(self._homeless):
            self._settle(channel)

    def _settle(self, channel: str) -> None:
        name = self._link.place(channel) if self._running else None
        if name is None:
            self._homeless.add(channel)
            self._wake.set()
            return
        place = self._places.get(name)
        if place is None:
            place = self._places[name] = _Place(self, self._link, name, self._verbs)
        self._homeless.discard(channel)
        place.want(channel)

    # --- what a place tells -----------------------------------------------------------------------------

    def gone(self, channels: Iterable[str]) -> None:
        """They are not listened to any more where they were."""
        self._homeless |= self._wanted.intersection(channels)
        self._wake.set()

    def ended(self, place: _Place, failure: BaseException | None) -> None:
        """The place listens no more. A `failure` is a mistake of ours, not the server's."""
        if self._places.get(place.name) is place:
            del self._places[place.name]
            self._failure = self._failure or failure
            self.gone(place.channels)

    def steady(self) -> None:
        """A place has lived for a beat: the next trouble is a new one."""
        if not self._homeless:
            self._pause_s = 0.0

    def confirmed(self, channel: str) -> None:
        if channel in self._wanted:
            self._route(channel)[2](channel)

    def message(self, channel: str, data: bytes) -> None:
        if channel in self._wanted:
            self._route(channel)[1](channel, data)

    def _route(self, channel: str) -> tuple[str, Heard, Joined]:
        return next(route for route in self._routes if channel.startswith(route[0]))


class _Place:
    """One connection's life, and the channels that are listened to on it."""

    def __init__(self, owner: Channels, link: RedisLink, name: str, verbs: tuple[str, str]) -> None:
        self.name = name
        self.channels: set[str] = set()
        self._owner = owner
        self._link = link
        self._subscribe, self._unsubscribe = verbs
        self._changes: dict[str, bool] = {}  # by channel: whether it is wanted
        self._changed = asyncio.Event()
        self._silent_beats = 0
        self._task = asyncio.create_task(self._live())

    def want(self, channel: str) -> None:
        self.channels.add(channel)
        self._changes[channel] = True
        self._changed.set()

    def drop(self, channel: str) -> None:
        if channel in self.channels:
            self.channels.discard(channel)
            self._changes[channel] = False
            self._changed.set()

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _live(self) -> None:
        failure: BaseException | None = None
        try:
            connection = self._link.connection(self.name)
            try:
                await connection.connect()  # type: ignore[no-untyped-call]
                async with asyncio.TaskGroup() as group:  # the first that fails ends the others
                    group.create_task(self._listen(connection))
                    group.create_task(self._tell(connection))
                    group.create_task(self._beat(connection))
            finally:
                await connection.disconnect(nowait=True)
        except* (RedisError, OSError):
            pass
        except* Exception as mistakes:
            failure = mistakes
        self._owner.ended(self, failure)

    async def _listen(self, connection: AbstractConnection) -> None:
        """Ends with an error: also when a subscription is another node's (MOVED)."""
        while True:
            answer = await connection.read_response(timeout=math.inf)
            self._silent_beats = 0
            if isinstance(answer, list):
                self._take(*answer)
            await asyncio.sleep(0)  # messages come many at once: ticks go in between

    def _take(self, kind: bytes, channel: bytes, data: Any = None) -> None:
        match kind:
            case b"message" | b"smessage":
                self._owner.message(channel.decode(), data)
            case b"subscribe" | b"ssubscribe":
                self._owner.confirmed(channel.decode())
            case b"sunsubscribe" if channel.decode() in self.channels:  # the slot went to another node
                self._leave([channel.decode()])
            case _:
                pass  # what we unsubscribed, and signs of life

    def _leave(self, channels: Iterable[str]) -> None:
        self.channels.difference_update(channels)
        self._owner.gone(channels)

    async def _tell(self, connection: AbstractConnection) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            changes, self._changes = iter(self._changes.items()), {}
            while some := list(islice(changes, COMMANDS_A_WRITE)):
                verbs = ((self._subscribe if wanted else self._unsubscribe, name) for name, wanted in some)
                await connection.send_packed_command(connection.pack_commands(verbs))

    async def _beat(self, connection: AbstractConnection) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            if self._silent_beats > SILENT_BEATS:
                raise RedisAway("no sign of life")
            self._silent_beats += 1
            self._owner.steady()
            moved = [channel for channel in self.channels if self._link.place(channel) != self.name]
            if moved:
                self._leave(moved)
            await connection.send_command("PING")
