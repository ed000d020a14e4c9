"""The machine's clocks, in whole milliseconds: the one place that reads them for the gateway."""

from __future__ import annotations

import time

_BOOT_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def epoch_ms() -> int:
    """The wall clock, which somebody may set."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """A clock that nobody can set."""
    return time.monotonic_ns() // 1_000_000


def boot_ms() -> int:
    """The clock of leases: nobody can set it, and it goes on while the machine sleeps."""
    return time.clock_gettime_ns(_BOOT_CLOCK) // 1_000_000
