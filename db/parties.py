"""Packed rows taken apart: who has a row in a batch, and from when. Pure, and it never looks at a place.

Only bytes in the very form that `db.positions.pack_row` gives them are taken apart, every length checked, so
that PostgreSQL reads the same rows from them; of anything else nothing is said here.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from operator import itemgetter
from typing import NamedTuple

SESSION = slice(6, 14)
"""Where a row's session lies."""

_PACKED = re.compile(
    rb"\x00\x07"
    rb"\x00\x00\x00\x08[\x00-\x7f].{7}"  # session, user and time are not negative:
    rb"\x00\x00\x00\x08[\x00-\x7f].{7}"  # then the order of the bytes is the order of the numbers
    rb"\x00\x00\x00\x08[\x00-\x7f].{7}"
    rb"\x00\x00\x00\x02.{2}"
    rb"\x00\x00\x00\x19.{25}"
    rb"(?:\x00\x00\x00\x04.{4}|\xff\xff\xff\xff)"
    rb"\x00\x00\x00\x05(?:exact|rough)",
    re.DOTALL,
)
"""A tuple as `pack_row` makes it: every length is the one that PostgreSQL will read."""
_PERSON, _TIME = slice(6, 26), slice(30, 38)
_LABELS = {"exact": b"exact", "rough": b"rough"}
ID = struct.Struct(">q")
"""A session, as it lies there."""
_CLAIM = struct.Struct(">6xq4xq4xq")
"""Session, user and time at the begin of a row."""


class Parties(NamedTuple):
    """Who has rows of one label: what the statement `doubtful` takes. Times are microseconds since 2000.

    Arrays as text: the driver takes four times as long to pack them.
    """

    label: str
    sessions: str
    firsts: str
    """Of each session the earliest time."""
    begins: str
    ends: str
    """Of each session where its people are in `users`, counted from 1."""
    users: str
    different_users: int
    last: int
    """The latest time of the batch."""


def _parties(ordered: list[bytes], label: str, last: int) -> Parties:
    """`ordered`: all rows of the label by the bytes of their key, so that a session's lie side by side."""
    earliest = {row[_PERSON]: row for row in reversed(ordered)}  # the last one that is read stays
    sessions: list[int] = []
    firsts: list[int] = []
    begins: list[int] = []
    users: list[int] = []
    for session, user, time in map(_CLAIM.unpack_from, earliest.values()):
        if not sessions or sessions[-1] != session:
            sessions.append(session)
            firsts.append(time)
            begins.append(len(users) + 1)
        elif time < firsts[-1]:
            firsts[-1] = time
        users.append(user)
    ends = [begin - 1 for begin in begins[1:]] + [len(users)]
    return Parties(
        label,
        _array(sessions),
        _array(firsts),
        _array(begins),
        _array(ends),
        _array(users),
        len(set(users)),
        last,
    )


def _array(numbers: list[int]) -> str:
    return "{" + str(numbers)[1:-1] + "}"


def _by_label(batch: bytes, ordered: list[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    present = [(label, ending) for label, ending in _LABELS.items() if ending in batch]
    for label, ending in present:
        yield label, ordered if len(present) == 1 else [row for row in ordered if row.endswith(ending)]


class Batch(NamedTuple):
    """Rows of `pack_row`."""

    rows: list[bytes]
    """As they came."""
    ordered: list[bytes]
    """In the order of the key, which is the order of the index: its pages are met one after another."""
    parties: list[Parties]
    """One for each label that is there."""


def take_apart(batch: bytes) -> Batch | None:
    """`None` for anything that `pack_row` does not make, for times before 2000, and for nothing at all."""
    rows: list[bytes] = _PACKED.findall(batch)
    if not rows or sum(map(len, rows)) != len(batch):
        return None
    ordered = sorted(rows)
    (last,) = ID.unpack(max(map(itemgetter(_TIME), rows)))
    parties = [_parties(mine, label, last) for label, mine in _by_label(batch, ordered) if mine]
    return Batch(rows, ordered, parties)
