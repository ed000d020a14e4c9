"""`partyline gateway --workers N`: N gateways on one port, and this small parent, which serves nobody itself.

Each worker has a listening socket of its own (SO_REUSEPORT) that the parent opened and keeps open. So what
waits to be accepted outlives a worker: its successor takes it. SIGTERM and SIGINT go to all; SIGHUP replaces
the workers one by one, each by one that is ready before the old one is told to go, and that runs the code
which is installed then.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from asyncio.subprocess import Process
from contextlib import suppress

import msgspec

from server import ports
from server.children import STOP_TIMEOUT_S, command, ending_with_us

READY_TIMEOUT_S = 60.0
"""How long a successor may take until it is ready, before it is given up and the old worker stays."""
STEADY_S = 10.0
"""Who lived this long did not die at once."""
DEATHS = 5
"""Deaths of one worker, each at once after the other, at which the parent gives up."""
BACKOFF_S = (0.0, 0.5, 1.0, 2.0)

logger = logging.getLogger("partyline.workers")


class Place(msgspec.Struct, frozen=True):
    """What a worker is given: its number, from 1, and file descriptors that it inherits."""

    number: int
    listening: list[int]
    ready: int
    """A pipe; the worker writes a byte when it is ready, and closes it."""
    metrics: int | None = None


class WorkersFailed(Exception):
    """One line: which worker, and its exit code."""

    def __init__(self, text: str, code: int = 1) -> None:
        super().__init__(text)
        self.code = code


class _Child:
    """One process of a worker."""

    def __init__(self, process: Process, ready: asyncio.Future[bool]) -> None:
        self.process = process
        self.ready = ready
        """True once it serves, false when it ended before."""
        self.began_s = asyncio.get_running_loop().time()

    def signal(self, number: int) -> None:
        with suppress(ProcessLookupError):
            self.process.send_signal(number)

    async def end(self) -> int:
        """Asked to go; killed when it does not. Returns the exit code."""
        self.signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            logger.error("a worker did not end: killed", extra={"pid": self.process.pid})
            self.signal(signal.SIGKILL)
            return await self.process.wait()


class _Worker:
    """A number, its sockets, and the process that has them now."""

    def __init__(self, number: int, host: str, port: int, metrics_port: int | None) -> None:
        self.number = number
        self._host, self._port = host, port
        self.listening = ports.shared(host, port)
        self._metrics = None if metrics_port is None else ports.metrics(metrics_port + number - 1)
        self.changing = asyncio.Lock()
        """Held while its process is replaced."""
        self.child: _Child
        """The process that serves."""

    async def start(self) -> _Child:
        """A new process on these sockets; it is not ready yet."""
        heard, told = os.pipe()
        given = [one.fileno() for one in self.listening]
        metrics = None if self._metrics is None else self._metrics.fileno()
        place = Place(self.number, given, told, metrics)
        try:
            process = await asyncio.create_subprocess_exec(
                *command("gateway", "--host", self._host, "--port", str(self._port)),
                "--as-worker",
                msgspec.json.encode(place).decode(),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[*given, told, *([] if metrics is None else [metrics])],
                start_new_session=True,  # Ctrl-C reaches the parent alone, which tells everybody once
                preexec_fn=ending_with_us(),
            )
        finally:
            os.close(told)
        return _Child(process, _byte_of(heard))

    def renew(self) -> None:
        """Closes its sockets, so that what waits for it goes to the others, and opens new ones."""
        self.close_listening()
        self.listening = ports.shared(self._host, self._port)

    def close_listening(self) -> None:
        """This process's hold on them; a worker keeps its own."""
        for one in self.listening:
            one.close()
        self.listening = []

    def close(self) -> None:
        self.close_listening()
        if self._metrics is not None:
            self._metrics.close()


