"""A gateway's place in the control stream, on real Redis: in order, nothing missed, no lease before all is known (G3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from redis.exceptions import RedisError

from server.clocks import boot_ms
from server.control_entry import START, Changed, Entry, Erased, Gone, Over, Tightened
from server.control_store import CONTROL, LEASES, ControlStore
from server.follower import Follower
from server.lease import LEASE_MS, Lease
from server.redis_link import connect_redis
from tests.server.lives import eventually, long_served

AWAY = (RedisError, OSError, TimeoutError)
ME, OTHER = "me", "other"


class Recording:
    """A gateway that writes down what it is told. What a test plans happens within its reads."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.did: list[Any] = []
        self.living: frozenset[str] = frozenset()
        self.rereading: Callable[[], Awaitable[Any]] | None = None
        self.forgetting = asyncio.Event()
        self.forgetting.set()

    def apply(self, entry: Entry | None) -> None:
        self.did.append(entry)

    async def forget(self, receipt: str) -> None:
        self.did.append(("forgets", receipt))
        await self.forgetting.wait()
        self.did.append(("forgot", receipt))

    def doubt_all(self) -> None:
        self.did.append("doubts")

    async def reread_all(self) -> None:
        self.did.append(("reads", self._lease.held()))
        if self.rereading is not None:
            await self.rereading()

    def regained(self) -> None:
        self.did.append(("regained", self._lease.held()))

    def live(self, gateways: frozenset[str]) -> None:
        self.living = gateways

    def count(self, what: Any) -> int:
        return self.did.count(what)


CAUGHT_UP = ["doubts", ("reads", False), ("regained", True)]


class Following:
    """One follower on a Redis, and another gateway's hand on the same."""

    def __init__(self, redis: Any) -> None:
        self.redis = redis
        self.lease = Lease(boot_ms)
        self.gateway = Recording(self.lease)
        self.other = ControlStore(redis, OTHER)
        self.follower = Follower(ControlStore(redis, ME), self.gateway, self.lease, away=AWAY)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        tasks = [
            asyncio.ensure_future(self.follower.run_lease()),
            asyncio.ensure_future(self.follower.run_stream()),
        ]
        try:
            yield
            assert not any(task.done() for task in tasks), "a loop ended"
        finally:
            left = set(tasks)
            while left:  # a driver may swallow a cancellation: ask again, as the gateway does
                for task in left:
                    task.cancel()
                _, left = await asyncio.wait(left, timeout=0.1)

    async def regained(self, times: int = 1) -> None:
        await eventually(lambda: self.gateway.count(("regained", True)) >= times)

    async def at(self) -> Any:
        """How far the others know it to be."""
        return (await self.other.standing()).places.get(ME)

    async def is_at(self, place: Any) -> None:
        async def there() -> bool:
            return bool(await self.at() == place)

        await eventually(there)


@pytest.fixture
async def following(redis_url: str) -> AsyncIterator[Following]:
    link = connect_redis(redis_url)
    await long_served(link.client)
    yield Following(link.client)
    await link.aclose()


# --- the beginning -------------------------------------------------------------------------------------


async def test_everything_is_read_before_there_is_a_lease(following: Following) -> None:
    last = await following.other.announce(Tightened(1))
    assert not following.lease.held()
    async with following.running():
        await following.regained()
        assert following.gateway.did == CAUGHT_UP  # what was told before is in what was read
        assert following.follower.at == last
        assert await following.at() == last


async def test_what_is_told_while_it_reads_is_applied_before_there_is_a_lease(following: Following) -> None:
    async def meanwhile() -> None:
        for number in range(3):
            await following.other.announce(Tightened(number))

    following.gateway.rereading = meanwhile
    async with following.running():
        await following.regained()
    assert following.gateway.did == [*CAUGHT_UP[:2], *map(Tightened, range(3)), CAUGHT_UP[2]]


async def test_nobody_waits_for_a_gateway_that_reads(following: Following) -> None:
    never = asyncio.Event()
    following.gateway.rereading = never.wait
    async with following.running():
        await eventually(lambda: following.gateway.count(("reads", False)))
        assert await following.at() is None
        assert not following.lease.held()


async def test_what_cannot_be_read_is_tried_again(following: Following) -> None:
    """PostgreSQL is away."""
    tries = 0

    async def fails_twice() -> None:
        nonlocal tries
        tries += 1
        if tries < 3:
            assert await following.at() is None
            raise OSError

    following.gateway.rereading = fails_twice
    async with following.running():
        await following.regained()
    assert following.gateway.did == [*CAUGHT_UP[:2] * 3, CAUGHT_UP[2]]


