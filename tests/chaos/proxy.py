"""A TCP proxy between one process and one server that passes, stalls or cuts.

Stalled is harder than cut: connections are accepted, what is sent is taken and not handed on, and nobody hears
of it. What was taken is handed on when it passes again. It runs in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from enum import StrEnum


class Mode(StrEnum):
    """What becomes of bytes and connections."""

    PASS = "pass"
    STALL = "stall"
    """Connections stand and are accepted; nothing is handed on."""
    CUT = "cut"
    """Connections are reset, new ones at once."""


class Proxy:
    """From a port of its own on the loopback to `port`, which may come and go."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._mode = Mode.PASS
        self._loop = asyncio.new_event_loop()
        self._passing: asyncio.Event
        self._writers: set[asyncio.StreamWriter] = set()
        self._serving = threading.Event()
        self._thread = threading.Thread(
            target=self._loop.run_until_complete, args=(self._serve(),), daemon=True
        )
        self.port = 0
        """Where it listens; known after `start`."""

    @property
    def mode(self) -> Mode:
        return self._mode

    def start(self) -> None:
        self._thread.start()
        self._serving.wait()

    def turn(self, mode: Mode) -> None:
        """Holds, for every connection, when this returns."""
        turned = threading.Event()
        self._loop.call_soon_threadsafe(self._turn, mode, turned)
        turned.wait()

    def stop(self) -> None:
        """Cuts everything and ends the thread. Twice does nothing."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ended.set)
            self._thread.join()
            self._loop.close()

    # --- in the thread ------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        self._passing, self._ended = asyncio.Event(), asyncio.Event()
        self._passing.set()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._serving.set()
        await self._ended.wait()
        server.close()
        self._cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _turn(self, mode: Mode, turned: threading.Event) -> None:
        self._mode = mode
        if mode is Mode.STALL:
            self._passing.clear()
        else:
            self._passing.set()
        if mode is Mode.CUT:
            self._cut()
        turned.set()

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        self._writers.add(writer)
        try:
            if self._mode is not Mode.CUT:
                await self._passing.wait()
                await self._join(reader, writer)
        except OSError:
            pass  # the server is away: so is this connection
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, thither = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(thither)
        ways = [
            asyncio.ensure_future(self._pump(reader, thither)),
            asyncio.ensure_future(self._pump(there, writer)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            thither.transport.abort()
            self._writers.discard(thither)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65_536):
                await self._passing.wait()
                sink.write(data)
                await sink.drain()
