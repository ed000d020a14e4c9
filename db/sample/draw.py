"""What every part of the sample is drawn with: a plan, a batch's own dice, and COPY's text. Pure.

A batch depends on the plan and its number alone, so any one of them can be made again, or skipped.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from random import Random
from struct import pack
from typing import Any

import msgspec

FIRST_ID = 1_000_000_000_000
"""Sample rows are numbered from here. Real ones never get so far, so nothing is confused or renumbered."""
LAST_ID = 1_999_999_999_999

BATCH = 10_000
"""Rows of the main table in a batch, and in its transaction."""

SPAN_DAYS = 364
"""How far back posts go: the months that a fresh migration makes."""

DIMENSIONS = 384
NULL = "\\N"

Lines = dict[str, list[str]]
"""Table to lines of COPY's text format, in the order in which they must be copied."""


class Plan(msgspec.Struct, frozen=True):
    """How much of everything. The same plan, the same rows, to the byte."""

    until: datetime
    """Midnight in UTC that everything lies before."""
    seed: int = 1
    users: int = 5_000
    places: int = 200_000
    posts: int = 1_000_000
    trips: int = 20_000
    embeddings: int = 2_000
    """Places that have a vector, and half as many posts: an HNSW index takes long to build."""


def dice(plan: Plan, kind: str, number: int) -> Random:
    """The dice of one batch."""
    return Random(f"{plan.seed}:{kind}:{number}")


def batch(count: int, number: int) -> range:
    """The rows of a batch, of `count` in all, from 0."""
    return range(number * BATCH, min((number + 1) * BATCH, count))


def batches(count: int) -> int:
    """How many batches `count` rows are."""
    return -(-count // BATCH)


def popular(dice: Random, count: int) -> int:
    """One of 0 … count - 1; the chance of a number is as one over its rank (Zipf's law)."""
    return int(count ** dice.random()) - 1 if count > 1 else 0


def line(*values: object) -> str:
    """One line of COPY's text format. No value has a tab, a newline or a backslash: words.py has none."""
    return "\t".join([NULL if value is None else str(value) for value in values])


def jsonb(value: Any) -> str:
    """A value as JSON."""
    return msgspec.json.encode(value).decode()


def point(lon: float, lat: float) -> str:
    """A geometry(Point, 4326) as the server writes it."""
    return pack("<BIIdd", 1, 0x20000001, 4326, lon, lat).hex().upper()


def moment(plan: Plan, days_ago: float) -> str:
    """A time so far before the plan's end."""
    return (plan.until - timedelta(days=days_ago)).isoformat(timespec="milliseconds")


@cache
def _middle(theme: int) -> list[float]:
    drawn = Random(theme)
    return [drawn.gauss(0, 1) for _ in range(DIMENSIONS)]


def vector(dice: Random, theme: int) -> str:
    """A vector near those of the same theme."""
    drawn = [round(dice.gauss(middle, 0.5), 3) for middle in _middle(theme)]
    return "[" + ",".join(map(str, drawn)) + "]"