async def test_a_server_that_is_new_since_it_began_to_read_gives_it_no_lease(following: Following) -> None:
    """What was told by the one before is lost, and not in what was read."""
    tries = 0

    async def restarted() -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            await following.redis.flushall()
            await following.other.announce(Changed(9))

    following.gateway.rereading = restarted
    async with following.running():
        await following.regained()
    assert following.gateway.count(("reads", False)) == 2
    assert following.gateway.count(("regained", True)) == 1


# --- entries -------------------------------------------------------------------------------------------


async def test_entries_are_applied_in_order_and_that_is_said_at_once(following: Following) -> None:
    entries: list[Entry] = [Tightened(1), Gone(1, 2, 4502), Changed(1), Over(1, "ended"), Tightened(2)]
    async with following.running():
        await following.regained()
        following.gateway.did.clear()
        for entry in entries:
            last = await following.other.announce(entry)
        await following.is_at(last)
        assert following.gateway.did == entries


async def test_it_does_not_say_before_it_has_applied(following: Following) -> None:
    async with following.running():
        await following.regained()
        following.gateway.did.clear()
        following.gateway.forgetting.clear()
        before = await following.other.announce(Changed(1))
        await following.is_at(before)
        erased = await following.other.announce(Erased("r"))
        after = await following.other.announce(Tightened(2))
        await eventually(lambda: ("forgets", "r") in following.gateway.did)
        await asyncio.sleep(LEASE_MS / 1000)  # renewals go on, and say the same place
        assert following.gateway.did == [Changed(1), ("forgets", "r")]
        assert await following.at() == before < erased
        assert following.lease.held()
        following.gateway.forgetting.set()
        await following.is_at(after)
        assert following.gateway.did[2:] == [("forgot", "r"), Tightened(2)]


async def test_what_this_version_cannot_read_may_mean_anything(following: Following) -> None:
    async with following.running():
        await following.regained()
        following.gateway.did.clear()
        await following.redis.xadd(CONTROL, {"e": b"\xc1"})
        last = await following.other.announce(Tightened(1))
        await following.is_at(last)
        assert following.gateway.did == [None, Tightened(1)]


async def test_more_entries_than_one_read_takes(following: Following) -> None:
    async with following.running():
        await following.regained()
        following.gateway.did.clear()
        for number in range(700):
            last = await following.other.announce(Changed(number))
        await following.is_at(last)
        assert following.gateway.did == list(map(Changed, range(700)))


# --- away and back -------------------------------------------------------------------------------------


async def test_who_lost_the_lease_reads_everything_anew(following: Following) -> None:
    async with following.running():
        await following.regained()
        await following.redis.delete(LEASES + ME)
        await following.regained(2)
        assert [step for step in following.gateway.did if step == "doubts" or step[0] != "reads"] == [
            "doubts",
            ("regained", True),
        ] * 2
        assert following.gateway.did[3] == "doubts"
        assert await following.at() is not None


async def test_who_may_have_missed_what_was_trimmed_reads_everything_anew(following: Following) -> None:
    async with following.running():
        await following.regained()
        following.gateway.forgetting.clear()
        await following.other.announce(Erased("r"))  # it is busy with this one
        await eventually(lambda: ("forgets", "r") in following.gateway.did)
        for number in range(3):
            await following.other.announce(Tightened(number))
        await following.redis.xtrim(CONTROL, maxlen=1, approximate=False)
        await following.regained(2)
        assert following.gateway.count("doubts") == 2
        following.gateway.forgetting.set()
        last = await following.other.announce(Tightened(7))
        await following.is_at(last)
        assert following.gateway.did[-1] == Tightened(7)


async def test_a_stream_that_is_gone_is_one_of_a_new_server(following: Following) -> None:
    """Redis was restarted empty: places begin anew, and may be smaller."""
    async with following.running():
        await following.other.announce(Tightened(1))
        await following.regained()
        await following.redis.flushall()
        await following.regained(2)
        last = await following.other.announce(Tightened(2))
        await following.is_at(last)
        assert following.gateway.did[-1] == Tightened(2)
        assert following.follower.at == last > START


async def test_while_redis_does_not_answer_the_lease_ends_and_it_comes_back(following: Following) -> None:
    async with following.running():
        await following.regained()
        assert following.lease.held()
        await following.redis.client_pause(LEASE_MS + 1_000)
        await eventually(lambda: not following.lease.held())
        await following.regained(2)
        assert following.lease.held()
        last = await following.other.announce(Tightened(3))
        await following.is_at(last)
        assert following.gateway.did[-1] == Tightened(3)


async def test_it_tells_who_lives(following: Following) -> None:
    async with following.running():
        await following.regained()
        assert following.gateway.living == {ME}
        await following.other.renew(await following.other.last(), kept=False)
        await eventually(lambda: following.gateway.living == {ME, OTHER})
        await following.other.give_back()
        await eventually(lambda: following.gateway.living == {ME})
