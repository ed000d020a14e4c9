"""A worker: a process of its own that plays some of the crowd's parties, and tells what it counts.

`python -m load_tests.run.worker`, with a `Plan` on its standard input and lines on its standard output. It
ends with its parent's pipe. Ctrl-C is the parent's to hear.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import sys
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import uvloop

from load_tests.cannot_start import CannotStart
from load_tests.run.limits import make_room
from load_tests.run.lines import (
    LONGEST,
    Broke,
    CannotGo,
    FromWorker,
    Go,
    Plan,
    Ready,
    Second,
    Stop,
    decode_to_worker,
    line,
)
from load_tests.run.part import Part

OURS = Path(__file__).parents[1]


def say(message: FromWorker) -> None:
    """One line to the parent; without a parent there is nobody to tell."""
    try:
        sys.stdout.buffer.write(line(message))
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        sys.exit(1)


class Worker:
    """Hears its parent, plays its part, tells each second."""

    def __init__(self, part: Part) -> None:
        self._part = part
        self._go: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._stop = asyncio.Event()
        self._cpu_s = time.process_time()

    async def run(self, commands: asyncio.StreamReader) -> None:
        """The whole life of a worker after its plan."""
        hearing = asyncio.ensure_future(self._hear(commands))
        telling = asyncio.ensure_future(self._tell())
        playing = asyncio.ensure_future(self._play())
        try:
            await asyncio.wait((telling, playing), return_when=asyncio.FIRST_COMPLETED)
            for done in (telling, playing):
                if done.done():
                    done.result()
        finally:
            for task in (hearing, telling, playing):
                task.cancel()
            await asyncio.gather(hearing, telling, playing, return_exceptions=True)

    async def _play(self) -> None:
        part = self._part
        async with part.open():
            await self._or_stop(part.join())
            if not self._stop.is_set():
                say(Ready())
                gc.collect()
                gc.freeze()  # what lives as long as the crowd is not looked through again and again
                await self._or_stop(self._played())
            await part.settle()
            ended = await part.finish()
        self._tell_second()
        say(ended)

    async def _played(self) -> None:
        await self._part.play(await self._go)

    async def _or_stop(self, work: Coroutine[None, None, None]) -> None:
        """What comes first; what the work raises is raised."""
        task, stopping = asyncio.ensure_future(work), asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait((task, stopping), return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
        finally:
            for one in (task, stopping):
                one.cancel()
            await asyncio.gather(task, stopping, return_exceptions=True)

    async def _hear(self, commands: asyncio.StreamReader) -> None:
        while heard := await commands.readline():
            match decode_to_worker(heard):
                case Go(begin_ms=begin_ms):
                    self._go.set_result(begin_ms)
                case Stop():
                    self._stop.set()
        self._stop.set()

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(1 - self._part.clock() % 1000 / 1000)
            self._tell_second()

    def _tell_second(self) -> None:
        cpu_s = time.process_time()
        tally, lag_ms = self._part.second()
        say(Second(tally, cpu_s - self._cpu_s, lag_ms, self._part.phase))
        self._cpu_s = cpu_s


def where(mistake: BaseException | None) -> str:
    """The kind of a mistake and its place in our code (or where it came from), without any value."""
    if mistake is None:
        return "unknown"
    frames = traceback.extract_tb(mistake.__traceback__)
    ours = [frame for frame in frames if Path(frame.filename).is_relative_to(OURS)] or frames
    place = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
    return f"{type(mistake).__name__}{place}"


async def work(plan: Plan, commands: asyncio.StreamReader) -> FromWorker | None:
    """Plays the plan. Returns why that was not possible, or `None`."""
    loop = asyncio.get_running_loop()
    mistake: asyncio.Future[str] = loop.create_future()

    def note(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if not mistake.done():
            mistake.set_result(where(context.get("exception")))

    loop.set_exception_handler(note)  # what is wrong in a callback ends the worker too
    try:
        part = Part(plan)
        make_room(part.phones)
        playing = asyncio.ensure_future(Worker(part).run(commands))
        await asyncio.wait((playing, mistake), return_when=asyncio.FIRST_COMPLETED)
        if mistake.done():
            return Broke(mistake.result())
        playing.result()
    except CannotStart as error:
        return CannotGo(str(error))
    except Exception as error:  # its text may hold anything
        return Broke(where(error))
    return None


async def main() -> None:
    """Reads the plan from standard input and plays it."""
    commands = asyncio.StreamReader(limit=LONGEST)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(commands), sys.stdin.buffer
    )
    plan = decode_to_worker(await commands.readline())
    if isinstance(plan, Plan) and (last := await work(plan, commands)) is not None:
        say(last)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
