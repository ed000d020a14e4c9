"""The worker processes, as their parent sees them: started together, heard line by line, gone at the end.

They are in a session of their own, so that Ctrl-C in a terminal reaches the parent alone, which then asks
them to stop in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

import msgspec

from load_tests.cannot_start import CannotStart
from load_tests.run.lines import (
    LONGEST,
    Broke,
    CannotGo,
    Go,
    Plan,
    Ready,
    Second,
    Stop,
    ToWorker,
    decode_from_worker,
    line,
)
from load_tests.run.notes import Ended

GONE_S = 5.0
"""A worker that has said its last word ends within it, or is ended."""


class WorkerFailed(Exception):
    """A worker ended before it should. One sentence; the run is worth nothing."""


class Company:
    """One process for each plan. A context: none is left at its end."""

    def __init__(self, plans: Sequence[Plan]) -> None:
        self._plans = plans
        self._processes: list[Process] = []
        self._hearing: list[asyncio.Task[None]] = []
        self._ready: set[int] = set()
        self._moved = asyncio.Event()
        self.seconds: list[list[Second]] = [[] for _ in plans]
        """What each worker has told so far."""
        self.ended: dict[int, Ended] = {}
        """Last words, by worker."""

    async def __aenter__(self) -> Self:
        for plan in self._plans:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "load_tests.run.worker"),
                stdin=PIPE,
                stdout=PIPE,
                stderr=DEVNULL,
                limit=LONGEST,
                start_new_session=True,
            )
            self._processes.append(process)
            self._say(process, plan)
            number = len(self._hearing)
            self._hearing.append(asyncio.create_task(self._hear(number, process)))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._hearing:
            task.cancel()
        for number, process in enumerate(self._processes):
            if number not in self.ended:
                _kill(process)
        for process in self._processes:
            try:
                await asyncio.wait_for(process.wait(), GONE_S)
            except TimeoutError:
                _kill(process)
                await process.wait()

    async def ready(self) -> None:
        """When everybody has joined. Raises `CannotStart` and `WorkerFailed`."""
        await self._until(lambda: len(self._ready) == len(self._plans))

    async def done(self) -> None:
        """When every worker has said its last word. Raises `CannotStart` and `WorkerFailed`."""
        await self._until(lambda: len(self.ended) == len(self._plans))

    def go(self, begin_ms: int) -> None:
        """The crowd's time begins."""
        self._tell(Go(begin_ms))

    def stop(self) -> None:
        """Ask all to offer nothing more, settle and end."""
        self._tell(Stop())

    # --- the parts of it ----------------------------------------------------------------------------------

    def _tell(self, message: ToWorker) -> None:
        for process in self._processes:
            self._say(process, message)

    @staticmethod
    def _say(process: Process, message: ToWorker) -> None:
        if process.stdin is not None and not process.stdin.is_closing():
            process.stdin.write(line(message))

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            self._moved.clear()
            moving = asyncio.ensure_future(self._moved.wait())
            try:
                await asyncio.wait((moving, *self._hearing), return_when=asyncio.FIRST_COMPLETED)
            finally:
                moving.cancel()
            for number, task in enumerate(self._hearing):
                if task.done():
                    task.result()
                    if number not in self.ended:
                        raise WorkerFailed(await self._why(number))

    async def _why(self, number: int) -> str:
        code = await self._processes[number].wait()
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
        return (
            f"Load process {number + 1} of {len(self._plans)} {how} before the run was over; "
            "see whether the machine ran out of memory, and run again."
        )

    async def _hear(self, number: int, process: Process) -> None:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        while heard := await process.stdout.readline():
            try:
                message = decode_from_worker(heard)
            except msgspec.MsgspecError:
                raise WorkerFailed(f"Load process {number + 1} said what is no message.") from None
            match message:
                case Second():
                    self.seconds[number].append(message)
                case Ready():
                    self._ready.add(number)
                case Ended():
                    self.ended[number] = message
                case CannotGo(why=why):
                    raise CannotStart(why)
                case Broke(where=where):
                    raise WorkerFailed(
                        f"Load process {number + 1} met a mistake of its own ({where}); please report it."
                    )
            self._moved.set()


def _kill(process: Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
