"""The newest snapshot of each member in Redis: for late joiners after a restart. A cache, nothing more.

One hash a session, `{s:ID}:snap`, field = member number, with expiry; it holds positions, so masked
values only, and a tightening deletes it before it returns (G3).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from protocol.precision import Precision
from server.masking import Position
from server.session import Member

EXPIRY_S = 3_600

_Row = tuple[int, float, float, float | None, float | None, float | None, str]
_decode = msgspec.msgpack.Decoder(_Row).decode
_encode = msgspec.msgpack.Encoder().encode


def key(session_id: int) -> str:
    """The hash of a session; the tag in braces keeps a session's keys on one Redis Cluster slot."""
    return f"{{s:{session_id}}}:snap"


def add_snapshots(pipeline: Pipeline, members: Iterable[Member]) -> int:
    """Adds writes of what is shown of `members` to the pipeline; returns how many snapshots."""
    sessions: dict[int, dict[str, bytes]] = {}
    for member in members:
        position = member.shown
        if position is not None:
            fields = sessions.setdefault(member.session.id, {})
            fields[str(member.number)] = _encode(_row(position))
    for session_id, fields in sessions.items():
        pipeline.hset(key(session_id), mapping=fields)  # type: ignore[arg-type]
        pipeline.expire(key(session_id), EXPIRY_S)
    return sum(len(fields) for fields in sessions.values())


async def read_snapshots(redis: Redis, session_id: int) -> dict[int, Position]:
    """What is cached of a session, by member number; entries that do not decode are left out."""
    found: dict[int, Position] = {}
    fields: dict[Any, Any] = await redis.hgetall(key(session_id))  # type: ignore[misc]
    for number, packed in fields.items():
        try:
            at, lat, lon, acc, spd, hdg, precision = _decode(packed)
            found[int(number)] = Position(
                at=at, lat=lat, lon=lon, acc=acc, spd=spd, hdg=hdg, precision=Precision(precision)
            )
        except (msgspec.MsgspecError, ValueError):
            continue
    return found


async def forget_snapshots(redis: Redis, session_id: int, *numbers: int) -> None:
    """Drops the cache of a session, or of some of its members."""
    if numbers:
        await redis.hdel(key(session_id), *(str(number) for number in numbers))  # type: ignore[misc]
    else:
        await redis.delete(key(session_id))


def _row(position: Position) -> _Row:
    return (
        position.at,
        position.lat,
        position.lon,
        position.acc,
        position.spd,
        position.hdg,
        position.precision.value,
    )
