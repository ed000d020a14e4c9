"""Honest phones that stream exact fixes, on a loop and thread of their own, and say their yes when told to."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from load_tests.phone import Phone
from load_tests.place import Place
from protocol.client import ClientSession
from protocol.codec import MSGPACK
from protocol.messages import Share
from protocol.precision import Precision
from tests.chaos.watcher import ACC

FIXES_PER_S = 10
WINDOW_MS = 5_000


class Streamers:
    """Phones by session: each fix lies in a window of its own, from `start_ms` on."""

    def __init__(self, start_ms: int) -> None:
        self._start_ms = start_ms
        self._loop = asyncio.new_event_loop()
        self._phones: dict[int, list[Phone]] = {}
        self.sent = 0

    def add(self, session: int, urls: Sequence[str], sharable_token: str) -> None:
        """One phone of the session for each gateway. Before `running`."""
        self._phones[session] = [
            Phone(
                ClientSession(MSGPACK, name=f"phone {number}", token=sharable_token, max_held=100_000),
                MSGPACK,
                Place.each(urls, number),
                jitter=random.random,
            )
            for number in range(len(urls))
        ]

    def share_exact(self, session: int) -> None:
        """From another thread: each member's own yes, now or not at all."""
        self._loop.call_soon_threadsafe(
            lambda: [phone.say(Share(Precision.EXACT)) for phone in self._phones[session]]
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """All of them stream while the context lasts."""
        streaming = self._loop.create_task(self._stream())
        thread = threading.Thread(target=lambda: self._loop.run_until_complete(asyncio.wait([streaming])))
        thread.start()
        try:
            yield
            assert not streaming.done(), streaming
        finally:
            self._loop.call_soon_threadsafe(streaming.cancel)
            thread.join(20)
            self._loop.close()

    @property
    def gave_up(self) -> list[int]:
        """Close codes of phones that were told not to come again."""
        return [
            phone.gave_up for phones in self._phones.values() for phone in phones if phone.gave_up is not None
        ]

    async def _stream(self) -> None:
        phones = [phone for some in self._phones.values() for phone in some]
        for phone in phones:
            phone.start()
        try:
            while True:
                await asyncio.sleep(1 / FIXES_PER_S)
                self.sent += 1
                at = self._start_ms + WINDOW_MS * self.sent
                for number, phone in enumerate(phones):
                    if phone.welcomed and phone.gave_up is None:
                        phone.offer(at, 37.5 + number / 100 + self.sent / 1e6, 127.0, acc=ACC)
        finally:
            await asyncio.gather(*(phone.stop() for phone in phones), return_exceptions=True)
