"""Entries of the control stream: what one gateway tells all others that it has changed (G3). Pure.

An entry says which session is not as it was, never how it is now: that is read from PostgreSQL, so that
the order of entries and commits cannot matter. It names no person and holds no token.
"""

from __future__ import annotations

import re
from typing import TypeAlias

import msgspec


class Tightened(msgspec.Struct, tag="tightened", frozen=True, array_like=True):
    """Something of the session may have become coarser: nothing of it is sent until it was read again."""

    session: int


class Changed(msgspec.Struct, tag="changed", frozen=True, array_like=True):
    """Something else of the session is new: it is read again, and sending goes on meanwhile."""

    session: int


class Gone(msgspec.Struct, tag="gone", frozen=True, array_like=True):
    """A member was removed or has left: their connection is closed with `code`."""

    session: int
    member: int
    code: int


class Over(msgspec.Struct, tag="over", frozen=True, array_like=True):
    """The session has ended."""

    session: int
    reason: str


class Erased(msgspec.Struct, tag="erased", frozen=True, array_like=True):
    """Somebody was erased; PostgreSQL knows by the receipt whom gateways must forget."""

    receipt: str


Entry: TypeAlias = Tightened | Changed | Gone | Over | Erased

encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Entry).decode
"""Raises `msgspec.MsgspecError` for what is no entry."""

Place: TypeAlias = tuple[int, int]
"""Where an entry stands in the stream; places compare as the stream is ordered."""
START: Place = (0, 0)

_PLACE = re.compile(rb"(\d{1,20})-(\d{1,20})")


def place(text: bytes) -> Place:
    """From Redis' id of an entry, `milliseconds-number`. Raises `ValueError`."""
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError("this is no id of a stream's entry")
    return int(found[1]), int(found[2])


def place_id(at: Place) -> str:
    """As Redis takes it."""
    return f"{at[0]}-{at[1]}"
