"""A stop ends what a command waits for, and leaves nothing running."""

from __future__ import annotations

import asyncio

import pytest

from load_tests.stopping import Stopped, unless


async def test_work_that_is_done_first_gives_its_result_or_its_error() -> None:
    async def good() -> int:
        return 7

    async def bad() -> int:
        raise ValueError("broken")

    assert await unless(asyncio.Event(), good()) == 7
    with pytest.raises(ValueError, match="broken"):
        await unless(asyncio.Event(), bad())


async def test_a_stop_cancels_the_work_and_waits_for_its_end() -> None:
    stop, ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(3600)
        finally:
            await asyncio.sleep(0)
            ended = True

    asyncio.get_running_loop().call_later(0.01, stop.set)
    with pytest.raises(Stopped):
        await unless(stop, work())
    assert ended
    assert len(asyncio.all_tasks()) == 1
