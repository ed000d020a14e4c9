"""Child processes of ours: none outlives the process that started it, however that one ends.

A killed parent cannot stop anybody, so the kernel does it: the child gets SIGTERM, and stops in order.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable

STOP_TIMEOUT_S = 15.0

_LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def ending_with_us() -> Callable[[], None]:
    """The `preexec_fn` of a child that must not outlive this process; made in the process that starts it."""
    parent = os.getpid()

    def end_with_parent() -> None:  # one call of libc, which takes no lock
        if _LIBC is not None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
            if os.getppid() != parent:  # it died before the kernel knew
                os._exit(1)

    return end_with_parent


def command(name: str, *arguments: str) -> list[str]:
    """The command line of `partyline NAME …`, run by the interpreter that runs us."""
    return [sys.executable, "-m", "server.cli", name, *arguments]


def stop(process: subprocess.Popen[bytes]) -> None:
    """Asks with SIGTERM; who has not ended after `STOP_TIMEOUT_S` is killed. Returns when it is gone."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_TIMEOUT_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
