"""Batches in flight: what was handed to the stream and is not known to be committed (G1).

Pure. A batch is one stream entry: rows already in PostgreSQL's binary COPY form, so that the writer only
joins bytes. The windows are kept until the commit is known, so that an entry that Redis lost can be put
back. What a tightening forbids is not handed over any more (G3), and of what was before, the writer
refuses it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable

from db.fence import shard_of
from db.positions import pack_row
from protocol.messages import Reject
from server.windows import Window, WindowBook, WindowState

Refusals = list[tuple[int, int, int, Reject]]
"""`(session_id, user_id, window start ms, reason)` of rows that were not committed."""
EARLY_BOUND = 4_096
"""Commits that may be known before their batch is: the writer can be faster than Redis' answer to us."""


class Batch:
    """Rows of one flush and shard."""

    __slots__ = ("entry_id", "shard", "since_ms", "windows")

    def __init__(self, shard: int, windows: list[Window], now_ms: int) -> None:
        self.shard = shard
        self.windows = windows
        self.since_ms = now_ms
        """When it was last handed to the stream."""
        self.entry_id = ""
        """The stream's id for it; empty: not handed over yet, or to be handed over again."""

    def payload(self) -> bytes:
        """The rows that still count, packed."""
        return b"".join(_pack(window) for window in self.windows if not window.done)

    def __repr__(self) -> str:
        return f"Batch(shard={self.shard}, rows={len(self.windows)}, entry_id={self.entry_id})"


def _is_finer(window: Window) -> bool:
    return not window.done and window.position.precision.coarseness < window.member.allowed.coarseness


def _pack(window: Window) -> bytes:
    position = window.position
    return pack_row(
        window.member.session.id,
        window.member.user_id,
        window.start,
        position.at - window.start,
        position.lat,
        position.lon,
        position.acc,
        position.precision.value,
    )


class BatchLedger:
    """All batches of a gateway whose commit is not known."""

    __slots__ = ("_by_entry", "_early", "_unsent", "_windows")

    def __init__(self, windows: WindowBook) -> None:
        self._windows = windows
        self._unsent: list[Batch] = []
        self._by_entry: dict[tuple[int, str], Batch] = {}
        self._early: OrderedDict[tuple[int, str], Refusals] = OrderedDict()

    def __len__(self) -> int:
        return len(self._unsent) + len(self._by_entry)

    def collect(self, closed: Iterable[Window], now_ms: int) -> None:
        """Closed windows become unsent batches, one a shard."""
        shards: dict[int, list[Window]] = {}
        for window in closed:
            if window.state is WindowState.IN_FLIGHT:
                shards.setdefault(shard_of(window.member.session.id), []).append(window)
        self._unsent.extend(Batch(shard, rows, now_ms) for shard, rows in shards.items())

    def refuse_finer(self) -> list[Window]:
        """Refuses rows that are not handed over and are finer than allowed by now; returns their windows."""
        finer = [window for batch in self._unsent for window in batch.windows if _is_finer(window)]
        for window in finer:
            self._windows.settle(window, Reject.PRECISION)
        if finer:
            self._unsent = [batch for batch in self._unsent if not all(w.done for w in batch.windows)]
        return finer

    def unsent(self) -> list[Batch]:
        """Batches to hand to the stream, oldest first."""
        return list(self._unsent)

    def sent(self, batch: Batch, entry_id: str, now_ms: int) -> Refusals | None:
        """The stream has taken `batch`. Its refusals, if its commit was told already: say `committed` now."""
        self._unsent.remove(batch)
        batch.entry_id = entry_id
        batch.since_ms = now_ms
        self._by_entry[(batch.shard, entry_id)] = batch
        return self._early.pop((batch.shard, entry_id), None)

    def older_than(self, before_ms: int, most: int) -> list[Batch]:
        """At most `most` batches handed over before `before_ms` whose fate is not known."""
        old = []
        for batch in self._by_entry.values():
            if batch.since_ms < before_ms:
                old.append(batch)
                if len(old) == most:
                    break
        return old

    def lost(self, batch: Batch) -> None:
        """The stream does not have it any more and no commit was told: hand it over again.

        Twice is harmless: the key makes it one row (G2).
        """
        key = (batch.shard, batch.entry_id)
        if batch.entry_id and self._by_entry.get(key) is batch:
            del self._by_entry[key]
            batch.entry_id = ""
            self._unsent.append(batch)

    def committed(self, shard: int, entry_id: str, refused: Refusals) -> list[Window]:
        """The writer has committed this entry but for the `refused` rows; returns its windows, settled.

        An entry that is not known (told before `sent`, or twice) settles nothing yet.
        """
        batch = self._by_entry.pop((shard, entry_id), None)
        if batch is None:
            self._early[(shard, entry_id)] = refused
            if len(self._early) > EARLY_BOUND:
                self._early.popitem(last=False)
            return []
        refusals = {(session, user, start): Reject(reason) for session, user, start, reason in refused}
        for window in batch.windows:
            self._windows.settle(window, refusals.get(window.key) if refusals else None)
        return batch.windows

    def forget(self, user_id: int) -> None:
        """Takes the rows of a user who was erased out of all batches: they are not packed again (G7)."""
        for batch in [*self._unsent, *self._by_entry.values()]:
            for window in batch.windows:
                if window.member.user_id == user_id:
                    self._windows.settle(window, Reject.GONE)
            batch.windows = [window for window in batch.windows if window.member.user_id != user_id]
        # The stream will not have an entry of theirs alone any more. An unsent batch may be on its way now:
        # it stays, empty if need be.
        self._by_entry = {key: batch for key, batch in self._by_entry.items() if batch.windows}
