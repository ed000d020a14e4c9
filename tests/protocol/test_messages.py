"""Messages: what may stand in them, and that no repr tells a token or a place."""

from __future__ import annotations

import re
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol import messages as wire
from protocol.codec import JSON, BadFrame, decode_client
from protocol.limits import MAX_FIXES, MAX_NAME
from protocol.precision import Precision
from tests.protocol.wires import CLIENT, SERVER

SECRET = "s3cr3t-t0ken"
PLACE = {"lat": 51.123456, "lon": 8.765432}


def test_every_type_of_the_unions_is_drawn_in_these_tests() -> None:
    assert set(CLIENT) == set(typing.get_args(wire.ClientMessage))
    assert set(SERVER) == set(typing.get_args(wire.ServerMessage))


def test_every_message_says_what_it_is_for() -> None:
    for kind in (*CLIENT, *SERVER):
        assert kind.__doc__


@pytest.mark.parametrize(
    "message",
    [
        wire.Join(name="Ann", token=SECRET, user=SECRET),
        wire.Resume(token=SECRET),
        wire.Welcome(
            session=1,
            you=1,
            role=wire.Role.HOST,
            member_token=SECRET,
            precision=Precision.EXACT,
            session_precision=Precision.EXACT,
            revision=1,
            tick_ms=1,
            window_ms=1,
            now=1,
            members=[],
            positions=[(1, 1, 51.123456, 8.765432, None, None, None)],
        ),
        wire.Fix(seq=1, at=1, **PLACE),
        wire.Fixes(items=[wire.Fix(seq=1, at=1, **PLACE)]),
        wire.Positions(at=1, p=[(1, 1, 51.123456, 8.765432, None, None, None)]),
    ],
    ids=lambda message: type(message).__name__,
)
def test_no_repr_tells_a_token_or_a_place(message: Any) -> None:
    for shown in (repr(message), str(message), f"{[message]}", f"{ {'x': message} }"):
        assert SECRET not in shown
        assert not re.search(r"51\.1|8\.7", shown)


@given(st.integers(MAX_NAME + 1, MAX_NAME * 3))
def test_a_name_is_neither_empty_nor_long(length: int) -> None:
    for name in ("", "x" * length):
        with pytest.raises(BadFrame):
            decode_client(JSON, JSON.encode({"t": "join", "name": name}))
    decode_client(JSON, JSON.encode({"t": "join", "name": "ü" * MAX_NAME}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"t": "kick", "m": -1},
        {"t": "kick", "m": 2**31},
        {"t": "kick", "m": 10**30},
        {"t": "share", "precision": "finest"},
        {"t": "share"},
        {"t": "fix", "seq": -1, "at": 0, **PLACE},
        {"t": "fix", "seq": 2**53, "at": 0, **PLACE},
        {"t": "fix", "seq": 1.5, "at": 0, **PLACE},
        {"t": "fix", "seq": True, "at": 0, **PLACE},
        {"t": "fix", "seq": 1, "at": 2**53, **PLACE},
        {"t": "fix", "seq": 1, "at": 0, "lat": "51", "lon": 8.0},
        {"t": "fix", "seq": 1, "at": 0, "lat": None, "lon": 8.0},
        {"t": "fix", "seq": 1, "at": 0, "lat": 51.0},
        {"t": "resume", "token": "x" * 4097},
        {"t": "fixes", "items": {}},
        {"t": "fixes", "items": [{"seq": 1, "at": 0, **PLACE}] * (MAX_FIXES + 1)},
    ],
    ids=str,
)
def test_what_is_out_of_range_does_not_decode(wrong: dict[str, Any]) -> None:
    with pytest.raises(BadFrame):
        decode_client(JSON, JSON.encode(wrong))


def test_a_frame_of_500_fixes_decodes() -> None:
    items = [{"seq": seq, "at": 0, **PLACE} for seq in range(MAX_FIXES)]
    message = decode_client(JSON, JSON.encode({"t": "fixes", "items": items}))
    assert isinstance(message, wire.Fixes)
    assert len(message.items) == MAX_FIXES
