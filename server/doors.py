"""How many connections and joins one address may have, and how many connections all together. Pure.

Two books: connections by address, which ends with its connections, and joins by address, a token bucket
each, bounded by `BOOK_BOUND`: the address unused longest goes first, and begins afresh when it comes again.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum

from server.addresses import Addresses
from server.metrics import Stats
from server.rate import TokenBucket

BOOK_BOUND = 20_000
"""Addresses whose joins are remembered."""
SLACK = 100
"""Connections over a limit that are told why; any beyond are cut without a word."""
HTTP_RESERVE = 500
"""Connections beyond those of members: health, metrics, the page, handshakes."""


class Entry(Enum):
    """What becomes of a new connection."""

    OPEN = "open"
    BUSY = "busy"
    """To be told that this server has too many (503)."""
    CROWDED = "crowded"
    """To be told that its address has too many (429)."""
    SHUT = "shut"
    """To be cut. It was not entered, and does not leave."""


class Doors:
    """The books of one gateway."""

    __slots__ = (
        "_burst",
        "_by_address",
        "_clock",
        "_joins",
        "_per_address",
        "_rate_s",
        "_stats",
        "_total",
        "addresses",
        "open",
    )

    def __init__(
        self,
        *,
        addresses: Addresses,
        per_address: int,
        total: int,
        joins_per_s: int,
        joins_burst: int,
        clock: Callable[[], int],
        stats: Stats,
    ) -> None:
        self.addresses = addresses
        self.open = 0
        """Connections of any kind."""
        self._per_address = per_address
        self._total = total + HTTP_RESERVE
        self._rate_s = joins_per_s
        self._burst = joins_burst
        self._clock = clock
        self._stats = stats
        self._by_address: dict[str, int] = {}
        self._joins: OrderedDict[str, TokenBucket] = OrderedDict()

    def enter(self, key: str | None) -> Entry:
        """A connection is there; `key` is `None` when its address does not count (yet)."""
        mine = 0 if key is None else self._by_address.get(key, 0)
        if self.open >= self._total + SLACK or mine >= self._per_address + SLACK:
            self._stats.turned_away += 1
            return Entry.SHUT
        self.open += 1
        self._add(key)
        if self.open > self._total:
            return self._refused(Entry.BUSY)
        return self._refused(Entry.CROWDED) if key is not None and mine >= self._per_address else Entry.OPEN

    def move(self, key: str | None, to: str | None) -> Entry:
        """A connection that came through a proxy says whose it is. It leaves by the new key."""
        if key == to:
            return Entry.OPEN
        self._take(key)
        self._add(to)
        crowded = to is not None and self._by_address[to] > self._per_address
        return self._refused(Entry.CROWDED) if crowded else Entry.OPEN

    def leave(self, key: str | None) -> None:
        """It is gone."""
        self.open -= 1
        self._take(key)

    def join(self, key: str | None) -> float:
        """One join, session or bad token of this address. Returns 0, or the seconds to wait: refused."""
        if key is None:
            return 0.0
        now_ms = self._clock()
        bucket = self._joins.get(key)
        if bucket is None:
            bucket = self._joins[key] = TokenBucket(rate_s=self._rate_s, burst=self._burst, now_ms=now_ms)
            if len(self._joins) > BOOK_BOUND:
                _, forgotten = self._joins.popitem(last=False)
                self._stats.addresses_forgotten += forgotten.wait(now_ms) > 0
        self._joins.move_to_end(key)
        wait_s = bucket.take(now_ms)
        self._stats.joins_turned_away += wait_s > 0
        return wait_s

    def wait(self, key: str | None) -> float:
        """For how many seconds the address may not ask for more; it is not counted."""
        bucket = None if key is None else self._joins.get(key)
        return 0.0 if bucket is None else bucket.wait(self._clock())

    def _refused(self, entry: Entry) -> Entry:
        self._stats.turned_away += 1
        return entry

    def _add(self, key: str | None) -> None:
        if key is not None:
            self._by_address[key] = self._by_address.get(key, 0) + 1

    def _take(self, key: str | None) -> None:
        if key is not None:
            left = self._by_address[key] - 1
            if left:
                self._by_address[key] = left
            else:
                del self._by_address[key]
