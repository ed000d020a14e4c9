"""The names that gateways and writers share in Redis. All of a shard lie on one slot of a Redis Cluster.

A shard's stream holds its batches, its dead letters what PostgreSQL does not take. A command, a script or a
transaction touches the names of one shard only.
"""

from __future__ import annotations

import msgspec

from server.batches import Refusals

GROUP = "writers"
"""The consumer group of all writers, on each stream."""

ACKS = "acks:"
"""How the channels of commits begin."""

decode_commit = msgspec.msgpack.Decoder(tuple[int, str, Refusals]).decode
encode_commit = msgspec.msgpack.Encoder().encode
"""The writer's word on one entry: its shard, its id, the rows that were refused."""


def stream_key(shard: int) -> str:
    """The stream of a shard."""
    return f"batch:{shard}"


def dead_key(shard: int) -> str:
    """Entries of a shard that PostgreSQL does not take, for a person to look at, for a day."""
    return f"{{{stream_key(shard)}}}:dead"


def fresh_key(key: str) -> str:
    """A free name on the slot of a stream or of dead letters, under which it is written anew."""
    return f"{key}:fresh" if key.startswith("{") else f"{{{key}}}:fresh"


def commits_channel(gateway_id: str) -> str:
    """Where the writers tell a gateway what is committed."""
    return ACKS + gateway_id


def weight_key(shard: int) -> str:
    """What the entries of a shard's stream weigh: kept by the scripts that add and take out."""
    return f"{{{stream_key(shard)}}}:weight"


ENTRY_WEIGHT = 200
"""Bytes that Redis and the group need for an entry beside its rows."""


def weight(payload: bytes) -> int:
    """Bytes that an entry with these rows counts against the bound of its stream."""
    return len(payload) + ENTRY_WEIGHT
