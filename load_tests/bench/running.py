"""A subject as running processes: started, waited for, measured, stopped. Nothing is left behind.

A server that dies with the benchmark: the kernel ends it when we end, however we end.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from load_tests.bench.proc import children

READY_S = 20.0
STOP_S = 40.0
"""`partyline up` stops two databases after its processes."""
_STEP_S = 0.05
_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


class DidNotStart(Exception):
    """One sentence: which server, and what it said last."""


def free_port() -> int:
    """A port of this machine that nobody has at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """One server on a port. `stop` may be called twice, and before it is ready."""

    def __init__(self, name: str, command: list[str], port: int, folder: Path, **environment: str) -> None:
        self.name = name
        self.port = port
        self.folder = folder
        self._log = folder / f"{name.replace(' ', '-')}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own commands
                command,
                env={**_own_environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                start_new_session=True,  # Ctrl-C reaches the benchmark alone, which stops it in order
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - one call of libc, which takes no lock
            )

    def wait_ready(self, ready: Callable[[], bool] | None = None, within_s: float = READY_S) -> None:
        """Until it listens, or `ready` says so. Raises `DidNotStart`."""
        end = time.monotonic() + within_s
        while not (ready or self._listens)():
            if self.process.poll() is not None:
                raise DidNotStart(f"{self.name} ended at once: {self._last_words()}")
            if time.monotonic() > end:
                raise DidNotStart(f"{self.name} was not ready in {within_s:.0f} s: {self._last_words()}")
            time.sleep(_STEP_S)

    def pids(self) -> list[int]:
        """Its processes: the one that was started, and its children."""
        return [self.process.pid, *children(self.process.pid)]

    def stop(self) -> None:
        """Ends it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            probe.settimeout(1)
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def _last_words(self) -> str:
        lines = self._log.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else "it said nothing"


def _own_environment() -> dict[str, str]:
    """Ours without the settings of a deployment that somebody may have set."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}


def _end_with_parent() -> None:
    if _LIBC is not None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