def _byte_of(pipe: int) -> asyncio.Future[bool]:
    """Whether a byte came before the pipe was closed."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[bool] = loop.create_future()

    def readable() -> None:
        came = os.read(pipe, 1)
        loop.remove_reader(pipe)
        os.close(pipe)
        if not found.done():
            found.set_result(bool(came))

    loop.add_reader(pipe, readable)
    return found


class Workers:
    """All workers of one port. `run` returns the exit code."""

    def __init__(self, *, host: str, port: int, count: int, metrics_port: int | None) -> None:
        """Needs a running loop. Raises `CannotListen`."""
        self._workers = [_Worker(number, host, port, metrics_port) for number in range(1, count + 1)]
        self._stopping = asyncio.Event()
        self._roll = asyncio.Event()
        self._children: set[_Child] = set()

    async def run(self) -> int:
        """Until a signal says stop: 0; raises `WorkersFailed` when a worker cannot be kept running."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop)
        loop.add_signal_handler(signal.SIGHUP, self._roll.set)
        stopped = asyncio.create_task(self._stopping.wait())
        work = asyncio.create_task(self._work())
        try:
            await asyncio.wait([stopped, work], return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            self._stopping.set()
            for worker in self._workers:
                worker.close()
            for task in (work, stopped):
                task.cancel()
            await asyncio.wait([work, stopped])
            codes = await asyncio.gather(*(child.end() for child in list(self._children)))
        logger.info("all workers have ended")
        return 0 if all(code in (0, -signal.SIGTERM) for code in codes) else 1

    def _stop(self) -> None:
        if self._stopping.is_set():  # the second one: they end at once
            for child in self._children:
                child.signal(signal.SIGINT)  # another one than the first: two of a kind may become one
        self._stopping.set()

    async def _work(self) -> None:
        first = [await self._start(worker) for worker in self._workers]
        for worker, child in zip(self._workers, first, strict=True):
            if not await child.ready:  # it has said why
                code = await child.process.wait()
                raise WorkersFailed(f"worker {worker.number} did not start", code if code > 0 else 1)
        logger.info("all workers are ready", extra={"workers": len(first)})
        try:
            async with asyncio.TaskGroup() as tasks:
                for worker, child in zip(self._workers, first, strict=True):
                    tasks.create_task(self._keep(worker, child))
                tasks.create_task(self._keep_rolling())
        except ExceptionGroup as failed:
            raise failed.exceptions[0] from None

    async def _start(self, worker: _Worker) -> _Child:
        child = await worker.start()
        self._children.add(child)
        if self._stopping.is_set():
            child.signal(signal.SIGTERM)
        return child

    async def _keep(self, worker: _Worker, child: _Child) -> None:
        """Starts it again whenever it has died by itself."""
        deaths = 0
        loop = asyncio.get_running_loop()
        worker.child = child
        while True:
            code = await child.process.wait()
            async with worker.changing:
                self._children.discard(child)
                if worker.child is not child:  # it was replaced
                    child = worker.child
                    continue
                deaths = 1 if loop.time() - child.began_s >= STEADY_S else deaths + 1
                about = {"worker": worker.number, "exit": code, "deaths": deaths}
                if deaths >= DEATHS:
                    raise WorkersFailed(f"worker {worker.number} died {deaths} times at once (exit {code})")
                logger.error("a worker has died: it is started again", extra=about)
                if deaths > 1:
                    worker.renew()
                await asyncio.sleep(BACKOFF_S[deaths - 1])
                child = worker.child = await self._start(worker)

    async def _keep_rolling(self) -> None:
        while True:
            await self._roll.wait()
            self._roll.clear()
            for worker in self._workers:
                if not await self._replace(worker):
                    logger.error("rolling restart given up", extra={"worker": worker.number})
                    break
            else:
                logger.info("rolling restart done")

    async def _replace(self, worker: _Worker) -> bool:
        """A successor takes the worker's sockets, and only when it is ready the old one goes."""
        async with worker.changing:
            new, old = await self._start(worker), worker.child
            try:
                ready = await asyncio.wait_for(new.ready, READY_TIMEOUT_S)
            except TimeoutError:
                ready = False
            if ready:
                worker.child = new
            gone = old if ready else new
            await gone.end()
            self._children.discard(gone)
            return ready


def run_workers(*, host: str, port: int, count: int, metrics_port: int | None) -> int:
    """The parent's process. Raises `CannotListen`, `WorkersFailed`."""

    # No thread a child, as asyncio would have by default: each thread of a killed parent that ends sends the
    # workers their signal, and the second one means "at once".
    if hasattr(os, "pidfd_open"):
        asyncio.set_child_watcher(asyncio.PidfdChildWatcher())

    async def run() -> int:
        return await Workers(host=host, port=port, count=count, metrics_port=metrics_port).run()

    return asyncio.run(run())


def place_of(text: str) -> Place | None:
    """What the parent wrote on a worker's command line; nothing: not a worker."""
    return msgspec.json.decode(text, type=Place) if text else None


def inherited(place: Place) -> tuple[list[socket.socket], socket.socket | None]:
    """In a worker: the listening sockets and the metrics socket that it was given."""
    metrics = None if place.metrics is None else socket.socket(fileno=place.metrics)
    return [socket.socket(fileno=one) for one in place.listening], metrics
