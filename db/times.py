"""PostgreSQL's times and ours: epoch milliseconds in Python, timestamptz in the database. Reads no clock."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

PG_EPOCH_MS = 946_684_800_000
"""2000-01-01, from which the binary format counts microseconds."""


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds, rounded down."""
    return (moment - _EPOCH) // _MILLISECOND


def to_ms_or_none(moment: datetime | None) -> int | None:
    """Epoch milliseconds, or `None` for a time that has not come."""
    return None if moment is None else to_ms(moment)


def from_ms(ms: int) -> datetime:
    """The moment, in UTC. Raises `ValueError` for one that no calendar has."""
    try:
        return _EPOCH + timedelta(milliseconds=ms)
    except OverflowError:
        raise ValueError("a time in epoch milliseconds must lie between the years 1 and 9999") from None
