"""Who waited for a lock, for what, and how long: looked at from beside, every few milliseconds."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass

import psycopg

from db.patience import MIGRATOR

EVERY_S = 0.01
LIMIT_S = 1.0
"""What the product allows a migration to cost anybody."""

WAITING = """
SELECT l.pid, l.waitstart, l.locktype, coalesce(l.relation::regclass::text, ''), l.mode, a.application_name,
    extract(epoch FROM clock_timestamp() - l.waitstart)::float,
    ARRAY(SELECT b.application_name FROM pg_stat_activity b WHERE b.pid = ANY (pg_blocking_pids(l.pid)))
FROM pg_locks l
JOIN pg_stat_activity a ON a.pid = l.pid
WHERE NOT l.granted AND l.waitstart IS NOT NULL AND a.datname = current_database()
"""


@dataclass
class Wait:
    """One wait, as it was seen last."""

    who: str
    kind: str
    """relation, transactionid, tuple, advisory, …"""
    table: str
    mode: str
    seconds: float
    holders: frozenset[str]

    def __str__(self) -> str:
        of = f" of {self.table}" if self.table else ""
        return f"{self.seconds * 1000:.0f} ms: {self.who} for {self.mode}{of} ({self.kind}) held by {set(self.holders)}"


class LockWaits:
    """Looks for as long as the block lasts. PostgreSQL itself says when a wait began."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._seen: dict[tuple[int, object], Wait] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.looks = 0
        self.longest_gap_s = 0.0
        """Between two looks; a wait may have been that much longer than it was seen."""

    def __enter__(self) -> LockWaits:
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        self._thread.join()

    def _look(self) -> None:
        with psycopg.connect(self._url, autocommit=True, application_name="lock waits") as connection:
            last = time.monotonic()
            while not self._done.wait(EVERY_S):
                for pid, start, kind, table, mode, who, seconds, holders in connection.execute(WAITING):
                    earlier = self._seen.get((pid, start))
                    both = frozenset(holders) | (earlier.holders if earlier else frozenset())
                    self._seen[pid, start] = Wait(who, kind, table, mode, seconds, both)
                self.looks += 1
                now = time.monotonic()
                self.longest_gap_s = max(self.longest_gap_s, now - last)
                last = now

    def waits(self, *kinds: str) -> list[Wait]:
        """Waits of these kinds, the longest first."""
        found = [wait for wait in self._seen.values() if wait.kind in kinds]
        return sorted(found, key=lambda wait: -wait.seconds)

    def of_tables(self) -> list[Wait]:
        """For whole tables: what a migration can cause."""
        return self.waits("relation")

    def of_rows(self) -> list[Wait]:
        """For rows: what a backfill can cause."""
        return self.waits("transactionid", "tuple")

    def of_fences(self) -> list[Wait]:
        """For the fences of shards and the turns of migrators: meant to be waited for."""
        return self.waits("advisory")

    def report(self) -> str:
        """One line for each kind."""
        others = [wait for wait in self.of_tables() if wait.who != MIGRATOR]
        kinds = {
            "tables": self.of_tables(),
            "tables, but not the migrator": others,
            "rows": self.of_rows(),
            "fences": self.of_fences(),
        }
        lines = [
            f"{name}: {len(of)} waits" + (f", the longest {of[0]}" if of else "")
            for name, of in kinds.items()
        ]
        return "\n".join([*lines, f"{self.looks} looks, at most {self.longest_gap_s * 1000:.0f} ms apart"])
