"""One gateway (or writer, or master) after the other is disturbed at random instants; and who may be called.

A host never calls a gateway that is disturbed, and none is disturbed while a host's call is under way there:
a call that nobody answers proves nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random

from tests.chaos import faults
from tests.chaos.fleet import Fleet

HARMS: dict[str, tuple[faults.Harm, ...]] = {
    "gateways": (faults.stop_gateway, faults.stall_to_redis, faults.cut_to_redis),
    "redis": (faults.kill_redis, faults.stop_redis, faults.stop_gateway),
    "writers": (faults.stop_writer,),
    "cluster": (faults.stop_gateway, faults.stop_master, faults.kill_master),
}
QUIET_S, LASTS_S = (0.2, 7.0), (0.1, 4.5)


class Disturber:
    """A context: it disturbs while it lasts, and undoes what it did."""

    def __init__(self, fleet: Fleet, seed: int, harms: Sequence[faults.Harm]) -> None:
        self._fleet, self._random, self._harms = fleet, Random(seed), harms
        self._calls = [0] * len(fleet.gateways)
        self._victim: int | None = None
        self._turn = threading.Condition()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.last_s = 0.0
        """When the latest disturbance began or ended, monotonic."""
        self.done: dict[str, int] = {}
        """How often each kind was done."""

    def __enter__(self) -> Disturber:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def victim(self) -> int | None:
        """The gateway that is disturbed now."""
        return self._victim

    @contextmanager
    def calling(self, random: Random) -> Iterator[int]:
        """A gateway that may be called, for as long as the context lasts."""
        with self._turn:
            chosen = random.choice([n for n in range(len(self._calls)) if n != self._victim])
            self._calls[chosen] += 1
        try:
            yield chosen
        finally:
            with self._turn:
                self._calls[chosen] -= 1
                self._turn.notify_all()

    def was_quiet_since(self, then_s: float, settled_s: float) -> bool:
        """No gateway was disturbed from `settled_s` before `then_s` until now."""
        with self._turn:
            return self._victim is None and self.last_s < then_s - settled_s

    def _run(self) -> None:
        while not self._stop.wait(self._random.uniform(*QUIET_S)):
            victim, harm = self._random.randrange(len(self._calls)), self._random.choice(self._harms)
            with self._turn:
                self._turn.wait_for(lambda: self._calls[victim] == 0)  # noqa: B023 - waited for here
                self._victim, self.last_s = victim, time.monotonic()
                with harm(self._fleet, victim):
                    self._turn.release()
                    try:
                        self._stop.wait(self._random.uniform(*LASTS_S))
                    finally:
                        self._turn.acquire()
                self._victim, self.last_s = None, time.monotonic()
            self.done[harm.__name__] = self.done.get(harm.__name__, 0) + 1
