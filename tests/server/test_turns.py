"""Joins take turns: no more at once than may be, none starves, and the queue has an end."""

from __future__ import annotations

import asyncio

import pytest

from protocol.close_codes import CloseCode
from protocol.server import Refused
from server import turns as turns_module
from server.turns import JOINS_AT_ONCE, JOINS_WAITING, Turns


async def test_no_more_than_a_few_at_once_and_all_in_order() -> None:
    turns, now, most, done = Turns(), 0, 0, []

    async def join(number: int) -> None:
        nonlocal now, most
        async with turns.turn():
            now += 1
            most = max(most, now)
            await asyncio.sleep(0)
            done.append(number)
            now -= 1

    await asyncio.gather(*(join(number) for number in range(100)))
    assert most == JOINS_AT_ONCE
    assert done == list(range(100))
    assert turns.waiting == 0


async def test_beyond_the_bound_joins_are_told_to_come_again() -> None:
    turns, go_on = Turns(), asyncio.Event()

    async def join() -> None:
        async with turns.turn():
            await go_on.wait()

    joins = [asyncio.create_task(join()) for _ in range(2_000)]
    await asyncio.sleep(0)
    assert turns.waiting == JOINS_WAITING
    go_on.set()
    ends = await asyncio.gather(*joins, return_exceptions=True)
    refused = [end for end in ends if isinstance(end, Refused)]
    assert len(refused) == 2_000 - JOINS_AT_ONCE - JOINS_WAITING
    assert {one.code for one in refused} == {CloseCode.UNAVAILABLE}


async def test_who_waits_too_long_is_told_to_come_again_and_leaves_no_gap(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(turns_module, "JOIN_TIMEOUT_S", 0.05)
    turns, go_on = Turns(), asyncio.Event()

    async def stuck() -> None:
        async with turns.turn():
            await go_on.wait()

    stuck_ones = [asyncio.create_task(stuck()) for _ in range(JOINS_AT_ONCE)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        async with turns.turn():
            pass
    assert refused.value.code is CloseCode.UNAVAILABLE
    go_on.set()
    await asyncio.gather(*stuck_ones)
    for _ in range(3 * JOINS_AT_ONCE):  # every place is free again
        async with turns.turn():
            pass
    assert turns.waiting == 0


async def test_a_join_that_fails_gives_its_place_back() -> None:
    turns = Turns()
    for _ in range(3 * JOINS_AT_ONCE):
        with pytest.raises(Refused):
            async with turns.turn():
                raise Refused(CloseCode.BAD_TOKEN)
