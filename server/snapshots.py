"""What is cached in Redis for the next life of a gateway: newest snapshots, and what the rough masks showed.

One hash a session, `{s:ID}:snap`, field = member number; one value a user, `mask:ID`. Both expire, both hold
masked values only, and a tightening deletes the snapshots before it returns (G3); the revision it made,
`{s:ID}:rev`, keeps out what a slow flush masked before. A restarted gateway goes on with the masks where it
was: a fresh start would show a cell without threshold and delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from protocol.precision import Precision
from server.masking import MaskState, Position, UserMasks
from server.session import Member, Session

EXPIRY_S = 3_600
MASK_EXPIRY_S = 86_400

_Row = tuple[int, float, float, float | None, float | None, float | None, str]
_decode = msgspec.msgpack.Decoder(_Row).decode
_decode_mask = msgspec.msgpack.Decoder(MaskState).decode
_encode = msgspec.msgpack.Encoder().encode
_CACHE, _UNCACHE = (
    (Path(__file__).parent / f"{name}.lua").read_text(encoding="utf-8") for name in ("cache", "uncache")
)


def key(session_id: int) -> str:
    """The hash of a session; the tag in braces keeps a session's keys on one Redis Cluster slot."""
    return f"{{s:{session_id}}}:snap"


def revision_key(session_id: int) -> str:
    """The revision that cached snapshots may not be older than; on the slot of the hash."""
    return f"{{s:{session_id}}}:rev"


def add_snapshots(pipeline: Pipeline, members: Iterable[Member]) -> int:
    """Adds writes of what is shown of `members` to the pipeline; returns how many snapshots."""
    sessions: dict[Session, list[Any]] = {}
    for member in members:
        position = member.shown
        if position is not None:
            sessions.setdefault(member.session, []).extend((member.number, _encode(_row(position))))
    for session, fields in sessions.items():
        keys = (key(session.id), revision_key(session.id))
        pipeline.eval(_CACHE, 2, *keys, session.revision, EXPIRY_S, *fields)
    return sum(len(fields) // 2 for fields in sessions.values())


async def read_snapshots(redis: Redis, session_id: int) -> dict[int, Position]:
    """What is cached of a session, by member number; entries that do not decode are left out."""
    found: dict[int, Position] = {}
    fields: dict[Any, Any] = await redis.hgetall(key(session_id))
    for number, packed in fields.items():
        try:
            at, lat, lon, acc, spd, hdg, precision = _decode(packed)
            found[int(number)] = Position(
                at=at, lat=lat, lon=lon, acc=acc, spd=spd, hdg=hdg, precision=Precision(precision)
            )
        except (msgspec.MsgspecError, ValueError):
            continue
    return found


def add_masks(pipeline: Pipeline, members: Iterable[Member]) -> None:
    """Adds writes of what the rough masks of `members` have shown."""
    for member in members:
        if member.allowed is Precision.ROUGH:
            pipeline.set(mask_key(member.user_id), _encode(member.masks.state()), ex=MASK_EXPIRY_S)


async def restore_masks(redis: Redis, masks: Mapping[int, UserMasks]) -> None:
    """Brings fresh masks, by user id, to where they were. What does not decode is left out."""
    if not masks:
        return
    pipeline = redis.pipeline(transaction=False)  # no MGET: of a cluster each node has some of them
    for user_id in masks:
        pipeline.get(mask_key(user_id))
    states = await pipeline.execute()
    for fresh, packed in zip(masks.values(), states, strict=True):
        if isinstance(packed, bytes):
            with suppress(msgspec.MsgspecError, ValueError):
                fresh.restore(_decode_mask(packed))


async def forget_masks(redis: Redis, user_id: int) -> None:
    """Drops what is cached of a user's masks (G7)."""
    await redis.delete(mask_key(user_id))


def mask_key(user_id: int) -> str:
    """The cached mask state of a user."""
    return f"mask:{user_id}"


async def forget_snapshots(redis: Redis, session_id: int, revision: int, *numbers: int) -> None:
    """Drops the cache of a session, or of some of its members, and takes nothing from before `revision`."""
    keys = (key(session_id), revision_key(session_id))
    await redis.eval(_UNCACHE, 2, *keys, revision, EXPIRY_S, *numbers)


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
