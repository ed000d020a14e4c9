"""Rows of `trip_cache`: recommendations by their context's hash, each until its time."""

from __future__ import annotations

import re
from typing import Any

import asyncpg
import msgspec

from db.pool import Database
from db.queries import load
from db.times import to_ms

_SQL = load("trip_cache")

MAX_PAYLOAD_BYTES = 262_144
MAX_VALID_S = 30 * 86_400
_HASH = re.compile(r"[0-9a-f]{64}")


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """A recommendation. Epoch milliseconds; the payload is JSON."""

    valid_until_ms: int
    payload: bytes


def check_hash(context_hash: str) -> None:
    """Raises `ValueError` for what `db.context.context_hash` does not make."""
    if not _HASH.fullmatch(context_hash):
        raise ValueError("a context's hash has 64 hexadecimal digits: db.context.context_hash makes it")


def encoded(payload: dict[str, Any]) -> bytes:
    """The payload as JSON. Raises `ValueError` when it is no JSON object, or too large."""
    if not isinstance(payload, dict):
        raise ValueError("a recommendation is a JSON object")
    try:
        text = msgspec.json.encode(payload)
    except TypeError:
        raise ValueError("a recommendation is a JSON object") from None
    if len(text) > MAX_PAYLOAD_BYTES:
        raise ValueError(f"a recommendation has at most {MAX_PAYLOAD_BYTES} bytes: make it smaller")
    return text


async def read(conn: Database, context_hash: str) -> Kept | None:
    """What is kept and still valid by the server's clock."""
    row = await conn.fetchrow(_SQL["read_trip_cache"], context_hash)
    return None if row is None else Kept(to_ms(row["valid_until"]), row["payload"].encode())


async def write(conn: Database, context_hash: str, payload: bytes, valid_for_s: int) -> Kept:
    """Keeps it, instead of an older one. Raises `ValueError` for what the column cannot hold."""
    try:
        until = await conn.fetchval(_SQL["write_trip_cache"], context_hash, payload.decode(), valid_for_s)
    except (asyncpg.DataError, asyncpg.CheckViolationError, asyncpg.ProgramLimitExceededError) as error:
        said = getattr(error, "constraint_name", None) or "jsonb"
        raise ValueError(
            f"the table refuses this recommendation ({said}): make it smaller, without NUL"
        ) from None
    return Kept(to_ms(until), payload)


async def delete(conn: Database, context_hash: str) -> None:
    """Forgets it; no matter if there is none."""
    await conn.execute(_SQL["delete_trip_cache"], context_hash)
