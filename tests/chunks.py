"""The chunks of `party_positions` by the seam, whatever kind they are of. For the superuser of a test's database."""

from __future__ import annotations

import asyncpg


async def count(superuser: asyncpg.Connection) -> int:
    there: int = await superuser.fetchval("SELECT count(*) FROM positions_chunks()")
    return there


async def drop_all(superuser: asyncpg.Connection) -> None:
    """As a hypertable begins: without a chunk. Natively some were made ahead."""
    await superuser.execute("SELECT drop_positions_chunk(chunk) FROM positions_chunks()")


async def make(superuser: asyncpg.Connection, first_ms: int, last_ms: int) -> None:
    """Those that rows of this time need, as the keeper would have made them then."""
    await superuser.execute(
        "SELECT make_positions_chunks(to_timestamp($1::bigint / 1000), to_timestamp($2::bigint / 1000))",
        first_ms,
        last_ms,
    )
