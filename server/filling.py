"""Which shards' streams are full, by what they answered when batches were added. Pure.

A stream takes batches of all gateways up to its bound in bytes, and what it refuses waits at the gateway. A
stream that has refused is full for us until it has fallen below half its bound, so that holding fixes does
not flutter: meanwhile each flush tries its oldest batch alone, or asks.
"""

from __future__ import annotations

from collections.abc import Iterable

from db.fence import SHARDS
from server.batches import Batch

ROW_BYTES = 90
"""A packed row, the longer form."""


def bound_of(stream_rows: int) -> int:
    """Bytes that one shard's stream may weigh, if all streams may hold `stream_rows` rows."""
    return stream_rows * ROW_BYTES // SHARDS


class Filling:
    """What a gateway knows of the streams' levels."""

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._full: set[int] = set()

    @property
    def full(self) -> frozenset[int]:
        """Shards that refused a batch and are not below half their bound yet."""
        return frozenset(self._full)

    def chosen(self, batches: Iterable[Batch], most: int) -> list[Batch]:
        """At most `most` batches to add now, oldest first; of a shard that is full the oldest alone."""
        chosen: list[Batch] = []
        tried: set[int] = set()
        for batch in batches:
            if len(chosen) == most:
                break
            if batch.shard in self._full:
                if batch.shard in tried:
                    continue
                tried.add(batch.shard)
            chosen.append(batch)
        return chosen

    def to_ask(self, chosen: Iterable[Batch]) -> list[int]:
        """Shards that are full and of which nothing is tried: whether they still are must be asked."""
        return sorted(self._full - {batch.shard for batch in chosen})

    def answered(self, shard: int, *, refused: bool, weighs: int) -> None:
        """A stream said whether it took a batch (asked only: not refused), and what it weighs now."""
        if refused:
            self._full.add(shard)
        elif weighs < self.bound // 2:
            self._full.discard(shard)
