"""What is due when: many streams of events, each in order of time, in one heap. Pure: the time is passed in.

A stream is asked for its next event when the one before has been acted upon, so that nothing is computed
before it is needed.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator
from itertools import count
from typing import Any, Protocol, TypeVar


class Timed(Protocol):
    """An event that knows when it is due, milliseconds."""

    @property
    def at_ms(self) -> int: ...


Event = TypeVar("Event", bound=Timed)


class Agenda:
    """The next event of each stream, the earliest first; those of one time in the order they were added."""

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Any, Iterator[Any], Callable[[Any], None]]] = []
        self._ties = count()

    def add(self, stream: Iterable[Event], act: Callable[[Event], None]) -> None:
        """Have `act` called with each event of the stream at its time."""
        events = iter(stream)
        first = next(events, None)
        if first is not None:
            heapq.heappush(self._heap, (first.at_ms, next(self._ties), first, events, act))

    @property
    def next_ms(self) -> int | None:
        """When the next event is due; `None` when there is none."""
        return self._heap[0][0] if self._heap else None

    def act(self, now_ms: int, most: int) -> int:
        """Act upon what is due, `most` events at a time; returns how late the latest of them was."""
        heap, late_ms = self._heap, 0
        while most > 0 and heap and heap[0][0] <= now_ms:
            most -= 1
            at_ms, tie, event, events, act = heap[0]
            late_ms = max(late_ms, now_ms - at_ms)
            act(event)
            following = next(events, None)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, (following.at_ms, tie, following, events, act))
        return late_ms
