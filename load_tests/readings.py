"""One recorded fix, the fixes of one member, and how times are read. Values only."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


class TrackError(Exception):
    """The file cannot be read as tracks. The text names file, line and what is wrong, and no coordinate."""

    def __init__(self, path: Path, what: str, line: int | None = None) -> None:
        super().__init__(f"{path.name}{'' if line is None else f', line {line}'}: {what}")
        self.line = line


@dataclass(frozen=True, slots=True, repr=False)
class Reading:
    """One recorded fix. Times are epoch milliseconds, lengths metres, speed metres per second."""

    at: int
    lat: float
    lon: float
    acc: float | None = None
    alt: float | None = None
    spd: float | None = None
    recv: int | None = None
    """When the phone stored it, where the recording says so: the time it would have been sent."""


@dataclass(slots=True, repr=False)
class Track:
    """The readings of one member, in the source's order."""

    member: str
    readings: list[Reading] = field(default_factory=list)
    unusable: Counter[str] = field(default_factory=Counter)


def millis(when: datetime) -> int:
    """Epoch milliseconds, rounded down; a time without a zone is UTC."""
    aware = when if when.tzinfo is not None else when.replace(tzinfo=UTC)
    return (aware - _EPOCH) // _MILLISECOND


def parse_time(text: str) -> int | None:
    """Epoch milliseconds of an ISO 8601 time; `None` for what is no time, or beyond the calendar."""
    try:
        return millis(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        return None


def add_reading(track: Track, reading: Reading) -> None:
    """Add a reading, or count why it can never be sent."""
    values = (reading.lat, reading.lon, reading.acc, reading.alt, reading.spd)
    if all(math.isfinite(value) for value in values if value is not None):
        track.readings.append(reading)
    else:
        track.unusable["not_finite"] += 1
