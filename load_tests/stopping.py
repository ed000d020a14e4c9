"""Ctrl-C and SIGTERM as an event, so that a command ends in order: with its account, its phones closed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from typing import TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """The person stopped the command before what it waited for was done."""


@contextmanager
def stopped_by_signals() -> Iterator[asyncio.Event]:
    """An event that the first Ctrl-C or SIGTERM sets; the second acts as ever."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    signals = (signal.SIGINT, signal.SIGTERM)

    def ask() -> None:
        stop.set()
        for one in signals:
            loop.remove_signal_handler(one)

    for one in signals:
        loop.add_signal_handler(one, ask)
    try:
        yield stop
    finally:
        for one in signals:
            loop.remove_signal_handler(one)


async def unless(stop: asyncio.Event, work: Coroutine[None, None, Result]) -> Result:
    """What `work` returns. Raises `Stopped`, with `work` cancelled and ended, when `stop` comes first."""
    task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise Stopped
    finally:
        for one in (task, stopping):
            one.cancel()
        await asyncio.gather(task, stopping, return_exceptions=True)
