"""The control stream and the leases in Redis: one call, one step that nobody comes between.

All keys lie on one slot of a Redis Cluster, that of `control`. Which server answers is kept with them: one
that is new (restarted empty, or a replica that took over) may not know a lease that the old one gave.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from server.control_entry import START, Entry, Place, decode, encode, place, place_id
from server.lease import LEASE_MS

CONTROL = "control"
"""The stream."""
GATEWAYS = "gateways:{control}"
"""Who may have a lease, by when it ends."""
SERVED = "served:{control}"
"""Which server gives leases, and since when."""
LEASES = "gw:{control}:"
"""What a lease's key begins with."""
KEPT = 10_000
"""Entries that the stream keeps, about."""
BATCH = 256
"""Entries read at once."""
BLOCK_MS = 1_000

_HERE = Path(__file__).parent
_RENEW, _ANNOUNCE, _STANDING = (
    (_HERE / f"{name}.lua").read_text(encoding="utf-8") for name in ("renew", "announce", "standing")
)


class Renewal(NamedTuple):
    """What Redis says to a gateway that asks for its lease."""

    granted: bool
    last: Place
    """Of the stream's newest entry."""
    live: frozenset[str]
    """Gateways that have a lease."""
    age_ms: int
    """For how long this server has been asked for leases."""


class Standing(NamedTuple):
    """Who has a lease."""

    age_ms: int
    """For how long this server has given leases; before `LEASE_MS` others may be out there."""
    places: dict[str, Place]
    """How far each gateway is."""


class ControlStore:
    """One gateway's hand on them. Every call raises redis-py's errors when Redis is away."""

    def __init__(self, redis: Any, gateway_id: str) -> None:
        self._redis = redis
        self._id = gateway_id

    async def renew(self, at: Place, *, kept: bool) -> Renewal:
        """Asks for the lease. `kept`: this gateway never let it go, and has missed nothing."""
        keys = (CONTROL, GATEWAYS, SERVED, LEASES + self._id)
        arguments = (self._id, place_id(at), LEASE_MS, int(kept))
        granted, last, live, age = await self._redis.eval(_RENEW, len(keys), *keys, *arguments)
        return Renewal(granted == 1, place(last), frozenset(name.decode() for name in live), int(age))

    async def give_back(self) -> None:
        """The lease is over: nobody need wait for it."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.delete(LEASES + self._id)
        pipeline.zrem(GATEWAYS, self._id)
        await pipeline.execute()

    async def announce(self, entry: Entry) -> Place:
        """Puts the entry into the stream."""
        return place(await self._redis.eval(_ANNOUNCE, 1, CONTROL, encode(entry), KEPT))

    async def standing(self) -> Standing:
        """Who has a lease now, and how far they are."""
        age, *pairs = await self._redis.eval(_STANDING, 2, GATEWAYS, SERVED, LEASES)
        return Standing(
            int(age),
            {name.decode(): place(at) for name, at in zip(pairs[::2], pairs[1::2], strict=True)},
        )

    async def last(self) -> Place:
        """Of the stream's newest entry."""
        found = await self._redis.xrevrange(CONTROL, count=1)
        return place(found[0][0]) if found else START

    async def after(self, at: Place, *, block: bool = True) -> list[tuple[Place, Entry | None]]:
        """The entries that follow, waiting a little for one; `None` is one that this version cannot read."""
        found = await self._redis.xread(
            {CONTROL: place_id(at)}, count=BATCH, block=BLOCK_MS if block else None
        )
        streams = found.values() if isinstance(found, dict) else [entries for _, entries in found or ()]
        read = []
        for entries in streams:
            for entry_id, fields in _flat(entries):
                read.append((place(entry_id), _entry(fields)))
        return read


def _flat(entries: Any) -> Any:
    """redis-py answers entries or, with RESP3, lists of them."""
    return entries[0] if entries and isinstance(entries[0], list) else entries


def _entry(fields: dict[bytes, bytes]) -> Entry | None:
    try:
        entry: Entry = decode(fields[b"e"])
        return entry
    except (KeyError, msgspec.MsgspecError):
        return None
