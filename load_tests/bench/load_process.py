"""A load in a process of its own: commands by a pipe, an answer each. It ends with its pipe."""

from __future__ import annotations

import multiprocessing
import signal
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self

from load_tests.bench.dialects import DIALECTS
from load_tests.bench.invitations import Invitations, by_number
from load_tests.bench.load import Load
from load_tests.bench.phone import LoadError

COMMANDS = ("open", "flood", "pace", "settle", "sign_of_life", "watch", "seen")
END_S = 5.0
STOPPING = (signal.SIGINT, signal.SIGTERM)


def _serve(pipe: Connection, dialect: str, port: int, ticks: bool, first: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the command, which closes the pipe
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)  # blocked by who started us
    spoken = DIALECTS[dialect]
    load = Load(spoken, port, Invitations(port) if spoken.invites else by_number, ticks=ticks, first=first)
    try:
        while True:
            name, arguments = pipe.recv()
            try:
                pipe.send((True, getattr(load, name)(*arguments)))
            except LoadError as error:
                pipe.send((False, str(error)))
            except OSError as error:
                pipe.send((False, f"the load could not reach the server ({error.strerror})"))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        load.close()


class LoadProcess:
    """The other end. A context: the process is gone when it ends."""

    def __init__(self, dialect: str, port: int, *, ticks: bool, first: int = 0) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, dialect, port, ticks, first), daemon=True, name="bench-load"
        )
        resource_tracker.ensure_running()  # its own start unblocks what is blocked below
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:  # a process that is interrupted while it is born would say so with a traceback
            self._process.start()
        finally:
            theirs.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close(END_S if kind is None else 0.2)

    def close(self, within_s: float = END_S) -> None:
        """The process is gone when this returns. Twice does nothing."""
        self._pipe.close()
        self._process.join(within_s)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()

    def begin(self, command: str, *arguments: object) -> None:
        """Starts a command of `Load`; `finish` waits for it."""
        if command not in COMMANDS:
            raise ValueError(f"a load knows {', '.join(COMMANDS)}")
        try:
            self._pipe.send((command, arguments))
        except OSError:
            raise LoadError("the load process has ended") from None

    def finish(self) -> Any:
        """The answer to `begin`. Raises `LoadError`."""
        try:
            good, answer = self._pipe.recv()
        except (EOFError, OSError):
            raise LoadError("the load process has ended") from None
        if not good:
            raise LoadError(answer)
        return answer

    def do(self, command: str, *arguments: object) -> Any:
        """A command, to its answer. Raises `LoadError`."""
        self.begin(command, *arguments)
        return self.finish()
