"""The keeper's work on the product's tables: old months, expired doodles, expired recommendations.

Nobody sees what has expired before it is deleted: every reader compares with the clock. `month_keeping`
says how long months are kept; each drop is recorded in `retention_runs`, as those of chunks are.
"""

from __future__ import annotations

from db.pool import Database
from db.queries import load
from db.retention import Drop, drop_all

_SQL = load("retention")

MONTHLY = ("posts", "feedback")


async def drop_expired_months(conn: Database, table: str, *, lock_timeout_ms: int) -> list[Drop]:
    """Drops the months of `posts` or `feedback` past their keeping, oldest first, as `drop_expired` does."""
    if table not in MONTHLY:
        raise ValueError(f"only {' and '.join(MONTHLY)} have months")
    if lock_timeout_ms < 1:
        raise ValueError("lock_timeout_ms must be at least 1")
    return await drop_all(
        conn, "drop_oldest_expired_month", "record_failed_month", table, lock_timeout_ms=lock_timeout_ms
    )


async def delete_expired_doodles(conn: Database, batch: int) -> int:
    """Deletes at most `batch` doodles past their time. How many: again, if `batch`. Raises `ValueError`."""
    return await _deleted(conn, "delete_expired_doodles", batch)


async def delete_expired_trip_cache(conn: Database, batch: int) -> int:
    """Deletes at most `batch` recommendations past their time. Otherwise the same."""
    return await _deleted(conn, "delete_expired_trip_cache", batch)


async def _deleted(conn: Database, name: str, batch: int) -> int:
    if not 1 <= batch <= 1_000_000:
        raise ValueError("a batch must be from 1 to 1,000,000 rows")
    return int(await conn.fetchval(_SQL[name], batch))
