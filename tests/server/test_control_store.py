"""The control stream and the leases, in real Redis: who gets a lease, who is told that it has missed something.

All of it on one server and over a Redis Cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from server import control_store
from server.control_entry import START, Changed, Entry, Erased, Gone, Over, Tightened, place_id
from server.control_store import CONTROL, GATEWAYS, LEASES, SERVED, ControlStore
from server.lease import LEASE_MS
from server.redis_link import connect_redis
from tests.server.lives import eventually, long_served


@pytest.fixture
async def redis(any_redis_url: str) -> AsyncIterator[Any]:
    link = connect_redis(any_redis_url)
    yield link.client
    await link.aclose()


@pytest.fixture
def store(redis: Any) -> ControlStore:
    return ControlStore(redis, "aa")


async def trim(redis: Any, left: int) -> None:
    """The oldest entries are gone."""
    await redis.xtrim(CONTROL, maxlen=left, approximate=False)


# --- the lease -----------------------------------------------------------------------------------------


async def test_who_knows_all_there_is_gets_a_lease(store: ControlStore) -> None:
    assert (await store.renew(START, kept=False)).granted
    last = await store.announce(Tightened(1))
    refused = await store.renew(START, kept=False)
    assert (refused.granted, refused.last) == (False, last)
    assert (await store.renew(last, kept=False)).granted


async def test_a_place_ahead_of_the_stream_is_no_knowledge_of_it(store: ControlStore) -> None:
    """The stream of another server: this one was restarted empty."""
    last = await store.announce(Tightened(1))
    assert not (await store.renew((last[0] + 1, 0), kept=False)).granted


async def test_who_kept_the_lease_goes_on_however_far_behind(store: ControlStore) -> None:
    await store.renew(START, kept=False)
    last = await store.announce(Tightened(1))
    renewal = await store.renew(START, kept=True)
    assert (renewal.granted, renewal.last) == (True, last)
    assert (await store.standing()).places == {"aa": START}


async def test_who_says_so_and_has_none_is_refused(redis: Any, store: ControlStore) -> None:
    assert not (await store.renew(START, kept=True)).granted
    assert await redis.exists(LEASES + "aa") == 0
    assert (await store.standing()).places == {}


async def test_a_lease_ends_by_itself(redis: Any, store: ControlStore) -> None:
    await store.renew(START, kept=False)
    assert 0 < await redis.pttl(LEASES + "aa") <= LEASE_MS
    assert (await store.standing()).places == {"aa": START}
    await redis.pexpire(LEASES + "aa", 1)
    await eventually(lambda: _has_none(store))
    assert not (await store.renew(START, kept=True)).granted


async def _has_none(store: ControlStore) -> bool:
    return not (await store.standing()).places


async def test_a_renewal_begins_the_lease_anew(redis: Any, store: ControlStore) -> None:
    await store.renew(START, kept=False)
    await redis.pexpire(LEASES + "aa", LEASE_MS // 4)
    await store.renew(START, kept=True)
    assert await redis.pttl(LEASES + "aa") > LEASE_MS // 4


async def test_a_lease_that_is_given_back_is_over(store: ControlStore) -> None:
    await store.renew(START, kept=False)
    await store.give_back()
    assert (await store.standing()).places == {}
    assert not (await store.renew(START, kept=True)).granted
    await store.give_back()  # there is none: no harm


async def test_others_leases_stay_when_one_is_given_back(redis: Any, store: ControlStore) -> None:
    other = ControlStore(redis, "bb")
    await store.renew(START, kept=False)
    await other.renew(START, kept=False)
    await store.give_back()
    assert (await other.standing()).places == {"bb": START}
    assert (await other.renew(START, kept=True)).live == {"bb"}


# --- what is not there any more ------------------------------------------------------------------------


async def test_who_kept_the_lease_and_missed_what_was_trimmed_is_refused(
    redis: Any, store: ControlStore
) -> None:
    other = ControlStore(redis, "bb")
    await store.renew(START, kept=False)
    first, second, last = [await store.announce(Tightened(number)) for number in range(3)]
    await store.renew(first, kept=True)
    await other.renew(last, kept=False)
    await trim(redis, 1)
    assert not (await store.renew(second, kept=True)).granted
    assert (await other.renew(last, kept=True)).granted


async def test_a_read_that_passed_over_what_was_trimmed_does_not_count(
    redis: Any, store: ControlStore
) -> None:
    await store.renew(START, kept=False)
    for number in range(3):
        await store.announce(Tightened(number))
    await trim(redis, 1)
    ((last, _),) = await store.after(START, block=False)
    assert not (await store.renew(last, kept=True)).granted


async def test_what_was_read_before_it_was_trimmed_was_not_missed(redis: Any, store: ControlStore) -> None:
    await store.renew(START, kept=False)
    places = [await store.announce(Tightened(number)) for number in range(3)]
    await store.renew(places[1], kept=True)
    await trim(redis, 2)
    assert (await store.renew(places[2], kept=True)).granted


async def test_who_kept_the_lease_and_missed_what_was_deleted_is_refused(
    redis: Any, store: ControlStore
) -> None:
    other = ControlStore(redis, "bb")
    await store.renew(START, kept=False)
    before, deleted, _ = [await store.announce(Tightened(number)) for number in range(3)]
    await store.renew(before, kept=True)
    await other.renew((await store.last()), kept=False)
    await redis.xdel(CONTROL, place_id(deleted))
    assert not (await store.renew(before, kept=True)).granted
    assert (await other.renew(deleted, kept=True)).granted


async def test_a_stream_of_which_all_was_deleted_keeps_its_place(redis: Any, store: ControlStore) -> None:
    await store.renew(START, kept=False)
    last = await store.announce(Tightened(1))
    await redis.xdel(CONTROL, place_id(last))
    assert not (await store.renew(START, kept=True)).granted
    assert (await store.renew(START, kept=False)) == (False, last, {"aa"}, pytest.approx(0, abs=60_000))
    assert (await store.renew(last, kept=False)).granted


# --- who gives leases ----------------------------------------------------------------------------------


async def test_a_server_that_was_never_asked_is_new(store: ControlStore) -> None:
    assert await store.standing() == (-1, {})
    renewal = await store.renew(START, kept=False)
    assert 0 <= renewal.age_ms < LEASE_MS
    assert (await store.standing()).age_ms >= renewal.age_ms


async def test_its_age_grows(redis: Any, store: ControlStore) -> None:
    first = (await store.renew(START, kept=False)).age_ms
    await asyncio.sleep(0.05)
    assert (await store.renew(START, kept=True)).age_ms >= first + 50
    await long_served(redis)
    assert (await store.standing()).age_ms > LEASE_MS


async def test_another_server_that_has_all_keys_is_new_until_it_is_asked(
    redis: Any, store: ControlStore
) -> None:
    """A replica that took over: the keys are there, but not what the old one gave at last."""
    await store.renew(START, kept=False)
    await long_served(redis)
    await redis.hset(SERVED, "server", "0" * 40)
    assert await store.standing() == (-1, {"aa": START})
    assert (await store.renew(START, kept=True)).age_ms < 60_000
    assert 0 <= (await store.standing()).age_ms < 60_000


# --- who lives -----------------------------------------------------------------------------------------


async def test_a_renewal_tells_who_has_a_lease(redis: Any, store: ControlStore) -> None:
    other = ControlStore(redis, "bb")
    assert (await store.renew(START, kept=False)).live == {"aa"}
    assert (await other.renew(START, kept=False)).live == {"aa", "bb"}
    await redis.zadd(GATEWAYS, {"aa": 1})  # by Redis' clock it ended long ago
    assert (await other.renew(START, kept=True)).live == {"bb"}
    assert await redis.zrange(GATEWAYS, 0, -1) == [b"bb"]


async def test_standing_says_how_far_each_is(redis: Any, store: ControlStore) -> None:
    await ControlStore(redis, "bb").renew(START, kept=False)
    last = await store.announce(Tightened(1))
    await store.renew(last, kept=False)
    assert (await store.standing()).places == {"aa": last, "bb": START}


# --- the stream ----------------------------------------------------------------------------------------

ENTRIES: list[Entry] = [Tightened(1), Changed(2), Gone(3, 4, 4502), Over(5, "ended by the host"), Erased("r")]


async def test_entries_come_as_they_were_told_and_in_order(store: ControlStore) -> None:
    places = [await store.announce(entry) for entry in ENTRIES]
    assert await store.after(START) == list(zip(places, ENTRIES, strict=True))
    assert await store.after(places[2], block=False) == [(places[3], ENTRIES[3]), (places[4], ENTRIES[4])]
    assert places == sorted(places)
    assert await store.last() == places[-1]


async def test_nothing_new_is_nothing(store: ControlStore) -> None:
    assert (await store.last(), await store.after(START, block=False)) == (START, [])
    last = await store.announce(Changed(1))
    assert await store.after(last, block=False) == []


async def test_who_waits_hears_at_once(store: ControlStore) -> None:
    waiting = asyncio.ensure_future(store.after(START))
    await asyncio.sleep(0.05)
    at = await store.announce(Tightened(7))
    assert await waiting == [(at, Tightened(7))]


async def test_a_wait_for_nothing_ends(store: ControlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_store, "BLOCK_MS", 20)
    async with asyncio.timeout(30):
        assert await store.after(START) == []


@pytest.mark.parametrize(
    "fields",
    [{"e": b"\xc1"}, {"e": b""}, {"e": b"\x92\xa6future\x01"}, {"e": b"\x92\xa7changed\xa1x"}, {"x": b"y"}],
    ids=["no MessagePack", "empty", "of a newer version", "another type", "another field"],
)
async def test_what_cannot_be_read_keeps_its_place(
    redis: Any, store: ControlStore, fields: dict[str, bytes]
) -> None:
    """Whoever passed over it would miss a tightening."""
    before = await store.announce(Tightened(1))
    await redis.xadd(CONTROL, fields)
    after = await store.announce(Tightened(2))
    first, unreadable, last = await store.after(START, block=False)
    assert (first, last) == ((before, Tightened(1)), (after, Tightened(2)))
    assert before < unreadable[0] < after
    assert unreadable[1] is None


async def test_one_read_is_bounded(store: ControlStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_store, "BATCH", 2)
    places = [await store.announce(Changed(number)) for number in range(3)]
    assert [at for at, _ in await store.after(START, block=False)] == places[:2]


async def test_the_stream_is_trimmed(
    redis: Any, store: ControlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis trims by nodes of a hundred entries or so."""
    monkeypatch.setattr(control_store, "KEPT", 100)
    await store.renew(START, kept=False)
    for number in range(500):
        last = await store.announce(Changed(number))
    assert 100 <= await redis.xlen(CONTROL) < 300
    assert await store.last() == last
    assert not (await store.renew(START, kept=True)).granted
