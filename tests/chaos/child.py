"""One process of a fleet: started, killed, stopped in its tracks, gone on with, asked to end, started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

ENDS_WITHIN_S = 30.0


def _ours() -> dict[str, str]:
    """The environment without settings: they are the fleet's to say, and a test's own are none."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARTYLINE_")}


class Child:
    """`partyline ARGUMENTS`, with a log file of its own that all its lives write to."""

    def __init__(self, name: str, *arguments: str, environment: Mapping[str, str], log: Path) -> None:
        self.name = name
        self.arguments = list(arguments)
        self.environment = dict(environment)
        self.log = log
        self.is_paused = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} was never started"
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Does nothing while it runs. Returns at once; readiness is the fleet's to wait for."""
        if self.is_running:
            return
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", *self.arguments],
                env=_ours() | self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, also while it is paused. Returns when it is gone."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.is_paused = False

    def terminate(self) -> int:
        """SIGTERM. Returns the exit code when it is gone."""
        assert self._process is not None, f"{self.name} was never started"
        self.resume()
        self._process.terminate()
        return self._process.wait(ENDS_WITHIN_S)

    def pause(self) -> None:
        """SIGSTOP: it holds all it holds, and does nothing."""
        os.kill(self.pid, signal.SIGSTOP)
        self.is_paused = True

    def resume(self) -> None:
        """SIGCONT. Does nothing when it was not paused."""
        if self.is_paused:
            self.is_paused = False
            os.kill(self.pid, signal.SIGCONT)

    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")
